"""Images in memory: a camera's frames, and arrays."""

import ctypes
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

from . import _library

LAYOUTS = {"rgb": 1, "rgba": 2, "bgra": 3, "yuv420": 4}
COLOURS = {"bt601-full": 0, "bt601-video": 1, "bt709-full": 2, "bt709-video": 3}


@dataclass(frozen=True)
class Plane:
    """Rows of pixels, in anything that lends its memory: bytes, bytearray, memoryview, array, a numpy array."""

    #: The memory.
    data: Any
    #: Bytes from one row to the next.
    row_stride: int
    #: Bytes from one pixel, or sample, to the next.
    pixel_stride: int
    #: Byte at which the first pixel begins.
    start: int = 0


@dataclass(frozen=True)
class Frame:
    """A camera's frame. Its planes are read where they lie, while a question is made, and not needed afterwards."""

    width: int
    height: int
    #: One plane; of `yuv420` three: brightness, blue chroma, red chroma.
    planes: Sequence[Plane]
    #: `rgb`, `rgba`, `bgra` or `yuv420`.
    layout: str = "rgb"
    #: Degrees clockwise that it has to be turned to stand upright.
    rotation: int = 0
    #: `bt601-full`, `bt601-video`, `bt709-full` or `bt709-video`.
    colour: str = "bt601-full"

    @staticmethod
    def of_array(pixels: Any, rotation: int = 0) -> "Frame":
        """A frame of `[height, width, 3 or 4]` bytes, such as a numpy array."""
        view = memoryview(pixels)
        shape = tuple(view.shape or ())
        if len(shape) != 3 or view.format not in ("B", "<B") or shape[2] not in (3, 4):
            raise ValueError(f"pixels: expected bytes of shape [height, width, 3 or 4], got {view.format} of {shape}")
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        height, width, colours = shape
        plane = Plane(view.cast("B"), width * colours, colours)
        return Frame(width, height, [plane], {3: "rgb", 4: "rgba"}[colours], rotation)


class Held:
    """A frame as the library takes it, with its memory held where it is."""

    def __init__(self, frame: Frame) -> None:
        if frame.layout not in LAYOUTS:
            raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {frame.layout!r}")
        if frame.colour not in COLOURS:
            raise ValueError(f"colour: expected one of {', '.join(COLOURS)}, got {frame.colour!r}")
        needed = 3 if frame.layout == "yuv420" else 1
        if len(frame.planes) != needed:
            raise ValueError(f"planes: expected {needed}, got {len(frame.planes)}")
        self.buffers: List[Any] = []
        planes = (_library.Plane * 3)()
        for place, plane in zip(planes, frame.planes):
            place.row_stride, place.pixel_stride = _size(plane.row_stride), _size(plane.pixel_stride)
            view = memoryview(plane.data)
            if not view.c_contiguous:
                raise ValueError("planes: expected memory without gaps; strides say where rows and pixels lie")
            length = view.nbytes - _size(plane.start)
            if length < 0:
                raise ValueError(f"start: expected at most {view.nbytes}, got {plane.start}")
            place.data = _address(view, self.buffers) + plane.start
            place.bytes = length
        self.frame = _library.Frame(
            _size(frame.width), _size(frame.height), LAYOUTS[frame.layout], _size(frame.rotation), COLOURS[frame.colour], planes
        )


def _size(number: int) -> int:
    if not 0 <= number < 1 << 31:
        raise ValueError(f"expected a size from 0 up, got {number}")
    return number


class _Buffer(ctypes.Structure):
    """Python's own Py_buffer, of which the address is read."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


def _address(view: memoryview, held: List[Any]) -> int:
    """Where the memory of `view` begins; it stays there as long as `held` does."""
    held.append(view)
    if view.nbytes == 0:
        return 0
    if not view.readonly:
        lent: Optional[Any] = (ctypes.c_char * view.nbytes).from_buffer(view)
        held.append(lent)
        return ctypes.addressof(lent)  # type: ignore[arg-type]
    # ctypes lends no memory that may not be written: bytes are asked by Python's own interface.
    buffer = _Buffer()
    ask = ctypes.pythonapi.PyObject_GetBuffer
    ask.argtypes = [ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int]
    ask.restype = ctypes.c_int
    ask(view, ctypes.byref(buffer), 0)
    held.append(_Lent(buffer))
    return buffer.buf or 0


class _Lent:
    """Gives a buffer back when nobody holds it."""

    def __init__(self, buffer: _Buffer) -> None:
        self.buffer = buffer

    def __del__(self) -> None:
        give_back = ctypes.pythonapi.PyBuffer_Release
        give_back.argtypes = [ctypes.POINTER(_Buffer)]
        give_back.restype = None
        give_back(ctypes.byref(self.buffer))
