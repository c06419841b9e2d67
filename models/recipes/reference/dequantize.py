"""The f32 weights that a quantized Llama package stands for, as a Hugging Face folder.

The shipped package is committed and the weights it was rounded from are not, so the f32 reference is taken from the
package itself: its 4- or 8-bit blocks are multiplied out, which keeps all that the package still has of them.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from transformers import LlamaConfig, LlamaForCausalLM

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_weights(package: Path, rope_theta: float, folder: Path) -> None:
    """`rope_theta` comes from the package's recipe: the graph holds only the table made of it."""
    described = json.loads((package / "genai_config.json").read_text())["model"]
    if described["type"] != "llama":
        raise ValueError(f"{package.name}: expected a llama package, got {described['type']!r}")
    decoder = described["decoder"]
    graph = onnx.load(package / decoder["filename"]).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    linear = dict(multiply_out(node, tensors) for node in graph.node if node.op_type == "MatMulNBits")
    first_norm = next(node for node in graph.node if node.op_type == "SimplifiedLayerNormalization")

    config = LlamaConfig(
        vocab_size=described["vocab_size"],
        hidden_size=decoder["hidden_size"],
        intermediate_size=linear["model.layers.0.mlp.gate_proj"].shape[0],
        num_hidden_layers=decoder["num_hidden_layers"],
        num_attention_heads=decoder["num_attention_heads"],
        num_key_value_heads=decoder["num_key_value_heads"],
        head_dim=decoder["head_size"],
        max_position_embeddings=described["context_length"],
        rms_norm_eps=attribute(first_norm, "epsilon").f,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        # Rounded, the output layer is no longer the embedding table.
        tie_word_embeddings=False,
        bos_token_id=described["bos_token_id"],
        eos_token_id=described["eos_token_id"],
        pad_token_id=described["pad_token_id"],
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(array) for name, array in state_dict(config, tensors, linear).items()}
    model.load_state_dict(state, strict=True)
    model.generation_config.eos_token_id = described["eos_token_id"]
    model.generation_config.pad_token_id = described["pad_token_id"]
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(package / name, folder / name)


def state_dict(
    config: LlamaConfig, tensors: dict[str, np.ndarray], linear: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The builder's names to transformers', with the packed query, key and value rows taken apart."""
    layers = config.num_hidden_layers
    head = linear["lm_head"]
    state = {
        # With 4 bits the two share one table; with 8 the embedding stays f32.
        "model.embed_tokens.weight": tensors.get("model.embed_tokens.weight", head),
        "model.norm.weight": tensors[f"model.layers.{layers}.final_norm_layernorm.weight"],
        "lm_head.weight": head,
    }
    query_rows = config.num_attention_heads * config.head_dim
    kv_rows = config.num_key_value_heads * config.head_dim
    for layer in (f"model.layers.{index}" for index in range(layers)):
        packed = linear[f"{layer}.attn.qkv_proj"]
        parts = np.split(packed, [query_rows, query_rows + kv_rows])
        for name, rows in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
            state[f"{layer}.self_attn.{name}.weight"] = np.ascontiguousarray(rows)
        state[f"{layer}.self_attn.o_proj.weight"] = linear[f"{layer}.attn.o_proj"]
        for name in ("gate_proj", "up_proj", "down_proj"):
            state[f"{layer}.mlp.{name}.weight"] = linear[f"{layer}.mlp.{name}"]
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"{layer}.{name}.weight"] = tensors[f"{layer}.{name}.weight"]
    return {name: np.array(array, dtype=np.float32) for name, array in state.items()}


def multiply_out(node: onnx.NodeProto, tensors: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """The name of a MatMulNBits layer and its weights, f32 [outputs, inputs]."""
    match = re.fullmatch(r"(.+)\.MatMul\.weight_Q[48]", node.input[1])
    if match is None or len(node.input) != 3:
        raise ValueError(f"{node.name}: expected a symmetric layer of the model builder, got inputs {list(node.input)}")
    bits, inputs = attribute(node, "bits").i, attribute(node, "K").i
    blocks = tensors[node.input[1]]  # u8 [outputs, blocks, bytes of a block]
    if bits == 4:
        # Two values a byte, the first in the low half.
        blocks = np.stack([blocks & 0xF, blocks >> 4], axis=-1).reshape(*blocks.shape[:2], -1)
    scales = tensors[node.input[2]].reshape(*blocks.shape[:2], 1)  # f32, one a block
    values = (blocks.astype(np.float32) - 2 ** (bits - 1)) * scales
    return match[1], values.reshape(blocks.shape[0], -1)[:, :inputs]


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(attribute for attribute in node.attribute if attribute.name == name)
