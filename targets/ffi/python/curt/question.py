"""Questions."""

import ctypes
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Sequence, Union

from ._library import LIBRARY, encoded
from .errors import check
from .image import Frame, Held

#: An image: the path of a file, the bytes of one, a camera's frame, or an array of `[height, width, 3 or 4]` bytes.
ImageLike = Union[str, "os.PathLike[str]", bytes, bytearray, Frame, Any]


class Question:
    """A question, perhaps about images. It can be asked several times, until it is cancelled."""

    def __init__(self, question: Union[str, Sequence[Dict[str, Any]]], images: Iterable[ImageLike] = ()) -> None:
        """`question` is a text, around which the package's prompt goes, or a conversation: messages with `role` (system, user,
        assistant), `content` and, where images stand before one, their number `images`."""
        self._handle: Optional[int] = None
        handle = ctypes.c_uint64()
        if isinstance(question, str):
            check(LIBRARY.curt_question_new(encoded(question), ctypes.byref(handle)))
        else:
            messages = encoded(json.dumps(list(question)))
            check(LIBRARY.curt_question_of_messages(messages, ctypes.byref(handle)))
        self._handle = handle.value
        for image in images:
            self._add(image)

    @property
    def handle(self) -> int:
        """The number by which the library knows it; 0 when it is closed."""
        return self._handle or 0

    def cancel(self) -> None:
        """Cancels it wherever it is answered, and before it is asked. May be called on any thread."""
        check(LIBRARY.curt_question_cancel(self.handle))

    def close(self) -> None:
        """Gives its images back. Closing it twice is nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            check(LIBRARY.curt_question_close(handle))

    def _add(self, image: ImageLike) -> None:
        if isinstance(image, (str, Path, os.PathLike)):
            check(LIBRARY.curt_question_add_file(self.handle, encoded(os.fspath(image))))
        elif isinstance(image, (bytes, bytearray)):
            check(LIBRARY.curt_question_add_encoded(self.handle, bytes(image), len(image)))
        else:
            held = Held(image if isinstance(image, Frame) else Frame.of_array(image))
            check(LIBRARY.curt_question_add_frame(self.handle, ctypes.byref(held.frame)))

    def __enter__(self) -> "Question":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            LIBRARY.curt_question_close(self._handle)
            self._handle = None
