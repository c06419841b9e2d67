"""What examples/camera-vqa shows and is tested with."""

import json
import random

import torch
from camera import EXAMPLE, FRAMES, SEED, Flat, Held, asked_sheets, repeated
from render import Renderer, scenes_of


def test_the_committed_questions_are_those_of_the_seed():
    table = json.loads((EXAMPLE / "tests" / "video" / "sheets.json").read_text(encoding="utf-8"))
    asked = asked_sheets(random.Random(f"camera video {SEED}"))
    assert table == {"frames_of_a_sheet": FRAMES, "sheets": [questions for _, questions in asked]}
    video = (EXAMPLE / "tests" / "video" / "sheets.mjpeg").read_bytes()
    assert video.count(b"\xff\xd9") == len(asked) * FRAMES


def test_a_hand_moves_the_sheet_and_nothing_on_it():
    rng = random.Random(1)
    [(sheet, _), *_] = asked_sheets(rng)
    scenes = repeated(scenes_of([sheet], rng, "held-out"), 0, 6)
    shot = Held(Renderer(torch.device("cpu"), 32), scenes, torch.Generator().manual_seed(1))
    across, down, _ = shot.camera()
    assert (across[0] != across[1]).any() and (down[0] != down[1]).any()
    drawn = shot.uniform(0, 1, 9)
    assert (drawn == drawn[:1]).all()
    # From the last picture to the first is no more than from one to the next.
    steps = (across - across.roll(1, 0)).abs().mean(1)
    assert steps.max() < 3 * steps.mean()


def test_a_flat_sheet_is_straight_and_white():
    rng = random.Random(2)
    [(sheet, _), *_] = asked_sheets(rng)
    shot = Flat(Renderer(torch.device("cpu"), 96), scenes_of([sheet], rng, "held-out"), torch.Generator())
    pixels = shot.taken().pixels[0]
    empty = [cell for cell in range(9) if cell not in {thing.cell for thing in sheet}]
    for cell in empty:
        row, column = divmod(cell, 3)
        assert (pixels[:, row * 32 : row * 32 + 32, column * 32 : column * 32 + 32] == 255).all()
    assert pixels.min() < 128
