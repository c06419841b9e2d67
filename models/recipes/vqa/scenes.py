"""Sheets: nine cells, up to nine coloured shapes with a digit on each; and which layouts are held out."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from glyphs import Part

COLORS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star")
PLACES = (
    "top left", "top center", "top right",
    "middle left", "center", "middle right",
    "bottom left", "bottom center", "bottom right",
)  # fmt: skip
ROWS = ("top", "middle", "bottom")


@dataclass(frozen=True)
class Thing:
    cell: int  # 0..9, row by row
    color: str
    shape: str
    digit: int

    @property
    def place(self) -> str:
        return PLACES[self.cell]


Sheet = tuple[Thing, ...]  # in the order of the cells, three at least


def layout_part(sheet: Sheet) -> Part:
    """A layout is the occupied cells, the first colour and the last shape; one in seven is held out."""
    first, last = COLORS.index(sheet[0].color), SHAPES.index(sheet[-1].shape)
    written = f"L{[thing.cell for thing in sheet]}|{first}|{last}"
    return "held-out" if zlib.crc32(written.encode()) % 7 == 0 else "train"


def draw_sheet(rng: random.Random, part: Part) -> Sheet:
    """Few colours and shapes more often than many, so that there is something to count and to compare."""
    while True:
        cells = sorted(rng.sample(range(9), rng.randint(3, 9)))
        colors = rng.sample(COLORS, rng.choice((2, 3, 3, 4, 6)))
        shapes = rng.sample(SHAPES, rng.choice((2, 3, 4, 4)))
        sheet = tuple(Thing(cell, rng.choice(colors), rng.choice(shapes), rng.randint(0, 9)) for cell in cells)
        if layout_part(sheet) == part:
            return sheet
