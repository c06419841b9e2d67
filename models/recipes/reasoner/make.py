"""From nothing to the package: python models/recipes/reasoner/make.py

Stages: train, export, evaluate, probe, transcript, publish. Each keeps its result in the work folder (under
$CURT_CACHE_DIR, $XDG_CACHE_HOME/curt or ~/.cache/curt, one folder per configuration) and is skipped once it is there;
training continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from card import render_card
from evaluate import evaluate
from export import PACKAGE_FILES, export, write_prompt_file
from probe import probe
from settings import PACKAGE, Settings, load_settings, replacing, write_json
from task import held_out_questions
from train import train
from transcript import TRANSCRIPT_SEED, transcript

MEASURED_WITH = ("torch", "transformers", "tokenizers", "onnxruntime", "onnxruntime-genai")


def make(settings: Settings, out: Path) -> None:
    work = settings.work
    work.mkdir(parents=True, exist_ok=True)
    hf, f32, quantised = work / "hf", work / "fp32", work / settings.precision
    if not hf.exists():
        train(settings, hf)
    for folder in (f32, quantised):
        if not folder.exists():
            print(f"export {folder.name}")
            export(hf, folder, folder.name)
    paths, widths = work / "paths.npz", settings.evaluate
    figures = {
        "training": once(work / "train.json", None),
        "precision": settings.precision,
        "quantised": once(work / "eval-quantised.json", lambda: evaluate(quantised, settings, widths.paths, keep=paths)),
        "f32": once(work / "eval-f32.json", lambda: evaluate(f32, settings, widths.f32_paths)),
        "probe": once(work / "probe.json", lambda: probe(quantised, settings, paths)),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in MEASURED_WITH},
    }
    stored = once(work / "transcript.json", lambda: transcript(quantised, settings))
    publish(settings, quantised, out, figures, stored)


def once(path: Path, measure: Callable[[], Any] | None) -> Any:
    """What `path` holds, measured first if it is not there."""
    if not path.exists():
        if measure is None:
            raise FileNotFoundError(f"{path} belongs to a finished training run; remove {path.parent} and start again")
        write_json(path, measure())
    return json.loads(path.read_text(encoding="utf-8"))


def publish(settings: Settings, quantised: Path, out: Path, figures: dict[str, Any], stored: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in PACKAGE_FILES:
        with replacing(out / name) as temporary:
            shutil.copyfile(quantised / name, temporary)
    example = next(held_out_questions(TRANSCRIPT_SEED, 1, settings.task))
    write_prompt_file(out, example.text(), settings.sampling)
    write_json(out / "transcript.json", stored)
    write_json(out / "eval.json", figures)
    with replacing(out / "README.md") as temporary:
        temporary.write_text(render_card(out), encoding="utf-8")
    total = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {total / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, export, measure and publish the reasoner package.")
    parser.add_argument("--out", type=Path, help="package folder (default: models/packages/reasoner)")
    parser.add_argument("--smoke", action="store_true", help="everything, tiny: shows that the recipe runs; needs --out")
    arguments = parser.parse_args()
    if arguments.smoke and arguments.out is None:
        parser.error("--smoke needs --out, so that it never replaces the shipped package")
    make(load_settings(arguments.smoke), arguments.out or PACKAGE)


if __name__ == "__main__":
    main()
