"""The C library: found, loaded, and its functions as Python calls them. What they do is said in curt.h."""

import ctypes
import importlib.util
import os
import sys
from ctypes import POINTER, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_uint8, c_void_p
from pathlib import Path
from typing import Any, Optional

ABI_VERSION = 1


class Plane(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("bytes", c_size_t), ("row_stride", c_size_t), ("pixel_stride", c_size_t)]


class Frame(ctypes.Structure):
    _fields_ = [
        ("width", c_size_t),
        ("height", c_size_t),
        ("layout", c_uint32),
        ("rotation", c_uint32),
        ("colour", c_uint32),
        ("planes", Plane * 3),
    ]


class Event(ctypes.Structure):
    _fields_ = [("kind", c_uint32), ("path", c_uint32), ("text", POINTER(c_uint8)), ("text_length", c_size_t)]


class KvSegment(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("bytes", c_size_t), ("shape", c_size_t * 3), ("strides", c_size_t * 3)]


class Kv(ctypes.Structure):
    _fields_ = [("dtype", c_uint32), ("segments", c_uint32), ("segment", KvSegment * 2)]


ON_EVENT = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(Event))

_HANDLE = POINTER(c_uint64)
_COPY = [c_uint64, c_char_p, c_size_t, POINTER(c_size_t)]
_FUNCTIONS = {
    "curt_error_message": _COPY[1:],
    "curt_error_remedy": _COPY[1:],
    "curt_engine_open": [c_char_p, c_char_p, _HANDLE],
    "curt_engine_close": [c_uint64],
    "curt_engine_facts": _COPY,
    "curt_engine_background": [c_uint64],
    "curt_engine_foreground": [c_uint64],
    "curt_engine_trim": [c_uint64, c_uint32],
    "curt_question_new": [c_char_p, _HANDLE],
    "curt_question_of_messages": [c_char_p, _HANDLE],
    "curt_question_add_file": [c_uint64, c_char_p],
    "curt_question_add_encoded": [c_uint64, c_char_p, c_size_t],
    "curt_question_add_frame": [c_uint64, POINTER(Frame)],
    "curt_question_cancel": [c_uint64],
    "curt_question_close": [c_uint64],
    "curt_ask": [c_uint64, c_uint64, c_char_p, ON_EVENT, c_void_p, _HANDLE],
    "curt_answer_text": _COPY,
    "curt_answer_found": _COPY,
    "curt_answer_json": _COPY,
    "curt_answer_close": [c_uint64],
    "curt_kv_borrow": [c_uint64, c_uint32, c_uint32, c_uint32, _HANDLE, POINTER(Kv)],
    "curt_kv_release": [c_uint64],
}


def _load() -> Any:
    # ONNX Runtime's own telemetry is off unless somebody has said otherwise: the library refuses to load it where it is on.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    name = {"darwin": "libcurt_ffi.dylib", "win32": "curt_ffi.dll"}.get(sys.platform, "libcurt_ffi.so")
    library = ctypes.CDLL(str(Path(__file__).with_name(name)))
    if library.curt_abi_version() != ABI_VERSION:
        raise ImportError(f"{name}: expected interface {ABI_VERSION}, got {library.curt_abi_version()}: install curt again")
    for function, arguments in _FUNCTIONS.items():
        getattr(library, function).argtypes = arguments
        getattr(library, function).restype = c_uint32
    return library


LIBRARY = _load()


def onnxruntime() -> Optional[str]:
    """The library of the onnxruntime package, where that is installed and nothing else is named."""
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).with_name("capi")
    for pattern in ["libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll"]:
        for file in sorted(folder.glob(pattern)):
            return str(file)
    return None


def text(function: Any, *handle: int) -> str:
    """A text that a function of the library copies."""
    from .errors import check

    length = c_size_t()
    check(function(*handle, None, 0, ctypes.byref(length)))
    buffer = ctypes.create_string_buffer(length.value + 1)
    check(function(*handle, buffer, len(buffer), None))
    return buffer.raw[: length.value].decode()


def encoded(words: str) -> bytes:
    """`words` as the library takes them."""
    if "\0" in words:
        raise ValueError("a text with a NUL in it cannot be handed over")
    return words.encode()
