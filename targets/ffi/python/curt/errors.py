"""What went wrong, and what to do about it."""

from typing import TYPE_CHECKING, Dict, Optional, Type

from ._library import LIBRARY

if TYPE_CHECKING:
    from .answer import Answer

STATUSES = {
    1: "handle",
    2: "argument",
    3: "option",
    4: "busy",
    5: "cancelled",
    6: "too_small",
    7: "package",
    8: "file",
    9: "library",
    10: "runtime",
    11: "image",
    12: "context",
    13: "memory",
    14: "model",
    15: "background",
    16: "panic",
}


class CurtError(Exception):
    """A call that failed."""

    #: What it came to, in a word: one of those of curt.h.
    status: str
    #: What was wrong: the thing, what was expected, what was there.
    message: str
    #: What to do.
    remedy: str
    #: The answer as far as it came, where a question broke off.
    partial: "Optional[Answer]"

    def __init__(self, status: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} ({remedy})")
        self.status = status
        self.message = message
        self.remedy = remedy
        self.partial = None


class OptionError(CurtError, ValueError):
    """An option outside its range, unknown, or at odds with another."""


class BusyError(CurtError):
    """The engine answers another question, or keys and values of it are borrowed."""


class Cancelled(CurtError):
    """The question was cancelled."""


class BackgroundError(CurtError):
    """The engine is in the background."""


_KINDS: Dict[str, Type[CurtError]] = {
    "argument": OptionError,
    "option": OptionError,
    "busy": BusyError,
    "cancelled": Cancelled,
    "background": BackgroundError,
}


def failure(status: int) -> CurtError:
    """The last call of this thread that failed."""
    from ._library import text

    word = STATUSES.get(status, str(status))
    message, remedy = text(LIBRARY.curt_error_message), text(LIBRARY.curt_error_remedy)
    return _KINDS.get(word, CurtError)(word, message, remedy)


def check(status: int) -> None:
    """Raises unless the call went well."""
    if status != 0:
        raise failure(status)
