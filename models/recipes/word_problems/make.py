"""Writes the workload: python models/recipes/word_problems/make.py

Plain Python, no package needed. The same config.toml gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from pathlib import Path
from typing import Any

from problems import Part, draw

RECIPE = Path(__file__).resolve().parent
WORKLOAD = RECIPE.parents[1] / "workloads" / "word-problems"

HEADER = "# Made by models/recipes/word_problems/make.py: change the recipe, not this file.\n"


def load_config() -> dict[str, Any]:
    with open(RECIPE / "config.toml", "rb") as file:
        return tomllib.load(file)


def part_text(config: dict[str, Any], part: Part) -> str:
    """The lines of a part, families mixed, so that the first lines stand for all of them."""
    problems = list(draw(config["seed"], part, config["held_out_percent"], config[part], config["shown"]))
    random.Random(f"{config['seed']} {part} order").shuffle(problems)
    lines = []
    for number, problem in enumerate(problems):
        item = {
            "id": f"{part}-{number}",
            "group": problem.tuple.group(),
            "question": problem.text,
            "answer": str(problem.tuple.answer()),
        }
        lines.append(json.dumps(item) + "\n")
    return "".join(lines)


def manifest_text(config: dict[str, Any]) -> str:
    """workload.toml: the prompt's part of config.toml as it stands there, below the name."""
    text = (RECIPE / "config.toml").read_text(encoding="utf-8")
    prompt = text[text.index("[prompt]") :]
    return (
        f"{HEADER}"
        'name = "word-problems"\n'
        'licence = "MIT OR Apache-2.0"\n'
        f"seed = {config['seed']}\n"
        'recipe = "models/recipes/word_problems"\n'
        'scorer = "numeric"\n'
        f"\n{prompt}"
    )


def files() -> dict[str, str]:
    config = load_config()
    return {
        "workload.toml": manifest_text(config),
        "train.jsonl": part_text(config, "train"),
        "held_out.jsonl": part_text(config, "held_out"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the word-problem workload.")
    parser.add_argument("--out", type=Path, default=WORKLOAD, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
