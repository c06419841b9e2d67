"""Draws sheets as a bad camera sees them, many at a time.

A picture is computed pixel by pixel: the camera takes each pixel to a place on the sheet, the place falls into a cell,
and the cell's thing says by its signed distance what is drawn there. Then light and shadow, blur, noise, and often the
rounding of a JPEG file. Every number below that is drawn is drawn anew for each picture or thing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from glyphs import Hand, glyphs
from scenes import COLORS, SHAPES, Sheet

Tensor = torch.Tensor

RGB = (
    (0.84, 0.11, 0.13), (0.13, 0.62, 0.20), (0.14, 0.30, 0.86),
    (0.96, 0.86, 0.12), (0.52, 0.14, 0.68), (0.97, 0.50, 0.06),
)  # fmt: skip
LUMINANCE = (0.3, 0.59, 0.11)
GLYPH_SIDE = 32  # glyphs are enlarged to this before they are drawn
TRIANGLE = SHAPES.index("triangle")


@dataclass(frozen=True)
class Scenes:
    """What stands on the sheets: five tensors [pictures, 9] int64."""

    present: Tensor
    color: Tensor
    shape: Tensor
    digit: Tensor
    glyph: Tensor  # which handwriting

    def __len__(self) -> int:
        return len(self.present)

    def to(self, device: torch.device) -> Scenes:
        return Scenes(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Pictures:
    pixels: Tensor  # [pictures, 3, side, side] f32, whole numbers from 0 to 255
    cell: Tensor  # [pictures, side, side] int64: the cell whose thing is drawn there, -1 where none is


def scenes_of(sheets: Sequence[Sheet], rng: random.Random, hand: Hand) -> Scenes:
    """The sheets with a handwriting of that part for each digit."""
    table = torch.zeros(5, len(sheets), 9, dtype=torch.long)
    handwritings = glyphs().of[hand]
    for row, sheet in enumerate(sheets):
        for thing in sheet:
            look = COLORS.index(thing.color), SHAPES.index(thing.shape), thing.digit
            table[:, row, thing.cell] = torch.tensor((1, *look, rng.choice(handwritings[thing.digit])))
    return Scenes(*table)


def random_scenes(count: int, generator: torch.Generator, device: torch.device) -> Scenes:
    """Sheets without a text, with training handwritings: what the tower is trained on."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    def below(limit: int) -> Tensor:
        return (draw(count, 9) * limit).long().clamp_(max=limit - 1)

    things = 3 + (draw(count, 1) * 7).long()
    present = draw(count, 9).argsort(1).argsort(1) < things
    train = torch.tensor(sorted(i for ids in glyphs().of["train"] for i in ids), device=device)
    glyph = train[below(len(train))]
    digit = torch.from_numpy(glyphs().digit).to(device)[glyph]
    return Scenes(present.long(), below(len(COLORS)), below(len(SHAPES)), digit, glyph)


class Renderer:
    def __init__(self, device: torch.device, side: int = 128) -> None:
        self.device, self.side = device, side
        ink = torch.from_numpy(glyphs().ink)[:, None]
        size = (GLYPH_SIDE, GLYPH_SIDE)
        ink = F.interpolate(F.pad(ink, (1, 1, 1, 1)), size, mode="bicubic", align_corners=False).clamp(0, 1)
        self.ink = ink.flatten().to(device)
        self.rgb = torch.tensor(RGB, device=device)
        middles = (torch.arange(side, device=device) + 0.5) / side * 2 - 1
        self.x, self.y = middles.repeat(side)[None], middles.repeat_interleave(side)[None]  # [1, pixels]
        k = torch.arange(8, dtype=torch.float32)
        cosines = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) * 0.5
        cosines[0] *= 0.5**0.5
        self.cosines = torch.kron(cosines, cosines).to(device)  # of an 8 x 8 block
        self.rounding = ((1 + (k[:, None] + k[None]) * 1.1) / 255).flatten().to(device)
        blur = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.blur = (blur[:, None] * blur[None])[None, None].repeat(3, 1, 1, 1).to(device)

    @torch.no_grad()
    def __call__(self, scenes: Scenes, generator: torch.Generator) -> Pictures:
        # Pictures are the same in every precision the model is trained in.
        with torch.autocast(self.device.type, enabled=False):
            return Shot(self, scenes, generator).taken()


class Shot:
    """One batch of pictures on its way from sheet to file."""

    def __init__(self, renderer: Renderer, scenes: Scenes, generator: torch.Generator) -> None:
        self.r, self.scenes, self.generator, self.count = renderer, scenes, generator, len(scenes)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(self.count, *shape, device=self.r.device, generator=self.generator)
        return drawn * (high - low) + low

    def chance(self, share: float, *shape: int) -> Tensor:
        return (self.uniform(0, 1, *shape) < share).float()

    def clouds(self, channels: int, coarse: int, mode: str = "bicubic") -> Tensor:
        """[pictures, channels, pixels]: noise that varies slowly."""
        shape = (self.count, channels, coarse, coarse)
        noise = torch.randn(shape, device=self.r.device, generator=self.generator)
        size = (self.r.side, self.r.side)
        return F.interpolate(noise, size, mode=mode, align_corners=False).flatten(2)

    def taken(self) -> Pictures:
        across, down, on_sheet = self.camera()
        column, row = across.floor().clamp(0, 2), down.floor().clamp(0, 2)
        cell = (row * 3 + column).long()
        paint, drawn = self.things(across - column, down - row, cell, on_sheet)
        image = self.paper(across, down, on_sheet)
        for color, cover in paint:
            image = image * (1 - cover[:, None]) + color * cover[:, None]
        pixels = self.sensor(self.light(image))
        side = self.r.side
        nothing = torch.full_like(cell, -1)
        return Pictures(pixels, torch.where(drawn, cell, nothing).reshape(-1, side, side))

    def camera(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where on the sheet each pixel looks, in cells from 0 to 3, and whether it is the sheet: [pictures, pixels]."""
        x, y = self.r.x, self.r.y
        turn, zoom = self.uniform(-0.2, 0.2, 1), self.uniform(1.12, 1.3, 1)
        tilt = 1 + self.uniform(-0.12, 0.12, 1) * x + self.uniform(-0.12, 0.12, 1) * y
        aspect = self.uniform(0.95, 1.06, 1)
        cos, sin = turn.cos() * zoom, turn.sin() * zoom
        across = 1.5 + 1.5 * ((cos * x - sin * y) / tilt * aspect + self.uniform(-0.06, 0.06, 1))
        down = 1.5 + 1.5 * ((sin * x + cos * y) / tilt / aspect + self.uniform(-0.06, 0.06, 1))
        margin = 0.02
        inside = (across > -margin) & (across < 3 + margin) & (down > -margin) & (down < 3 + margin)
        return across, down, inside.float()

    def things(
        self, across: Tensor, down: Tensor, cell: Tensor, on_sheet: Tensor
    ) -> tuple[list[tuple[Tensor | float, Tensor]], Tensor]:
        """What is painted over the paper, in order, as (colour, cover); and where a shape is."""
        scenes, nine = self.scenes, 9
        rgb = (self.r.rgb[scenes.color] + self.uniform(-0.06, 0.06, nine, 3)).clamp(0, 1)
        hollow = self.chance(0.25, nine)
        dark = (rgb * rgb.new_tensor(LUMINANCE)).sum(-1) < 0.5
        white = dark.float() * self.chance(0.9, nine) * (1 - hollow)
        ink = white * self.uniform(0.9, 1, nine) + (1 - white) * self.uniform(0.02, 0.15, nine)
        turn = self.uniform(-0.3, 0.3, nine)
        each = {
            "present": scenes.present.float(),
            "shape": scenes.shape.float(),
            "glyph": scenes.glyph.float(),
            "radius": self.uniform(0.35, 0.415, nine),
            "turn": turn,
            "right": self.uniform(-0.055, 0.055, nine),
            "below": self.uniform(-0.055, 0.055, nine),
            "hollow": hollow,
            "outline": self.chance(0.5, nine) * self.uniform(0.4, 0.8, nine) * (1 - hollow),
            "ink": ink,
            "glyph_turn": turn * 0.4 + self.uniform(-0.2, 0.2, nine),
            "glyph_size": self.uniform(0.6, 0.74, nine),
            "pressure": self.uniform(0.24, 0.42, nine),
            "gain": self.uniform(2.5, 5, nine),
            **{f"rgb{i}": rgb[..., i] for i in range(3)},
        }
        table = torch.stack(list(each.values()), 1)
        picked = table.gather(2, cell[:, None].expand(-1, len(each), -1))
        at = dict(zip(each, picked.unbind(1), strict=True))  # of the thing in the cell each pixel looks at

        u = (across - 0.5 - at["right"]) / at["radius"]
        v = (down - 0.5 - at["below"]) / at["radius"]
        distance = shape_distance(at["shape"], *turned(u, v, at["turn"]))
        triangle = (at["shape"] == TRIANGLE).float()
        sharp = at["radius"] * 38
        there = at["present"] * on_sheet
        body = (0.5 - distance * sharp).clamp(0, 1) * there
        hole = (0.5 - (distance + 0.22 - 0.07 * triangle) * sharp).clamp(0, 1) * at["hollow"]
        outline = (0.5 - (distance.abs() - 0.03) * sharp).clamp(0, 1) * there * at["outline"]
        fill = torch.stack([at["rgb0"], at["rgb1"], at["rgb2"]], 1)
        paint = [
            (fill, body * (1 - hole)),
            (0.0, outline * 0.7),
            (at["ink"][:, None], self.glyph_cover(u, v, at, triangle) * there),
        ]
        return paint, (distance < 0) & (there > 0)

    def glyph_cover(self, u: Tensor, v: Tensor, at: dict[str, Tensor], triangle: Tensor) -> Tensor:
        """How much ink of the digit covers each pixel; in a triangle it is smaller and lower."""
        gx, gy = turned(u, v - 0.1 * triangle, at["glyph_turn"])
        size = at["glyph_size"] * (1 - 0.18 * triangle)
        x, y = ((value / size * 0.5 + 0.5) * GLYPH_SIDE - 0.5 for value in (gx, gy))
        last = GLYPH_SIDE - 1
        inside = ((x > 0) & (x < last) & (y > 0) & (y < last)).float()
        x, y = x.clamp(0, last - 0.001), y.clamp(0, last - 0.001)
        left, top = x.floor(), y.floor()
        fx, fy = x - left, y - top
        first = (at["glyph"] * GLYPH_SIDE**2 + top * GLYPH_SIDE + left).long()
        corner = [self.r.ink[first + step] for step in (0, 1, GLYPH_SIDE, GLYPH_SIDE + 1)]
        ink = (corner[0] * (1 - fx) + corner[1] * fx) * (1 - fy) + (corner[2] * (1 - fx) + corner[3] * fx) * fy
        return ((ink - at["pressure"]) * at["gain"] + 0.5).clamp(0, 1) * inside

    def paper(self, across: Tensor, down: Tensor, on_sheet: Tensor) -> Tensor:
        """Table and sheet, on which some have lines: [pictures, 3, pixels]."""
        table = self.uniform(0.1, 0.8, 3, 1) + self.clouds(3, 10) * self.uniform(0.02, 0.16, 1, 1)
        table = table + self.clouds(1, 48, "bilinear") * self.uniform(0, 0.08, 1, 1)
        paper = self.uniform(0.74, 0.97, 1, 1) + self.uniform(-0.05, 0.05, 3, 1)
        paper = paper + self.clouds(1, 24, "bilinear") * self.uniform(0, 0.03, 1, 1)
        off_line = torch.minimum((across - across.round()).abs(), (down - down.round()).abs())
        line = ((0.02 - off_line) * 60).clamp(0, 1) * self.chance(0.4, 1) * self.uniform(0.1, 0.4, 1)
        on = on_sheet[:, None]
        return table * (1 - on) + on * paper * (1 - line[:, None])

    def light(self, image: Tensor) -> Tensor:
        """Uneven light, a shadow's edge in half of the pictures, a cast of colour."""
        x, y = self.r.x, self.r.y
        slope = 1 + self.uniform(-0.25, 0.25, 1) * x + self.uniform(-0.25, 0.25, 1) * y
        light = self.uniform(0.72, 1.12, 1) * slope
        angle = self.uniform(0, 2 * math.pi, 1)
        edge = angle.cos() * x + angle.sin() * y - self.uniform(-0.8, 0.8, 1)
        shadow = self.uniform(0, 0.35, 1) * self.chance(0.5, 1)
        light = light * (1 - shadow * torch.sigmoid(edge * self.uniform(2, 12, 1)))
        return image * light[:, None] * self.uniform(0.89, 1.11, 3, 1)

    def sensor(self, image: Tensor) -> Tensor:
        """Blur, noise and, in three pictures of five, a JPEG file: [pictures, 3, side, side] of 0 to 255."""
        side = self.r.side
        image = image.reshape(-1, 3, side, side)
        soft = F.conv2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), self.r.blur, groups=3)
        image = torch.lerp(image, soft, self.uniform(0, 0.85, 1, 1, 1))
        noise = torch.randn(image.shape, device=self.r.device, generator=self.generator)
        image = (image + noise * self.uniform(0.004, 0.05, 1, 1, 1)).clamp(0, 1)
        image = torch.where(self.chance(0.6, 1, 1, 1) > 0, self.rounded_as_jpeg(image), image)
        return (image.clamp(0, 1) * 255).round()

    def rounded_as_jpeg(self, image: Tensor) -> Tensor:
        blocks = self.r.side // 8
        shape = (self.count, 3, blocks, 8, blocks, 8)
        coefficients = (image.reshape(shape).permute(0, 1, 2, 4, 3, 5).reshape(self.count, -1, 64) - 0.5) @ self.r.cosines.T
        step = self.r.rounding * self.uniform(1, 12, 1, 1)
        back = (coefficients / step).round() * step @ self.r.cosines + 0.5
        return back.reshape(self.count, 3, blocks, blocks, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(image.shape)


def turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angle.cos(), angle.sin()
    return cos * x - sin * y, sin * x + cos * y


def shape_distance(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to the outline of the thing in each pixel's cell, in radii; y points down."""
    circle = (x * x + y * y).sqrt() - 0.93
    square = torch.maximum(x.abs(), y.abs()) - 0.8
    triangle = torch.maximum(y, 0.866 * x.abs() - 0.5 * y) - 0.58
    # A star: folded into one half of one of its five points, whose edge is a line.
    half, outer, inner = math.pi / 5, 1.16, 0.6
    radius = (x * x + y * y + 1e-9).sqrt()
    folded = (torch.remainder(torch.atan2(x, -y) + half, 2 * half) - half).abs()
    normal = inner * math.sin(half), outer - inner * math.cos(half)
    along, aside = radius * folded.cos() - outer, radius * folded.sin()
    star = (normal[0] * along + normal[1] * aside) / math.hypot(*normal)
    by_shape = {"circle": circle, "square": square, "triangle": triangle, "star": star}
    return torch.stack([by_shape[name] for name in SHAPES]).gather(0, shape.long()[None])[0]
