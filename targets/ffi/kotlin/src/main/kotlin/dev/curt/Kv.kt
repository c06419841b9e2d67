package dev.curt

import com.sun.jna.Pointer
import com.sun.jna.ptr.LongByReference

/** Keys or values. */
public enum class KvKind(internal val number: Int) {
    /** Keys, after the rotary embedding. */
    Key(1),

    /** Values. */
    Value(2),
}

/**
 * Keys or values of one layer and one row, in the cache's own memory. As long as they are borrowed the engine takes no question;
 * once closed they cannot be read.
 */
public class Kv internal constructor(engine: Long, layer: Int, kind: KvKind, row: Int) : AutoCloseable {
    private val lent = CKv()
    private var handle = LongByReference().let {
        check(Library.curt_kv_borrow(engine, layer, kind.number, row, it, lent))
        it.value
    }

    /** Heads, positions and elements of a head. */
    public val shape: List<Int> = lent.segment.take(lent.segments).let { segments ->
        val positions = segments.sumOf { it.shape[1].toInt() }
        listOf(segments[0].shape[0].toInt(), positions, segments[0].shape[2].toInt())
    }

    /** `f32`, `f16` or `bf16`. */
    public val dtype: String = when (lent.dtype) {
        1 -> "f32"
        2 -> "f16"
        else -> "bf16"
    }

    /** The elements of a head at a position, copied out: of `f16` and `bf16` too. */
    @Synchronized
    public fun read(head: Int, position: Int): FloatArray {
        check(handle != 0L) { "keys and values that were released cannot be read" }
        require(head in 0 until shape[0]) { "head: expected 0 to ${shape[0] - 1}, got $head" }
        require(position in 0 until shape[1]) { "position: expected 0 to ${shape[1] - 1}, got $position" }
        var before = position
        for (segment in lent.segment.take(lent.segments)) {
            val here = segment.shape[1].toInt()
            if (before < here) {
                val start = head * segment.strides[0].toLong() + before * segment.strides[1].toLong()
                return elements(checkNotNull(segment.data), start)
            }
            before -= here
        }
        error("the segments have fewer positions than they say")
    }

    private fun elements(data: Pointer, start: Long): FloatArray = when (dtype) {
        "f32" -> data.getFloatArray(start, shape[2])
        "f16" -> FloatArray(shape[2]) { half(data.getShort(start + 2L * it)) }
        else -> FloatArray(shape[2]) { Float.fromBits(data.getShort(start + 2L * it).toInt() shl 16) }
    }

    /** Gives them back. Closing it twice is nothing. */
    @Synchronized
    override fun close() {
        val view = handle
        handle = 0
        if (view != 0L) check(Library.curt_kv_release(view))
    }
}

/** IEEE half precision as single precision. */
internal fun half(bits: Short): Float {
    val all = bits.toInt() and 0xffff
    val sign = (all and 0x8000) shl 16
    val exponent = (all shr 10) and 0x1f
    val fraction = all and 0x3ff
    return when (exponent) {
        0 -> Math.scalb(fraction.toFloat(), -24).let { if (sign != 0) -it else it }
        0x1f -> Float.fromBits(sign or 0x7f800000 or (fraction shl 13))
        else -> Float.fromBits(sign or ((exponent + 112) shl 23) or (fraction shl 13))
    }
}
