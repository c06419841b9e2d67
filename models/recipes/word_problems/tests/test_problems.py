"""The problems say what their tuples say, the parts share none, and the committed files are what the recipe makes."""

import json
import random
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from problems import FAMILIES, Tuple, draw, part_of, tuples

RECIPE = Path(__file__).resolve().parents[1]
COMMITTED = RECIPE.parents[1] / "workloads" / "word-problems"
CONFIG = tomllib.loads((RECIPE / "config.toml").read_text(encoding="utf-8"))
PARTS = ("train", "held_out")


def items(part: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (COMMITTED / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]


def numbers(text: str) -> list[int]:
    return sorted(map(int, re.findall(r"\d+", text)))


def test_the_committed_files_are_what_the_recipe_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, RECIPE / "make.py", "--out", tmp_path], check=True)
    for name in ("workload.toml", "train.jsonl", "held_out.jsonl"):
        assert (COMMITTED / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize("part", PARTS)
def test_question_answer_and_group_agree(part: str) -> None:
    for item in items(part):
        assert re.fullmatch(r"\d+([+*-]\d+)+", item["group"]), item
        assert eval(item["group"]) == int(item["answer"]) > 0, item
        assert numbers(item["question"]) == numbers(item["group"]), item


@pytest.mark.parametrize("family", FAMILIES)
def test_operands_that_may_change_places_make_no_new_tuple(family: str) -> None:
    groups = [t.group() for t in tuples(family)]
    assert len(groups) == len(set(groups))
    for group in groups:
        commuting = [list(map(int, product.split("*"))) for product in group.split("+") if "-" not in product]
        assert all(factors == sorted(factors) for factors in commuting), group
        if "*" not in group:
            assert sum(commuting, []) == sorted(sum(commuting, [])), group


def test_no_tuple_stands_in_both_parts_and_the_prompts_own_in_neither() -> None:
    train, held_out = ({item["group"] for item in items(part)} for part in PARTS)
    assert not train & held_out
    assert not (train | held_out) & set(CONFIG["shown"])


def test_shown_are_the_tuples_of_the_prompts_examples() -> None:
    asked = [numbers(turn["user"]) for turn in CONFIG["prompt"]["turns"]]
    assert sorted(asked) == sorted(numbers(group) for group in CONFIG["shown"])


def test_several_hundred_tuples_and_every_one_used_about_as_often() -> None:
    groups = [item["group"] for part in PARTS for item in items(part)]
    assert len(set(groups)) > 500
    for part in PARTS:
        for family in FAMILIES:
            drawn = [p.tuple for p in draw(CONFIG["seed"], part, 35, CONFIG[part], CONFIG["shown"]) if p.tuple.family == family]
            uses = [drawn.count(t) for t in set(drawn)]
            assert max(uses) - min(uses) <= 1, (part, family)


def test_a_part_has_no_question_twice_and_as_many_as_asked_for() -> None:
    for part in PARTS:
        questions = [item["question"] for item in items(part)]
        assert len(questions) == len(set(questions)) == sum(CONFIG[part][family] for family in FAMILIES)


def test_a_part_does_not_depend_on_what_was_drawn_before() -> None:
    assert {part_of(Tuple("add", (3, 4)), 35) for _ in range(3)} == {part_of(Tuple("add", (3, 4)), 35)}
    chosen = Tuple("mul-sub", (3, 6, 4))
    assert chosen.question(random.Random(1)) == chosen.question(random.Random(1))
    assert (chosen.group(), chosen.answer()) == ("3*6-4", 14)


def test_both_files_together_are_small() -> None:
    assert sum(file.stat().st_size for file in COMMITTED.iterdir()) <= 1_000_000
