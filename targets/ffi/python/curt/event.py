"""What happens while a question is answered."""

import json
from dataclasses import dataclass, field
from typing import Any, Dict

KINDS = {
    1: "text",
    2: "section_began",
    3: "section_text",
    4: "section_ended",
    5: "planned",
    6: "prefilled",
    7: "checked",
    8: "escalated",
    9: "cached",
}

#: Kinds whose text is facts.
_FACTS = {"planned", "prefilled", "checked", "escalated", "cached"}


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    #: `text`, `section_began`, `section_text`, `section_ended`, `planned`, `prefilled`, `checked`, `escalated` or `cached`.
    kind: str
    #: The path that it happened to.
    path: int = 0
    #: What is new of the path's text, or the name of a section.
    text: str = ""
    #: What else is known, as curt.h says.
    facts: Dict[str, Any] = field(default_factory=dict)


def event(kind: int, path: int, text: str) -> Event:
    """The event that the library tells."""
    name = KINDS.get(kind, str(kind))
    if name in _FACTS:
        return Event(name, path, "", json.loads(text))
    return Event(name, path, text)
