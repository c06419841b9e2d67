package dev.curt

import com.sun.jna.Callback
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLong
import com.sun.jna.Pointer
import com.sun.jna.Structure
import com.sun.jna.ptr.LongByReference

// The C library as Kotlin calls it. What its functions do is said in curt.h.

private const val ABI_VERSION = 1

/** The library's functions, bound to it when the first engine is opened. */
internal object Library {
    init {
        // ONNX Runtime's own telemetry is off unless the program has said otherwise: the library refuses to load it where it is
        // on, and what the JVM shows as its environment is a copy.
        C.setenv("ORT_DISABLE_TELEMETRY", "1", 0)
        Native.register(Library::class.java, "curt_ffi")
        val found = curt_abi_version()
        check(found == ABI_VERSION) { "curt_ffi: expected interface $ABI_VERSION, got $found: the library and the API differ" }
    }

    external fun curt_abi_version(): Int
    external fun curt_error_message(buffer: Pointer?, capacity: NativeLong, length: NativeLongByReference?): Int
    external fun curt_error_remedy(buffer: Pointer?, capacity: NativeLong, length: NativeLongByReference?): Int
    external fun curt_engine_open(dir: Pointer, options: Pointer?, engine: LongByReference): Int
    external fun curt_engine_close(engine: Long): Int
    external fun curt_engine_facts(engine: Long, buffer: Pointer?, capacity: NativeLong, length: NativeLongByReference?): Int
    external fun curt_engine_background(engine: Long): Int
    external fun curt_engine_foreground(engine: Long): Int
    external fun curt_engine_trim(engine: Long, level: Int): Int
    external fun curt_question_new(words: Pointer, question: LongByReference): Int
    external fun curt_question_of_messages(json: Pointer, question: LongByReference): Int
    external fun curt_question_add_file(question: Long, file: Pointer): Int
    external fun curt_question_add_encoded(question: Long, data: Pointer?, length: NativeLong): Int
    external fun curt_question_add_frame(question: Long, frame: CFrame): Int
    external fun curt_question_cancel(question: Long): Int
    external fun curt_question_close(question: Long): Int
    external fun curt_ask(
        engine: Long,
        question: Long,
        options: Pointer?,
        onEvent: OnEvent?,
        user: Pointer?,
        answer: LongByReference,
    ): Int
    external fun curt_answer_json(answer: Long, buffer: Pointer?, capacity: NativeLong, length: NativeLongByReference?): Int
    external fun curt_answer_close(answer: Long): Int
    external fun curt_kv_borrow(engine: Long, layer: Int, kind: Int, row: Int, view: LongByReference, kv: CKv): Int
    external fun curt_kv_release(view: Long): Int
}

private object C {
    init {
        Native.register(C::class.java, null as String?)
    }

    external fun setenv(name: String, value: String, overwrite: Int): Int
}

internal class NativeLongByReference : com.sun.jna.ptr.ByReference(NativeLong.SIZE) {
    val value: Long
        get() = pointer.getNativeLong(0).toLong()
}

internal fun interface OnEvent : Callback {
    fun invoke(user: Pointer?, event: Pointer): Int
}

@Structure.FieldOrder("data", "bytes", "rowStride", "pixelStride")
internal open class CPlane : Structure() {
    @JvmField var data: Pointer? = null
    @JvmField var bytes: NativeLong = NativeLong(0)
    @JvmField var rowStride: NativeLong = NativeLong(0)
    @JvmField var pixelStride: NativeLong = NativeLong(0)
}

@Structure.FieldOrder("width", "height", "layout", "rotation", "colour", "planes")
internal open class CFrame : Structure() {
    @JvmField var width: NativeLong = NativeLong(0)
    @JvmField var height: NativeLong = NativeLong(0)
    @JvmField var layout: Int = 0
    @JvmField var rotation: Int = 0
    @JvmField var colour: Int = 0
    @JvmField var planes: Array<CPlane> = arrayOf(CPlane(), CPlane(), CPlane())
}

@Structure.FieldOrder("data", "bytes", "shape", "strides")
internal open class CSegment : Structure() {
    @JvmField var data: Pointer? = null
    @JvmField var bytes: NativeLong = NativeLong(0)
    @JvmField var shape: Array<NativeLong> = Array(3) { NativeLong(0) }
    @JvmField var strides: Array<NativeLong> = Array(3) { NativeLong(0) }
}

@Structure.FieldOrder("dtype", "segments", "segment")
internal open class CKv : Structure() {
    @JvmField var dtype: Int = 0
    @JvmField var segments: Int = 0
    @JvmField var segment: Array<CSegment> = arrayOf(CSegment(), CSegment())
}

/** `words` in memory of its own, as the library takes texts. */
internal fun encoded(words: String): Memory {
    require('\u0000' !in words) { "a text with a NUL in it cannot be handed over" }
    val bytes = words.toByteArray()
    val memory = Memory(bytes.size + 1L)
    memory.write(0, bytes, 0, bytes.size)
    memory.setByte(bytes.size.toLong(), 0)
    return memory
}

/** A text that a function of the library copies. */
internal fun text(copy: (Pointer?, NativeLong, NativeLongByReference?) -> Int): String {
    val length = NativeLongByReference()
    check(copy(null, NativeLong(0), length))
    val memory = Memory(length.value + 1)
    check(copy(memory, NativeLong(length.value + 1), null))
    return String(memory.getByteArray(0, length.value.toInt()))
}
