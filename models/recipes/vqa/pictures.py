"""Writes the package's workload: python models/recipes/vqa/pictures.py

Held-out questions for measurements, training questions for calibration; both ask as the package's prompt file does. The
pictures of the held-out part have held-out layouts and handwritings, and half of its questions of the kinds that combine
arguments combine them as no training question does. The training part has handwritings of its own that nothing was
trained on: what is calibrated on familiar digits is too sure of others. A picture's questions are one group.

The questions are a function of the seed alone. The pictures pass through floating point and a JPEG encoder, so another
processor makes others that look the same; the committed ones are those that figures are measured on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configuration import PACKAGE, WORKLOAD, replacing
from glyphs import Hand, Part
from questions import COMPOUND, KINDS, Question, draw_question
from scenes import Sheet, draw_sheet

SEED = 1
PICTURES: dict[Part, int] = {"held-out": 500, "train": 150}
QUESTIONS: dict[Part, int] = {"held-out": 4, "train": 6}  # a picture
HANDS: dict[Part, Hand] = {"held-out": "held-out", "train": "calibration"}
DRAWS = 60  # of one kind, before another is taken
RENDERED_TOGETHER = 50
SAMPLE_SIDE, SAMPLE_THINGS = 384, 6
QUALITY = 75  # of the JPEG files; colours are kept in full resolution

# Of a hundred questions.
SHARES = {
    "digit_at": 13, "color_at": 8, "shape_at": 8, "exists": 10,
    "count_color": 8, "count_shape": 7, "largest": 7, "common_color": 7, "where": 8,
    "sum_color": 6, "sum_all": 6, "range": 3, "count_above": 3, "diff_shapes": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A sheet with its questions."""

    number: int
    sheet: Sheet
    questions: tuple[Question, ...]


def draw_questions(rng: random.Random, sheet: Sheet, part: Part) -> tuple[Question, ...] | None:
    """Different ones; None where the sheet does not allow them."""
    found: dict[tuple[str, tuple[str, ...]], Question] = {}
    for _ in range(QUESTIONS[part]):
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        wanted: Part = "held-out" if part == "held-out" and kind in COMPOUND and rng.random() < 0.5 else "train"
        for _ in range(DRAWS):
            question = draw_question(rng, sheet, kind, wanted)
            if question is not None and (kind, question.arguments) not in found:
                found[kind, question.arguments] = question
                break
        else:
            return None
    return tuple(found.values())


def asked(part: Part, seed: int = SEED, count: int | None = None) -> Iterator[Asked]:
    rng = random.Random(f"vqa workload {part} {seed}")
    number = 0
    while number < (PICTURES[part] if count is None else count):
        sheet = draw_sheet(rng, part)
        questions = draw_questions(rng, sheet, part)
        if questions is not None:
            yield Asked(number, sheet, questions)
            number += 1


def picture_name(part: Part, number: int) -> str:
    return f"pictures/{part}-{number:04}.jpg"


def items(part: Part) -> Iterator[dict[str, str]]:
    """The kind stands in the id, `new` behind it where the arguments are held out."""
    for sheet in asked(part):
        for place, question in enumerate(sheet.questions):
            new = "-new" if question.arguments_part == "held-out" else ""
            yield {
                "id": f"{part}-{sheet.number:04}-{place}-{question.kind}{new}",
                "group": f"{part}-{sheet.number:04}",
                "question": question.text,
                "image": picture_name(part, sheet.number),
                "answer": question.answer,
            }


def kind_of(item_id: str) -> tuple[str, bool]:
    """Kind and whether the arguments are held out, from an item's id."""
    name = item_id.removesuffix("-new").rsplit("-", 1)[1]
    if name not in KINDS:
        raise ValueError(f"the id {item_id!r} names no kind of question")
    return name, item_id.endswith("-new")


HEADER = "# Made by models/recipes/vqa/pictures.py: change the recipe, not this file.\n"


TEMPERATURE = 0.8  # of several paths, as in FS-GRPO; what asks one path asks it greedy


def manifest_text(prompt_file: str) -> str:
    sampling = f"[prompt.sampling]\ntemperature = {TEMPERATURE}"
    return (
        f"{HEADER}"
        'name = "vqa"\n'
        'licence = "MIT OR Apache-2.0"\n'
        f"seed = {SEED}\n"
        'recipe = "models/recipes/vqa"\n'
        'scorer = "exact"\n'
        f"\n[prompt]\n{prompt_file.replace('[sampling]', sampling)}"
    )


def texts() -> dict[str, str]:
    """Every file of the workload that is not a picture."""
    parts: dict[str, Part] = {"train.jsonl": "train", "held_out.jsonl": "held-out"}
    lines = {name: "".join(json.dumps(item) + "\n" for item in items(part)) for name, part in parts.items()}
    return {"workload.toml": manifest_text((PACKAGE / "prompt.toml").read_text(encoding="utf-8"))} | lines


def write_pictures(out: Path, part: Part) -> None:
    import torch
    from PIL import Image

    from render import Renderer, scenes_of

    renderer = Renderer(torch.device("cpu"))
    rng = random.Random(f"vqa handwriting {part} {SEED}")
    generator = torch.Generator().manual_seed(SEED + (part == "train"))
    sheets = [sheet.sheet for sheet in asked(part)]
    for start in range(0, len(sheets), RENDERED_TOGETHER):
        scenes = scenes_of(sheets[start : start + RENDERED_TOGETHER], rng, HANDS[part])
        pixels = renderer(scenes, generator).pixels.byte().permute(0, 2, 3, 1).numpy()
        for offset, picture in enumerate(pixels):
            with replacing(out / picture_name(part, start + offset)) as temporary:
                Image.fromarray(picture).save(temporary, "JPEG", quality=QUALITY, subsampling=0, optimize=True)


def write_sample(path: Path) -> None:
    """A larger picture for the demo, which a processor has to shrink; it shows something red, which the prompt file asks about."""
    import torch
    from PIL import Image

    from render import Renderer, scenes_of

    rng = random.Random(f"vqa sample {SEED}")
    sheet = draw_sheet(rng, "held-out")
    while len(sheet) < SAMPLE_THINGS or not any(thing.color == "red" for thing in sheet):
        sheet = draw_sheet(rng, "held-out")
    renderer = Renderer(torch.device("cpu"), SAMPLE_SIDE)
    pixels = renderer(scenes_of([sheet], rng, "held-out"), torch.Generator().manual_seed(SEED)).pixels[0]
    with replacing(path) as temporary:
        Image.fromarray(pixels.byte().permute(1, 2, 0).numpy()).save(temporary, "JPEG", quality=QUALITY)
    print(path.name, "shows", "; ".join(f"{thing.place}: {thing.color} {thing.shape} {thing.digit}" for thing in sheet))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the workload of the vision package.")
    parser.add_argument("--out", type=Path, default=WORKLOAD, help="folder to write to")
    parser.add_argument("--texts", action="store_true", help="leave the pictures as they are")
    parser.add_argument("--sample", action="store_true", help="write the package's sample picture instead")
    arguments = parser.parse_args()
    if arguments.sample:
        write_sample(PACKAGE / "sample.jpg")
        return
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    if not arguments.texts:
        for part in PICTURES:
            write_pictures(out, part)


if __name__ == "__main__":
    main()
