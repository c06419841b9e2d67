"""Fourteen kinds of question about a sheet, in three tiers, each with the text of its three sections.

    glance   one cell has to be looked at             Which digit is at the top left?
    look     several cells, counted or compared       How many shapes are red?
    steps    several cells and arithmetic             What is the sum of all digits?
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from glyphs import Part
from scenes import COLORS, ROWS, SHAPES, Sheet, Thing

TIERS = ("glance", "look", "steps")
TIER_OF = {
    "digit_at": "glance", "color_at": "glance", "shape_at": "glance", "exists": "glance",
    "count_color": "look", "count_shape": "look", "largest": "look", "common_color": "look", "where": "look",
    "sum_color": "steps", "sum_all": "steps", "range": "steps", "count_above": "steps", "diff_shapes": "steps",
}  # fmt: skip
KINDS = tuple(TIER_OF)

# Kinds whose arguments are combinations: some of these are never trained on.
COMPOUND = ("exists", "where", "count_above", "diff_shapes")

WORDINGS: dict[str, tuple[str, ...]] = {
    "digit_at": (
        "Which digit is at the {p}?",
        "What number is written {p}?",
        "Read the digit in the {p} cell.",
        "The {p} cell: which digit is there?",
    ),
    "color_at": (
        "Which color is at the {p}?",
        "What color is the {p} shape?",
        "Name the color in the {p} cell.",
        "The {p} cell: which color is there?",
    ),
    "shape_at": (
        "Which shape is at the {p}?",
        "What shape is drawn {p}?",
        "Name the shape in the {p} cell.",
        "The {p} cell: which shape is there?",
    ),
    "exists": (
        "Is there any {c} {s}?",
        "Can you see any {c} {s}?",
        "Does the sheet show any {c} {s}?",
        "Look for any {c} {s}: is it there?",
    ),
    "count_color": (
        "How many shapes are {c}?",
        "How many {c} shapes are there?",
        "Count the {c} ones.",
        "What is the number of {c} shapes?",
    ),
    "count_shape": (
        "How many {s}s are there?",
        "Count the {s}s.",
        "What is the number of {s}s?",
        "How many shapes are {s}s?",
    ),
    "largest": (
        "What is the largest digit?",
        "Which digit is the highest?",
        "Find the largest number on the sheet.",
        "What is the highest digit shown?",
    ),
    "common_color": (
        "Which color is the most common?",
        "What color appears most often?",
        "Name the most common color.",
        "Which color do most shapes have?",
    ),
    "where": (
        "Where is the {c} {d}?",
        "In which cell is the {c} {d}?",
        "Find the {c} {d}.",
        "What is the place of the {c} {d}?",
    ),
    "sum_color": (
        "What is the sum of the {c} digits?",
        "Add up the {c} digits.",
        "What do the {c} digits add up to?",
        "Find the total of the {c} digits.",
    ),
    "sum_all": (
        "What is the sum of all digits?",
        "Add up all the digits.",
        "What do all digits add up to?",
        "Find the total of all digits.",
    ),
    "range": (
        "What is the largest digit minus the smallest?",
        "How far apart are the largest and the smallest digit?",
        "Take the smallest digit from the largest.",
        "Find the largest minus the smallest digit.",
    ),
    "count_above": (
        "How many digits are above {k}?",
        "Count the digits above {k}.",
        "How many digits are larger than {k}?",
        "What is the number of digits larger than {k}?",
    ),
    "diff_shapes": (
        "What is the sum of the {s} digits minus the sum of the {t} digits?",
        "Take the {t} total from the {s} total.",
        "Find the total of the {s}s minus the total of the {t}s.",
        "By how much is the {s} total larger than the {t} total?",
    ),
}


@dataclass(frozen=True)
class Question:
    kind: str
    arguments: tuple[str, ...]
    text: str
    answer: str
    perception: str
    reasoning: str

    @property
    def tier(self) -> str:
        return TIER_OF[self.kind]

    @property
    def arguments_part(self) -> Part:
        return arguments_part(self.kind, self.arguments)


def arguments_part(kind: str, arguments: tuple[str, ...]) -> Part:
    """Which combinations of arguments are only asked to measure."""
    match kind:
        case "count_above":
            held = arguments == ("5",)
        case "diff_shapes":
            held = arguments in {("triangle", "star"), ("square", "circle")}
        case "exists" | "where":
            written = "A%s|%s" % (kind, tuple(sorted(arguments)) if kind == "exists" else arguments)
            held = zlib.crc32(written.encode()) % 6 == 0
        case _:
            held = False
    return "held-out" if held else "train"


@dataclass(frozen=True)
class Facts:
    """What a kind's function says about a sheet."""

    arguments: dict[str, str]
    answer: str
    seen: dict[int, str]  # what the perception says of each cell it needs
    reasoning: str


def scan(seen: dict[int, str]) -> str:
    rows = (" ".join([name, *(seen.get(3 * row + column, "none") for column in range(3))]) for row, name in enumerate(ROWS))
    return "; ".join(rows)


def listed(values: list[int]) -> str:
    return ", ".join(map(str, values))


def added_up(digits: list[int]) -> tuple[int, str]:
    """The sum and its steps: "Start with 3. 3 + 4 = 7." """
    total, text = digits[0], f"Start with {digits[0]}. "
    for digit in digits[1:]:
        text += f"{total} + {digit} = {total + digit}. "
        total += digit
    return total, text


def extreme(digits: list[int], word: str, better: Callable[[int, int], bool]) -> tuple[int, str]:
    kept, text = digits[0], f"Start with {digits[0]}. "
    for digit in digits[1:]:
        text += f"{digit} {word}, keep {digit}. " if better(digit, kept) else f"{digit} no, keep {kept}. "
        kept = digit if better(digit, kept) else kept
    return kept, text


def one_cell(rng: random.Random, sheet: Sheet, kind: str) -> Facts:
    thing = rng.choice(sheet)
    asked = kind.removesuffix("_at")
    answer = {"digit": str(thing.digit), "color": thing.color, "shape": thing.shape}[asked]
    described = f"{thing.color} {thing.shape} {thing.digit}"
    reasoning = (
        f"The question asks for the {asked} of one cell, {thing.place}. "
        f"In the scan the {ROWS[thing.cell // 3]} row has one entry, at {thing.place}: {described}. "
        f"The color is {thing.color}. The shape is {thing.shape}. The digit is {thing.digit}. So the answer is {answer}."
    )
    return Facts({"p": thing.place}, answer, {thing.cell: described}, reasoning)


def exists(rng: random.Random, sheet: Sheet) -> Facts:
    """Yes in half of the questions and a few more."""
    color = rng.choice(sheet).color
    shape = rng.choice([t.shape for t in sheet if t.color == color]) if rng.random() < 0.5 else rng.choice(SHAPES)
    group = [t for t in sheet if t.color == color]
    answer = "yes" if any(t.shape == shape for t in group) else "no"
    looks = "".join(f"{t.place}: {t.shape} {'yes' if t.shape == shape else 'no'}. " for t in group)
    reasoning = f"Look at every {color} shape. {looks}So the answer is {answer}."
    return Facts({"c": color, "s": shape}, answer, {t.cell: t.shape for t in group}, reasoning)


def count(rng: random.Random, sheet: Sheet, kind: str) -> Facts:
    def looks(thing: Thing) -> str:
        return thing.color if kind == "count_color" else thing.shape

    every = COLORS if kind == "count_color" else SHAPES
    wanted = looks(rng.choice(sheet)) if rng.random() < 0.92 else rng.choice(every)
    group = [t for t in sheet if looks(t) == wanted]
    reasoning = f"Count every {wanted}, row by row. "
    for row, name in enumerate(ROWS):
        in_row = [t for t in group if t.cell // 3 == row]
        counted = "".join(f"{t.place} is {group.index(t) + 1}. " for t in in_row)
        reasoning += f"The {name} row: {counted or 'none. '}"
    reasoning += f"So there are {len(group)}."
    name = "c" if kind == "count_color" else "s"
    return Facts({name: wanted}, str(len(group)), {t.cell: wanted for t in group}, reasoning)


def largest(rng: random.Random, sheet: Sheet, kind: str) -> Facts:
    digits = [t.digit for t in sheet]
    top, text = extreme(digits, "larger", lambda new, kept: new > kept)
    reasoning = f"The digits are {listed(digits)}. {text}"
    if kind == "largest":
        answer = str(top)
        reasoning += f"The last one kept is {top}. No digit on the sheet is above {top}. So the largest is {top}."
    else:
        low, text = extreme(digits, "smaller", lambda new, kept: new < kept)
        answer = str(top - low)
        reasoning += f"Now the smallest. {text}{top} - {low} = {answer}. So the answer is {answer}."
    return Facts({}, answer, {t.cell: str(t.digit) for t in sheet}, reasoning)


def common_color(rng: random.Random, sheet: Sheet) -> Facts | None:
    counts = Counter(t.color for t in sheet)
    best = max(counts.values())
    if list(counts.values()).count(best) > 1:
        return None
    answer = max(counts, key=lambda color: counts[color])
    seen: Counter[str] = Counter()
    reasoning = "Count the colors. "
    for thing in sheet:
        seen[thing.color] += 1
        reasoning += f"{thing.color} {seen[thing.color]}. "
    in_order = sorted(counts, key=COLORS.index)
    reasoning += "".join(f"{color} has {counts[color]} in all. " for color in in_order)
    reasoning += f"The highest count is {best}. So the answer is {answer}."
    return Facts({}, answer, {t.cell: t.color for t in sheet}, reasoning)


def where(rng: random.Random, sheet: Sheet) -> Facts | None:
    thing = rng.choice(sheet)
    group = [t for t in sheet if t.color == thing.color]
    if sum(t.digit == thing.digit for t in group) > 1:
        return None
    looks = "".join(f"{t.place}: {t.digit} {'yes' if t.digit == thing.digit else 'no'}. " for t in group)
    reasoning = f"Look at every {thing.color} digit. {looks}So the answer is {thing.place}."
    arguments = {"c": thing.color, "d": str(thing.digit)}
    return Facts(arguments, thing.place, {t.cell: str(t.digit) for t in group}, reasoning)


def total(rng: random.Random, sheet: Sheet, kind: str) -> Facts:
    arguments, group, named = {}, list(sheet), "digits"
    if kind == "sum_color":
        color = rng.choice(sheet).color if rng.random() < 0.95 else rng.choice(COLORS)
        arguments, group, named = {"c": color}, [t for t in sheet if t.color == color], f"{color} digits"
    seen = {t.cell: str(t.digit) for t in group}
    if not group:
        return Facts(arguments, "0", seen, f"There are no {named}. So the sum is 0.")
    digits = [t.digit for t in group]
    result, steps = added_up(digits)
    return Facts(arguments, str(result), seen, f"The {named} are {listed(digits)}. {steps}So the sum is {result}.")


def count_above(rng: random.Random, sheet: Sheet) -> Facts:
    bound, above = rng.randint(2, 7), 0
    reasoning = f"Test every digit against {bound}. "
    for thing in sheet:
        above += thing.digit > bound
        reasoning += f"{thing.digit} {'yes' if thing.digit > bound else 'no'} {above}. "
    reasoning += f"So there are {above}."
    return Facts({"k": str(bound)}, str(above), {t.cell: str(t.digit) for t in sheet}, reasoning)


def diff_shapes(rng: random.Random, sheet: Sheet) -> Facts | None:
    present = [shape for shape in SHAPES if any(t.shape == shape for t in sheet)]
    if len(present) < 2:
        return None
    pair = rng.sample(present, 2)
    seen = {t.cell: f"{t.shape} {t.digit}" for t in sheet if t.shape in pair}
    totals, reasoning = [], ""
    for shape in pair:
        digits = [t.digit for t in sheet if t.shape == shape]
        result, steps = added_up(digits)
        totals.append(result)
        reasoning += f"The {shape} digits are {listed(digits)}. {steps}The total is {result}. "
    difference = totals[0] - totals[1]
    answer = str(difference) if difference >= 0 else f"minus {-difference}"
    reasoning += f"{totals[0]} - {totals[1]} = {answer}. So the answer is {answer}."
    return Facts({"s": pair[0], "t": pair[1]}, answer, seen, reasoning)


def facts(rng: random.Random, sheet: Sheet, kind: str) -> Facts | None:
    match kind:
        case "digit_at" | "color_at" | "shape_at":
            return one_cell(rng, sheet, kind)
        case "exists":
            return exists(rng, sheet)
        case "count_color" | "count_shape":
            return count(rng, sheet, kind)
        case "largest" | "range":
            return largest(rng, sheet, kind)
        case "common_color":
            return common_color(rng, sheet)
        case "where":
            return where(rng, sheet)
        case "sum_color" | "sum_all":
            return total(rng, sheet, kind)
        case "count_above":
            return count_above(rng, sheet)
        case "diff_shapes":
            return diff_shapes(rng, sheet)
        case _:
            raise ValueError(f"no kind of question is called {kind!r}")


def draw_question(rng: random.Random, sheet: Sheet, kind: str, part: Part | None = None) -> Question | None:
    """None where the sheet does not allow the kind, or where the drawn arguments are not of `part`."""
    found = facts(rng, sheet, kind)
    if found is None:
        return None
    arguments = tuple(found.arguments.values())
    if part is not None and kind in COMPOUND and arguments_part(kind, arguments) != part:
        return None
    text = rng.choice(WORDINGS[kind]).format(**found.arguments)
    return Question(kind, arguments, text, found.answer, scan(found.seen), found.reasoning)
