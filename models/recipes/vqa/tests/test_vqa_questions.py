"""Questions are answered by their own reasoning, and nothing held out is ever drawn to train on."""

import json
import random
import re
from collections import Counter

import pytest
from configuration import PACKAGE, WORKLOAD
from glyphs import glyphs
from pictures import PICTURES, QUESTIONS, asked, items, kind_of, texts
from questions import COMPOUND, KINDS, draw_question
from responses import Format, read, written
from scenes import PLACES, Sheet, Thing, draw_sheet, layout_part

SHEET: Sheet = (
    Thing(0, "red", "star", 7),
    Thing(4, "red", "circle", 2),
    Thing(5, "blue", "star", 9),
    Thing(8, "red", "square", 2),
)


def questions(kind: str) -> list:
    rng = random.Random(f"questions {kind}")
    drawn = (draw_question(rng, SHEET, kind) for _ in range(200))
    return [question for question in drawn if question is not None]


ANSWERS = {
    "digit_at": {"7", "2", "9"},
    "color_at": {"red", "blue"},
    "shape_at": {"star", "circle", "square"},
    "exists": {"yes", "no"},
    "count_color": {"3", "1", "0"},
    "count_shape": {"2", "1", "0"},
    "largest": {"9"},
    "common_color": {"red"},
    "where": {"top left", "middle right"},  # two red twos: these are not asked for
    "sum_color": {"11", "9", "0"},
    "sum_all": {"20"},
    "range": {"7"},
    "count_above": {"2", "1"},
    "diff_shapes": {"14", "minus 14", "0"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_answers_of_a_sheet(kind: str) -> None:
    found = {question.answer for question in questions(kind)}
    assert found == ANSWERS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_reasoning_ends_in_the_answer_and_its_sums_are_right(kind: str) -> None:
    for question in questions(kind):
        assert question.reasoning.endswith(f" {question.answer}.")
        for left, sign, right, result in re.findall(r"(\d+) ([+-]) (\d+) = (minus \d+|\d+)", question.reasoning):
            value = int(left) + int(right) if sign == "+" else int(left) - int(right)
            assert result.replace("minus ", "-") == str(value), question.reasoning


def test_the_perception_scans_nine_cells_row_by_row() -> None:
    [question, *_] = questions("sum_all")
    assert question.perception == "top 7 none none; middle none 2 9; bottom none none 2"


@pytest.mark.parametrize("form", Format)
def test_what_is_written_is_read_back(form: Format) -> None:
    for kind in KINDS:
        question = questions(kind)[0]
        response = read(written(question, form))
        assert response is not None and (response.form, response.answer) == (form, question.answer)


def test_training_never_draws_what_is_held_out() -> None:
    rng = random.Random(5)
    for _ in range(300):
        sheet = draw_sheet(rng, "train")
        assert layout_part(sheet) == "train"
        for kind in COMPOUND:
            question = draw_question(rng, sheet, kind, "train")
            assert question is None or question.arguments_part == "train"


def test_handwritings_are_three_parts() -> None:
    parts = [{glyph for ids in glyphs().of[hand] for glyph in ids} for hand in ("train", "calibration", "held-out")]
    assert [len(part) for part in parts] == [1500, 97, 200]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert all(all(ids for ids in glyphs().of[hand]) for hand in glyphs().of), "every digit is in every part"


def test_the_committed_texts_are_what_the_recipe_makes() -> None:
    for name, text in texts().items():
        assert (WORKLOAD / name).read_text(encoding="utf-8") == text, name


def test_the_workload_asks_of_pictures_that_are_there() -> None:
    size = sum(file.stat().st_size for file in WORKLOAD.rglob("*") if file.is_file())
    assert size <= 4_000_000
    for part in PICTURES:
        lines = list(items(part))
        assert len(lines) == PICTURES[part] * QUESTIONS[part]
        assert len({line["id"] for line in lines}) == len(lines)
        assert all((WORKLOAD / line["image"]).is_file() for line in lines)
        assert Counter(line["group"] for line in lines).most_common()[-1][1] == QUESTIONS[part]


def test_the_held_out_part_is_of_held_out_layouts_and_asks_new_combinations() -> None:
    sheets = list(asked("held-out"))
    assert {layout_part(sheet.sheet) for sheet in sheets} == {"held-out"}
    compound = [q for sheet in sheets for q in sheet.questions if q.kind in COMPOUND]
    share = sum(q.arguments_part == "held-out" for q in compound) / len(compound)
    assert 0.3 < share < 0.6
    for line in items("held-out"):
        kind, new = kind_of(line["id"])
        assert kind in KINDS and (not new or kind in COMPOUND)


def test_the_prompt_file_names_the_answer() -> None:
    pattern = re.search(r"answer_pattern = '(.*)'", (PACKAGE / "prompt.toml").read_text(encoding="utf-8"))
    assert pattern is not None
    found = re.search(pattern[1], written(questions("where")[0], Format.FULL))
    assert found is not None and found[1] in PLACES
    assert json.loads((WORKLOAD / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])["answer"]
