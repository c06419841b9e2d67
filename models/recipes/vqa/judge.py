"""Measures an exported package on the workload: python models/recipes/vqa/judge.py PACKAGE --out FILE

Asks every question in every format and writes one line a question; `figures.py` makes all numbers of the card from
these lines, so that two packages are compared item by item.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image
from tqdm import tqdm

from configuration import PACKAGE, WORKLOAD, replacing
from decoding import Answered, Package, ask
from glyphs import Part
from pictures import kind_of
from responses import read
from reward import right
from vocabulary import END_ID, START_ID

View = Literal["picture", "blank", "question-only"]
GREY = 128  # of the blank picture; a processor leaves out a picture that is exactly zero


@dataclass(frozen=True)
class Judged:
    id: str
    group: str
    kind: str
    new: bool  # its arguments are held out
    right: tuple[bool, bool, bool]  # by format
    tokens: tuple[int, int, int]
    valid: tuple[bool, bool, bool]
    picked: int  # the model's own format
    direct_margin: float
    off_grammar: float
    stop_margin: float
    confidence: float
    least: float
    confidence_perception: float


def read_items(workload: Path, part: Part) -> list[dict[str, str]]:
    name = {"held-out": "held_out.jsonl", "train": "train.jsonl"}[part]
    return [json.loads(line) for line in (workload / name).read_text(encoding="utf-8").splitlines()]


def judge(
    package: Package, workload: Path, part: Part, view: View, rows: int, limit: int | None = None
) -> Iterator[Judged]:
    items = read_items(workload, part)[:limit]
    v = package.vocabulary
    features: dict[str, np.ndarray] = {}
    if view != "question-only":
        names = sorted({item["image"] for item in items})
        for start in tqdm(range(0, len(names), rows), desc="pictures"):
            chunk = names[start : start + rows]
            pixels = np.stack([pixels_of(workload / name, package.config["vision_config"]["image_size"]) for name in chunk])
            if view == "blank":
                pixels = np.full_like(pixels, GREY)
            features |= dict(zip(chunk, package.features(pixels), strict=True))

    def prompt(question: str) -> list[int]:
        if view != "question-only":
            return v.prompt(question)
        return [START_ID, *v.encode("User:"), *v.encode(f" {question}"), END_ID, *v.encode("\nAssistant:")]

    by_length: dict[int, list[int]] = defaultdict(list)
    prompts = [prompt(item["question"]) for item in items]
    for place, ids in enumerate(prompts):
        by_length[len(ids)].append(place)
    for places in by_length.values():
        places.sort(key=lambda place: kind_of(items[place]["id"]))  # responses of a kind are about as long
    chunks = [places[i : i + rows] for places in by_length.values() for i in range(0, len(places), rows)]
    for places in tqdm(chunks, desc=f"{part}, {view}"):
        seen = np.stack([features[items[p]["image"]] for p in places]) if features else None
        answered = ask(package, np.array([prompts[p] for p in places]), seen)
        for place, answers in zip(places, answered, strict=True):
            yield judged(package, items[place], answers)


def pixels_of(path: Path, side: int) -> np.ndarray:
    with Image.open(path) as image:
        if image.size != (side, side):
            raise ValueError(f"{path.name} is {image.size}, expected {(side, side)}: this reads workload pictures only")
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def judged(package: Package, item: dict[str, str], answered: Answered) -> Judged:
    responses = [read(package.vocabulary.read(ids)) for ids in answered.responses]
    kind, new = kind_of(item["id"])
    return Judged(
        item["id"],
        item["group"],
        kind,
        new,
        tuple(r is not None and right(r.answer, item["answer"]) for r in responses),
        tuple(len(ids) for ids in answered.responses),
        tuple(r is not None for r in responses),
        int(answered.picked()),
        answered.direct_margin,
        answered.off_grammar,
        answered.stop_margin,
        answered.confidence,
        answered.least,
        answered.confidence_perception,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask every question of the workload in every format.")
    parser.add_argument("package", type=Path, nargs="?", default=PACKAGE)
    parser.add_argument("--workload", type=Path, default=WORKLOAD)
    parser.add_argument("--part", choices=get_args(Part), default="held-out")
    parser.add_argument("--view", choices=get_args(View), default="picture")
    parser.add_argument("--rows", type=int, default=64, help="questions decoded together")
    parser.add_argument("--limit", type=int, help="only the first questions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    package = Package(a.package, a.threads)
    lines = [asdict(line) for line in judge(package, a.workload, a.part, a.view, a.rows, a.limit)]
    with replacing(a.out) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
