package dev.curt.android

import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.media.Image
import dev.curt.Frame
import dev.curt.Layout
import dev.curt.Plane

/**
 * The frame of a camera's image, whose planes are read where they lie: close the image after it was added to a question.
 * `rotationDegrees` is CameraX's `imageInfo.rotationDegrees`; CameraX's `ImageProxy.image` is the image.
 *
 * @throws IllegalArgumentException for a format that is neither YUV_420_888 nor RGBA_8888.
 */
public fun Image.toFrame(rotationDegrees: Int): Frame {
    val planes = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return when (format) {
        ImageFormat.YUV_420_888 -> Frame(width, height, planes, Layout.Yuv420, rotationDegrees)
        PixelFormat.RGBA_8888 -> Frame(width, height, planes, Layout.Rgba, rotationDegrees)
        else -> throw IllegalArgumentException("format: expected YUV_420_888 or RGBA_8888, got $format")
    }
}
