"""From the Hugging Face folder to onnxruntime-genai packages, with the model builder that real users run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from settings import replacing
from task import ANSWER_PATTERN
from tokenizer import END_ID, PAD_ID

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PACKAGE_FILES = ("genai_config.json", "model.onnx", "model.onnx.data", *TOKENIZER_FILES)


def export(hf_folder: Path, out: Path, precision: str) -> None:
    """Writes `out` as a whole or not at all. `precision` is fp32, int8 or int4."""
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
        command += ["-i", str(hf_folder), "-o", str(partial), "-p", precision, "-e", "cpu", "-c", cache]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the model builder failed on {hf_folder} ({precision}):\n{done.stdout}")
    # The builder writes the tokenizer anew through transformers and drops the template; ours is what was trained on.
    for name in TOKENIZER_FILES:
        with replacing(partial / name) as temporary:
            shutil.copyfile(hf_folder / name, temporary)
    check_config(partial / "genai_config.json")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def check_config(path: Path) -> None:
    """Stops here, and not in a runtime, when another builder version writes something else."""
    config = json.loads(path.read_text(encoding="utf-8"))
    found = (
        config["search"]["past_present_share_buffer"],
        config["model"]["eos_token_id"],
        config["model"]["pad_token_id"],
    )
    if found != (True, END_ID, PAD_ID):
        raise ValueError(f"{path.name}: shared buffer, EOS and PAD are {found}, expected {(True, END_ID, PAD_ID)}")


def write_prompt_file(folder: Path, question: str, sampling: dict[str, float]) -> None:
    """prompt.toml: how `curt ask` asks this package."""
    lines = [
        "# How `curt ask` asks this package: the captured group is the answer that is voted on.",
        f"answer_pattern = '{ANSWER_PATTERN}'",
        "# A held-out question, for the demo.",
        f"question = {json.dumps(question)}",
        "",
        "[sampling]",
        *(f"{name} = {value}" for name, value in sampling.items()),
    ]
    with replacing(folder / "prompt.toml") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
