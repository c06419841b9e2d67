"""Measures an exported package on held-out questions and keeps the sampled paths for the probe."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from decode import Decoder, Paths, Sampling
from settings import Settings, replacing
from task import ANSWER_PATTERN, BAD, OK, Question, Rule, held_out_questions
from tokenizer import read_tokenizer, render

EVALUATION_SEED = 1
BOOTSTRAP_DRAWS = 1000
RULE_TEXTS = {
    "times-plus": re.compile(r"times (\d+) plus (\d+)"),
    "times-minus": re.compile(r"times (\d+) minus (\d+)"),
    "plus-times": re.compile(r"plus (\d+) times (\d+)"),
}


@dataclass(frozen=True)
class Reading:
    """What one path says."""

    answer: str | None
    rule: Rule | None  # the one it commits to in its first line
    verdict: bool | None  # None where it wrote none
    check_tokens: int | None  # tokens up to and with the verdict, or the place where one would stand


def read_path(text: str, pieces: list[str]) -> Reading:
    found = re.search(ANSWER_PATTERN, text)
    lines = text.split("\n")
    check = lines[1] if len(lines) > 1 else ""
    verdict = True if check.endswith(OK) else False if check.endswith(BAD) else None
    check_tokens = pieces.index(" want") + 3 if " want" in pieces else None
    return Reading(found[1].strip() if found else None, read_rule(lines[0]), verdict, check_tokens)


def read_rule(line: str) -> Rule | None:
    for operation, pattern in RULE_TEXTS.items():
        if found := pattern.search(line):
            first, second = int(found[1]), int(found[2])
            a, b = (second, first) if operation == "plus-times" else (first, second)
            return Rule(operation, a, b)
    return None


def same_function(rule: Rule | None, question: Question) -> bool:
    return rule is not None and all(rule(x) == question.rule(x) for x in question.examples)


def encode_prompts(tokenizer: Tokenizer, questions: list[Question]) -> np.ndarray:
    """[questions, length] int64; every full question has the same number of tokens."""
    texts = [render([("user", question.text())], add_generation_prompt=True) for question in questions]
    return np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int64)


def sample(folder: Path, settings: Settings, questions: list[Question], paths: int, greedy: bool = False) -> Paths:
    tokenizer = read_tokenizer(folder)
    decoder = Decoder(folder, settings.train.threads)
    prompts = encode_prompts(tokenizer, questions)
    chunk = max(1, settings.evaluate.rows // paths)
    parts = []
    wanted = settings.sampling
    sampling = Sampling(0.0 if greedy else wanted["temperature"], wanted["min_p"], int(wanted["max_tokens"]))
    name = f"{folder.name} {'greedy' if greedy else f'{paths} paths'}"
    for start in tqdm(range(0, len(prompts), chunk), desc=name, mininterval=1):
        seed = EVALUATION_SEED * 1_000_000 + start
        parts.append(decoder.decode(prompts[start : start + chunk], paths, sampling, seed))
    return Paths(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("tokens", "log_probs", "lengths")))


def read_paths(tokenizer: Tokenizer, paths: Paths) -> list[Reading]:
    readings = []
    for tokens, length in zip(paths.tokens, paths.lengths, strict=True):
        ids = tokens[:length].tolist()
        pieces = [piece.replace("Ġ", " ") for piece in map(tokenizer.id_to_token, ids)]
        readings.append(read_path(tokenizer.decode(ids), pieces))
    return readings


def vote(answers: list[str | None]) -> str | None:
    """The most frequent answer; among equals the one given by the lowest path."""
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts, key=lambda answer: counts[answer]) if counts else None


def evaluate(folder: Path, settings: Settings, width: int, keep: Path | None = None) -> dict[str, Any]:
    """Figures for one package from `width` paths a question. With `keep`, the paths are written there as .npz."""
    count = settings.evaluate.questions
    questions = list(held_out_questions(EVALUATION_SEED, count, settings.task))
    tokenizer = read_tokenizer(folder)
    greedy = read_paths(tokenizer, sample(folder, settings, questions, 1, greedy=True))
    paths = sample(folder, settings, questions, width)
    readings = read_paths(tokenizer, paths)

    owners = [question for question in questions for _ in range(width)]
    answers = [reading.answer for reading in readings]
    right = np.array([a == q.answer() for a, q in zip(answers, owners, strict=True)]).reshape(count, width)
    rule_right = np.array([same_function(r.rule, q) for r, q in zip(readings, owners, strict=True)])
    passes = np.array([check_passes(r.rule, q) for r, q in zip(readings, owners, strict=True)])
    written = np.array([r.verdict is not None for r in readings])
    truthful = np.array([r.verdict == p for r, p in zip(readings, passes, strict=True)])
    lengths = paths.lengths.astype(float)
    check_tokens = np.array([np.nan if r.check_tokens is None else r.check_tokens for r in readings])
    if keep:
        with replacing(keep) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, tokens=paths.tokens, log_probs=paths.log_probs, lengths=lengths, right=right)

    def voted(paths_used: int) -> np.ndarray:
        rows = [answers[q * width : q * width + paths_used] for q in range(count)]
        return np.array([vote(row) == q.answer() for row, q in zip(rows, questions, strict=True)])

    shares = {"single": right.mean(axis=1), "greedy": np.array([
        r.answer == q.answer() for r, q in zip(greedy, questions, strict=True)
    ])}
    shares |= {f"vote_of_{n}": voted(n) for n in (4, 16, 64) if n <= width}
    shares |= {"any_of_all": right.any(axis=1), "some_but_not_all": right.any(axis=1) & ~right.all(axis=1)}
    return {
        "questions": count,
        "paths": width,
        "temperature": settings.sampling["temperature"],
        "min_p": settings.sampling["min_p"],
        "accuracy": {name: with_interval(values.astype(float)) for name, values in shares.items()},
        "committed_to_right_rule": mean(rule_right),
        "right_given_right_rule": mean(right.reshape(-1)[rule_right]),
        "right_given_wrong_rule": mean(right.reshape(-1)[~rule_right]),
        "wrong_rule_that_passes_check": mean(passes[~rule_right]),
        "chain_tokens": mean(lengths),
        "check_done_at_token": mean(check_tokens),
        "check_done_at_share": mean(check_tokens / lengths),
        "verdict_written": mean(written),
        "written_verdict_true": mean(truthful[written]),
        "paths_without_answer": mean(np.array([answer is None for answer in answers])),
    }


def check_passes(rule: Rule | None, question: Question) -> bool:
    second = question.examples[1]
    return rule is not None and rule(second) == question.rule(second)


def mean(values: np.ndarray) -> float | None:
    """None, and so absent from the card, where there is nothing to take the mean of."""
    values = values[~np.isnan(values.astype(float))]
    return round(float(values.mean()), 4) if values.size else None


def with_interval(per_question: np.ndarray) -> dict[str, float]:
    """Mean over questions with a 95 % bootstrap interval."""
    rng = np.random.default_rng(EVALUATION_SEED)
    draws = rng.integers(0, len(per_question), (BOOTSTRAP_DRAWS, len(per_question)))
    low, high = np.quantile(per_question[draws].mean(axis=1), (0.025, 0.975))
    return {"mean": round(float(per_question.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
