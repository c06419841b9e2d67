"""Reads config.toml into typed settings and says where work in progress lives."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

RECIPE = Path(__file__).resolve().parent
PACKAGE = RECIPE.parents[1] / "packages" / RECIPE.name
WORKLOAD = RECIPE.parents[1] / "workloads" / RECIPE.name


Precision = Literal["f32", "int8", "int4"]
Attention = Literal["growing", "grouped"]


@dataclass(frozen=True)
class Schedule:
    steps: int
    learning_rate: float
    warmup_steps: int
    last_share: float  # of the learning rate, at the end
    weight_decay: float
    checkpoint_every: int
    moments: tuple[float, float] = (0.9, 0.98)

    def rate(self, step: int) -> float:
        """Warms up, then falls as a cosine."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * warm * (self.last_share + (1 - self.last_share) * cosine)


@dataclass(frozen=True)
class ModelConfig:
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    feed_forward: int
    rope_theta: float
    context: int
    vision_width: int
    vision_layers: int
    vision_heads: int
    vision_feed_forward: int
    image_side: int
    patch: int
    scale: int
    longest: int


@dataclass(frozen=True)
class TowerConfig:
    pictures: int
    schedule: Schedule


@dataclass(frozen=True)
class FormatsConfig:
    pictures: int
    questions: int
    every_format_share: float
    frozen_tower: bool
    decisions: bool
    dense_weight: float
    shares: dict[str, float]
    schedule: Schedule


@dataclass(frozen=True)
class FsgrpoConfig:
    questions: int
    group: int
    update_questions: int
    temperature: float
    content_weight: float
    entropy_weight: float
    kl_weight: float
    replay_weight: float
    replay_rows: int
    clip: float
    shares: dict[str, float]
    schedule: Schedule


@dataclass(frozen=True)
class Settings:
    seed: int
    model: ModelConfig
    tower: TowerConfig
    formats: FormatsConfig
    fsgrpo: FsgrpoConfig
    precision: Precision
    block: int
    attention: Attention
    fsgrpo_share: float
    work: Path  # checkpoints and intermediate files; never committed


def load_settings(overlay: str | None = None) -> Settings:
    """`overlay` is a table of config.toml whose values are laid over the others: `continue` or `small`."""
    with open(RECIPE / "config.toml", "rb") as file:
        table = tomllib.load(file)
    overlays = {name: table.pop(name) for name in ("continue", "small")}
    table = laid_over(table, overlays[overlay] if overlay else {})
    digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]

    def stage(name: str) -> dict[str, Any]:
        return table[name] | {"schedule": Schedule(**table[name]["schedule"])}

    return Settings(
        table["seed"],
        ModelConfig(**table["model"]),
        TowerConfig(**stage("tower")),
        FormatsConfig(**stage("formats")),
        FsgrpoConfig(**stage("fsgrpo")),
        **table["export"],
        # A folder per configuration, so that a changed one never goes on from the checkpoint of another.
        work=cache_directory() / "vqa" / digest,
    )


def laid_over(table: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in overlay.items():
        merged[key] = laid_over(table[key], value) if isinstance(value, dict) else value
    return merged


def cache_directory() -> Path:
    if own := os.environ.get("CURT_CACHE_DIR"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "curt"
    return Path.home() / ".cache" / "curt"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to and renames it to `path` when all went well: no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
