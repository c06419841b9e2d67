"""Renders data/README.md from the reference files beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def render(data: Path) -> str:
    references = [json.loads(file.read_text()) for file in sorted(data.glob("*.json"))]
    lines = [
        "# The committed references",
        "",
        "Written by `models/recipes/reference/make.py`; the format is in `../README.md`.",
        "",
        "| package | reference | prompts | prompt tokens | new tokens | ended by EOS | smallest margin |",
        "|---|---|---|---|---|---|---|",
        *(summary(reference) for reference in references),
        "",
        "## Two references of the same f32 weights",
        "",
        "transformers on the weights and onnxruntime-genai on the f32 package made of them. Logits: the largest",
        "difference among the eight largest at the kept steps, before the two part.",
        "",
        "| package | prompts | same ids | largest difference of a logit |",
        "|---|---|---|---|",
    ]
    compared = [reference for reference in references if reference["runtime"] == "transformers"]
    lines += [agreement(reference) for reference in compared]
    lines += ["", "Where the ids differ:", ""]
    lines += [line for reference in compared for line in partings(reference)] or ["nowhere."]
    sources = sorted({(r["onnxruntime"], r["onnxruntime_genai"], r["transformers"], r["cpu"]) for r in references})
    lines += ["", "Made with:", ""]
    lines += [f"* onnxruntime {o}, onnxruntime-genai {g}, transformers {t}, on {cpu}" for o, g, t, cpu in sources]
    return "\n".join(lines) + "\n"


def summary(reference: dict[str, Any]) -> str:
    items = reference["items"]
    lengths = [len(item["prompt"]) for item in items]
    new = sum(len(item["greedy"]) for item in items)
    ended = sum(item["finish"] == "eos" for item in items)
    margin = min(item["min_margin"] for item in items)
    return (
        f"| {reference['package']} | {reference['runtime']} | {len(items)} | {min(lengths)} to {max(lengths)} "
        f"| {new:,} | {ended} | {margin:g} |"
    )


def agreement(reference: dict[str, Any]) -> str:
    others = [item["other"] for item in reference["items"]]
    same = sum("first_difference" not in other for other in others)
    largest = max(other["largest_logit_difference"] for other in others)
    return f"| {reference['package']} | {len(others)} | {same} | {largest:g} |"


def partings(reference: dict[str, Any]) -> list[str]:
    return [
        f"* {reference['package']}, {item['id']}: token {item['other']['first_difference']}, where the two largest "
        f"logits are {item['other']['margin']:g} apart"
        for item in reference["items"]
        if "first_difference" in item["other"]
    ]
