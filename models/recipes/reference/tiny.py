"""Tiny random-weight models of public architectures, exported as real ones are.

Each architecture takes another branch of the exporter: biases on the projections and tied embeddings (Qwen2), norms on
queries and keys with a head size that is not hidden / heads (Qwen3), one kv head and logits of the last position only
(Llama). The growing package is Llama again without GroupQueryAttention, as torch exports it: past and present are
joined by Concat and every step gives a longer present.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

SEED = 20261124
VOCABULARY = 320
CONTEXT = 640  # the longest reference prompt is 500 tokens, with 64 new ones
PAD, BOS, EOS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Small sentences for the tokenizer's merges; the weights are random, so what they say does not matter.
CORPUS = (
    "the quick brown fox jumps over the lazy dog while the other dogs watch",
    "a machine turns nine into seventy seven and then into another number",
    "the user asks the system for an answer and the assistant answers the user",
)
# Projections are scaled by this over sqrt(inputs), so that what a layer adds outweighs the embedding of the current
# token: with the usual small weights a tied random model repeats its last token for ever.
PROJECTION_GAIN = 3.0
EMBEDDING_SCALE = 0.25
# EOS is one token of 320, so without this an answer would end after a few dozen tokens on average.
EOS_SCALE = 0.6

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "pad_token_id": PAD_ID,
}


@dataclass(frozen=True)
class Tiny:
    name: str
    config: Qwen2Config | Qwen3Config | LlamaConfig
    builder_options: tuple[str, ...] = ()


TINY = (
    Tiny("tiny-qwen2", Qwen2Config(**COMMON, num_hidden_layers=2, num_key_value_heads=2, tie_word_embeddings=True)),
    Tiny(
        "tiny-qwen3",
        Qwen3Config(**COMMON, num_hidden_layers=2, num_key_value_heads=2, head_dim=32, tie_word_embeddings=False),
    ),
    Tiny(
        "tiny-llama",
        LlamaConfig(**COMMON, num_hidden_layers=3, num_key_value_heads=1, tie_word_embeddings=True),
        ("prune_lm_head=true",),
    ),
)
PRECISIONS = ("fp32", "int8", "int4")
GROWING = "tiny-llama-growing"


def build_all(weights: Path, packages: Path) -> dict[str, Path]:
    """Writes the Hugging Face folders to `weights` and the packages to `packages`; gives each package's weights."""
    made: dict[str, Path] = {}
    for tiny in TINY:
        folder = weights / tiny.name
        model = random_model(tiny)
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        for precision in PRECISIONS:
            name = f"{tiny.name}-{precision}"
            run_builder(folder, precision, packages / name, tiny.builder_options)
            write_card(packages / name, tiny.config.model_type, precision)
            strip_environment(packages / name / "tokenizer_config.json")
            made[name] = folder
        if GROWING.startswith(tiny.name):
            name = f"{GROWING}-fp32"
            export_growing(folder, packages / f"{tiny.name}-fp32", packages / name)
            write_card(packages / name, tiny.config.model_type, "fp32")
            made[name] = folder
    return made


def random_model(tiny: Tiny) -> PreTrainedModel:
    """Weights come from NumPy's generator, whose stream is the same on every machine; torch's may differ by an ulp."""
    model = AutoModelForCausalLM.from_config(tiny.config).float().eval()
    rng = np.random.default_rng([SEED, *tiny.name.encode()])
    for name, parameter in sorted(model.named_parameters()):
        draw = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        if "norm" in name:
            values = 1 + 0.2 * draw
        elif name.endswith(".bias"):
            values = 0.3 * draw
        elif "embed_tokens" in name or "lm_head" in name:
            values = EMBEDDING_SCALE * draw
            values[EOS_ID] *= EOS_SCALE
        else:
            values = PROJECTION_GAIN / np.sqrt(parameter.shape[1]) * draw
        parameter.data = torch.from_numpy(values.astype(np.float32))
    model.generation_config.eos_token_id = EOS_ID
    model.generation_config.pad_token_id = PAD_ID
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    if bpe.get_vocab_size() != VOCABULARY:
        raise ValueError(f"the tokenizer has {bpe.get_vocab_size()} tokens, expected {VOCABULARY}: lengthen CORPUS")
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BOS, eos_token=EOS, pad_token=PAD, chat_template=CHAT_TEMPLATE
    )


def run_builder(weights: Path, precision: str, out: Path, options: tuple[str, ...] = ()) -> None:
    """What `python -m onnxruntime_genai.models.builder` does, without starting a Python for each of nine packages."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.CRITICAL)
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = (None, str(weights), str(out), precision, "cpu", scratch)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            create_model(*arguments, **parse_extra_options(*arguments, list(options)))


class WithCache(torch.nn.Module):
    """A causal model whose cache is plain tensors in and out, in the order that public exports use."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            use_cache=True,
        )
        present = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        return (output.logits, *present)


def export_growing(weights: Path, sibling: Path, out: Path) -> None:
    """The same weights through torch's exporter; everything but the graph and the config is `sibling`'s."""
    model = AutoModelForCausalLM.from_pretrained(weights, attn_implementation="eager").eval()
    layers, kv_heads, head_size = (
        model.config.num_hidden_layers,
        model.config.num_key_value_heads,
        model.config.head_dim,
    )
    cache_names = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    past_names = [f"past_key_values.{name}" for name in cache_names]
    present_names = [f"present.{name}" for name in cache_names]

    token_axes = {0: "batch_size", 1: "sequence_length"}
    axes = {name: token_axes for name in ("input_ids", "position_ids", "logits")}
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in past_names}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in present_names}

    rows, new, past = 2, 3, 4  # of the example that is traced; all three are free in the graph
    example = (
        torch.full((rows, new), EOS_ID + 1),
        torch.ones((rows, past + new), dtype=torch.long),
        torch.arange(past, past + new).expand(rows, new),
        *[torch.zeros((rows, kv_heads, past, head_size)) for _ in past_names],
    )
    out.mkdir(parents=True)
    torch.onnx.export(
        WithCache(model),
        example,
        str(out / "model.onnx"),
        input_names=["input_ids", "attention_mask", "position_ids", *past_names],
        output_names=["logits", *present_names],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    strip_provenance(out / "model.onnx")

    config = json.loads((sibling / "genai_config.json").read_text())
    config["model"]["decoder"]["inputs"]["position_ids"] = "position_ids"
    config["search"]["past_present_share_buffer"] = False
    (out / "genai_config.json").write_text(json.dumps(config, indent=4) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (out / name).write_bytes((sibling / name).read_bytes())


def strip_environment(file: Path) -> None:
    """Drops what transformers notes about this machine: whether the tokenizer was local and the hub reachable."""
    config = json.loads(file.read_text())
    config.pop("is_local", None)
    config.pop("local_files_only", None)
    file.write_text(json.dumps(config, indent=2) + "\n")


def strip_provenance(file: Path) -> None:
    """Drops the exporter's stack traces: they name files of the machine that ran it."""
    model = onnx.load(file)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, file)


def write_card(package: Path, architecture: str, precision: str) -> None:
    layout = "a growing KV cache (Concat)" if GROWING in package.name else "a shared KV buffer (GroupQueryAttention)"
    (package / "README.md").write_text(
        f"""---
license: apache-2.0 OR mit
---

# {package.name}

Random weights, {architecture} architecture, {precision}, {layout}: for tests alone. Made by
`models/recipes/reference/make.py`; what it says is noise.
"""
    )


def differences(made: Path, committed: Path) -> list[str]:
    """How two folders of the same package differ; floats of the graph may differ in their last bits between CPUs."""
    names = sorted({file.name for folder in (made, committed) for file in folder.glob("*")})
    found = []
    for name in names:
        ours, theirs = made / name, committed / name
        if not (ours.exists() and theirs.exists()):
            found.append(f"{committed.name}/{name}: only in the {'new' if ours.exists() else 'committed'} package")
        elif name == "model.onnx":
            found += [f"{committed.name}/{name}: {line}" for line in graph_differences(ours, theirs)]
        elif not name.endswith(".data") and ours.read_bytes() != theirs.read_bytes():
            found.append(f"{committed.name}/{name}: contents differ")
    return found


def graph_differences(made: Path, committed: Path) -> list[str]:
    ours, theirs = onnx.load(made), onnx.load(committed)
    if [node.SerializeToString() for node in ours.graph.node] != [n.SerializeToString() for n in theirs.graph.node]:
        return ["the nodes differ"]
    tensors = [{t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer} for model in (ours, theirs)]
    if tensors[0].keys() != tensors[1].keys():
        return [f"the initializers differ: {sorted(tensors[0].keys() ^ tensors[1].keys())}"]
    found = []
    for name, ours_array in tensors[0].items():
        theirs_array = tensors[1][name]
        exact = not np.issubdtype(ours_array.dtype, np.floating)
        if ours_array.shape != theirs_array.shape:
            found.append(f"{name}: shape {ours_array.shape}, committed {theirs_array.shape}")
        elif not np.allclose(ours_array, theirs_array, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-6):
            found.append(f"{name}: values differ by up to {np.abs(ours_array - theirs_array).max()}")
    return found


