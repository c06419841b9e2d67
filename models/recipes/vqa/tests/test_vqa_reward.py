"""The published reward's vectors, and that no known way around it earns anything."""

import pytest
from responses import Format, Response, read
from reward import (
    INVALID,
    base_reward,
    diversity,
    diversity_weight,
    estimated_tokens,
    length_factor,
    right,
)

PERCEPTION = "<perception>top none 3 8</perception>"
REASONING = "<reasoning>3 + 8 = 11.</reasoning>"


def answer(text: str) -> str:
    return f"<answer>{text}</answer>"


def earned(text: str, truth: str) -> float:
    return base_reward(read(text), text, truth)


@pytest.mark.parametrize(("tokens", "factor"), [(300, 1.0), (301, 0.9967), (520, 0.5769), (1001, 0.3), (5000, 0.3)])
def test_length_factor(tokens: int, factor: float) -> None:
    assert length_factor(tokens) == pytest.approx(factor, abs=1e-4)


@pytest.mark.parametrize(("done", "weight"), [(0, 0.5), (0.25, 0.4268), (0.5, 0.25), (0.75, 0.0732), (0.9, 0.0122), (1, 0)])
def test_diversity_fades_as_a_cosine(done: float, weight: float) -> None:
    assert diversity_weight(done) == pytest.approx(weight, abs=1e-4)


def test_rare_formats_earn_diversity() -> None:
    direct, perception, full = Format
    assert diversity([direct] * 7 + [full], 0.5) == pytest.approx([0.0625] * 7 + [0.4375])
    assert diversity([direct] * 4 + [perception] * 2 + [full] * 2, 0.5) == pytest.approx([0.25] * 4 + [0.375] * 4)
    assert diversity([direct] * 8, 0.5) == [0.0] * 8
    assert diversity([direct] * 7 + [None], 0.5) == [0.0] * 8
    assert diversity([None] * 7 + [direct], 0.5) == [0.0] * 8, "alone it is no variety"


@pytest.mark.parametrize(
    ("before", "won", "lost"),
    [("", 1.5, -0.5), (PERCEPTION, 1.3, -0.2), (PERCEPTION + REASONING, 1.0, 0.0)],
)
def test_what_each_format_earns(before: str, won: float, lost: float) -> None:
    assert earned(before + answer("12"), "12") == pytest.approx(won)
    assert earned(before + answer("dog"), "12") == pytest.approx(lost)


@pytest.mark.parametrize("text", ["no tags", "", REASONING + answer("12"), PERCEPTION, answer("12") + answer("12")])
def test_what_is_no_response_costs_one(text: str) -> None:
    assert earned(text, "12") == INVALID


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        (answer(""), "linoleum"),
        (answer(" "), "linoleum"),
        (answer("e"), "linoleum"),
        (answer("linoleum floor"), "linoleum"),
        (answer("1"), "12"),
        (answer("12"), "1"),
        (answer("yes no"), "no"),
        (answer("A B C D"), "C"),
        (answer("it is a dog"), "A"),
        ("word " * 200 + answer("12"), "12"),
        (answer("12") + " and so on", "12"),
        (answer("12") + REASONING + PERCEPTION, "12"),
        (REASONING + PERCEPTION + answer("12"), "12"),
        (f"<perception>{answer('12')}</perception>{answer('12')}", "12"),
        (f"<perception></perception>{answer('12')}", "12"),
        ("<ANSWER>12</ANSWER>", "12"),
    ],
)
def test_no_known_exploit_earns_anything(text: str, truth: str) -> None:
    assert earned(text, truth) <= 0


def test_a_long_wrong_answer_costs_as_much_as_a_short_one() -> None:
    text = answer("w " * 1000)
    assert estimated_tokens(text) > 1000
    assert earned(text, "q") == pytest.approx(-0.5)


def test_a_long_right_answer_earns_less() -> None:
    text = f"<perception>{'w ' * 400}</perception>{answer('12')}"
    assert earned(text, "12") == pytest.approx(1.3 * 300 / estimated_tokens(text))


@pytest.mark.parametrize("given", ["12", " 12. ", "12.0", "The 12"])
def test_right_is_the_same_text_or_number(given: str) -> None:
    assert right(given, "12")


def test_white_space_between_sections_is_no_text() -> None:
    text = f"\n{PERCEPTION}\n\n{REASONING}\n{answer(' 12 ')}\n"
    assert read(text) == Response(Format.FULL, "12")
