package dev.curt

import com.sun.jna.ptr.LongByReference
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicLong
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.channels.trySendBlocking
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.mapNotNull
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject

/** Told what happens while a question is answered, on the thread that asks; giving false stops it. */
public fun interface Listener {
    public fun told(event: Event): Boolean
}

/** What an engine gives back; each is more than the one before it. */
public enum class Trim(internal val level: Int) {
    /** The vision graph, and what it made of images. */
    Images(1),

    /** Keys and values too. */
    Rows(2),

    /** The weights too: they are loaded again with the next question. */
    Weights(3),
}

/**
 * A package, loaded, that answers questions one at a time. Any thread may cancel, trim, send to the background and close it at any
 * time; a second question meanwhile is a [CurtException] with [Status.Busy].
 */
public class Engine private constructor(handle: Long) : AutoCloseable {
    private val own = AtomicLong(handle)

    private val handle: Long
        get() = own.get()

    /** What was opened: `context_tokens`, `takes_images`, `kv`, `attention`, `onnxruntime`. */
    public val facts: JsonObject
        get() = Json.parseToJsonElement(
            text { buffer, capacity, length -> Library.curt_engine_facts(handle, buffer, capacity, length) },
        ).jsonObject

    /**
     * Answers a question on this thread, and returns when the answer is there.
     *
     * @throws CurtException with the answer as far as it came, where the question broke off. What `listener` throws stops the
     * question and comes out here.
     */
    public fun askBlocking(question: Question, options: AskOptions = AskOptions(), listener: Listener? = null): Answer {
        var thrown: Throwable? = null
        val callback = listener?.let {
            OnEvent { _, at ->
                // Nothing may be thrown through the library.
                try {
                    if (thrown == null && event(at)?.let(it::told) != false) 0 else 1
                } catch (error: Throwable) {
                    thrown = error
                    1
                }
            }
        }
        val answer = LongByReference()
        val status = encoded(options.json()).use {
            Library.curt_ask(handle, question.handle, it, callback, null, answer)
        }
        // Its words are this thread's until its next failure.
        val failed = if (status == 0) null else failure(status)
        val got = if (answer.value == 0L) null else taken(answer.value)
        thrown?.let { throw it }
        if (failed != null) throw CurtException(failed.status, failed.message.orEmpty(), failed.remedy, got)
        return checkNotNull(got)
    }

    /**
     * Answers a question on a thread for such work. A coroutine that is cancelled cancels the question, and ends when the engine is
     * free.
     */
    public suspend fun ask(question: Question, options: AskOptions = AskOptions(), listener: Listener? = null): Answer =
        coroutineScope {
            // A result: what a cancelled question fails with is not what the cancelled coroutine ends with.
            val answer = async(Dispatchers.IO) { runCatching { askBlocking(question, options, listener) } }
            try {
                answer.await().getOrThrow()
            } catch (cancelled: CancellationException) {
                question.cancelQuietly()
                throw cancelled
            }
        }

    /** Answers a question of one text. */
    public suspend fun ask(text: String, options: AskOptions = AskOptions(), listener: Listener? = null): Answer =
        Question(text).use { ask(it, options, listener) }

    /** What happens while a question is answered. Whoever stops collecting cancels the question. */
    public fun events(question: Question, options: AskOptions = AskOptions()): Flow<Event> = callbackFlow {
        val ended = AtomicBoolean()
        launch(Dispatchers.IO) {
            val asked = runCatching { askBlocking(question, options) { trySendBlocking(it).isSuccess } }
            ended.set(true)
            close(asked.exceptionOrNull())
        }
        awaitClose { if (!ended.get()) question.cancelQuietly() }
    }

    /** The pieces of path 0's text as they come. */
    public fun stream(question: Question, options: AskOptions = AskOptions()): Flow<String> =
        events(question, options).mapNotNull {
            when (it) {
                is Event.Text -> it.text.takeIf { _ -> it.path == 0 }
                is Event.SectionText -> it.text.takeIf { _ -> it.path == 0 }
                else -> null
            }
        }

    /** Borrows keys or values: of row 0, which the last question has left, or of a row while [Event.Cached] is told. */
    public fun kv(layer: Int, kind: KvKind = KvKind.Value, row: Int = 0): Kv = Kv(handle, layer, kind, row)

    /** Cancels the question under way, waits for its end and takes no other; gives back keys, values and the vision graph. */
    public fun background(): Unit = check(Library.curt_engine_background(handle))

    /** Takes questions again. */
    public fun foreground(): Unit = check(Library.curt_engine_foreground(handle))

    /** Gives back memory, as soon as nobody uses it. */
    public fun trim(trim: Trim): Unit = check(Library.curt_engine_trim(handle, trim.level))

    /** Cancels the question under way and gives everything back. Closing it twice is nothing. */
    override fun close() {
        val handle = own.getAndSet(0)
        if (handle != 0L) check(Library.curt_engine_close(handle))
    }

    public companion object {
        /** Opens a package on this thread: as long as reading its weights takes. */
        public fun openBlocking(folder: File, options: EngineOptions = EngineOptions()): Engine = Engine(
            encoded(folder.path).use { dir ->
                encoded(options.json()).use { json -> opened { Library.curt_engine_open(dir, json, it) } }
            },
        )

        /** Opens a package on a thread for such work. */
        public suspend fun open(folder: File, options: EngineOptions = EngineOptions()): Engine =
            withContext(Dispatchers.IO) { openBlocking(folder, options) }
    }
}

/** Cancels a question that may be closed by now. */
private fun Question.cancelQuietly() {
    try {
        cancel()
    } catch (_: CurtException) {
        // It has ended, and nobody waits for it.
    }
}
