"""Engines: a package, loaded, that answers questions one at a time."""

import asyncio
import ctypes
import json
import os
import queue
import threading
from typing import Any, AsyncIterator, Callable, Dict, Iterable, Iterator, List, Optional, Union

from . import _library
from ._library import LIBRARY, encoded
from .answer import Answer, taken
from .errors import check, failure
from .event import Event, event
from .kv import Kv
from .question import ImageLike, Question

#: Told what happens; giving False stops the question.
Listener = Callable[[Event], Optional[bool]]

_LEVELS = {"images": 1, "rows": 2, "weights": 3}


class Engine:
    """A package, loaded.

    Options are those of targets/ffi/README.md, as keywords: `Engine(dir, threads=2)`, `engine.ask(text, paths=16, keep=["4"])`.
    Other threads may cancel, trim, send to the background and close it at any time; a second question meanwhile is a
    `BusyError`.
    """

    def __init__(self, package: "Union[str, os.PathLike[str]]", **options: Any) -> None:
        self._handle: Optional[int] = None
        if "library" not in options:
            library = _library.onnxruntime()
            if library is not None:
                options["library"] = library
        handle = ctypes.c_uint64()
        check(LIBRARY.curt_engine_open(encoded(os.fspath(package)), _options(options), ctypes.byref(handle)))
        self._handle = handle.value

    @property
    def handle(self) -> int:
        """The number by which the library knows it; 0 when it is closed."""
        return self._handle or 0

    @property
    def facts(self) -> Dict[str, Any]:
        """What was opened: `context_tokens`, `takes_images`, `kv`, `attention`, `onnxruntime`."""
        facts: Dict[str, Any] = json.loads(_library.text(LIBRARY.curt_engine_facts, self.handle))
        return facts

    def ask(
        self,
        question: Union[str, Question],
        images: Iterable[ImageLike] = (),
        on_event: Optional[Listener] = None,
        **options: Any,
    ) -> Answer:
        """Answers a question, and returns when the answer is there. `on_event` is called on this thread.

        Raises `CurtError`; where the question broke off, with the answer as far as it came in `partial`. What `on_event` raises
        stops the question and comes out here.
        """
        if isinstance(question, Question):
            return self._ask(question, on_event, options)
        with Question(question, images) as asked:
            return self._ask(asked, on_event, options)

    def stream(self, question: Union[str, Question], images: Iterable[ImageLike] = (), **options: Any) -> "Stream":
        """Answers a question on another thread: an iterator of the pieces of path 0's text. Leaving it early cancels."""
        return Stream(self, question, images, options)

    async def ask_async(
        self,
        question: Union[str, Question],
        images: Iterable[ImageLike] = (),
        on_event: Optional[Listener] = None,
        **options: Any,
    ) -> Answer:
        """As `ask`, on another thread. A task that is cancelled cancels the question."""
        asked = question if isinstance(question, Question) else Question(question, images)
        work = asyncio.get_running_loop().run_in_executor(None, lambda: self._ask(asked, on_event, options))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            asked.cancel()
            # The engine is free when the task has ended.
            await asyncio.wait([work])
            work.exception()
            raise

    async def stream_async(
        self, question: Union[str, Question], images: Iterable[ImageLike] = (), **options: Any
    ) -> AsyncIterator[str]:
        """As `stream`, for `async for`."""
        stream = self.stream(question, images, **options)
        loop = asyncio.get_running_loop()
        end = object()
        try:
            while True:
                piece = await loop.run_in_executor(None, next, stream, end)
                if piece is end:
                    return
                yield str(piece)
        finally:
            stream.cancel()
            await loop.run_in_executor(None, stream.close)

    def kv(self, layer: int, kind: str = "value", row: int = 0) -> Kv:
        """Borrows keys or values: of row 0, which the last question has left, or of a row while `cached` is told."""
        return Kv(self.handle, layer, kind, row)

    def background(self) -> None:
        """Cancels the question under way, waits for its end and takes no other; gives back keys, values and the vision graph."""
        check(LIBRARY.curt_engine_background(self.handle))

    def foreground(self) -> None:
        """Takes questions again."""
        check(LIBRARY.curt_engine_foreground(self.handle))

    def trim(self, level: str) -> None:
        """Gives back memory: `images`, `rows` (keys and values too) or `weights` (all; loaded again with the next question)."""
        if level not in _LEVELS:
            raise ValueError(f"level: expected one of {', '.join(_LEVELS)}, got {level!r}")
        check(LIBRARY.curt_engine_trim(self.handle, _LEVELS[level]))

    def close(self) -> None:
        """Cancels the question under way and gives everything back. Closing it twice is nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            check(LIBRARY.curt_engine_close(handle))

    def _ask(self, question: Question, on_event: Optional[Listener], options: Dict[str, Any]) -> Answer:
        raised: List[BaseException] = []

        def told(_: Any, at: Any) -> int:
            try:
                if on_event is None or raised:
                    return int(bool(raised))
                happened = at.contents
                words = ctypes.string_at(happened.text, happened.text_length).decode()
                return int(on_event(event(happened.kind, happened.path, words)) is False)
            except BaseException as error:  # it goes on where it can: after the library has returned
                raised.append(error)
                return 1

        answer = ctypes.c_uint64()
        callback = _library.ON_EVENT(told if on_event is not None else 0)
        status = LIBRARY.curt_ask(self.handle, question.handle, _options(options), callback, None, ctypes.byref(answer))
        failed = failure(status) if status != 0 else None
        got = taken(answer.value) if answer.value else None
        if raised:
            raise raised[0]
        if failed is not None:
            failed.partial = got
            raise failed
        assert got is not None
        return got

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            LIBRARY.curt_engine_close(self._handle)
            self._handle = None


class Stream(Iterator[str]):
    """The pieces of an answer as they come; `answer` when the last has come."""

    def __init__(
        self, engine: Engine, question: Union[str, Question], images: Iterable[ImageLike], options: Dict[str, Any]
    ) -> None:
        self._question = question if isinstance(question, Question) else Question(question, images)
        self._pieces: "queue.SimpleQueue[Optional[str]]" = queue.SimpleQueue()
        self._error: Optional[BaseException] = None
        #: The answer, when it is there.
        self.answer: Optional[Answer] = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, args=(engine, options), name="curt-ask", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Cancels the question, unless it has ended."""
        if self._thread.is_alive():
            self._question.cancel()

    def close(self) -> None:
        """Cancels the question, and waits for its end."""
        self.cancel()
        self._thread.join()
        self._ended = True

    def _run(self, engine: Engine, options: Dict[str, Any]) -> None:
        try:
            self.answer = engine._ask(self._question, self._hear, options)
        except BaseException as error:  # it is raised where somebody listens
            self._error = error
        self._pieces.put(None)

    def _hear(self, happened: Event) -> None:
        if happened.path == 0 and happened.kind in ("text", "section_text"):
            self._pieces.put(happened.text)

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> str:
        if self._ended:
            raise StopIteration
        piece = self._pieces.get()
        if piece is not None:
            return piece
        self._ended = True
        self._thread.join()
        if self._error is not None:
            raise self._error
        raise StopIteration

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A loop that was left.
        if getattr(self, "_thread", None) is not None:
            self.cancel()


def _options(options: Dict[str, Any]) -> Optional[bytes]:
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return encoded(json.dumps(given, allow_nan=False)) if given else None
    except (TypeError, ValueError) as error:
        raise ValueError(f"options: expected numbers, texts and lists of them: {error}") from None
