"""SmolVLM-256M-Instruct at its full size with random weights, since its own cannot be had everywhere: is curt transformers,
and what does it take?

    python models/recipes/reference/smolvlm.py --curt target/release/curt --record targets/records/DEVICE/DATE-smolvlm.md

Architecture, processor and export layout are SmolVLM's; the tokenizer is SmolLM2's with SmolVLM's added tokens, from the
folder that `models/recipes/smollm2/make.py` leaves in curt's cache. Asks about a few pictures, with tiles and as one, and
compares greedy ids.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import pictures  # noqa: E402
import tiny_vlm  # noqa: E402
import torch  # noqa: E402
from tokenizers import AddedToken  # noqa: E402
from transformers import AutoProcessor, AutoTokenizer, Idefics3Config, Idefics3ForConditionalGeneration  # noqa: E402

HERE = Path(__file__).resolve().parent
NAME = "smolvlm-256m-random"
ASKED = (("photo.jpg.decoded.png", False), ("dot.png", True), ("large.png", True))
QUESTION = "Can you describe this image?"
NEW_TOKENS = 16
IMAGE_TOKENS = 64
VOCABULARY = 49280
MIB = 1 << 20


def tokenizer(base: Path) -> Any:
    made = AutoTokenizer.from_pretrained(base)
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = [tiny_vlm.FAKE, tiny_vlm.IMAGE, tiny_vlm.GLOBAL, *tiles, tiny_vlm.END]
    made.add_tokens([AddedToken(text, special=True, normalized=False) for text in special], special_tokens=True)
    made.eos_token = tiny_vlm.END
    made.chat_template = tiny_vlm.CHAT_TEMPLATE
    return made


def config(vocabulary: Any) -> Idefics3Config:
    """As HuggingFaceTB/SmolVLM-256M-Instruct's config.json has it."""
    ids = {"bos_token_id": 1, "eos_token_id": vocabulary.convert_tokens_to_ids(tiny_vlm.END), "pad_token_id": 2}
    return Idefics3Config(
        image_token_id=vocabulary.convert_tokens_to_ids(tiny_vlm.IMAGE),
        scale_factor=4,
        tie_word_embeddings=False,
        **ids,
        vision_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 512,
            "patch_size": 16,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rope_theta": 100000.0,
            "rms_norm_eps": 1e-5,
            **ids,
        },
    )


def build(base: Path, folder: Path) -> Idefics3ForConditionalGeneration:
    """The folder of Hugging Face files, and beside it the package's graphs in `folder`/onnx."""
    vocabulary = tokenizer(base)
    model = Idefics3ForConditionalGeneration(config(vocabulary)).float().eval()
    tiny_vlm.randomize(model, NAME)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    vocabulary.save_pretrained(folder)
    write_processor(folder, splitting=True)
    (folder / "onnx").mkdir()
    tiny_vlm.vision_encoder(model, folder / "onnx" / "vision_encoder.onnx")
    tiny_vlm.embed_tokens(model, folder / "onnx" / "embed_tokens.onnx")
    tiny_vlm.decoder(model, folder / "onnx" / "decoder_model_merged.onnx")
    return model


def write_processor(folder: Path, splitting: bool) -> None:
    sizes = {"max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048}}
    tiny_vlm.write_json(folder / "preprocessor_config.json", tiny_vlm.preprocessor(splitting) | sizes)
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": IMAGE_TOKENS}
    tiny_vlm.write_json(folder / "processor_config.json", processor)


@torch.no_grad()
def expected(model: Idefics3ForConditionalGeneration, folder: Path, picture: Path) -> tuple[list[int], list[int]]:
    """Prompt ids and greedy ids of transformers."""
    processor = AutoProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    given = processor(text=text, images=[pictures.open_upright(picture)], return_tensors="pt")
    out = model.generate(**given, max_new_tokens=NEW_TOKENS, do_sample=False)
    prompt = given["input_ids"][0].tolist()
    return prompt, out[0, len(prompt) :].tolist()


def asked(curt: Path, folder: Path, picture: Path) -> dict[str, Any]:
    command = [curt, "ask", "--package", folder, "--image", picture, "--temperature", "0", "--max-tokens", str(NEW_TOKENS)]
    done = subprocess.run([*map(str, command), "--json", QUESTION], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"curt ask on {picture.name} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def row(
    model: Idefics3ForConditionalGeneration, curt: Path, folder: Path, name: str, splitting: bool
) -> tuple[str, bool]:
    """A line of the record, and whether curt says what transformers says."""
    write_processor(folder, splitting)
    picture = HERE / "pictures" / name
    prompt, wanted = expected(model, folder, picture)
    answer = asked(curt, folder, picture)
    image, times = answer["images"][0], answer["times"]
    pairs = zip(answer["paths"][0]["tokens"], wanted, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    planned = (answer["kv"]["bytes"] + answer["logits_bytes"]) / MIB
    cells = (
        name, "yes" if splitting else "no", image["tiles"], image["tokens"],
        "equal" if answer["prompt"] == prompt else "DIFFERENT", f"{same} of {len(wanted)}",
        f"{planned:.0f}", f"{answer['peak_resident_bytes'] / MIB:,.0f}",
        f"{(image['decode_ms'] + image['process_ms']):.0f}", f"{image['encode_ms']:,.0f}", f"{times['prefill_ms']:,.0f}",
        f"{times['first_token_ms']:,.0f}",
    )  # fmt: skip
    equal = answer["prompt"] == prompt and same == len(wanted)
    return "| " + " | ".join(map(str, cells)) + " |", equal


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curt", type=Path, required=True, help="the curt command to hold to transformers")
    parser.add_argument("--tokenizer", type=Path, help="folder of SmolLM2's Hugging Face files; without it, curt's cache")
    parser.add_argument("--record", type=Path, help="file to write")
    arguments = parser.parse_args()
    cache = Path(os.environ.get("CURT_CACHE_DIR") or Path.home() / ".cache" / "curt")
    base = arguments.tokenizer or cache / "hf" / "smollm2-135m-instruct"
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / NAME
        folder.mkdir()
        model = build(base, folder)
        asked_about = [row(model, arguments.curt, folder, name, splitting) for name, splitting in ASKED]
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    head = (
        "| picture | tiles asked for | tiles | image tokens | prompt ids | greedy ids as transformers | keys, values and logits planned, MiB "
        "| peak resident, MiB | decode and process, ms | encode, ms | prefill, ms | first token, ms |"
    )
    curt = subprocess.run([arguments.curt, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = ", ".join([curt, *(f"{name} {version(name)}" for name in ("transformers", "torch"))])
    text = (
        f"# SmolVLM-256M's architecture at its full size, random weights\n\n"
        f"`python models/recipes/reference/smolvlm.py --curt … --record …`; f32, {size / MIB:,.0f} MiB of package, "
        f"{versions}; {date.today()}. {len(os.sched_getaffinity(0))} core(s) of {processor()}, which may have had other work: "
        f"the times say what kind of wait it is, no more. First token: from the question to it, loading the vision graph "
        f"included.\n\n"
        + "\n".join([head, "|---" * 12 + "|", *(line for line, _ in asked_about)])
        + "\n"
    )
    print(text)
    if arguments.record:
        arguments.record.write_text(text, encoding="utf-8")
    return 0 if all(equal for _, equal in asked_about) else 1


if __name__ == "__main__":
    sys.exit(main())
