"""Reads config.toml into typed settings and says where work in progress lives."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task import TaskConfig

RECIPE = Path(__file__).resolve().parent
PACKAGE = RECIPE.parents[1] / "packages" / RECIPE.name


@dataclass(frozen=True)
class ModelConfig:
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    rope_theta: float
    context: int


@dataclass(frozen=True)
class Stage:
    fed: int
    steps: int
    grade_share: float
    opening_share: float
    near_miss_share: float
    verdict_share: float
    verdict_weight: float
    learning_rate: float | None = None


@dataclass(frozen=True)
class TrainConfig:
    seed: int
    threads: int
    batch_tokens: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    cosine_steps: int
    anneal_steps: int
    weight_decay: float
    graded_verdict_weight: float
    several_turns_share: float
    system_share: float
    checkpoint_every: int
    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage that `step` falls into and how many steps of it come before."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(f"step {step} past the last stage")


@dataclass(frozen=True)
class EvaluateConfig:
    questions: int
    paths: int
    f32_paths: int
    rows: int
    transcript_prompts: int


@dataclass(frozen=True)
class ProbeConfig:
    questions: int
    paths: int
    rounds: int


@dataclass(frozen=True)
class Settings:
    task: TaskConfig
    model: ModelConfig
    train: TrainConfig
    precision: str
    sampling: dict[str, float]
    evaluate: EvaluateConfig
    probe: ProbeConfig
    work: Path  # checkpoints and intermediate files; never committed


def load_settings(smoke: bool = False) -> Settings:
    with open(RECIPE / "config.toml", "rb") as file:
        table = tomllib.load(file)
    overlay = table.pop("smoke")
    if smoke:
        for section, values in overlay.items():
            table[section] |= values
    stages = tuple(Stage(**stage) for stage in table["train"].pop("stages"))
    train = TrainConfig(stages=stages, **table["train"])
    return Settings(
        task=TaskConfig(**table["task"]),
        model=ModelConfig(**table["model"]),
        train=train,
        precision=table["export"]["precision"],
        sampling=table["sampling"],
        evaluate=EvaluateConfig(**table["evaluate"]),
        probe=ProbeConfig(**table["probe"]),
        work=work_directory(table["task"], table["model"], table["train"], [vars(s) for s in stages]),
    )


def work_directory(*decisive: Any) -> Path:
    """A folder per configuration, so that a changed one never resumes from the checkpoint of another."""
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
    return cache_directory() / "reasoner" / digest


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
