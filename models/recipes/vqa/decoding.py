"""Asks an exported package, many questions in lockstep on plain ONNX Runtime, in every format at once.

A greedy response in a chosen format is the same whether the format was forced or picked, so one pass gives all of them:
the prompt is read once; the direct answer, and the perception, are decoded from it; perception-only and full go on from
where the perception ended. What the model itself picks follows from its logits at the two places where it decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from responses import Format
from vocabulary import END_ID, IMAGE_ID, PAD_ID, Vocabulary

Array = np.ndarray
SUFFIXES = {"fp32": "", "int8": "_int8", "q4": "_q4"}
PERCEPTION_CAP, REASONING_CAP, ANSWER_CAP = 64, 168, 12  # tokens; no right section is longer


class Package:
    """The three sessions of a transformers.js package with a growing cache."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.vocabulary = Vocabulary(folder)
        text = self.config["text_config"]
        self.layers, self.kv = text["num_hidden_layers"], (text["num_key_value_heads"], text["head_dim"])
        suffix = SUFFIXES[self.config["transformers.js_config"]["dtype"]]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads

        def session(name: str) -> ort.InferenceSession:
            return ort.InferenceSession(folder / "onnx" / f"{name}{suffix}.onnx", options, ["CPUExecutionProvider"])

        self.vision, self.embedding, self.decoder = map(
            session, ("vision_encoder", "embed_tokens", "decoder_model_merged")
        )

    def features(self, pixels: Array) -> Array:
        """[pictures, image tokens, width] of [pictures, 3, side, side] u8."""
        values = (pixels.astype(np.float32) / 255 - 0.5) / 0.5
        mask = np.ones((len(pixels), 1, *pixels.shape[2:]), bool)
        return self.vision.run(None, {"pixel_values": values[:, None], "pixel_attention_mask": mask})[0]

    def embed(self, ids: Array) -> Array:
        return self.embedding.run(None, {"input_ids": ids})[0]


@dataclass
class Rows:
    """Rows that decode together: their cache, which of its positions count, and the logits of their last token."""

    package: Package
    cache: list[Array]  # per layer key and value, [rows, kv_heads, positions, head]
    seen: Array  # [rows, positions] int64, 0 where a row was waiting
    next_position: Array  # [rows] int64
    logits: Array  # [rows, vocabulary]

    @classmethod
    def prefilled(cls, package: Package, ids: Array, features: Array | None) -> tuple[Rows, Array]:
        """`ids` [rows, length]. Also returns the logits of the last but one position."""
        rows, length = ids.shape
        embeds = package.embed(ids)
        if features is not None:
            embeds[ids == IMAGE_ID] = features.reshape(-1, features.shape[-1])
        heads, head = package.kv
        empty = [np.zeros((rows, heads, 0, head), np.float32) for _ in range(2 * package.layers)]
        none = np.zeros((rows, 0), np.int64)
        self = cls(package, empty, none, np.zeros(rows, np.int64), np.empty(0))
        before = self.step(embeds, np.ones((rows, length), np.int64))
        return self, before[:, -2]

    def step(self, embeds: Array, counts: Array) -> Array:
        rows, new = counts.shape
        position_ids = self.next_position[:, None] + np.cumsum(counts, axis=1) - counts
        self.seen = np.concatenate([self.seen, counts], axis=1)
        names = [f"past_key_values.{n // 2}.{('key', 'value')[n % 2]}" for n in range(len(self.cache))]
        fed = dict(zip(names, self.cache, strict=True))
        fed |= {"inputs_embeds": embeds, "attention_mask": self.seen, "position_ids": position_ids}
        logits, *self.cache = self.package.decoder.run(None, fed)
        self.next_position = self.next_position + counts.sum(axis=1)
        last = logits[:, -1]
        if self.logits.size:
            last = np.where(counts.sum(axis=1, keepdims=True) > 0, last, self.logits)  # who waits keeps its own
        self.logits = last
        return logits

    def feed(self, tokens: Array, live: Array) -> None:
        """One token a row [rows]; rows that are not `live` [rows] bool wait."""
        ids = np.where(live, tokens, PAD_ID)[:, None]
        self.step(self.package.embed(ids), live.astype(np.int64)[:, None])

    def copy(self) -> Rows:
        return Rows(self.package, list(self.cache), self.seen, self.next_position, self.logits)


@dataclass(frozen=True)
class Section:
    tokens: list[list[int]]
    log_prob: Array  # [rows] f32: of all tokens together, each under the whole distribution
    least: Array  # [rows] f32: of the least likely token


def run(rows: Rows, forced: Sequence[int], stop: int, cap: int) -> Section:
    """Feeds `forced`, then decodes greedily up to and with `stop`; a row that reaches `cap` tokens stops there."""
    count = len(rows.next_position)
    everyone = np.ones(count, bool)
    for token in forced:
        rows.feed(np.full(count, token), everyone)
    tokens: list[list[int]] = [list(forced) for _ in range(count)]
    log_prob, least = np.zeros(count, np.float32), np.zeros(count, np.float32)
    live = everyone.copy()
    for _ in range(cap):
        chosen = rows.logits.argmax(axis=-1)
        taken = log_softmax(rows.logits)[np.arange(count), chosen]
        log_prob += np.where(live, taken, 0)
        least = np.where(live, np.minimum(least, taken), least)
        for row in np.flatnonzero(live):
            tokens[row].append(int(chosen[row]))
        stopping = live & (chosen == stop)
        if stop == END_ID:
            live &= ~stopping
            if not live.any():
                break
            rows.feed(chosen, live)
        else:
            rows.feed(chosen, live)  # what follows is decided after `stop`
            live &= ~stopping
            if not live.any():
                break
    return Section(tokens, log_prob, least)


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Answered:
    """What became of one question in every format."""

    responses: tuple[list[int], list[int], list[int]]  # tokens by format, with the end token
    direct_margin: float  # logit of `answer` minus logit of `perception` at the first decision
    off_grammar: float  # probability of anything else there
    stop_margin: float  # logit of `answer` minus logit of `reasoning` after the perception
    confidence: float  # log-probability of the direct answer's own tokens
    least: float  # of the least likely of them
    confidence_perception: float

    def picked(self) -> Format:
        if self.direct_margin > 0:
            return Format.DIRECT
        return Format.PERCEPTION if self.stop_margin > 0 else Format.FULL


def ask(package: Package, prompts: Array, features: Array | None) -> list[Answered]:
    """`prompts` [rows, length]: questions of equal length; `features` [rows, image tokens, width]."""
    v = package.vocabulary
    count = len(prompts)
    opened = np.concatenate([prompts, np.full((count, 1), v.open)], axis=1)
    rows, _ = Rows.prefilled(package, opened, features)
    first = rows.logits
    share = np.exp(log_softmax(first))
    direct = run(rows.copy(), [v.answer, v.close], END_ID, ANSWER_CAP)
    seen = run(rows, [v.perception, v.close], v.fused, PERCEPTION_CAP)
    second = rows.logits
    short = run(rows.copy(), [v.answer, v.close], END_ID, ANSWER_CAP)
    thought = run(rows, [v.reasoning, v.close], v.fused, REASONING_CAP)
    last = run(rows, [], END_ID, ANSWER_CAP)

    def one(row: int) -> Answered:
        start = [v.open]
        perception = start + seen.tokens[row]
        return Answered(
            (
                start + direct.tokens[row],
                perception + short.tokens[row],
                perception + thought.tokens[row] + last.tokens[row],
            ),
            float(first[row, v.answer] - first[row, v.perception]),
            float(1 - share[row, v.answer] - share[row, v.perception]),
            float(second[row, v.answer] - second[row, v.reasoning]),
            float(direct.log_prob[row]),
            float(direct.least[row]),
            float(short.log_prob[row]),
        )

    return [one(row) for row in range(count)]
