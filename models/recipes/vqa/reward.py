"""The reward of FS-GRPO (AVR, arXiv 2604.14568, section 4; constants of its published code), with its holes closed.

As published, except that an answer is right only when it is the same text or number, that nothing may stand outside the
tags, and that length scales rewards and never penalties (published: a long wrong answer costs less than a short one).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from responses import Format, Response

BONUS = {Format.DIRECT: 0.5, Format.PERCEPTION: 0.3, Format.FULL: 0.0}
PENALTY = {Format.DIRECT: -0.5, Format.PERCEPTION: -0.2, Format.FULL: 0.0}
INVALID = -1.0
TOKENS_A_WORD = 1.3
FREE_LENGTH = 300  # estimated tokens up to which length costs nothing
LEAST_LENGTH_FACTOR = 0.3
FIRST_DIVERSITY_WEIGHT = 0.5


def estimated_tokens(text: str) -> int:
    return int(TOKENS_A_WORD * len(text.split()))


def length_factor(tokens: int) -> float:
    return 1.0 if tokens <= FREE_LENGTH else max(LEAST_LENGTH_FACTOR, FREE_LENGTH / tokens)


def normal(answer: str) -> str:
    answer = " ".join(answer.lower().split()).rstrip(".,!?;:").strip()
    return re.sub(r"^(the|an|a) ", "", answer)


def right(answer: str, truth: str) -> bool:
    """The same text after case, white space, an article and the last stop; or the same number."""
    given, wanted = normal(answer), normal(truth)
    if given == wanted:
        return given != ""
    try:
        return abs(float(given) - float(wanted)) < 1e-6
    except ValueError:
        return False


def base_reward(response: Response | None, text: str, truth: str) -> float:
    """`response` is `text` as it was read; None where it is not one."""
    if response is None:
        return INVALID
    if not right(response.answer, truth):
        return PENALTY[response.form]
    return (1 + BONUS[response.form]) * length_factor(estimated_tokens(text))


def diversity_weight(done: float) -> float:
    """`done` is the share of training that is over."""
    return 0.0 if done >= 1 else FIRST_DIVERSITY_WEIGHT * 0.5 * (1 + math.cos(math.pi * done))


def diversity(forms: Sequence[Format | None], weight: float) -> list[float]:
    """What each response of a group earns for being of a rare format; None is an invalid one."""
    valid = [form for form in forms if form is not None]
    if len(valid) <= 1:
        return [0.0] * len(forms)
    return [0.0 if form is None else weight * (1 - valid.count(form) / len(valid)) for form in forms]
