"""Paths are read and counted as the card says."""

import random

import numpy as np
from decode import choose
from evaluate import read_path, same_function, vote
from probe import kept_accuracy, within_question_auroc
from settings import load_settings
from task import Question, Rule, chain_text
from tokenizer import build_tokenizer

QUESTION = Question(Rule("times-plus", 8, 5), (9, 12), (6, 5, 11))
TOKENIZER = build_tokenizer(load_settings().task)


def read(guess: Rule, write_verdict: bool):
    chain = chain_text(random.Random(8), QUESTION, guess, write_verdict)
    return read_path(chain, [piece.replace("Ġ", " ") for piece in TOKENIZER.encode(chain).tokens]), chain


def test_a_path_is_read_back() -> None:
    reading, chain = read(QUESTION.rule, write_verdict=True)
    assert (reading.answer, reading.rule, reading.verdict) == (QUESTION.answer(), QUESTION.rule, True)
    upto = TOKENIZER.encode(chain).ids[: reading.check_tokens]
    assert TOKENIZER.decode(upto).endswith("want 101 ok")


def test_the_check_ends_at_one_place_with_or_without_a_verdict() -> None:
    written, _ = read(QUESTION.rule, write_verdict=True)
    silent, _ = read(QUESTION.rule, write_verdict=False)
    assert silent.verdict is None
    assert silent.check_tokens == written.check_tokens


def test_another_writing_of_the_same_machine_is_the_right_rule() -> None:
    question = Question(Rule("plus-times", 3, 1), (4, 7), (1, 2))
    assert same_function(Rule("times-plus", 3, 3), question)
    assert not same_function(Rule("times-plus", 3, 4), question)
    assert not same_function(None, question)


def test_vote_counts_answers_and_breaks_ties_by_lowest_path() -> None:
    assert vote(["1", "2", "2", None]) == "2"
    assert vote(["2", "1", None, None]) == "2"
    assert vote([None, None]) is None


def test_auroc_counts_ties_half_and_skips_settled_questions() -> None:
    score = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5.0, 6.0, 7.0]])
    right = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert within_question_auroc(score, right) == 0.75
    assert kept_accuracy(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), np.array([[1.0, 0.0, 0.0, 0.0, 0.0]])) == 0.0


def test_sampling_follows_the_distribution_above_min_p() -> None:
    logits = np.log(np.tile([[0.5, 0.3, 0.19, 0.01]], (20_000, 1))).astype(np.float32)
    rng = np.random.default_rng(9)
    chosen, log_probs = choose(logits, 1.0, 0.1, rng)
    shares = np.bincount(chosen, minlength=4) / len(chosen)
    assert np.allclose(shares, np.array([0.5, 0.3, 0.19, 0]) / 0.99, atol=0.015)
    assert np.allclose(np.exp(log_probs), np.array([0.5, 0.3, 0.19, 0.01])[chosen], atol=1e-5)
    assert choose(logits, 0.0, 0.0, rng)[0].max() == 0
