package dev.curt

import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLong
import com.sun.jna.Pointer
import java.nio.ByteBuffer

/**
 * Rows of pixels, from the buffer's position to its limit. A direct buffer, as CameraX gives, is read where it lies; another is
 * copied.
 */
public class Plane(
    public val data: ByteBuffer,
    /** Bytes from one row to the next. */
    public val rowStride: Int,
    /** Bytes from one pixel, or sample, to the next. */
    public val pixelStride: Int,
)

/** How the pixels of a frame lie in memory. */
public enum class Layout(internal val number: Int, internal val planes: Int) {
    /** One plane: red, green, blue. */
    Rgb(1, 1),

    /** One plane: red, green, blue, and how opaque a pixel is. */
    Rgba(2, 1),

    /** One plane: blue, green, red, and how opaque a pixel is. */
    Bgra(3, 1),

    /** Three planes: brightness, blue chroma, red chroma. Android's YUV_420_888. */
    Yuv420(4, 3),
}

/** How brightness and chroma stand for colours. */
public enum class Colour(internal val number: Int) {
    Bt601Full(0),
    Bt601Video(1),
    Bt709Full(2),
    Bt709Video(3),
}

/** A camera's frame. It is read when it is added to a question, and not needed afterwards. */
public class Frame(
    /** Pixels in a row, as they lie in memory. */
    public val width: Int,
    /** Rows, as they lie in memory. */
    public val height: Int,
    public val planes: List<Plane>,
    public val layout: Layout,
    /** Degrees clockwise that it has to be turned to stand upright: CameraX's `imageInfo.rotationDegrees`. */
    public val rotationDegrees: Int = 0,
    public val colour: Colour = Colour.Bt601Full,
) {
    /** Hands the frame to `use` as the library takes it. */
    internal fun <T> held(use: (CFrame) -> T): T {
        require(planes.size == layout.planes) { "planes: expected ${layout.planes}, got ${planes.size}" }
        require(width >= 0 && height >= 0) { "size: expected numbers from 0 up, got $width x $height" }
        val held = CFrame()
        held.width = NativeLong(width.toLong())
        held.height = NativeLong(height.toLong())
        held.layout = layout.number
        held.rotation = rotationDegrees
        held.colour = colour.number
        // Copies stay until the call has ended.
        val copies = mutableListOf<Memory>()
        planes.zip(held.planes) { plane, to ->
            require(plane.rowStride >= 0 && plane.pixelStride >= 0) { "planes: expected strides from 0 up" }
            to.data = address(plane.data, copies)
            to.bytes = NativeLong(plane.data.remaining().toLong())
            to.rowStride = NativeLong(plane.rowStride.toLong())
            to.pixelStride = NativeLong(plane.pixelStride.toLong())
        }
        return use(held).also { copies.forEach(Memory::close) }
    }
}

private fun address(data: ByteBuffer, copies: MutableList<Memory>): Pointer? {
    val length = data.remaining().toLong()
    if (length == 0L) return null
    if (data.isDirect) return Native.getDirectBufferPointer(data).share(data.position().toLong())
    val copy = Memory(length)
    copy.getByteBuffer(0, length).put(data.duplicate())
    copies += copy
    return copy
}
