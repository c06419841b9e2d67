"""From nothing to the package, a command a stage: python models/recipes/vqa/make.py tower|formats|fsgrpo|export|all

Each stage begins where the one before ended, keeps its checkpoints in the work folder (one a configuration, under
$CURT_CACHE_DIR, $XDG_CACHE_HOME/curt or ~/.cache/curt) and goes on from the last one when it was stopped.

With `--continue` training goes on from the shipped package instead: `make.py formats --continue`, `make.py export
--continue --out DIR`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from configuration import PACKAGE, Settings, load_settings, replacing, write_json
from folder import write_folder, write_package
from fsgrpo import train_fsgrpo
from network import Model, build, load, package_weights, state_of
from stages import train_formats, train_tower
from vocabulary import Vocabulary

STAGES = ("tower", "formats", "fsgrpo")

Weights = dict[str, np.ndarray]


def begin(settings: Settings, stage: str, on_from: Path | None) -> Model:
    """The model as the last finished stage before `stage` left it; else untrained, or the package `on_from`."""
    model = build(settings.model, settings.seed)
    for before in reversed(STAGES[: STAGES.index(stage)]):
        if (path := weights_file(settings, before)).exists():
            load(model, load_file(path))
            return model
    if on_from is not None:
        load(model, package_weights(on_from))
    elif stage != "tower":
        raise FileNotFoundError(f"{stage} goes on from {weights_file(settings, 'tower')}: run the stages before it")
    return model


def weights_file(settings: Settings, stage: str) -> Path:
    return settings.work / f"{stage}.safetensors"


def run_stage(settings: Settings, stage: str, vocabulary: Vocabulary, on_from: Path | None) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = begin(settings, stage, on_from).to(device).train()
    checkpoint = settings.work / f"{stage}.pt"
    shared = settings.seed, device, checkpoint
    match stage:
        case "tower":
            figures = train_tower(model, settings.model, settings.tower, *shared)
        case "formats":
            figures = train_formats(model, vocabulary, settings.model, settings.formats, *shared)
        case _:
            figures = train_fsgrpo(model, vocabulary, settings.model, settings.fsgrpo, *shared)
    with replacing(weights_file(settings, stage)) as temporary:
        save_file(state_of(model), temporary, {"format": "pt"})
    write_json(settings.work / f"{stage}.json", figures)
    return figures


def export(settings: Settings, vocabulary: Vocabulary, out: Path) -> None:
    """The package of the last finished stage, of FS-GRPO's a mean with what it began with."""
    done = [stage for stage in STAGES if weights_file(settings, stage).exists()]
    if not done:
        raise FileNotFoundError(f"nothing is trained in {settings.work}")
    weights = load_file(weights_file(settings, done[-1]))
    if done[-2:] == ["formats", "fsgrpo"]:
        weights = between(load_file(weights_file(settings, "formats")), weights, settings.fsgrpo_share)
        done.append(f"{settings.fsgrpo_share} of the way there")
    folder = settings.work / "hf"
    write_folder(folder, settings.model, vocabulary.text, weights)
    write_package(folder, out, settings.precision, settings.block, settings.attention)
    print(f"{out}: {', '.join(done)}, {sum(path.stat().st_size for path in out.rglob('*') if path.is_file()) / 1e6:.2f} MB")


def between(before: Weights, after: Weights, share: float) -> Weights:
    """`share` of the way from the weights before a fine-tuning to those after (WiSE-FT, arXiv 2109.01903, §3)."""
    mixed = {name: (1 - share) * before[name].astype(np.float32) + share * after[name].astype(np.float32) for name in after}
    return {name: value.astype(after[name].dtype) for name, value in mixed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and export the vision package.")
    parser.add_argument("stage", choices=(*STAGES, "export", "all"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--continue", dest="overlay", action="store_const", const="continue", help="from the package")
    how.add_argument("--small", dest="overlay", action="store_const", const="small", help="seconds; useless, complete")
    parser.add_argument("--from", dest="on_from", type=Path, default=PACKAGE, help="the package to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=PACKAGE, help="folder of the package")
    arguments = parser.parse_args()
    if arguments.overlay == "small" and arguments.out == PACKAGE:
        parser.error("--small needs --out, so that it never replaces the shipped package")
    torch.set_num_threads(arguments.threads)
    settings, vocabulary = load_settings(arguments.overlay), Vocabulary(PACKAGE)
    on_from = arguments.on_from if arguments.overlay == "continue" else None
    every = ("formats",) if on_from else STAGES
    for stage in every if arguments.stage == "all" else (arguments.stage,):
        if stage != "export":
            print(stage, run_stage(settings, stage, vocabulary, on_from))
    if arguments.stage in ("export", "all"):
        export(settings, vocabulary, arguments.out)


if __name__ == "__main__":
    main()
