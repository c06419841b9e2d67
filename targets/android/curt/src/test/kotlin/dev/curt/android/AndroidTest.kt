package dev.curt.android

import android.app.Activity
import android.app.Application
import android.content.ComponentCallbacks2
import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.media.Image
import dev.curt.AskOptions
import dev.curt.CurtException
import dev.curt.Engine
import dev.curt.EngineOptions
import dev.curt.Layout
import dev.curt.Question
import dev.curt.Status
import dev.curt.Trim
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.util.Collections
import kotlin.concurrent.thread
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment

private val reasoner = File(System.getenv("CURT_CHECKOUT"), "models/packages/reasoner")
private const val WORDS = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?"

@RunWith(RobolectricTestRunner::class)
class LifecycleTest {
    private fun refused(status: Status, call: () -> Unit) = assertEquals(status, assertFailsWith<CurtException> { call() }.status)

    @Test
    fun `the engine follows the app to the background and back`() {
        val application: Application = RuntimeEnvironment.getApplication()
        Engine.openBlocking(reasoner, EngineOptions(threads = 1)).use { engine ->
            val question = Question(WORDS)
            val lifecycle = EngineLifecycle(engine) { it.run() }
            lifecycle.register(application)
            val first = Robolectric.buildActivity(Activity::class.java).create().start()
            assertEquals("36, 63, 90", engine.askBlocking(question).found)
            // One activity over another: the app stays in front.
            val second = Robolectric.buildActivity(Activity::class.java).create().start()
            first.stop()
            assertEquals("36, 63, 90", engine.askBlocking(question).found)
            // And leaves the screen in the middle of an answer.
            var begun = false
            val lock = Object()
            val asking = thread {
                refused(Status.Cancelled) {
                    engine.askBlocking(Question(WORDS), AskOptions(paths = 8)) {
                        synchronized(lock) {
                            begun = true
                            lock.notifyAll()
                        }
                        Thread.sleep(2)
                        true
                    }
                }
            }
            synchronized(lock) { while (!begun) lock.wait() }
            second.stop()
            asking.join()
            refused(Status.Background) { engine.askBlocking(question) }
            second.start()
            application.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
            assertEquals("36, 63, 90", engine.askBlocking(question).found)
            lifecycle.unregister(application)
            second.stop()
            assertEquals("36, 63, 90", engine.askBlocking(question).found)
        }
    }

    @Test
    @Suppress("DEPRECATION")
    fun `levels of memory are taken by their meaning`() {
        val most = listOf(
            ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL,
            ComponentCallbacks2.TRIM_MEMORY_MODERATE,
            ComponentCallbacks2.TRIM_MEMORY_COMPLETE,
        )
        most.forEach { assertEquals(Trim.Weights, trimOf(it)) }
        // At every lock of the screen: the weights stay, though the number is higher than that of CRITICAL.
        assertEquals(Trim.Images, trimOf(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN))
        assertEquals(Trim.Images, trimOf(ComponentCallbacks2.TRIM_MEMORY_RUNNING_MODERATE))
        assertEquals(Trim.Rows, trimOf(ComponentCallbacks2.TRIM_MEMORY_RUNNING_LOW))
        assertEquals(Trim.Rows, trimOf(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND))
        assertNull(trimOf(7))
    }
}

@RunWith(RobolectricTestRunner::class)
class PackagesTest {
    /** The assets of this module's tests. */
    private class OfFolder(private val folder: File, private val breaks: String? = null) : Assets {
        override fun list(path: String) = File(folder, path).list().orEmpty().toList()

        override fun open(path: String) =
            if (path.endsWith(breaks ?: "\n")) throw IOException("cut off") else File(folder, path).inputStream()
    }

    private val folder = File("src/test/assets")
    private val root = File(RuntimeEnvironment.getApplication().noBackupFilesDir, "curt")

    private fun packages(version: Long = 2) = Packages(OfFolder(folder), root, version)

    @Test
    fun `an app without packages has none`() {
        assertEquals(emptyList(), Packages(RuntimeEnvironment.getApplication()).names)
    }

    @Test
    fun `what breaks off leaves nothing`() {
        val broken = Packages(OfFolder(folder, "model.onnx"), root, 2)
        assertFailsWith<IOException> { broken.folder("small") }
        assertEquals(emptyList(), root.list()?.toList())
        assertEquals("weights\n", File(packages().folder("small"), "onnx/model.onnx").readText())
    }

    @Test
    fun `a package is copied out once, whole or not at all`() {
        val packages = packages()
        assertEquals(listOf("small"), packages.names)
        // What an earlier version of the app, and a process that was killed, have left.
        val old = File(root, "small-1").apply { mkdirs() }
        val unfinished = File(root, "unfinished-7").apply { mkdirs() }
        val folder = packages.folder("small")
        assertEquals("{\"a\": 1}\n", File(folder, "config.json").readText())
        assertEquals("weights\n", File(folder, "onnx/model.onnx").readText())
        assertFalse(old.exists() || unfinished.exists())
        // The second call finds it.
        File(folder, "config.json").writeText("mine")
        assertEquals(folder, packages().folder("small"))
        assertEquals("mine", File(folder, "config.json").readText())
        assertFailsWith<IOException> { packages.folder("large") }
        assertEquals(listOf(folder), root.listFiles()?.toList())
        // Another version of the app brings its own.
        val next = packages(version = 3).folder("small")
        assertEquals("{\"a\": 1}\n", File(next, "config.json").readText())
        assertEquals(listOf(next), root.listFiles()?.toList())
    }

    @Test
    fun `several threads get the same folder`() {
        val folders = Collections.synchronizedSet(mutableSetOf<File>())
        List(4) { thread { folders += packages().folder("small") } }.forEach(Thread::join)
        assertEquals(1, folders.size)
    }
}

@RunWith(RobolectricTestRunner::class)
class CameraFramesTest {
    /** An image as a camera gives it: planes of an array each, chroma in one another. */
    private class Given(private val kind: Int, private val planes: List<Pair<Int, Int>>) : Image() {
        override fun getFormat() = kind
        override fun getWidth() = 4
        override fun getHeight() = 2
        override fun getTimestamp() = 0L

        // Hidden from apps, and not from who compiles against all of Android.
        override fun getTransform() = 0
        override fun getScalingMode() = 0
        override fun close() {}
        override fun getPlanes(): Array<Plane> = planes.map { (row, pixel) ->
            object : Plane() {
                override fun getRowStride() = row
                override fun getPixelStride() = pixel
                override fun getBuffer(): ByteBuffer = ByteBuffer.allocateDirect(64)
            }
        }.toTypedArray()
    }

    @Test
    fun `a camera's image is a frame with its strides and rotation`() {
        val frame = Given(ImageFormat.YUV_420_888, listOf(8 to 1, 8 to 2, 8 to 2)).toFrame(270)
        assertEquals(listOf(4, 2, 270), listOf(frame.width, frame.height, frame.rotationDegrees))
        assertEquals(Layout.Yuv420, frame.layout)
        assertEquals(listOf(8 to 1, 8 to 2, 8 to 2), frame.planes.map { it.rowStride to it.pixelStride })
        assertEquals(Layout.Rgba, Given(PixelFormat.RGBA_8888, listOf(16 to 4)).toFrame(0).layout)
        assertFailsWith<IllegalArgumentException> { Given(ImageFormat.JPEG, listOf(0 to 0)).toFrame(0) }
        Question("What is it?").use { it.image(frame) }
    }
}
