"""Figures are counted as the card says."""

import numpy as np
import pytest
from figures import Calibration, Lines, auroc, calibration_error, compared, interval, threshold_for
from responses import Format


def lines(count: int, seed: int) -> Lines:
    """Full is always right; direct is right where its confidence, with some noise, is high."""
    rng = np.random.default_rng(seed)
    confidence = -rng.exponential(1.0, count)
    direct = confidence + rng.normal(0, 0.3, count) > -1.0
    right = np.stack([direct, direct, np.ones(count, bool)], 1)
    tokens = np.tile([8, 28, 80], (count, 1))
    zero = np.zeros(count)
    return Lines(
        id=np.array([f"{i}-sum_all" for i in range(count)]),
        group=np.array([f"{i // 4}" for i in range(count)]),
        kind=np.full(count, "sum_all"),
        new=np.zeros(count, bool),
        right=right,
        tokens=tokens,
        valid=np.ones((count, 3), bool),
        picked=np.where(confidence > -1.0, 0, 2),
        direct_margin=confidence,
        off_grammar=zero,
        stop_margin=zero,
        confidence=confidence,
        least=confidence,
        confidence_perception=zero,
    )


def test_auroc_counts_ties_half() -> None:
    outcome = np.array([True, True, False, False])
    assert auroc(np.array([3.0, 1.0, 1.0, 0.0]), outcome) == pytest.approx(0.875)
    assert auroc(np.array([1.0, 2.0]), np.array([True, True])) is None


def test_a_calibration_finds_the_curve_it_was_drawn_from() -> None:
    rng = np.random.default_rng(3)
    signal = rng.normal(0, 2, 40_000)
    outcome = rng.random(40_000) < 1 / (1 + np.exp(-(1.5 * signal - 0.5)))
    fit = Calibration.fitted(signal, outcome)
    assert (fit.slope, fit.offset) == pytest.approx((1.5, -0.5), abs=0.06)  # three standard errors
    assert calibration_error(fit(signal), outcome) < 0.01


def test_a_separable_signal_still_fits() -> None:
    signal = np.array([-1.0, -0.5, 0.5, 1.0])
    fit = Calibration.fitted(signal, signal > 0)
    assert np.isfinite([fit.slope, fit.offset]).all() and fit.slope > 0


def test_a_cascade_pays_for_the_answer_it_throws_away() -> None:
    some = lines(4, 1)
    _, tokens = some.cascade(np.inf)
    assert tokens.tolist() == [88] * 4
    _, tokens = some.read_out(np.inf)
    assert tokens.tolist() == [80] * 4


def test_an_oracle_takes_the_cheapest_format_that_is_right() -> None:
    of = lines(4, 1)
    of.right[:] = [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    right, tokens = of.oracle()
    assert right.tolist() == [True, True, True, False]
    assert tokens.tolist() == [8, 28, 80, 8]


def test_a_threshold_keeps_what_it_was_asked_to_and_saves() -> None:
    train, held_out = lines(2000, 1), lines(2000, 2)
    strict = threshold_for(train, train.confidence, train.cascade, 0.0)
    loose = threshold_for(train, train.confidence, train.cascade, 0.05)
    assert loose < strict
    right, tokens = held_out.cascade(loose)
    assert right.mean() > 1 - 0.05 - 0.02 and tokens.mean() < 80


def test_where_nothing_may_be_lost_and_all_is_lost_direct_is_never_taken() -> None:
    some = lines(400, 1)
    some.right[:, Format.DIRECT] = False
    assert threshold_for(some, some.confidence, some.cascade, 0.0) == np.inf


def test_intervals_draw_pictures_and_not_questions() -> None:
    values = np.repeat(np.random.default_rng(1).random(50) < 0.5, 4).astype(float)
    alone = interval(values, np.arange(200))
    together = interval(values, np.repeat(np.arange(50), 4))
    assert together["high"] - together["low"] > 1.5 * (alone["high"] - alone["low"])


def test_a_comparison_is_item_by_item_and_of_the_same_items() -> None:
    some = lines(400, 1)
    same = compared(some, some)
    assert same["direct"]["accuracy"]["mean"] == 0 and same["adaptive"]["tokens"]["mean"] == 0
    other = Lines(**{**vars(some), "id": some.id[::-1]})
    with pytest.raises(ValueError, match="different questions"):
        compared(some, other)
