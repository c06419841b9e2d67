"""curt as a Python program meets it. Run by targets/ffi/tests/python.rs in an empty environment: `python -m unittest`."""

import asyncio
import gc
import os
import threading
import time
import unittest
from pathlib import Path

import curt

MODELS = Path(os.environ["CURT_CHECKOUT"]) / "models/packages"
QUESTION = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?"
ABOUT = "How many shapes are red?"
SAMPLE = MODELS / "vqa/sample.jpg"


class Texts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = curt.Engine(MODELS / "reasoner", threads=1)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def test_an_answer_says_what_it_cost(self):
        answer = self.engine.ask(QUESTION)
        self.assertEqual(answer.found, "36, 63, 90")
        self.assertGreater(answer.tokens["generated"], 10)
        self.assertGreater(answer.times["total_ms"], 0)
        self.assertEqual(str(answer), answer.found)
        self.assertIn("context_tokens", self.engine.facts)

    def test_sixteen_paths_of_which_four_go_on(self):
        events = []
        answer = self.engine.ask(QUESTION, paths=16, keep=["4"], seed=3, on_event=lambda event: events.append(event))
        [checked] = [event for event in events if event.kind == "checked"]
        self.assertEqual((checked.facts["scored"], checked.facts["kept"]), (16, 4))
        self.assertEqual(sum(path["finish"] == "dropped" for path in answer.facts["paths"]), 12)
        self.assertTrue(answer.votes and answer.tokens["unused"] > 0)

    def test_what_is_streamed_is_the_answer(self):
        with self.engine.stream(QUESTION) as stream:
            pieces = list(stream)
        self.assertGreater(len(pieces), 5)
        self.assertEqual("".join(pieces), stream.answer.text)

    def test_a_stream_that_is_left_frees_the_engine(self):
        stream = self.engine.stream(QUESTION, paths=8)
        next(stream)
        stream.close()
        self.assertIsNotNone(self.engine.ask(QUESTION, max_tokens=2))

    def test_a_listener_stops_and_what_it_raises_comes_out(self):
        with self.assertRaises(curt.Cancelled) as stopped:
            self.engine.ask(QUESTION, on_event=lambda event: event.kind != "text")
        self.assertTrue(stopped.exception.partial.text)

        def breaks(event):
            raise ZeroDivisionError("in the listener")

        with self.assertRaisesRegex(ZeroDivisionError, "in the listener"):
            self.engine.ask(QUESTION, on_event=breaks)
        self.assertTrue(self.engine.ask(QUESTION).found)

    def test_another_thread_cancels(self):
        question = curt.Question(QUESTION)
        timer = threading.Timer(0.02, question.cancel)
        timer.start()
        with self.assertRaises(curt.Cancelled):
            self.engine.ask(question, paths=8, on_event=lambda event: time.sleep(0.002))
        timer.join()
        with self.assertRaises(curt.Cancelled):
            self.engine.ask(question)

    def test_asyncio(self):
        async def pieces():
            return [piece async for piece in self.engine.stream_async(QUESTION)]

        async def both():
            answer = await self.engine.ask_async(QUESTION)
            return answer, "".join(await pieces())

        answer, streamed = asyncio.run(both())
        self.assertEqual(answer.text, streamed)

        async def impatient():
            slowly = self.engine.ask_async(QUESTION, paths=8, on_event=lambda event: time.sleep(0.002))
            await asyncio.wait_for(slowly, 0.02)

        with self.assertRaises(asyncio.TimeoutError):
            asyncio.run(impatient())
        # Whoever was cancelled has let go of the engine.
        self.assertTrue(self.engine.ask(QUESTION, max_tokens=2).text)

    def test_a_conversation(self):
        question = curt.Question([{"role": "user", "content": QUESTION}])
        self.assertTrue(self.engine.ask(question, max_tokens=4).text)

    def test_keys_and_values_are_lent_and_pin_the_engine(self):
        self.engine.ask(QUESTION, max_tokens=4)
        with self.engine.kv(0, "key") as kv:
            heads, positions, dim = kv.segments[0].shape
            self.assertEqual(kv.segments[0].dtype, "f32")
            self.assertGreater(positions, 10)
            self.assertTrue(any(kv.segments[0].memory))
            with self.assertRaises(TypeError):
                kv.segments[0].memory[0] = 1
            with self.assertRaises(curt.BusyError):
                self.engine.ask(QUESTION)
            view = kv.segments[0].memory[:8]
            with self.assertRaises(curt.BusyError):
                kv.release()
            view.release()
            self.assertTrue(any(kv.segments[0].memory))
            self._arrays(kv)
        self.assertTrue(self.engine.ask(QUESTION, max_tokens=2).text)
        with self.assertRaises(ValueError):
            self.engine.kv(0, "query")
        with self.assertRaises(curt.CurtError):
            self.engine.kv(99)


    def _arrays(self, kv):
        try:
            import numpy
        except ImportError:
            return
        array = kv.segments[0].numpy()
        self.assertEqual(array.shape, kv.segments[0].shape)
        self.assertTrue(numpy.isfinite(array).all() and array.any())
        with self.assertRaises(curt.BusyError):
            kv.release()


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = curt.Engine(MODELS / "vqa", threads=1)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def test_a_file_and_its_bytes_are_the_same(self):
        by_file = self.engine.ask(ABOUT, images=[SAMPLE])
        by_bytes = self.engine.ask(ABOUT, images=[SAMPLE.read_bytes()])
        self.assertEqual(by_file.text, by_bytes.text)
        self.assertTrue(by_bytes.facts["images"][0]["cached"])

    def test_frames_are_read_where_they_lie(self):
        size = 8
        pixels = bytes(range(size * size)) * 3
        rgb = memoryview(bytearray(pixels)).cast("B", (size, size, 3))
        plain = curt.Frame(size, size, [curt.Plane(bytes(pixels), size * 3, 3)])
        y = curt.Plane(bytes(size * size), size, 1)
        chroma = bytearray([128] * (size * size // 2))
        u, v = (curt.Plane(chroma, size, 2, start) for start in (0, 1))
        yuv = curt.Frame(size, size, [y, u, v], "yuv420", rotation=90)
        first, second, third = (self.engine.ask(ABOUT, images=[image], max_tokens=4) for image in (rgb, plain, yuv))
        self.assertTrue(second.facts["images"][0]["cached"], "the same pixels")
        self.assertEqual(first.text, second.text)
        self.assertFalse(third.facts["images"][0]["cached"])

    def test_wrong_images_are_refused(self):
        small = curt.Plane(bytes(10), 24, 3)
        for wrong, error in [
            (curt.Frame(8, 8, [small]), curt.CurtError),
            (curt.Frame(8, 8, [small, small]), ValueError),
            (curt.Frame(8, 8, [small], "cmyk"), ValueError),
            (curt.Frame(8, 8, [small], rotation=45), curt.OptionError),
            (curt.Frame(-1, 8, [small]), ValueError),
            (curt.Frame(8, 8, [curt.Plane(bytes(10), 24, 3, 11)]), ValueError),
            (memoryview(bytes(8)), ValueError),
            (b"no image", curt.CurtError),
            (SAMPLE.read_bytes()[:2000], curt.CurtError),
            ("/nowhere.jpg", curt.CurtError),
        ]:
            with self.assertRaises(error, msg=repr(wrong)[:80]):
                self.engine.ask(ABOUT, images=[wrong])


class Misuse(unittest.TestCase):
    def test_what_is_closed_is_closed(self):
        engine = curt.Engine(MODELS / "reasoner", threads=1)
        question = curt.Question(QUESTION)
        engine.close()
        engine.close()
        with self.assertRaises(curt.CurtError) as closed:
            engine.ask(question)
        self.assertEqual(closed.exception.status, "handle")
        question.close()
        question.close()
        with self.assertRaises(curt.CurtError):
            question.cancel()

    def test_options_are_refused_by_name(self):
        with self.assertRaises(curt.CurtError):
            curt.Engine("/nowhere")
        with self.assertRaisesRegex(curt.OptionError, "thread"):
            curt.Engine(MODELS / "reasoner", thread=1)
        with curt.Engine(MODELS / "reasoner", threads=1) as engine:
            for options in [{"pahts": 2}, {"paths": 0}, {"paths": "two"}, {"format": "round"}]:
                with self.assertRaises(curt.OptionError, msg=options):
                    engine.ask(QUESTION, **options)
            for wrong in [{"temperature": float("nan")}, {"stop": [b"bytes"]}]:
                with self.assertRaises(ValueError, msg=wrong):
                    engine.ask(QUESTION, **wrong)
            with self.assertRaises(ValueError):
                engine.ask("a text with\0a NUL")
            with self.assertRaises(ValueError):
                engine.trim("everything")

    def test_a_listener_that_asks_again_is_told(self):
        with curt.Engine(MODELS / "reasoner", threads=1) as engine:
            refused = []

            def asks(event):
                try:
                    engine.ask(QUESTION)
                except curt.BusyError as error:
                    refused.append(error)
                return False

            with self.assertRaises(curt.Cancelled):
                engine.ask(QUESTION, on_event=asks)
            self.assertIn("this thread", refused[0].message)

    def test_a_listener_that_closes_ends_the_question(self):
        engine = curt.Engine(MODELS / "reasoner", threads=1)
        with self.assertRaises(curt.Cancelled):
            engine.ask(QUESTION, on_event=lambda event: engine.close())
        with self.assertRaises(curt.CurtError):
            engine.facts

    def test_background_trim_and_two_threads(self):
        with curt.Engine(MODELS / "reasoner", threads=1) as engine:
            first = engine.ask(QUESTION)
            stream = engine.stream(QUESTION, paths=8)
            next(stream)
            with self.assertRaisesRegex(curt.BusyError, "another thread"):
                engine.ask(QUESTION)
            engine.background()
            with self.assertRaises(curt.Cancelled):
                list(stream)
            with self.assertRaises(curt.BackgroundError):
                engine.ask(QUESTION)
            engine.foreground()
            for level in ["images", "rows", "weights"]:
                engine.trim(level)
                self.assertEqual(engine.ask(QUESTION).text, first.text)

    def test_a_view_outlives_its_engine(self):
        engine = curt.Engine(MODELS / "reasoner", threads=1)
        engine.ask(QUESTION, max_tokens=4)
        kv = engine.kv(0)
        engine.close()
        self.assertTrue(any(kv.segments[0].memory))
        kv.release()
        kv.release()

    def test_nobody_is_left_behind(self):
        engine = curt.Engine(MODELS / "reasoner", threads=1)
        stream = engine.stream(QUESTION, paths=8)
        next(stream)
        del stream, engine
        gc.collect()


if __name__ == "__main__":
    unittest.main()
