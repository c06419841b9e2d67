"""The three formats of a response: how they are written, and how they are read back.

    direct       <answer>7</answer>
    perception   <perception>top none 3 8; …</perception><answer>7</answer>
    full         <perception>…</perception><reasoning>…</reasoning><answer>7</answer>
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from questions import Question


class Format(IntEnum):
    DIRECT = 0
    PERCEPTION = 1
    FULL = 2


def section(tag: str, body: str) -> str:
    return f"<{tag}>{body}</{tag}>"


def written(question: Question, form: Format) -> str:
    answer = section("answer", question.answer)
    if form is Format.DIRECT:
        return answer
    perception = section("perception", question.perception)
    if form is Format.PERCEPTION:
        return perception + answer
    return perception + section("reasoning", question.reasoning) + answer


class Response(NamedTuple):
    form: Format
    answer: str


BODY = r"([^<>]*)"
SECTIONS = (("answer",), ("perception", "answer"), ("perception", "reasoning", "answer"))
GRAMMAR = {
    form: re.compile(r"\s*".join(("", *(section(tag, BODY) for tag in SECTIONS[form]), "")), re.DOTALL) for form in Format
}


def read(text: str | None) -> Response | None:
    """None for what is not a response: another order, text outside the tags, an empty section, a missing tag."""
    for form, grammar in GRAMMAR.items():
        found = grammar.fullmatch(text or "")
        if found and all(body.strip() for body in found.groups()):
            return Response(form, found.groups()[-1].strip())
    return None
