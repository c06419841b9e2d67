"""Reads config.toml into typed settings and says where work in progress lives."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).resolve().parent
PACKAGE = RECIPE.parents[1] / "packages" / RECIPE.name
WORKLOAD = RECIPE.parents[1] / "workloads" / RECIPE.name


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


def read_toml() -> dict[str, Any]:
    with open(RECIPE / "config.toml", "rb") as file:
        return tomllib.load(file)
