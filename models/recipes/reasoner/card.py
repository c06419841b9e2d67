"""Renders the package's card from its eval.json and card.md: python card.py [PACKAGE]"""

from __future__ import annotations

import json
import string
import sys
from pathlib import Path
from typing import Any

from settings import PACKAGE, RECIPE, load_settings, replacing

ACCURACY_ROWS = {
    "single": "one sampled path",
    "greedy": "one greedy path",
    "vote_of_4": "vote of 4 sampled paths",
    "vote_of_16": "vote of 16 sampled paths",
    "vote_of_64": "vote of 64 sampled paths",
    "any_of_all": "at least one of the sampled paths right",
    "some_but_not_all": "questions with right and wrong paths",
}
SHARE_ROWS = {
    "committed_to_right_rule": "paths that commit to the right rule",
    "right_given_right_rule": "… of these, right in the end",
    "right_given_wrong_rule": "right in the end after a wrong rule",
    "wrong_rule_that_passes_check": "wrong rules that the check on one example cannot expose",
    "verdict_written": "paths that write a verdict",
    "written_verdict_true": "… of these, true",
    "paths_without_answer": "paths without an answer",
    "check_done_at_share": "share of the path when its check is done",
}
COUNT_ROWS = {
    "chain_tokens": "tokens in a path",
    "check_done_at_token": "tokens when its check is done",
}
SIGNAL_ROWS = {
    "kv_means": "means of the cached values",
    "kv_means_and_log_prob": "… and log-probability statistics",
    "log_prob_statistics": "log-probability statistics, learned",
    "mean_log_prob": "mean log-probability, as it is",
    "token_pairs": "tokens and neighbouring pairs",
    "bag_of_tokens": "bag of tokens",
    "random": "random",
}


def render_card(package: Path) -> str:
    figures = json.loads((package / "eval.json").read_text(encoding="utf-8"))
    settings = load_settings()
    quantised, probe, training = figures["quantised"], figures["probe"], figures["training"]
    values = {
        "accuracy": accuracy_table(figures),
        "probe": probe_table(probe),
        "files": file_table(package),
        "questions": f"{quantised['questions']:,}",
        "paths": quantised["paths"],
        "f32_paths": figures["f32"]["paths"],
        "temperature": quantised["temperature"],
        "min_p": quantised["min_p"],
        "precision": figures["precision"],
        "parameters": f"{training['parameters'] / 1e6:.2f} M",
        "steps": f"{training['steps']:,}",
        "tokens": f"{training['tokens'] / 1e6:.1f} M",
        "minutes": round(training["seconds"] / 60),
        "threads": "one thread" if training["threads"] == 1 else f"{training['threads']} threads",
        "layers": settings.model.layers,
        "hidden": settings.model.hidden,
        "heads": settings.model.heads,
        "kv_heads": settings.model.kv_heads,
        "context": settings.model.context,
        "probe_train": probe["train_questions"],
        "probe_test": probe["test_questions"],
        "probe_paths": probe["paths"],
        "probe_kept": probe["kept"],
        "probe_all": number(probe["all_accuracy"]),
        "versions": ", ".join(f"{name} {value}" for name, value in figures["versions"].items()),
    }
    return string.Template((RECIPE / "card.md").read_text(encoding="utf-8")).substitute(values)


def accuracy_table(figures: dict[str, Any]) -> str:
    quantised, f32 = figures["quantised"], figures["f32"]
    lines = [f"| | {figures['precision']} (shipped) | f32 |", "|---|---|---|"]
    for name, label in ACCURACY_ROWS.items():
        if name in quantised["accuracy"]:
            cells = (interval(run["accuracy"].get(name)) for run in (quantised, f32))
            lines.append(f"| {label} | {' | '.join(cells)} |")
    for name, label in SHARE_ROWS.items():
        lines.append(f"| {label} | {number(quantised[name])} | {number(f32[name])} |")
    for name, label in COUNT_ROWS.items():
        lines.append(f"| {label} | {number(quantised[name], 1)} | {number(f32[name], 1)} |")
    return "\n".join(lines)


def probe_table(probe: dict[str, Any]) -> str:
    lengths = list(probe["signals"]["kv_means"])
    lines = ["| prefix, tokens | " + " | ".join(lengths) + " |", "|---|" + "---|" * len(lengths)]
    for name, label in SIGNAL_ROWS.items():
        cells = (probe["signals"][name][length] for length in lengths)
        texts = (f"{number(cell['auroc'])} / {number(cell['kept_accuracy'], 2)}" for cell in cells)
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return "\n".join(lines)


def file_table(package: Path) -> str:
    lines = ["| file | bytes |", "|---|---|"]
    # The card cannot hold its own size.
    for path in sorted(package.iterdir()):
        if path.is_file() and path.name != "README.md" and not path.name.startswith("."):
            lines.append(f"| `{path.name}` | {path.stat().st_size:,} |")
    return "\n".join(lines)


def interval(value: dict[str, float] | None) -> str:
    return "–" if value is None else f"{value['mean']:.3f} ({value['low']:.3f}–{value['high']:.3f})"


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def main() -> None:
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    with replacing(package / "README.md") as temporary:
        temporary.write_text(render_card(package), encoding="utf-8")


if __name__ == "__main__":
    main()
