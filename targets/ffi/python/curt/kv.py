"""Keys and values, lent."""

import ctypes
import weakref
from types import TracebackType
from typing import Any, List, Optional, Tuple, Type

from . import _library
from ._library import LIBRARY
from .errors import BusyError, check

DTYPES = {1: "f32", 2: "f16", 3: "bf16"}


class KvSegment:
    """Positions that follow each other, in the cache's own memory."""

    def __init__(self, lent: _library.KvSegment, dtype: str) -> None:
        #: kv heads, positions, elements of a head.
        self.shape: Tuple[int, ...] = tuple(lent.shape)
        #: Bytes from one to the next along each axis.
        self.strides: Tuple[int, ...] = tuple(lent.strides)
        #: `f32`, `f16` or `bf16`.
        self.dtype = dtype
        lender = (ctypes.c_char * lent.bytes).from_address(lent.data or 0)
        #: Dead when nobody holds the memory.
        self._lender = weakref.ref(lender)
        #: The bytes, which may be read and not written.
        self.memory = _readable(lender)

    def numpy(self) -> Any:
        """The segment as a numpy array that copies nothing."""
        import numpy

        if self.dtype == "bf16":
            raise TypeError("numpy has no bfloat16: read `memory`")
        flat = numpy.frombuffer(self.memory, {"f32": numpy.float32, "f16": numpy.float16}[self.dtype])
        return numpy.lib.stride_tricks.as_strided(flat, self.shape, self.strides, writeable=False)

    def let_go(self) -> bool:
        """Lets go of the memory; says whether nobody else holds it, in whose favour it is kept otherwise."""
        try:
            self.memory.release()
        except BufferError:
            return False
        lender = self._lender()
        if lender is None:
            return True
        self.memory = _readable(lender)
        return False


def _readable(lender: Any) -> memoryview:
    return memoryview(lender).cast("B").toreadonly()


class Kv:
    """Keys or values of one layer and one row; as long as they are borrowed the engine takes no question.

    Leave it by `with`, or call `release`. That is refused while an array made of it lives: what it points to would move.
    """

    def __init__(self, engine: int, layer: int, kind: str, row: int) -> None:
        handle, kv = ctypes.c_uint64(), _library.Kv()
        if kind not in ("key", "value"):
            raise ValueError(f"kind: expected key or value, got {kind!r}")
        number = 1 if kind == "key" else 2
        check(LIBRARY.curt_kv_borrow(engine, layer, number, row, ctypes.byref(handle), ctypes.byref(kv)))
        self._handle: Optional[int] = handle.value
        #: One, or two where rows share their prompt, which is the first then.
        self.segments: List[KvSegment] = [KvSegment(kv.segment[i], DTYPES[kv.dtype]) for i in range(kv.segments)]

    def release(self) -> None:
        """Gives it back."""
        if self._handle is None:
            return
        if not all([segment.let_go() for segment in self.segments]):
            message = "an array or a view made of these keys and values lives"
            raise BusyError("busy", message, "drop it, or copy it, before they are released")
        handle, self._handle = self._handle, None
        check(LIBRARY.curt_kv_release(handle))

    def __enter__(self) -> "Kv":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.release()

    def __del__(self) -> None:
        # Nobody has an array of it: that would keep the segment's memory, which is left to the engine's end then.
        try:
            self.release()
        except Exception:
            pass
