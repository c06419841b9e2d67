"""Answers."""

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from ._library import LIBRARY, text
from .errors import check


@dataclass(frozen=True)
class Answer:
    """What a question got, and what it cost."""

    #: The whole text of the path that speaks for the answer.
    text: str
    #: What the vote chose, or what the answer pattern finds in the text.
    found: Optional[str]
    #: All that is known, as `curt ask --json` prints it.
    facts: Dict[str, Any]

    @property
    def tokens(self) -> Dict[str, int]:
        """Tokens by phase: `prompt`, `reused`, `prefilled`, `generated`, `unused`."""
        tokens: Dict[str, int] = self.facts["tokens"]
        return tokens

    @property
    def times(self) -> Dict[str, float]:
        """Milliseconds by phase: `prefill_ms`, `decode_ms`, `first_token_ms`, `total_ms` and others."""
        times: Dict[str, float] = self.facts["times"]
        return times

    @property
    def votes(self) -> List[Dict[str, Any]]:
        """Votes from the winner down; none without a vote."""
        votes: List[Dict[str, Any]] = self.facts.get("votes", [])
        return votes

    @property
    def notes(self) -> List[str]:
        """What was asked for and is not quite what was done."""
        notes: List[str] = self.facts.get("notes", [])
        return notes

    def __str__(self) -> str:
        return self.text if self.found is None else self.found


def taken(handle: int) -> Answer:
    """The answer of a handle, which is closed."""
    try:
        facts = json.loads(text(LIBRARY.curt_answer_json, handle))
        return Answer(facts["text"], facts.get("answer"), facts)
    finally:
        check(LIBRARY.curt_answer_close(handle))
