"""Renders the package's card from its eval.json: python models/recipes/vqa/page.py [PACKAGE]

With `--measure DIR` it first makes eval.json from the lines of `judge.py` in DIR: held-out.jsonl and train.jsonl, and where
they are there blank.jsonl, question-only.jsonl, held-out-NAME.jsonl of other precisions or weights, and train-NAME.jsonl of
weights that were chosen among.
"""

from __future__ import annotations

import argparse
import json
import string
from pathlib import Path
from typing import Any

from configuration import PACKAGE, RECIPE, load_settings, replacing, write_json
from figures import Lines, alone, compared, measured
from questions import TIERS
from responses import Format

ARMS = {
    "direct": "always direct",
    "perception": "always perception",
    "full": "always full",
    "adaptive": "adaptive: the model picks",
    "read_out_0": "read-out, else full; fitted to no loss",
    "read_out_1": "… to 1 point",
    "read_out_2": "… to 2 points",
    "cascade_0": "cascade, direct first; fitted to no loss",
    "cascade_1": "… to 1 point",
    "cascade_2": "… to 2 points",
}
COMPARED = {"formats": "before FS-GRPO", "fsgrpo": "after FS-GRPO"}
SIGNALS = {
    "direct_margin": "read-out: logit of *direct* minus logit of *perception*",
    "confidence": "log-probability of the direct answer",
    "least": "… of its least likely token",
}


def evaluation(folder: Path) -> dict[str, Any]:
    held_out = Lines.read(folder / "held-out.jsonl")
    figures = measured(held_out, Lines.read(folder / "train.jsonl"))
    for name in ("blank", "question-only"):
        if (path := folder / f"{name}.jsonl").exists():
            lines = Lines.read(path)
            figures[name] = {"adaptive": float(lines.adaptive()[0].mean()), "full": float(lines.of(Format.FULL)[0].mean())}
    others = sorted(path for path in folder.glob("held-out-*.jsonl"))
    figures["compared"] = {
        path.stem.removeprefix("held-out-"): compared(Lines.read(path), held_out) for path in others
    }
    figures["chosen_among"] = {
        path.stem.removeprefix("train-"): alone(Lines.read(path)) for path in sorted(folder.glob("train-*.jsonl"))
    }
    return figures


def render(package: Path) -> str:
    figures = json.loads((package / "eval.json").read_text(encoding="utf-8"))
    settings = load_settings()
    values = {
        "arms": arm_table(figures),
        "shares": share_table(figures),
        "kinds": kind_table(figures),
        "signals": signal_table(figures),
        "controls": control_table(figures),
        "compared": compared_table(figures),
        "chosen_among": chosen_table(figures),
        "curve": curve_table(figures),
        "files": file_table(package),
        "questions": f"{figures['questions']:,}",
        "pictures": figures["pictures"],
        "calibration_questions": figures["calibration_questions"],
        "some_format": number(figures["right_in_some_format"]),
        "oracle": oracle_text(figures),
        "precision": settings.precision,
        "block": settings.block,
    }
    return string.Template((RECIPE / "card.md").read_text(encoding="utf-8")).substitute(values)


def arm_table(figures: dict[str, Any]) -> str:
    lines = ["| | accuracy | glance / look / steps | tokens | saved | minus always full |", "|---|---|---|---|---|---|"]
    for name, label in ARMS.items():
        arm = figures["arms"][name]
        tiers = " / ".join(number(arm["by_tier"][tier]["accuracy"]) for tier in TIERS if tier in arm["by_tier"])
        lines.append(
            f"| {label} | {spread(arm['accuracy'])} | {tiers} | {arm['tokens']:.1f} | {arm['saved'] * 100:.0f} % "
            f"| {spread(arm['difference'], signed=True)} |"
        )
    return "\n".join(lines)


def oracle_text(figures: dict[str, Any]) -> str:
    oracle = figures["oracle"]
    return (
        f"told which format is the cheapest that is right, it would save {oracle['saved'] * 100:.0f} % of always-full's tokens "
        f"at {number(oracle['accuracy']['mean'])}."
    )


def share_table(figures: dict[str, Any]) -> str:
    lines = ["| | direct | perception | full |", "|---|---|---|---|"]
    for tier, shares in figures["shares"].items():
        lines.append(f"| {tier} | " + " | ".join(f"{share * 100:.0f} %" for share in shares) + " |")
    return "\n".join(lines)


def kind_table(figures: dict[str, Any]) -> str:
    lines = ["| | direct | perception | full | questions |", "|---|---|---|---|---|"]
    rows = [(f"`{kind}`", row) for kind, row in figures["kinds"].items()]
    rows += [(f"combinations {name}", row) for name, row in figures["arguments"].items()]
    for name, (*shares, count) in rows:
        lines.append(f"| {name} | " + " | ".join(map(number, shares)) + f" | {count} |")
    return "\n".join(lines)


def signal_table(figures: dict[str, Any]) -> str:
    lines = ["| | AUROC | glance / look / steps | calibration error | Brier |", "|---|---|---|---|---|"]
    for name, label in SIGNALS.items():
        signal = figures["signals"][name]
        tiers = " / ".join(number(signal["auroc_by_tier"].get(tier)) for tier in TIERS)
        error, brier = number(signal["calibration_error"]), number(signal["brier"])
        lines.append(f"| {label} | {number(signal['auroc'])} | {tiers} | {error} | {brier} |")
    return "\n".join(lines)


def control_table(figures: dict[str, Any]) -> str:
    lines = ["| | adaptive | full |", "|---|---|---|"]
    for name, label in (("blank", "a grey picture"), ("question-only", "no picture at all")):
        if name in figures:
            lines.append(f"| {label} | {number(figures[name]['adaptive'])} | {number(figures[name]['full'])} |")
    return "\n".join(lines)


def compared_table(figures: dict[str, Any]) -> str:
    lines = ["| shipped minus | direct | perception | full | adaptive |", "|---|---|---|---|---|"]
    for name, arms in figures["compared"].items():
        cells = (spread(arms[arm]["accuracy"], signed=True) for arm in ("direct", "perception", "full", "adaptive"))
        lines.append(f"| {COMPARED.get(name, name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chosen_table(figures: dict[str, Any]) -> str:
    lines = ["| | direct | perception | full | adaptive | its tokens |", "|---|---|---|---|---|---|"]
    for name, of in figures["chosen_among"].items():
        shares = (number(of[arm]) for arm in ("direct", "perception", "full", "adaptive"))
        lines.append(f"| {name} | " + " | ".join(shares) + f" | {of['tokens']:.1f} |")
    return "\n".join(lines)


def curve_table(figures: dict[str, Any]) -> str:
    points = figures["curve"][::2]
    rows = (("answered direct", "direct", ".0%"), ("accuracy", "accuracy", ".3f"), ("tokens", "tokens", ".1f"))
    lines = ["| " + " | ".join([rows[0][0], *(f"{p['direct']:.0%}" for p in points)]) + " |", "|---" * (len(points) + 1) + "|"]
    for label, key, form in rows[1:]:
        lines.append("| " + " | ".join([label, *(format(point[key], form) for point in points)]) + " |")
    return "\n".join(lines)


def file_table(package: Path) -> str:
    lines = ["| file | bytes |", "|---|---|"]
    # The card cannot hold its own size.
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.name != "README.md" and not path.name.startswith("."):
            lines.append(f"| `{path.relative_to(package).as_posix()}` | {path.stat().st_size:,} |")
    return "\n".join(lines)


def spread(value: dict[str, float], signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{value['mean']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the card of the vision package.")
    parser.add_argument("package", type=Path, nargs="?", default=PACKAGE)
    parser.add_argument("--measure", type=Path, help="folder of lines that eval.json is made from first")
    arguments = parser.parse_args()
    if arguments.measure:
        write_json(arguments.package / "eval.json", evaluation(arguments.measure))
    with replacing(arguments.package / "README.md") as temporary:
        temporary.write_text(render(arguments.package), encoding="utf-8")


if __name__ == "__main__":
    main()
