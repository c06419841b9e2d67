"""Word problems of one and two steps: their tuples, their words, and the split into a train and a held-out part.

    Pam has 2 boxes with 7 pens in each box. Pam buys 5 more. How many pens does Pam have now?      2*7+5

A tuple is the operations and the operands, in one order where the order does not matter: it is what makes a question.
Names, things and wordings make no new question, so the split is by tuple.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Part = Literal["train", "held_out"]
Family = Literal["add", "mul", "mul-add", "mul-sub", "add-add"]
FAMILIES: tuple[Family, ...] = get_args(Family)

# Small numbers: with operands up to 30 the model is right on 3 to 10 % of its paths.
ADDENDS = range(2, 13)
FACTORS = range(2, 10)
SMALL_FACTORS = range(2, 7)  # one of the two factors of a two-step problem

NAMES = ("Ann", "Ben", "Eva", "Jack", "Leo", "Lily", "Max", "Mia", "Sara", "Tom")
THINGS = ("apples", "books", "cards", "coins", "eggs", "pens", "shells", "stones", "stamps", "toys")
CONTAINERS = (("bags", "bag"), ("baskets", "basket"), ("boxes", "box"), ("packs", "pack"))
GAINS = ("buys", "finds", "gets")


@dataclass(frozen=True)
class Tuple:
    """Operations and operands. Operands that may change places are sorted, so equal problems are equal tuples."""

    family: Family
    operands: tuple[int, ...]

    def group(self) -> str:
        """As a workload names it: "5+8", "2*7+5"."""
        match self.family:
            case "add" | "add-add":
                return "+".join(map(str, self.operands))
            case "mul":
                return "*".join(map(str, self.operands))
            case "mul-add":
                return "{}*{}+{}".format(*self.operands)
            case "mul-sub":
                return "{}*{}-{}".format(*self.operands)

    def answer(self) -> int:
        match self.family:
            case "add" | "add-add":
                return sum(self.operands)
            case "mul":
                return self.operands[0] * self.operands[1]
            case "mul-add":
                return self.operands[0] * self.operands[1] + self.operands[2]
            case "mul-sub":
                return self.operands[0] * self.operands[1] - self.operands[2]

    def question(self, rng: random.Random) -> str:
        """The problem in words."""
        name, other = rng.sample(NAMES, 2)
        thing = rng.choice(THINGS)
        containers, container = rng.choice(CONTAINERS)
        gain, second_gain = rng.choice(GAINS), rng.choice(GAINS)
        now = f"How many {thing} does {name} have now?"
        if self.family in ("add", "add-add"):
            first, *rest = rng.sample(self.operands, len(self.operands))
            then = f" and then {second_gain} {rest[1]} more" if len(rest) == 2 else ""
            return f"{name} has {first} {thing}. {name} {gain} {rest[0]} more{then}. {now}"
        factors = rng.sample(self.operands[:2], 2)
        start = f"{name} has {factors[0]} {containers} with {factors[1]} {thing} in each {container}."
        match self.family:
            case "mul-add":
                return f"{start} {name} {gain} {self.operands[2]} more. {now}"
            case "mul-sub":
                return f"{start} {name} gives {self.operands[2]} to {other}. {now}"
            case _:
                return f"{start} How many {thing} does {name} have?"


def tuples(family: Family) -> list[Tuple]:
    """Every tuple of a family."""
    match family:
        case "add":
            operands = itertools.combinations_with_replacement(ADDENDS, 2)
        case "add-add":
            operands = itertools.combinations_with_replacement(FACTORS, 3)
        case "mul":
            operands = itertools.combinations_with_replacement(FACTORS, 2)
        case "mul-add" | "mul-sub":
            pairs = itertools.combinations_with_replacement(FACTORS, 2)
            operands = (
                (a, b, c)
                for (a, b), c in itertools.product(pairs, ADDENDS)
                if a in SMALL_FACTORS and (family == "mul-add" or c < a * b)
            )
    return [Tuple(family, chosen) for chosen in operands]


def part_of(tuple_: Tuple, held_out_percent: int) -> Part:
    """A hash and not a random draw, so that a tuple's part never depends on what was drawn before it."""
    bucket = int.from_bytes(hashlib.sha256(f"word-problems {tuple_.group()}".encode()).digest()[:8], "big") % 100
    return "held_out" if bucket < held_out_percent else "train"


@dataclass(frozen=True)
class Problem:
    tuple: Tuple
    text: str


def draw(
    seed: int, part: Part, held_out_percent: int, counts: dict[str, int], shown: list[str]
) -> Iterator[Problem]:
    """`counts` problems of each family, no text twice: every tuple of the part once, then once more, and so on.

    Tuples in `shown` are left out of both parts.
    """
    for family in FAMILIES:
        rng = random.Random(f"{seed} {part} {family}")
        pool = [t for t in tuples(family) if part_of(t, held_out_percent) == part and t.group() not in shown]
        seen: set[str] = set()
        while len(seen) < counts[family]:
            rng.shuffle(pool)
            for chosen in pool[: counts[family] - len(seen)]:
                text = chosen.question(rng)
                while text in seen:
                    text = chosen.question(rng)
                seen.add(text)
                yield Problem(chosen, text)
