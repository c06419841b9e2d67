"""The supervised stages: the tower on dense labels, then every question in every format."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from configuration import FormatsConfig, ModelConfig, TowerConfig
from network import Model, embed, features, hidden, logits, precision
from packing import Packed, Row, pack
from questions import draw_question
from render import Pictures, Renderer, Scenes, random_scenes, scenes_of
from responses import Format
from scenes import COLORS, SHAPES, Sheet, draw_sheet
from training import Trainer, train
from vocabulary import Vocabulary

Tensor = torch.Tensor

NO_CELL = 9


class CellHead(nn.Module):
    """Reads from each image token which cell's thing it shows, its colour, shape and digit. Thrown away afterwards."""

    SIZES = (NO_CELL + 1, len(COLORS), len(SHAPES), 10)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, sum(self.SIZES))

    def forward(self, seen: Tensor, scenes: Scenes, cell: Tensor) -> tuple[Tensor, dict[str, float]]:
        """`cell` [pictures, image tokens]: -1 where nothing is. The summed losses, and shares that are right."""
        parts = self.out(self.norm(seen.float())).split(self.SIZES, dim=-1)
        there = cell >= 0
        at = cell.clamp(min=0)
        loss = F.cross_entropy(parts[0].flatten(0, 1), torch.where(there, cell, NO_CELL).flatten())
        figures = {}
        for name, part, truth in zip(
            ("colour", "shape", "digit"), parts[1:], (scenes.color, scenes.shape, scenes.digit), strict=True
        ):
            wanted = truth.gather(1, at)[there]
            loss = loss + F.cross_entropy(part[there], wanted)
            figures[name] = (part[there].argmax(-1) == wanted).float().mean().item()
        return loss, figures


def cells_of_tokens(pictures: Pictures, config: ModelConfig) -> Tensor:
    """[pictures, image tokens]: what stands in the middle of each token's square."""
    square = config.patch * config.scale
    return pictures.cell[:, square // 2 :: square, square // 2 :: square].flatten(1)


def train_tower(
    model: Model, config: ModelConfig, tower: TowerConfig, seed: int, device: torch.device, checkpoint: Path
) -> dict[str, Any]:
    """Without it the digits are not read after minutes of training on text alone."""
    renderer, head = Renderer(device, config.image_side), CellHead(config.width).to(device)
    vision = (model.model.vision_model, model.model.connector)
    parameters = [p for module in (*vision, head) for p in module.parameters()]
    trainer = Trainer({"model": model, "head": head}, parameters, tower.schedule)

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
        scenes = random_scenes(tower.pictures, generator, device)
        pictures = renderer(scenes, generator)
        with precision(device):
            seen = features(model, pictures.pixels)
        return head(seen, scenes, cells_of_tokens(pictures, config))

    return train("tower", trainer, checkpoint, step)


def draw_rows(rng: random.Random, count: int, questions: int, config: FormatsConfig) -> tuple[list[Sheet], list[Row]]:
    """Training sheets with `questions` questions each; hard kinds are asked more often."""
    kinds, shares = list(config.shares), list(config.shares.values())
    sheets, rows = [], []
    for _ in range(count):
        sheet = draw_sheet(rng, "train")
        row = []
        while len(row) < questions:
            question = draw_question(rng, sheet, rng.choices(kinds, shares)[0], "train")
            if question is not None:
                every = rng.random() < config.every_format_share
                row.append((question, tuple(Format) if every else (Format.DIRECT,)))
        sheets.append(sheet)
        rows.append(row)
    return sheets, rows


def supervised(model: Model, packed: Packed, seen: Tensor, decisions: bool) -> tuple[Tensor, dict[str, float]]:
    """Mean loss of a response, and by format the nats of a response and the share of answers that are right.

    Without `decisions` the tokens that pick a format teach nothing, so that training leaves the choice alone.
    """
    device = seen.device
    targets = packed.targets
    row, place, token = (getattr(targets, name).to(device) for name in ("row", "place", "token"))
    states = hidden(
        model, embed(model, packed.ids.to(device), seen, packed.first_image_token),
        packed.positions.to(device), packed.sees.to(device),
    )  # fmt: skip
    scores = logits(model, states[row, place])
    losses = F.cross_entropy(scores, token, reduction="none")
    weight = targets.weight if decisions else targets.weight * ~targets.decision
    responses = len(packed.kinds)
    loss = (losses * weight.to(device)).sum() / responses
    # Teacher forced, a response is right to the letter exactly when greedy decoding would write it.
    wrong = (scores.argmax(-1) != token).cpu() & ~targets.decision
    figures = {}
    for form in Format:
        of = targets.form == form
        count = targets.response[of].unique().numel()
        if count:
            figures[f"{form.name.lower()}_nats"] = losses.detach().cpu()[of].sum().item() / count
            figures[f"{form.name.lower()}_right"] = 1 - targets.response[of & wrong].unique().numel() / count
    return loss, figures


def train_formats(
    model: Model, vocabulary: Vocabulary, model_config: ModelConfig, config: FormatsConfig, seed: int,
    device: torch.device, checkpoint: Path,
) -> dict[str, Any]:  # fmt: skip
    """Every question in every format, so that a question's kind does not tell its format (and `every_format_share`
    of them only, where *direct* is to catch up)."""
    renderer = Renderer(device, model_config.image_side)
    head = CellHead(model_config.width).to(device)
    vision = [p for module in (model.model.vision_model, model.model.connector) for p in module.parameters()]
    for parameter in vision:
        parameter.requires_grad_(not config.frozen_tower)
    text = list(model.model.text_model.parameters())
    parameters = text + ([] if config.frozen_tower else vision + list(head.parameters()))
    trainer = Trainer({"model": model, "head": head}, parameters, config.schedule)

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"vqa formats {seed} {number}")
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
        sheets, rows = draw_rows(rng, config.pictures, config.questions, config)
        scenes = scenes_of(sheets, rng, "train").to(device)
        pictures = renderer(scenes, generator)
        with torch.set_grad_enabled(not config.frozen_tower), precision(device):
            seen = features(model, pictures.pixels)
        with precision(device):
            loss, figures = supervised(model, pack(rows, vocabulary), seen, config.decisions)
        if not config.frozen_tower:
            dense, _ = head(seen, scenes, cells_of_tokens(pictures, model_config))
            loss = loss + config.dense_weight * (1 - number / config.schedule.steps) * dense
        return loss, figures

    return train("formats", trainer, checkpoint, step)
