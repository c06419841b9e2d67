"""Every number of the card, from the lines that `judge.py` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from questions import KINDS, TIER_OF, TIERS
from responses import Format

Array = np.ndarray

BOOTSTRAP_DRAWS = 2000
DROPS = (0.0, 0.01, 0.02)  # of accuracy against always-full, that a cascade is fitted to
FEWEST_ACCEPTED = 30  # questions under a threshold's share before it is believed
BINS = 10  # of the calibration error


@dataclass(frozen=True)
class Lines:
    """The lines of one run as columns, in the order of the workload."""

    id: Array
    group: Array
    kind: Array
    new: Array
    right: Array  # [questions, formats]
    tokens: Array
    valid: Array
    picked: Array
    direct_margin: Array
    off_grammar: Array
    stop_margin: Array
    confidence: Array
    least: Array
    confidence_perception: Array

    @classmethod
    def read(cls, path: Path) -> Lines:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows.sort(key=lambda row: row["id"])
        return cls(**{field.name: np.array([row[field.name] for row in rows]) for field in fields(cls)})

    def of(self, form: Format) -> tuple[Array, Array]:
        """Right and tokens of always answering in one format."""
        return self.right[:, form], self.tokens[:, form].astype(float)

    def adaptive(self) -> tuple[Array, Array]:
        """In the format that the model itself picks."""
        every = np.arange(len(self.picked))
        return self.right[every, self.picked], self.tokens[every, self.picked].astype(float)

    def read_out(self, threshold: float) -> tuple[Array, Array]:
        """Direct where its margin reaches `threshold`, else full."""
        accepted = self.direct_margin >= threshold
        return self.either(accepted, waste=False)

    def cascade(self, threshold: float) -> tuple[Array, Array]:
        """Direct first; where the answer is less sure than `threshold`, the prompt is answered again in full."""
        return self.either(self.confidence >= threshold, waste=True)

    def oracle(self) -> tuple[Array, Array]:
        """In the cheapest format that is right, where one is; else in the cheapest."""
        cheapest = np.argmin(np.where(self.right, self.tokens, np.inf), axis=1)
        cheapest = np.where(self.right.any(axis=1), cheapest, self.tokens.argmin(axis=1))
        every = np.arange(len(cheapest))
        return self.right[every, cheapest], self.tokens[every, cheapest].astype(float)

    def either(self, accepted: Array, waste: bool) -> tuple[Array, Array]:
        (direct, short), (full, long) = self.of(Format.DIRECT), self.of(Format.FULL)
        return np.where(accepted, direct, full), np.where(accepted, short, long + (short if waste else 0))


@dataclass(frozen=True)
class Calibration:
    """P(the direct answer is right) = 1 / (1 + e^-(slope · signal + offset))."""

    slope: float
    offset: float

    def __call__(self, signal: Array) -> Array:
        return 1 / (1 + np.exp(-(self.slope * signal + self.offset)))

    @classmethod
    def fitted(cls, signal: Array, outcome: Array) -> Calibration:
        """Logistic regression by Newton's method; targets as in J. Platt (1999), so that it always converges."""
        positive = outcome.sum()
        targets = np.where(outcome, (positive + 1) / (positive + 2), 1 / (len(outcome) - positive + 2))
        design = np.stack([signal, np.ones_like(signal)], 1)
        weights = np.zeros(2)
        for _ in range(50):
            share = 1 / (1 + np.exp(-design @ weights))
            gradient = design.T @ (targets - share)
            curvature = design.T @ (design * (share * (1 - share))[:, None]) + 1e-9 * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            weights = weights + step
            if np.abs(step).max() < 1e-9:
                break
        return cls(float(weights[0]), float(weights[1]))


def auroc(signal: Array, outcome: Array) -> float | None:
    """Ties count half; None where all outcomes are the same."""
    wins, losses = signal[outcome], signal[~outcome]
    if not len(wins) or not len(losses):
        return None
    order = np.sort(losses)
    below, upto = np.searchsorted(order, wins, "left"), np.searchsorted(order, wins, "right")
    return float((below + upto).sum() / 2 / (len(wins) * len(losses)))


def calibration_error(share: Array, outcome: Array) -> float:
    """Expected calibration error over bins of equal count."""
    order = np.argsort(share, kind="stable")
    parts = np.array_split(order, BINS)
    return float(sum(len(p) * abs(share[p].mean() - outcome[p].mean()) for p in parts if len(p)) / len(share))


def resampled(groups: Array, draws: int = BOOTSTRAP_DRAWS) -> Array:
    """[draws, groups] int64: how often each group is in each sample of as many groups."""
    _, number = np.unique(groups, return_inverse=True)
    count = number.max() + 1
    rng = np.random.default_rng(1)
    return np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(draws)])


def interval(values: Array, groups: Array) -> dict[str, float]:
    """Mean with its 95 % interval, and its one-sided 95 % lower end; pictures are drawn, with all their questions."""
    _, number = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(number, values.astype(float)), np.bincount(number)
    counts = resampled(groups)
    means = (counts @ sums) / (counts @ sizes)
    low, least, high = np.quantile(means, (0.025, 0.05, 0.975))
    ends = {"low": low, "high": high, "one_sided_low": least}
    return {"mean": round(float(values.mean()), 4)} | {name: round(float(value), 4) for name, value in ends.items()}


def threshold_for(
    lines: Lines, signal: Array, answered: Callable[[float], tuple[Array, Array]], drop: float
) -> float:
    """The one that saves most, of those that keep accuracy within `drop` of always-full on these lines."""
    wanted = lines.of(Format.FULL)[0].mean() - drop
    candidates = [np.inf, *np.unique(signal)[:: max(1, len(np.unique(signal)) // 400)][::-1]]
    best, fewest = np.inf, np.inf
    for threshold in candidates:
        right, tokens = answered(float(threshold))
        accepted = int((signal >= threshold).sum())
        if 0 < accepted < FEWEST_ACCEPTED:
            continue
        if right.mean() >= wanted and tokens.mean() < fewest:
            best, fewest = float(threshold), float(tokens.mean())
    return best


def against_full(lines: Lines, answered: tuple[Array, Array]) -> dict[str, Any]:
    right, tokens = answered
    full, long = lines.of(Format.FULL)
    return {
        "accuracy": interval(right, lines.group),
        "tokens": round(float(tokens.mean()), 2),
        "saved": round(1 - float(tokens.mean() / long.mean()), 4),
        "difference": interval(right.astype(float) - full, lines.group),
        "by_tier": {
            tier: {
                "accuracy": round(float(right[of].mean()), 4),
                "tokens": round(float(tokens[of].mean()), 2),
            }
            for tier in TIERS
            if (of := tier_of(lines) == tier).any()
        },
    }


def tier_of(lines: Lines) -> Array:
    return np.array([TIER_OF[kind] for kind in lines.kind])


def measured(held_out: Lines, train: Lines) -> dict[str, Any]:
    """Of one package. Thresholds and calibrations are fitted on `train` alone."""
    direct = held_out.of(Format.DIRECT)[0]
    direct_train = train.of(Format.DIRECT)[0]
    arms: dict[str, Any] = {
        form.name.lower(): against_full(held_out, held_out.of(form)) for form in Format
    }
    arms["adaptive"] = against_full(held_out, held_out.adaptive())
    for drop in DROPS:
        name = f"{drop * 100:.0f}"
        threshold = threshold_for(train, train.direct_margin, train.read_out, drop)
        arms[f"read_out_{name}"] = against_full(held_out, held_out.read_out(threshold)) | {"threshold": finite(threshold)}
        threshold = threshold_for(train, train.confidence, train.cascade, drop)
        arms[f"cascade_{name}"] = against_full(held_out, held_out.cascade(threshold)) | {"threshold": finite(threshold)}
    signals = {}
    for name in ("direct_margin", "confidence", "least"):
        signal = getattr(held_out, name)
        fit = Calibration.fitted(getattr(train, name), direct_train)
        share = fit(signal)
        signals[name] = {
            "auroc": auroc(signal, direct),
            "auroc_by_tier": {t: auroc(signal[of], direct[of]) for t in TIERS if (of := tier_of(held_out) == t).any()},
            "slope": fit.slope,
            "offset": fit.offset,
            "calibration_error": calibration_error(share, direct),
            "brier": float(((share - direct) ** 2).mean()),
        }
    tiers = tier_of(held_out)
    compound = held_out.new | np.isin(held_out.kind, ("exists", "where", "count_above", "diff_shapes"))
    return {
        "questions": len(held_out.id),
        "pictures": len(np.unique(held_out.group)),
        "calibration_questions": len(train.id),
        "arms": arms,
        "shares": {
            tier: [round(float((held_out.picked[of] == form).mean()), 4) for form in Format]
            for tier, of in [("all", np.ones(len(tiers), bool)), *((t, tiers == t) for t in TIERS)]
        },
        "kinds": {
            kind: [round(float(held_out.right[of, form].mean()), 4) for form in Format] + [int(of.sum())]
            for kind in KINDS
            if (of := held_out.kind == kind).any()
        },
        "arguments": {
            name: [round(float(held_out.right[of, form].mean()), 4) for form in Format] + [int(of.sum())]
            for name, of in (("seen", compound & ~held_out.new), ("new", held_out.new))
            if of.any()
        },
        "signals": signals,
        "off_grammar": {"mean": float(held_out.off_grammar.mean()), "most": float(held_out.off_grammar.max())},
        "valid": [round(float(held_out.valid[:, form].mean()), 4) for form in Format],
        "oracle": against_full(held_out, held_out.oracle()),
        "right_in_some_format": round(float(held_out.right.any(axis=1).mean()), 4),
        "curve": curve(held_out),
    }


def alone(lines: Lines) -> dict[str, float]:
    """Accuracy in every format and adaptive, and the tokens of the latter."""
    right, tokens = lines.adaptive()
    shares = {form.name.lower(): float(lines.of(form)[0].mean()) for form in Format} | {"adaptive": float(right.mean())}
    return {name: round(share, 4) for name, share in shares.items()} | {"tokens": round(float(tokens.mean()), 2)}


def curve(lines: Lines) -> list[dict[str, float]]:
    """Accuracy against tokens when the surest share of questions is answered direct, by the answer's confidence."""
    points = []
    for share in np.linspace(0, 1, 21):
        threshold = np.inf if share == 0 else np.quantile(lines.confidence, 1 - share)
        right, tokens = lines.cascade(float(threshold))
        points.append({
            "direct": round(float(share), 2),
            "accuracy": round(float(right.mean()), 4),
            "tokens": round(float(tokens.mean()), 2),
        })  # fmt: skip
    return points


def finite(value: float) -> float | None:
    return None if np.isinf(value) else value


def compared(before: Lines, after: Lines) -> dict[str, Any]:
    """Item by item, `after` minus `before`, in every format and adaptive."""
    if (before.id != after.id).any():
        raise ValueError("the two runs asked different questions")
    arms = {form.name.lower(): (before.of(form), after.of(form)) for form in Format}
    arms["adaptive"] = (before.adaptive(), after.adaptive())
    return {
        name: {
            "accuracy": interval(new[0].astype(float) - old[0], before.group),
            "tokens": interval(new[1] - old[1], before.group),
        }
        for name, (old, new) in arms.items()
    }
