"""The tokenizer, the prompt and the tags as token ids.

The tokenizer (byte-level BPE, words and numbers of the task as single tokens) was made once, by the first run, and is
kept: weights only mean anything with their tokenizer. It is read from the shipped package.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<image>",
)
PAD_ID, START_ID, END_ID, FAKE_ID, GLOBAL_ID, IMAGE_ID = range(6)
IMAGE_TOKENS = 64

# As SmolVLM-256M-Instruct's.
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


class Vocabulary:
    def __init__(self, folder: Path) -> None:
        self.text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self.tokenizer = Tokenizer.from_str(self.text)
        self.known: dict[str, list[int]] = {}
        self.open, self.close, self.end_tag, self.fused = map(self.single, ("<", ">", "</", "><"))
        self.answer, self.perception, self.reasoning = map(self.single, ("answer", "perception", "reasoning"))

    def encode(self, text: str) -> list[int]:
        """Texts repeat, so they are remembered."""
        if (ids := self.known.get(text)) is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            if len(self.known) < 200_000:
                self.known[text] = ids
        return ids

    def single(self, text: str) -> int:
        ids = self.encode(text)
        if len(ids) != 1:
            raise ValueError(f"{text!r} is {len(ids)} tokens, expected one")
        return ids[0]

    @cached_property
    def picture(self) -> list[int]:
        """What every prompt begins with: the user's turn up to the question."""
        return [
            START_ID, *self.encode("User:"), FAKE_ID, GLOBAL_ID, *[IMAGE_ID] * IMAGE_TOKENS, FAKE_ID
        ]  # fmt: skip

    @cached_property
    def first_image_token(self) -> int:
        return self.picture.index(IMAGE_ID)

    def question(self, text: str) -> list[int]:
        """What follows `picture`: the question and the beginning of the model's turn."""
        return [*self.encode(text), END_ID, *self.encode("\nAssistant:")]

    def prompt(self, question: str) -> list[int]:
        return self.picture + self.question(question)

    def response(self, text: str) -> list[int]:
        return [*self.encode(text), END_ID]

    def read(self, ids: list[int]) -> str | None:
        """The text before the end token; None where it never came, or where another special token stands."""
        if END_ID not in ids:
            return None
        body = ids[: ids.index(END_ID)]
        return None if any(token <= IMAGE_ID for token in body) else self.tokenizer.decode(body)

    @cached_property
    def size(self) -> int:
        return len(json.loads(self.text)["model"]["vocab"])
