"""The committed workload is what the recipe makes, asks as the package does, and its parts share no group."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from settings import PACKAGE, RECIPE, load_settings
from task import part_of

COMMITTED = PACKAGE.parents[1] / "workloads" / "reasoner"


def lines(name: str) -> list[str]:
    return (COMMITTED / name).read_text(encoding="utf-8").splitlines()


def test_the_committed_files_are_what_the_recipe_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, RECIPE / "workload.py", "--out", tmp_path], check=True)
    for name in ("workload.toml", "train.jsonl", "held_out.jsonl"):
        assert (COMMITTED / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_held_out_part_is_what_the_task_writes() -> None:
    command = [sys.executable, RECIPE / "task.py", "--part", "held-out", "--count", "1000", "--seed", "1"]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert written.splitlines() == lines("held_out.jsonl")


def test_it_asks_as_the_package_does() -> None:
    manifest = tomllib.loads((COMMITTED / "workload.toml").read_text(encoding="utf-8"))
    assert manifest["prompt"] == tomllib.loads((PACKAGE / "prompt.toml").read_text(encoding="utf-8"))


def test_one_question_a_group_and_every_group_in_its_part() -> None:
    task = load_settings().task
    seen: set[str] = set()
    for name, part, count in (("train.jsonl", "train", 1500), ("held_out.jsonl", "held-out", 1000)):
        groups = [json.loads(line)["group"] for line in lines(name)]
        assert len(groups) == count
        assert {part_of(group, task) for group in groups} == {part}
        assert len(set(groups)) == count and not seen & set(groups)
        seen |= set(groups)


def test_both_files_together_are_small() -> None:
    assert sum(file.stat().st_size for file in COMMITTED.iterdir()) <= 1_000_000
