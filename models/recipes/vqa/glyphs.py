"""Handwritten digits: 1,797 of 8 x 8 pixels: 1,500 to train on, 97 to calibrate with, 200 held out.

They are the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998, UCI Machine Learning
Repository, CC BY 4.0), kept in `glyphs.csv.gz`: 64 levels of ink from 0 to 16 a row, then the digit.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

Part = Literal["train", "held-out"]
Hand = Literal["train", "calibration", "held-out"]

TRAIN_GLYPHS, CALIBRATION_GLYPHS = 1500, 97


@dataclass(frozen=True)
class Glyphs:
    ink: np.ndarray  # [glyphs, 8, 8] f32 from 0 to 1
    digit: np.ndarray  # [glyphs] int64
    of: dict[Hand, list[list[int]]]  # for each part and digit, the glyphs


@cache
def glyphs() -> Glyphs:
    with gzip.open(Path(__file__).with_name("glyphs.csv.gz"), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    digit = table[:, 64]
    # numpy's legacy generator is frozen, so the parts are the same with every version of it.
    order = np.random.RandomState(0).permutation(len(table))
    train, calibration, held_out = np.split(order, (TRAIN_GLYPHS, TRAIN_GLYPHS + CALIBRATION_GLYPHS))
    parts: dict[Hand, np.ndarray] = {"train": train, "calibration": calibration, "held-out": held_out}
    of = {part: [[int(i) for i in ids if digit[i] == d] for d in range(10)] for part, ids in parts.items()}
    return Glyphs((table[:, :64] / 16).astype(np.float32).reshape(-1, 8, 8), digit, of)
