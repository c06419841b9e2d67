"""Makes statistics.json: what SciPy, statsmodels and NumPy say on fixed cases, for tests/statistics.rs.

pip install "models/recipes[statistics]", then: python targets/ablate/tests/cases/make.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

ALPHA, POWER = 0.05, 0.8


def wilson():
    for successes, trials in [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (431, 1000), (999, 1000)]:
        for level in (0.9, 0.95, 0.99):
            low, high = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
            yield {"successes": successes, "trials": trials, "level": level, "low": low, "high": high}


def exact_mcnemar():
    for gained, lost in [(0, 0), (0, 1), (3, 0), (5, 5), (1, 9), (40, 22), (160, 101), (0, 60)]:
        p = mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
        yield {"gained": gained, "lost": lost, "p": float(min(p, 1.0))}


def holm():
    for p in [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [1.0, 0.02, 0.02, 0.8, 1e-9]]:
        yield {"p": p, "adjusted": multipletests(p, method="holm")[1].tolist()}


def quantile():
    rng = np.random.default_rng(3)
    for values in [[4.0], [1.0, 2.0], rng.lognormal(size=101).tolist()]:
        for q in (0.0, 0.5, 0.95, 1.0):
            yield {"values": values, "q": q, "value": float(np.quantile(values, q))}


def score_statistic(gained, lost, pairs, difference):
    """(observed - assumed) over its standard error at the constrained maximum of the likelihood, found numerically."""
    even = pairs - gained - lost

    def minus_log_likelihood(p_lost):
        p_gained = p_lost + difference
        p_even = 1 - p_lost - p_gained
        return -sum(n * np.log(p) for n, p in ((gained, p_gained), (lost, p_lost), (even, p_even)) if n > 0)

    low, high = max(0.0, -difference), (1 - difference) / 2
    tiny = (high - low) * 1e-13
    p_lost = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low + tiny, high - tiny), method="bounded", options={"xatol": 1e-13}
    ).x
    variance = (2 * p_lost + difference - difference**2) / pairs
    return ((gained - lost) / pairs - difference) / np.sqrt(variance)


def paired_score_interval():
    for gained, lost, pairs in [(3, 8, 50), (0, 1, 20), (1, 0, 20), (12, 12, 300), (90, 140, 1000), (2, 0, 1000)]:
        for tail in (0.05, 0.025):
            z = stats.norm.ppf(1 - tail)
            seen = (gained - lost) / pairs
            low = optimize.brentq(lambda d: score_statistic(gained, lost, pairs, d) - z, -0.999, seen - 1e-9)
            high = optimize.brentq(lambda d: score_statistic(gained, lost, pairs, d) + z, seen + 1e-9, 0.999)
            yield {"gained": gained, "lost": lost, "pairs": pairs, "tail": tail, "low": low, "high": high}


def paired_differences(rng, gained, lost, pairs):
    differences = np.zeros(pairs)
    differences[:gained] = 1
    differences[gained : gained + lost] = -1
    return rng.permutation(differences).tolist()


def design():
    rng = np.random.default_rng(5)
    for gained, lost, pairs, drop in [(30, 38, 400, 0.05), (90, 40, 1000, 0.01), (10, 60, 500, 0.02)]:
        differences = paired_differences(rng, gained, lost, pairs)
        deviation, seen = float(np.std(differences, ddof=1)), float(np.mean(differences))
        needed = normal_sample_size_one_tail(abs(seen + drop), POWER, ALPHA, deviation, deviation)
        z = stats.norm.ppf([1 - ALPHA, POWER]).sum()
        yield {
            "differences": differences,
            "largest_drop": drop,
            "units_needed": float(needed),
            "smallest_drop": float(z * deviation / np.sqrt(pairs)),
        }


def bootstrap():
    rng = np.random.default_rng(7)
    for gained, lost, pairs in [(20, 30, 200), (90, 60, 1000)]:
        differences = paired_differences(rng, gained, lost, pairs)
        result = stats.bootstrap(
            (differences,), np.mean, method="percentile", confidence_level=0.9, n_resamples=200_000, rng=rng, batch=1000
        )
        yield {"differences": differences, **ends(result)}


def grouped_bootstrap():
    """Groups of one to five items, drawn whole: the mean is the total of the drawn over their number."""
    rng = np.random.default_rng(11)
    sizes = rng.integers(1, 6, size=120)
    sums = np.array([rng.binomial(size, rng.beta(2, 2)) for size in sizes])
    result = stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        method="percentile",
        confidence_level=0.9,
        paired=True,
        vectorized=True,
        n_resamples=200_000,
        rng=rng,
        batch=1000,
    )
    yield {"sums": sums.tolist(), "sizes": sizes.tolist(), **ends(result)}


def ends(result):
    interval = result.confidence_interval
    return {"tail": 0.05, "low": float(interval.low), "high": float(interval.high)}


if __name__ == "__main__":
    makers = [wilson, exact_mcnemar, holm, quantile, paired_score_interval, design, bootstrap, grouped_bootstrap]
    cases = {maker.__name__: list(maker()) for maker in makers}
    versions = {module.__name__: module.__version__ for module in (np, scipy, statsmodels)}
    file = Path(__file__).with_name("statistics.json")
    file.write_text(json.dumps({"made_with": versions, **cases}) + "\n")
