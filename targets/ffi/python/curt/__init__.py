"""Asks quantized language and vision-language models, in as few tokens as the question deserves.

    import curt

    with curt.Engine("models/packages/reasoner") as engine:
        answer = engine.ask("What comes out?", paths=16, keep=["4"])
        print(answer.found, answer.tokens["generated"])
"""

from .answer import Answer
from .engine import Engine
from .errors import BackgroundError, BusyError, Cancelled, CurtError, OptionError
from .event import Event
from .image import Frame, Plane
from .kv import Kv, KvSegment
from .question import Question

__all__ = [
    "Answer",
    "BackgroundError",
    "BusyError",
    "Cancelled",
    "CurtError",
    "Engine",
    "Event",
    "Frame",
    "Kv",
    "KvSegment",
    "OptionError",
    "Plane",
    "Question",
]
