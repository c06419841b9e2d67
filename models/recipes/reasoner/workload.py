"""Writes the package's workload: python models/recipes/reasoner/workload.py

Plain Python, no package needed. The held-out part is what `task.py --part held-out` writes, and the prompt is the
package's own prompt.toml, so the workload asks as `curt ask` does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from settings import PACKAGE, load_settings
from task import items

WORKLOAD = PACKAGE.parents[1] / "workloads" / PACKAGE.name

SEED = 1
TRAIN_QUESTIONS = 1500
HELD_OUT_QUESTIONS = 1000

HEADER = "# Made by models/recipes/reasoner/workload.py: change the recipe, not this file.\n"


def manifest_text(prompt_file: str) -> str:
    """workload.toml: the tables of the package's prompt file below the name."""
    return (
        f"{HEADER}"
        'name = "reasoner"\n'
        'licence = "MIT OR Apache-2.0"\n'
        f"seed = {SEED}\n"
        'recipe = "models/recipes/reasoner"\n'
        'scorer = "exact"\n'
        f"\n[prompt]\n{prompt_file.replace('[sampling]', '[prompt.sampling]')}"
    )


def files() -> dict[str, str]:
    task = load_settings().task
    train = items("train", SEED, TRAIN_QUESTIONS, task)
    held_out = items("held-out", SEED, HELD_OUT_QUESTIONS, task)
    return {
        "workload.toml": manifest_text((PACKAGE / "prompt.toml").read_text(encoding="utf-8")),
        "train.jsonl": "".join(json.dumps(item) + "\n" for item in train),
        "held_out.jsonl": "".join(json.dumps(item) + "\n" for item in held_out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the workload of the reasoning package.")
    parser.add_argument("--out", type=Path, default=WORKLOAD, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
