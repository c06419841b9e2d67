"""What Hugging Face transformers makes of pictures: tensors of its processors, and ids that a tiny Idefics3 answers with.

    python models/recipes/reference/images.py [--check]

Writes pictures/, the packages tiny-idefics3 and tiny-idefics3-genai, data/images.json and data/tiny-idefics3.json. With
--check nothing is written: the references are made anew from the committed pictures, and the exit status says whether
they are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pictures  # noqa: E402
import tiny_vlm  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import AutoProcessor  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil  # noqa: E402
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

HERE = Path(__file__).resolve().parent
PICTURES, PACKAGES, DATA = HERE / "pictures", HERE / "packages", HERE / "data"
NEW_TOKENS = 24
QUESTIONS = ("what is it?", "the quick brown fox", "nine")
# Largest difference of a margin between two runs that count as the same: f32 sums in another order.
TOLERANCE = 1e-3

IDEFICS3 = {key: value for key, value in tiny_vlm.preprocessor().items() if key != "processor_class"}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}
# SmolVLM-256M-Instruct's file, with and without tiles; the sizes of the shipped vision package; the tiny one above; and
# the squares of SigLIP and CLIP, each with what its class takes by default and what its file says.
PROCESSORS: dict[str, dict[str, Any]] = {
    "smolvlm": {**IDEFICS3, "max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048}},
    "smolvlm-whole": {
        **IDEFICS3,
        "do_image_splitting": False,
        "max_image_size": {"longest_edge": 512},
        "size": {"longest_edge": 2048},
    },
    "small": {
        **IDEFICS3,
        "do_image_splitting": False,
        "max_image_size": {"longest_edge": 128},
        "size": {"longest_edge": 128},
    },
    "tiny": IDEFICS3,
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}, **HALF},
    "siglip-bilinear": {
        "image_processor_type": "SiglipImageProcessor",
        "resample": 2,
        "size": {"height": 96, "width": 64},
        "do_normalize": False,
    },
    "clip": {"image_processor_type": "CLIPImageProcessor"},
    "clip-box": {
        "image_processor_type": "CLIPImageProcessor",
        "resample": 4,
        "size": {"shortest_edge": 60},
        "crop_size": {"height": 71, "width": 50},
        "do_rescale": False,
    },
}
# Ten million numbers each: on those pictures alone that are larger than they become, smaller, and a strip.
FEW = {"smolvlm": ("large.png", "alpha.png", "wide.png")}
CLASSES = {
    "Idefics3ImageProcessor": Idefics3ImageProcessorPil,
    "SiglipImageProcessor": SiglipImageProcessorPil,
    "CLIPImageProcessor": CLIPImageProcessorPil,
}


def main() -> int:
    check_only = arguments().check
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not check_only:
            shutil.rmtree(PICTURES, ignore_errors=True)
            pictures.build(PICTURES)
        weights = folder / "hf"
        model = tiny_vlm.write_hugging_face(weights)
        if not check_only:
            for package in tiny_vlm.export(weights, model, folder / "packages"):
                shutil.rmtree(PACKAGES / package.name, ignore_errors=True)
                shutil.copytree(package, PACKAGES / package.name)
        made = {
            DATA / "images.json": {"made_by": made_by(), "processors": PROCESSORS, "tensors": tensors()},
            DATA / "tiny-idefics3.json": {"made_by": made_by(), "items": items(weights, model)},
        }
    if not check_only:
        for file, content in made.items():
            write(file, content)
        return 0
    found = [line for file, content in made.items() for line in differences(file, content)]
    for line in found:
        print(f"differs: {line}", file=sys.stderr)
    return 1 if found else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed references, write nothing")
    return parser.parse_args()


def made_by() -> dict[str, str]:
    return {
        "command": "python models/recipes/reference/images.py",
        **{name: version(name) for name in ("transformers", "pillow", "torch")},
    }


def lossless() -> list[Path]:
    """Pictures that every decoder reads alike, those among them that Pillow read of the others."""
    return [file for file in sorted(PICTURES.iterdir()) if file.name not in pictures.LOSSY]


def tensors() -> list[dict[str, Any]]:
    rows = []
    for name, fields in PROCESSORS.items():
        given = {key: value for key, value in fields.items() if key != "image_processor_type"}
        processor = CLASSES[fields["image_processor_type"]](**given)
        for file in lossless():
            if file.name not in FEW.get(name, (file.name,)):
                continue
            picture = pictures.open_upright(file)
            try:
                values = np.asarray(processor(picture, return_tensors="np")["pixel_values"], dtype="<f4")
            except ValueError as error:
                raise ValueError(f"{name}, {file.name}: {error}") from error
            values = values.reshape(-1, *values.shape[-3:])
            flat = values.reshape(-1)
            places = np.linspace(0, len(flat) - 1, 8).astype(int).tolist()
            rows.append(
                {
                    "processor": name,
                    "picture": file.name,
                    "shape": list(values.shape),
                    "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
                    "samples": [[place, float(flat[place])] for place in places],
                }
            )
    return rows


def items(weights: Path, model: Any) -> list[dict[str, Any]]:
    """Answers of the tiny model: to a text, and about one picture and two, with tiles and without."""
    model = model.eval()
    asked = [([], QUESTIONS[0], True), (["alpha.png", "dot.png"], QUESTIONS[1], False)]
    names = [file.name for file in lossless() if not file.name.endswith(".decoded.png")]
    for number, name in enumerate(names):
        asked += [([name], QUESTIONS[number % 3], splitting) for splitting in (True, False)]
    rows = []
    for files, question, splitting in asked:
        processor = AutoProcessor.from_pretrained(weights)
        processor.image_processor.do_image_splitting = splitting
        content = [{"type": "image"} for _ in files] + [{"type": "text", "text": question}]
        text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        opened = [pictures.open_upright(PICTURES / name) for name in files]
        given = processor(text=text, images=opened or None, return_tensors="pt")
        tokens, margins = greedy(model, given)
        rows.append(
            {
                "pictures": files,
                "splitting": splitting,
                "question": question,
                "prompt": given["input_ids"][0].tolist(),
                "greedy": tokens,
                "margins": margins,
            }
        )
    return rows


@torch.no_grad()
def greedy(model: Any, given: Any) -> tuple[list[int], list[float]]:
    out = model.generate(
        **given, max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    new = out.sequences[0, given["input_ids"].shape[1] :].tolist()
    top = [logits[0].topk(2).values.tolist() for logits in out.logits]
    return new, [float(f"{first - second:.3g}") for first, second in top]


def differences(file: Path, made: dict[str, Any]) -> list[str]:
    committed = json.loads(file.read_text())
    found = []
    for key in ("tensors", "items"):
        for ours, theirs in zip(made.get(key, []), committed.get(key, []), strict=True):
            if key == "tensors" and ours != theirs:
                found.append(f"{file.name}: {ours['processor']} on {ours['picture']}")
            if key == "items" and not same_answer(ours, theirs):
                found.append(f"{file.name}: {ours['question']!r} about {ours['pictures']}")
    return found


def same_answer(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    if ours["prompt"] != theirs["prompt"]:
        return False
    pairs = zip(ours["greedy"], theirs["greedy"], theirs["margins"])
    parted = next((margin for a, b, margin in pairs if a != b), None)
    return parted is None or parted < TOLERANCE


def write(file: Path, content: dict[str, Any]) -> None:
    """One line a row."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    head = json.dumps({key: value for key, value in content.items() if key not in lists}, indent=1).removesuffix("\n}")
    for key, rows in lists.items():
        head += f',\n "{key}": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
    file.write_text(head + "}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
