package dev.curt

import com.sun.jna.Memory
import com.sun.jna.NativeLong
import com.sun.jna.ptr.LongByReference
import java.io.File
import java.util.concurrent.atomic.AtomicLong
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

/** A message of a conversation. */
public data class Message(
    /** `system`, `user` or `assistant`. */
    val role: String,
    val content: String,
    /** Images that stand before it. */
    val images: Int = 0,
)

/** A question, perhaps about images. It can be asked several times, until it is cancelled. Any thread may use it. */
public class Question private constructor(handle: Long) : AutoCloseable {
    private val own = AtomicLong(handle)

    /** A text, around which the package's prompt goes. */
    public constructor(text: String) : this(opened { encoded(text).use { words -> Library.curt_question_new(words, it) } })

    /** A whole conversation, the model to speak next. */
    public constructor(messages: List<Message>) : this(
        opened { encoded(json(messages)).use { json -> Library.curt_question_of_messages(json, it) } },
    )

    internal val handle: Long
        get() = own.get()

    /** Adds an image file: JPEG, PNG, WebP, GIF or BMP. It is read when the question is asked. */
    public fun image(file: File): Question = apply {
        encoded(file.path).use { check(Library.curt_question_add_file(handle, it)) }
    }

    /** Adds the bytes of such a file. */
    public fun image(bytes: ByteArray): Question = apply {
        if (bytes.isEmpty()) {
            check(Library.curt_question_add_encoded(handle, null, NativeLong(0)))
            return@apply
        }
        Memory(bytes.size.toLong()).use {
            it.write(0, bytes, 0, bytes.size)
            check(Library.curt_question_add_encoded(handle, it, NativeLong(bytes.size.toLong())))
        }
    }

    /** Adds a camera's frame, which is read now. */
    public fun image(frame: Frame): Question = apply {
        frame.held { check(Library.curt_question_add_frame(handle, it)) }
    }

    /** Cancels it wherever it is answered, and before it is asked. */
    public fun cancel(): Unit = check(Library.curt_question_cancel(handle))

    /** Gives its images back. Closing it twice is nothing. */
    override fun close() {
        val handle = own.getAndSet(0)
        if (handle != 0L) check(Library.curt_question_close(handle))
    }
}

/** The handle that `open` gives. */
internal fun opened(open: (LongByReference) -> Int): Long {
    val handle = LongByReference()
    check(open(handle))
    return handle.value
}

private fun json(messages: List<Message>): String = JsonArray(
    messages.map {
        val fields = mapOf("role" to JsonPrimitive(it.role), "content" to JsonPrimitive(it.content))
        JsonObject(if (it.images == 0) fields else fields + ("images" to JsonPrimitive(it.images)))
    },
).toString()
