"""The task tells the truth, and its parts share nothing."""

import random
import re

import pytest
from settings import load_settings
from task import (
    ANSWER_PATTERN,
    BAD,
    LARGEST_NUMBER,
    OK,
    Question,
    Rule,
    chain_text,
    draw_chain,
    draw_graded_check,
    draw_question,
    held_out_questions,
    near_miss,
    part_of,
)

CONFIG = load_settings().task
EXAMPLE = Question(Rule("times-plus", 8, 5), (9, 12), (6, 5, 11))


def equations(text: str) -> list[tuple[int, str, int, int]]:
    found = re.findall(r"(\d+) ([*+-]) (\d+) = (\d+)", text)
    return [(int(left), op, int(right), int(result)) for left, op, right, result in found]


def test_question_reads_as_documented() -> None:
    assert EXAMPLE.text() == "A machine turns 9 into 77 and 12 into 101. It is fed 6, 5, 11. What comes out?"
    assert EXAMPLE.answer() == "53, 45, 93"


def test_every_equation_of_every_chain_holds() -> None:
    rng = random.Random(1)
    for _ in range(300):
        chain = draw_chain(rng, draw_question(rng, CONFIG, "train"), CONFIG, 0.3, 0.7)
        for left, op, right, result in equations(chain):
            assert {"*": left * right, "+": left + right, "-": left - right}[op] == result
        assert all(int(n) <= LARGEST_NUMBER for n in re.findall(r"\d+", chain))


def test_a_right_guess_ends_in_the_answer_and_a_near_miss_does_not() -> None:
    rng = random.Random(2)
    for _ in range(200):
        question = draw_question(rng, CONFIG, "train")
        good = chain_text(rng, question, question.rule, write_verdict=True)
        assert re.search(ANSWER_PATTERN, good)[1] == question.answer()
        assert good.split("\n")[1].endswith(OK)
        wrong = near_miss(rng, question, CONFIG)
        if wrong is not None:
            bad = chain_text(rng, question, wrong, write_verdict=True)
            assert re.search(ANSWER_PATTERN, bad)[1] != question.answer()
            assert bad.split("\n")[1].endswith(BAD)


def test_graded_checks_are_graded_right() -> None:
    rng = random.Random(3)
    verdicts = []
    for _ in range(300):
        line = draw_graded_check(rng, CONFIG)
        result, want, verdict = re.search(r"= (\d+), want (\d+) (\w+)\n$", line).groups()
        assert (verdict == "ok") == (result == want)
        verdicts.append(verdict)
    assert 0.4 < verdicts.count("ok") / len(verdicts) < 0.6


def test_parts_share_no_group() -> None:
    rng = random.Random(4)
    trained = {draw_question(rng, CONFIG, "train").group() for _ in range(5000)}
    held_out = [question.group() for question in held_out_questions(1, 300, CONFIG)]
    assert len(set(held_out)) == len(held_out)
    assert trained.isdisjoint(held_out)
    assert all(part_of(group, CONFIG) == "held-out" for group in held_out)


def test_group_is_what_the_question_shows() -> None:
    machine = Question(Rule("plus-times", 3, 1), (4, 7), (1, 2))
    same = Question(Rule("times-plus", 3, 3), (7, 4), (9, 8))
    other_inputs = Question(Rule("times-plus", 3, 3), (7, 5), (9, 8))
    assert machine.group() == same.group() != other_inputs.group()


def test_questions_are_seeded() -> None:
    first, again, other = ([q.text() for q in held_out_questions(seed, 5, CONFIG)] for seed in (1, 1, 2))
    assert first == again != other


def test_asking_for_more_groups_than_there_are_is_an_error() -> None:
    small = type(CONFIG)(2, 1, 1, 15)
    with pytest.raises(ValueError, match="fewer than"):
        list(held_out_questions(1, 200, small))
