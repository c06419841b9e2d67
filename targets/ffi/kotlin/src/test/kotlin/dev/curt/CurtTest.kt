package dev.curt

import java.io.File
import java.nio.ByteBuffer
import kotlin.concurrent.thread
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

// curt as a Kotlin program meets it. `cargo xtask kotlin` sets what it needs.

private val packages = File(System.getenv("CURT_CHECKOUT"), "models/packages")
private val reasoner = File(packages, "reasoner")
private val vqa = File(packages, "vqa")
private val sample = File(vqa, "sample.jpg")
private val oneThread = EngineOptions(threads = 1)

private const val WORDS = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?"
private const val ABOUT = "How many shapes are red?"
private val short = AskOptions(maxTokens = 4)

/** Longer than any test waits. */
private val slow = AskOptions(paths = 8)
private val slowly = Listener {
    Thread.sleep(2)
    true
}

private fun refused(status: Status, call: () -> Unit): CurtException {
    val error = assertFailsWith<CurtException> { call() }
    assertEquals(status, error.status, error.message)
    assertTrue(error.remedy.isNotEmpty())
    return error
}

class TextTest {
    private val engine = Engine.openBlocking(reasoner, oneThread)

    @AfterTest
    fun close() = engine.close()

    @Test
    fun `an answer says what it cost`() = runBlocking {
        val answer = engine.ask(WORDS)
        assertEquals("36, 63, 90", answer.found)
        assertTrue(answer.tokens.getValue("generated") > 10 && answer.times.getValue("total_ms") > 0)
        assertEquals(answer.found, "$answer")
        assertNotNull(engine.facts["context_tokens"])
        assertEquals(emptyList(), answer.votes)
    }

    @Test
    fun `sixteen paths, of which four go on`() = runBlocking {
        val events = mutableListOf<Event>()
        val answer = engine.ask(WORDS, AskOptions(paths = 16, keep = listOf("4"), seed = 3)) { events.add(it) }
        val checked = events.filterIsInstance<Event.Checked>().single().facts
        assertEquals(16 to 4, checked.getValue("scored").jsonPrimitive.int to checked.getValue("kept").jsonPrimitive.int)
        assertTrue(answer.votes.isNotEmpty() && answer.tokens.getValue("unused") > 0)
    }

    @Test
    fun `what is streamed is the answer`() = runBlocking {
        Question(WORDS).use { question ->
            val pieces = engine.stream(question).toList()
            assertTrue(pieces.size > 5)
            assertEquals(engine.ask(question).text, pieces.joinToString(""))
        }
    }

    @Test
    fun `whoever stops collecting cancels, and frees the engine`() = runBlocking {
        Question(WORDS).use { engine.stream(it, slow).first() }
        assertTrue(engine.ask(WORDS, short).text.isNotEmpty())
    }

    @Test
    fun `a coroutine that is cancelled cancels its question`() = runBlocking<Unit> {
        assertFailsWith<TimeoutCancellationException> {
            withTimeout(20) { engine.ask(WORDS, slow, slowly) }
        }
        assertTrue(engine.ask(WORDS, short).text.isNotEmpty())
    }

    @Test
    fun `another thread cancels, and the question stays cancelled`() {
        val question = Question(WORDS)
        val other = thread {
            Thread.sleep(20)
            question.cancel()
        }
        refused(Status.Cancelled) { engine.askBlocking(question, slow, slowly) }
        other.join()
        refused(Status.Cancelled) { engine.askBlocking(question) }
    }

    @Test
    fun `a listener stops, and what it throws comes out`() {
        val question = Question(WORDS)
        val stopped = refused(Status.Cancelled) { engine.askBlocking(question) { it !is Event.Text } }
        assertTrue(assertNotNull(stopped.partial).text.isNotEmpty())
        assertFailsWith<ArithmeticException> { engine.askBlocking(question) { throw ArithmeticException() } }
        assertEquals("36, 63, 90", engine.askBlocking(question).found)
    }

    @Test
    fun `a conversation`() = runBlocking {
        Question(listOf(Message("user", WORDS))).use { assertTrue(engine.ask(it, short).text.isNotEmpty()) }
    }

    @Test
    fun `keys and values are lent, pin the engine, and cannot be read afterwards`() {
        val question = Question(WORDS)
        engine.askBlocking(question, short)
        val kv = engine.kv(0, KvKind.Key)
        assertTrue(kv.dtype == "f32" && kv.shape[1] > 10)
        assertTrue(kv.read(kv.shape[0] - 1, kv.shape[1] - 1).any { it != 0f && it.isFinite() })
        assertFailsWith<IllegalArgumentException> { kv.read(0, kv.shape[1]) }
        refused(Status.Busy) { engine.askBlocking(question) }
        kv.close()
        kv.close()
        assertFailsWith<IllegalStateException> { kv.read(0, 0) }
        engine.askBlocking(question, short)
        refused(Status.Argument) { engine.kv(99) }
    }

    @Test
    fun `half precision is what it is`() {
        val known = mapOf(0x3c00 to 1f, 0xc000 to -2f, 0x7bff to 65504f, 0x0001 to 5.9604645e-8f, 0x0400 to 6.1035156e-5f)
        known.forEach { (bits, value) -> assertEquals(value, half(bits.toShort())) }
        assertEquals(Float.POSITIVE_INFINITY, half(0x7c00))
        assertTrue(half(0x7e00).isNaN() && 1 / half(0x8000.toShort()) == Float.NEGATIVE_INFINITY)
    }
}

class ImageTest {
    private val engine = Engine.openBlocking(vqa, oneThread)

    @AfterTest
    fun close() = engine.close()

    private fun ask(question: Question, options: AskOptions = AskOptions()) = question.use { engine.askBlocking(it, options) }

    private fun cached(answer: Answer) =
        answer.facts.getValue("images").jsonArray[0].jsonObject.getValue("cached").jsonPrimitive.boolean

    @Test
    fun `a file and its bytes are the same`() {
        val byFile = ask(Question(ABOUT).image(sample))
        val byBytes = ask(Question(ABOUT).image(sample.readBytes()))
        assertEquals(byFile.text, byBytes.text)
        assertTrue(!cached(byFile) && cached(byBytes))
    }

    @Test
    fun `frames are read where they lie`() {
        val size = 8
        val heap = ByteBuffer.wrap(ByteArray(size * size * 3 + 5) { it.toByte() }).position(5)
        val direct = ByteBuffer.allocateDirect(heap.limit())
        direct.put(heap.duplicate().rewind())
        direct.position(5)
        val rgb = { data: ByteBuffer -> Frame(size, size, listOf(Plane(data, size * 3, 3)), Layout.Rgb) }
        assertFalse(cached(ask(Question(ABOUT).image(rgb(heap)), short)))
        assertTrue(cached(ask(Question(ABOUT).image(rgb(direct)), short)), "the same pixels")
        // As Android's YUV_420_888 often is: chroma in one another, the last plane a byte short.
        val chroma = ByteBuffer.allocateDirect(size * size / 2)
        val y = Plane(ByteBuffer.allocateDirect(size * size), size, 1)
        val planes = listOf(y, Plane(chroma, size, 2), Plane(chroma.duplicate().position(1), size, 2))
        val turned = Frame(size, size, planes, Layout.Yuv420, rotationDegrees = 90)
        assertFalse(cached(ask(Question(ABOUT).image(turned), short)))
    }

    @Test
    fun `wrong images are refused`() {
        val few = Plane(ByteBuffer.allocate(10), 24, 3)
        val question = Question(ABOUT)
        refused(Status.Image) { question.image(Frame(8, 8, listOf(few), Layout.Rgb)) }
        refused(Status.Argument) { question.image(Frame(8, 8, listOf(few), Layout.Rgb, rotationDegrees = 45)) }
        assertFailsWith<IllegalArgumentException> { question.image(Frame(8, 8, listOf(few), Layout.Yuv420)) }
        assertFailsWith<IllegalArgumentException> { question.image(Frame(-8, 8, listOf(few), Layout.Rgb)) }
        refused(Status.Image) { ask(Question(ABOUT).image(ByteArray(0))) }
        refused(Status.Image) { ask(Question(ABOUT).image(sample.readBytes().copyOf(2000))) }
        refused(Status.File) { ask(Question(ABOUT).image(File("/nowhere.jpg"))) }
    }
}

class MisuseTest {
    @Test
    fun `what is closed is closed`() {
        val engine = Engine.openBlocking(reasoner, oneThread)
        val question = Question(WORDS)
        engine.close()
        engine.close()
        refused(Status.Handle) { engine.askBlocking(question) }
        refused(Status.Handle) { engine.facts }
        question.close()
        question.close()
        refused(Status.Handle) { question.cancel() }
    }

    @Test
    fun `options are refused by name`() {
        refused(Status.Package) { Engine.openBlocking(File("/nowhere")) }
        refused(Status.Option) { Engine.openBlocking(reasoner, EngineOptions(threads = 0)) }
        refused(Status.Option) { Engine.openBlocking(reasoner, EngineOptions(providers = listOf("abacus"))) }
        Engine.openBlocking(reasoner, oneThread).use { engine ->
            val question = Question(WORDS)
            refused(Status.Option) { engine.askBlocking(question, AskOptions(paths = 0)) }
            refused(Status.Argument) { engine.askBlocking(question, AskOptions(paths = -1)) }
            assertTrue("round" in refused(Status.Option) { engine.askBlocking(question, AskOptions(format = "round")) }.message!!)
            assertFailsWith<IllegalArgumentException> { engine.askBlocking(question, AskOptions(temperature = Float.NaN)) }
            assertFailsWith<IllegalArgumentException> { Question("a text with\u0000a NUL") }
        }
    }

    @Test
    fun `a listener that asks again or closes is told`() {
        val engine = Engine.openBlocking(reasoner, oneThread)
        val question = Question(WORDS)
        engine.askBlocking(question, short) {
            assertTrue("this thread" in refused(Status.Busy) { engine.askBlocking(question) }.message!!)
            true
        }
        refused(Status.Cancelled) {
            engine.askBlocking(question) {
                engine.close()
                true
            }
        }
    }

    @Test
    fun `background, trim and two threads`() {
        Engine.openBlocking(reasoner, oneThread).use { engine ->
            val question = Question(WORDS)
            val first = engine.askBlocking(question).text
            var begun = false
            val lock = Object()
            val other = thread {
                refused(Status.Cancelled) {
                    engine.askBlocking(Question(WORDS), slow) {
                        synchronized(lock) {
                            begun = true
                            lock.notifyAll()
                        }
                        slowly.told(it)
                    }
                }
            }
            synchronized(lock) { while (!begun) lock.wait() }
            assertTrue("another thread" in refused(Status.Busy) { engine.askBlocking(question) }.message!!)
            engine.background()
            refused(Status.Background) { engine.askBlocking(question) }
            engine.foreground()
            other.join()
            Trim.entries.forEach {
                engine.trim(it)
                assertEquals(first, engine.askBlocking(question).text)
            }
        }
    }
}
