"""Renders what examples/camera-vqa shows and is tested with: python models/recipes/vqa/camera.py

Sample sheets as photographed, the same sheets flat, to print or to show to a camera, and a video of sheets that a hand
holds under a camera, with questions. Layouts and handwritings are held-out ones. What is drawn passes through floating
point and a JPEG encoder, so another processor makes files that look the same; the committed ones are those that the tests'
figures are measured on.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from configuration import replacing
from pictures import draw_questions
from render import Renderer, Scenes, Shot, Tensor, scenes_of
from scenes import Sheet, draw_sheet

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "camera-vqa"
SEED = 5
SAMPLES, SAMPLE_SIDE, FLAT_SIDE = 6, 320, 640
SHEETS, FRAMES, VIDEO_SIDE = 54, 4, 160
LEAST_THINGS = 5  # on a sample: there is something to ask about
QUALITY, VIDEO_QUALITY = 80, 68


class Held(Shot):
    """One sheet in a hand: what is drawn is the same in every picture, but for noise and where the camera is."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(1, *shape, device=self.r.device, generator=self.generator)
        return (drawn * (high - low) + low).expand(self.count, *shape)

    def clouds(self, channels: int, coarse: int, mode: str = "bicubic") -> Tensor:
        count, self.count = self.count, 1
        drawn = super().clouds(channels, coarse, mode)
        self.count = count
        return drawn.expand(count, *drawn.shape[1:])

    def camera(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `Shot.camera`, within the same bounds: each motion comes back to where it began, so that the video loops."""
        x, y = self.r.x, self.r.y
        time = torch.arange(self.count, device=self.r.device)[:, None] / self.count * 2 * math.pi

        def sway(middle: float, most: float, times: int) -> Tensor:
            begin = self.uniform(0, 2 * math.pi, 1)
            return middle + most * (times * time + begin).sin()

        turn, zoom = sway(0, 0.15, 1), sway(1.2, 0.05, 1)
        tilt = 1 + sway(0, 0.09, 1) * x + sway(0, 0.09, 2) * y
        cos, sin = turn.cos() * zoom, turn.sin() * zoom
        across = 1.5 + 1.5 * ((cos * x - sin * y) / tilt + sway(0, 0.05, 2))
        down = 1.5 + 1.5 * ((sin * x + cos * y) / tilt + sway(0, 0.05, 1))
        margin = 0.02
        inside = (across > -margin) & (across < 3 + margin) & (down > -margin) & (down < 3 + margin)
        return across, down, inside.float()


class Flat(Shot):
    """Sheets as they come from a printer: straight, white, in even colours."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.full((self.count, *shape), (low + high) / 2, device=self.r.device)

    def camera(self) -> tuple[Tensor, Tensor, Tensor]:
        across, down = ((1.5 + 1.5 * at).expand(self.count, -1) for at in (self.r.x, self.r.y))
        return across, down, torch.ones_like(across)

    def paper(self, across: Tensor, down: Tensor, on_sheet: Tensor) -> Tensor:
        return torch.ones(self.count, 3, across.shape[1], device=self.r.device)

    def light(self, image: Tensor) -> Tensor:
        return image

    def sensor(self, image: Tensor) -> Tensor:
        return (image.reshape(-1, 3, self.r.side, self.r.side) * 255).round()


def rendered(shot: type[Shot], side: int, scenes: Scenes, seed: int) -> list[Image.Image]:
    renderer = Renderer(torch.device("cpu"), side)
    with torch.no_grad():
        pixels = shot(renderer, scenes, torch.Generator().manual_seed(seed)).taken().pixels
    return [Image.fromarray(picture) for picture in pixels.byte().permute(0, 2, 3, 1).numpy()]


def repeated(scenes: Scenes, row: int, times: int) -> Scenes:
    return Scenes(*(getattr(scenes, name)[row : row + 1].expand(times, -1) for name in scenes.__dataclass_fields__))


def sample_sheets(rng: random.Random) -> list[Sheet]:
    found: list[Sheet] = []
    while len(found) < SAMPLES:
        sheet = draw_sheet(rng, "held-out")
        if len(sheet) >= LEAST_THINGS:
            found.append(sheet)
    return found


def write_samples(folder: Path) -> None:
    rng = random.Random(f"camera samples {SEED}")
    scenes = scenes_of(sample_sheets(rng), rng, "held-out")
    photographed = rendered(Shot, SAMPLE_SIDE, scenes, SEED)
    flat = rendered(Flat, FLAT_SIDE, scenes, SEED)
    for number, (photograph, sheet) in enumerate(zip(photographed, flat, strict=True), 1):
        with replacing(folder / f"sheet-{number}.jpg") as temporary:
            photograph.save(temporary, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
        with replacing(folder / f"flat-{number}.webp") as temporary:
            sheet.save(temporary, "WEBP", quality=QUALITY, method=6)


def asked_sheets(rng: random.Random) -> list[tuple[Sheet, list[dict[str, str]]]]:
    """Sheets with questions, each with its answer and kind."""
    found: list[tuple[Sheet, list[dict[str, str]]]] = []
    while len(found) < SHEETS:
        sheet = draw_sheet(rng, "held-out")
        if questions := draw_questions(rng, sheet, "held-out"):
            found.append((sheet, [{"kind": q.kind, "question": q.text, "answer": q.answer} for q in questions]))
    return found


def write_video(folder: Path) -> None:
    """One JPEG after the other, which is what a browser's fake camera takes: FRAMES of each sheet."""
    rng = random.Random(f"camera video {SEED}")
    asked = asked_sheets(rng)
    scenes = scenes_of([sheet for sheet, _ in asked], rng, "held-out")
    with replacing(folder / "sheets.mjpeg") as temporary, open(temporary, "wb") as video:
        for row in range(SHEETS):
            for frame in rendered(Held, VIDEO_SIDE, repeated(scenes, row, FRAMES), SEED + row):
                frame.save(video, "JPEG", quality=VIDEO_QUALITY, subsampling=0, optimize=True)
    table = {"frames_of_a_sheet": FRAMES, "sheets": [questions for _, questions in asked]}
    with replacing(folder / "sheets.json") as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Render what examples/camera-vqa shows and is tested with.")
    parser.add_argument("--out", type=Path, default=EXAMPLE, help="folder to write to")
    out = parser.parse_args(arguments).out
    write_samples(out / "page" / "sheets")
    write_video(out / "tests" / "video")


if __name__ == "__main__":
    main()
