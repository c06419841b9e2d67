"""Many questions about one picture, each answered in several formats, as one row of tokens.

The picture is the trunk; a question is a branch that sees the trunk; a response is a branch that sees the trunk and its
question. Every token has the position it would have in a row of its own, so the losses are those of separate rows at
about a quarter of their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from questions import Question
from responses import Format, written
from vocabulary import PAD_ID, Vocabulary

Tensor = torch.Tensor

ANSWER_WEIGHT = 3.0  # of a direct response's answer: the only tokens of it that say anything


@dataclass(frozen=True)
class Targets:
    """One entry a token that is learned."""

    row: Tensor
    place: Tensor  # the position that predicts it
    token: Tensor
    weight: Tensor  # f32
    form: Tensor  # Format
    decision: Tensor  # bool: the token picks the format
    response: Tensor  # number of the response in the batch


@dataclass(frozen=True)
class Packed:
    ids: Tensor  # [rows, length]
    positions: Tensor  # [rows, length]
    sees: Tensor  # [rows, 1, length, length] bool
    targets: Targets
    first_image_token: int
    kinds: tuple[str, ...]  # of each response


def decisions(tokens: Sequence[int], v: Vocabulary) -> list[int]:
    """The places in a response that pick its format: the second token, and what follows the perception."""
    if len(tokens) < 2:
        return []
    places = [1]
    if tokens[1] == v.perception and v.fused in tokens:
        after = tokens.index(v.fused) + 1
        if after < len(tokens):
            places.append(after)
    return places


def weights_of(tokens: Sequence[int], form: Format) -> list[float]:
    if form is not Format.DIRECT:
        return [1.0] * len(tokens)
    # `<answer>` is three tokens before the answer, `</answer>` and the end token four behind it.
    return [ANSWER_WEIGHT if 3 <= place < len(tokens) - 4 else 1.0 for place in range(len(tokens))]


Row = Sequence[tuple[Question, Sequence[Format]]]  # one picture


def pack(rows: Sequence[Row], v: Vocabulary) -> Packed:
    all_ids, all_positions, all_segments, all_parents = [], [], [], []
    columns: dict[str, list] = {name: [] for name in Targets.__dataclass_fields__}
    kinds: list[str] = []
    for row_number, row in enumerate(rows):
        ids, positions = list(v.picture), list(range(len(v.picture)))
        segments, parents = [0] * len(ids), [[0]]
        for question, forms in row:
            asked = v.question(question.text)
            branch = len(parents)
            parents.append([0, branch])
            begun = len(v.picture)
            ids += asked
            positions += range(begun, begun + len(asked))
            segments += [branch] * len(asked)
            asks = len(ids) - 1
            for form in forms:
                tokens = v.response(written(question, form))
                leaf = len(parents)
                parents.append([0, branch, leaf])
                start = len(ids)
                count = len(tokens)
                columns["row"] += [row_number] * count
                columns["place"] += [asks, *range(start, start + count - 1)]
                columns["token"] += tokens
                columns["weight"] += weights_of(tokens, form)
                columns["form"] += [int(form)] * count
                picks = decisions(tokens, v)
                columns["decision"] += [place in picks for place in range(count)]
                columns["response"] += [len(kinds)] * count
                kinds.append(question.kind)
                # The end token is learned and never read.
                ids += tokens[:-1]
                positions += range(begun + len(asked), begun + len(asked) + count - 1)
                segments += [leaf] * (count - 1)
        all_ids.append(ids)
        all_positions.append(positions)
        all_segments.append(segments)
        all_parents.append(parents)
    length = -(-max(map(len, all_ids)) // 8) * 8
    sees = np.zeros((len(rows), length, length), bool)
    for number, (segments, parents) in enumerate(zip(all_segments, all_parents, strict=True)):
        allowed = np.zeros((len(parents), len(parents)), bool)
        for segment, ancestors in enumerate(parents):
            allowed[segment, ancestors] = True
        own = np.array(segments)
        sees[number, : len(own), : len(own)] = allowed[own][:, own]
    sees = np.tril(sees)
    sees[:, np.arange(length), np.arange(length)] = True  # padding sees itself, so that no softmax is empty

    def padded(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (length - len(row)) for row in values])

    types = {"weight": torch.float32, "decision": torch.bool}
    targets = Targets(**{name: torch.tensor(values, dtype=types.get(name, torch.long)) for name, values in columns.items()})
    return Packed(
        padded(all_ids, PAD_ID),
        padded(all_positions, 0),
        torch.from_numpy(sees)[:, None],
        targets,
        v.first_image_token,
        tuple(kinds),
    )
