"""Does the KV cache of a path tell, early on, whether its answer will be right?

The recipe's own check that the model suits a KV stop head; the head that ships is trained elsewhere. For several prefix
lengths a small network learns from the outcome of sampled paths, on some held-out questions, and ranks the paths of
others. Its inputs are means of the cached values (over the whole prefix and over its last positions), or one of the
controls that never look at the cache: a bag of the prefix's tokens, its pairs of neighbouring tokens, or its
log-probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from decode import Decoder
from evaluate import EVALUATION_SEED, encode_prompts
from settings import Settings
from task import held_out_questions
from tokenizer import read_tokenizer

PREFIX_LENGTHS = (8, 16, 24, 26, 28, 29, 32)
LAST_POSITIONS = 8
TRAIN_SHARE = 0.6  # of the questions; the rest is ranked
PAIR_BUCKETS = 2048
HIDDEN = 64
QUESTIONS_PER_ROUND = 32
KEPT = 4


def probe(folder: Path, settings: Settings, paths_file: Path) -> dict[str, Any]:
    """Within-question AUROC, and what the best `KEPT` paths of a question are worth, by prefix length and signal."""
    torch.set_num_threads(settings.train.threads)
    saved = np.load(paths_file)
    right = saved["right"][: settings.probe.questions, : settings.probe.paths].astype(np.float32)
    count, width = right.shape
    kept_rows = (np.arange(count)[:, None] * saved["right"].shape[1] + np.arange(width)).reshape(-1)
    tokens, log_probs = saved["tokens"][kept_rows], saved["log_probs"][kept_rows]
    questions = list(held_out_questions(EVALUATION_SEED, settings.evaluate.questions, settings.task))[:count]
    prompts = np.repeat(encode_prompts(read_tokenizer(folder), questions), width, axis=0)
    pooled = pool_values(folder, settings, prompts, tokens[:, : max(PREFIX_LENGTHS)])

    train = round(count * TRAIN_SHARE)
    signals: dict[str, dict[str, Any]] = {}
    for length in PREFIX_LENGTHS:
        prefix, scores = tokens[:, :length], log_probs[:, :length]
        bag = count_tokens(prefix)
        inputs = {
            "kv_means": pooled[length],
            "log_prob_statistics": log_prob_statistics(scores),
            "bag_of_tokens": bag,
            "token_pairs": np.concatenate([bag, count_pairs(prefix)], axis=1),
        }
        inputs["kv_means_and_log_prob"] = np.concatenate([pooled[length], inputs["log_prob_statistics"]], axis=1)
        rounds = settings.probe.rounds
        ranked = {name: fit_and_score(x.reshape(count, width, -1), right, train, rounds) for name, x in inputs.items()}
        ranked["mean_log_prob"] = scores.mean(axis=1).reshape(count, width)[train:]
        ranked["random"] = np.random.default_rng(length).random((count - train, width))
        for name, score in ranked.items():
            signals.setdefault(name, {})[str(length)] = {
                "auroc": within_question_auroc(score, right[train:]),
                "kept_accuracy": kept_accuracy(score, right[train:]),
            }
    return {
        "train_questions": train,
        "test_questions": count - train,
        "paths": width,
        "kept": KEPT,
        "all_accuracy": round(float(right[train:].mean()), 4),
        "signals": signals,
    }


def pool_values(folder: Path, settings: Settings, prompts: np.ndarray, prefix: np.ndarray) -> dict[int, np.ndarray]:
    """For each prefix length [rows, layers · kv_heads · head_dim · 2] f32: means over the prefix and its last positions."""
    decoder = Decoder(folder, settings.train.threads)
    start = prompts.shape[1]
    ids = np.concatenate([prompts, prefix], axis=1)
    pooled: dict[int, list[np.ndarray]] = {length: [] for length in PREFIX_LENGTHS}
    for at in tqdm(range(0, len(ids), settings.evaluate.rows), desc="cached values", mininterval=1):
        values = decoder.values(ids[at : at + settings.evaluate.rows])
        for length in PREFIX_LENGTHS:
            end = start + length
            spans = (slice(start, end), slice(max(start, end - LAST_POSITIONS), end))
            means = [layer[:, :, span].mean(axis=2).reshape(len(layer), -1) for layer in values for span in spans]
            pooled[length].append(np.concatenate(means, axis=1))
    return {length: np.concatenate(parts) for length, parts in pooled.items()}


def log_prob_statistics(log_probs: np.ndarray) -> np.ndarray:
    last = log_probs[:, -LAST_POSITIONS:]
    return np.stack([log_probs.mean(1), log_probs.min(1), log_probs.std(1), last.mean(1), last.min(1)], axis=1)


def count_tokens(prefix: np.ndarray) -> np.ndarray:
    used, columns = np.unique(prefix, return_inverse=True)
    return count_columns(columns.reshape(prefix.shape), len(used))


def count_pairs(prefix: np.ndarray) -> np.ndarray:
    # Hashed by a multiplicative hash: a table of all pairs would be mostly empty.
    pairs = (prefix[:, :-1] * 7919 + prefix[:, 1:]) % PAIR_BUCKETS
    return count_columns(pairs, PAIR_BUCKETS)


def count_columns(columns: np.ndarray, width: int) -> np.ndarray:
    counts = np.zeros((len(columns), width), np.float32)
    np.add.at(counts, (np.arange(len(columns))[:, None], columns), 1.0)
    return counts


def fit_and_score(inputs: np.ndarray, right: np.ndarray, train: int, rounds: int) -> np.ndarray:
    """Learns on the first `train` questions and scores the paths of the others: [test questions, paths]."""
    torch.manual_seed(EVALUATION_SEED)
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
    fitted = x[:train].reshape(-1, x.shape[-1])
    x = (x - fitted.mean(0)) / (fitted.std(0) + 1e-3)
    y = torch.from_numpy(right)
    network = torch.nn.Sequential(
        torch.nn.Dropout(0.2), torch.nn.Linear(x.shape[-1], HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=rounds)
    for _ in range(rounds):
        chosen = torch.randint(train, (QUESTIONS_PER_ROUND,))
        logits, labels = network(x[chosen])[..., 0], y[chosen]
        # Ranking matters, so beside the outcome every pair of a right and a wrong path of one question counts.
        margins = logits[:, :, None] - logits[:, None, :]
        pairs = (labels[:, :, None] > labels[:, None, :]).float()
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        loss = loss + (F.softplus(-margins) * pairs).sum() / pairs.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        return network(x[train:])[..., 0].numpy()


def within_question_auroc(score: np.ndarray, right: np.ndarray) -> float | None:
    """Mean over the questions that have right and wrong paths; ties count half."""
    values = []
    for s, r in zip(score, right.astype(bool), strict=True):
        if r.any() and not r.all():
            above, below = s[r][:, None], s[~r][None, :]
            values.append(((above > below) + 0.5 * (above == below)).mean())
    return round(float(np.mean(values)), 4) if values else None


def kept_accuracy(score: np.ndarray, right: np.ndarray) -> float:
    best = np.argsort(-score, axis=1, kind="stable")[:, :KEPT]
    return round(float(np.take_along_axis(right, best, axis=1).mean()), 4)
