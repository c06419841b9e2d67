"""The model in training: transformers' own Idefics3, its features and hidden states, and where its weights come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import AutoConfig, Idefics3ForConditionalGeneration

from configuration import ModelConfig
from decoding import SUFFIXES
from folder import model_json
from quantize import Blocks, restored

Array = np.ndarray
Tensor = torch.Tensor
Model = Idefics3ForConditionalGeneration

EMBEDDING_STD = 0.02


def build(config: ModelConfig, seed: int) -> Model:
    """Untrained: matrices keep the size of what passes through them, and what is added to the residual starts small."""
    torch.manual_seed(seed)
    written = model_json(config)
    model = Model(AutoConfig.for_model(written.pop("model_type"), **written))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed" in name and parameter.dim() == 2:
                parameter.normal_(0, EMBEDDING_STD)
            elif parameter.dim() == 2:
                small = 0.5 if name.endswith(("out_proj.weight", "o_proj.weight", "fc2.weight", "down_proj.weight")) else 1
                parameter.normal_(0, small / math.sqrt(parameter.shape[1]))
    return model


def load(model: Model, weights: Mapping[str, Array]) -> None:
    state = {name: torch.tensor(np.asarray(value, np.float32)) for name, value in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if name != "lm_head.weight"]  # tied to the embedding
    if missing or unexpected:
        raise ValueError(f"these weights are not this model's: missing {missing[:3]}, unexpected {unexpected[:3]}")


def state_of(model: Model) -> dict[str, Array]:
    """Half floats under Hugging Face names."""
    state = model.state_dict()
    return {name: value.half().cpu().numpy() for name, value in state.items() if name != "lm_head.weight"}


def features(model: Model, pixels: Tensor) -> Tensor:
    """[pictures, image tokens, width] of [pictures, 3, side, side] whole numbers from 0 to 255."""
    seen = model.model.vision_model(pixel_values=pixels / 127.5 - 1).last_hidden_state
    return model.model.connector(seen)


def precision(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the processor multiplies it in hardware, f32 elsewhere."""
    fast = device.type == "cuda" or torch.backends.mkldnn.is_available() and torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def package_weights(folder: Path, suffix: str | None = None) -> dict[str, Array]:
    """The weights of a quantised package, f32 under Hugging Face names: where training goes on from.

    What was trained on a GPU is kept in the package alone, so what a package stores is what can be read back.
    """
    stored: dict[str, Array] = {}
    for path in sorted((folder / "onnx").glob(f"*{suffix or SUFFIXES['int8']}.onnx")):
        stored |= {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}

    def matrix(name: str) -> Array:
        codes = stored[f"{name}.codes"]
        scales = stored[f"{name}.scales"]
        return restored(Blocks(8, codes, scales))

    def put(prefix: str, names: tuple[str, ...], weight: Array, bias: Array | None, sizes: list[int]) -> None:
        places = np.cumsum(sizes)[:-1]
        for name, part in zip(names, np.split(weight, places), strict=True):
            found[f"{prefix}{name}.weight"] = part
        if bias is not None:
            for name, part in zip(names, np.split(bias, places), strict=True):
                found[f"{prefix}{name}.bias"] = part

    found: dict[str, Array] = {}
    vision, text = "model.vision_model.", "model.text_model."
    found[vision + "embeddings.patch_embedding.weight"] = stored["patch.weight"].astype(np.float32)
    found[vision + "embeddings.patch_embedding.bias"] = stored["patch.bias"]
    found[vision + "embeddings.position_embedding.weight"] = stored["positions"].astype(np.float32)
    for name, short in (("post_layernorm", "vision.norm"),):
        found[f"{vision}{name}.weight"], found[f"{vision}{name}.bias"] = stored[f"{short}.scale"], stored[f"{short}.bias"]
    layer = 0
    while f"vision.{layer}.qkv.codes" in stored:
        short, prefix = f"vision.{layer}.", f"{vision}encoder.layers.{layer}."
        for norm in ("1", "2"):
            found[f"{prefix}layer_norm{norm}.weight"] = stored[f"{short}norm{norm}.scale"]
            found[f"{prefix}layer_norm{norm}.bias"] = stored[f"{short}norm{norm}.bias"]
        qkv = matrix(f"{short}qkv")
        third = len(qkv) // 3
        names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        put(prefix, names, qkv, stored[f"{short}qkv.bias"], [third] * 3)
        for name, part in (("self_attn.out_proj", "out"), ("mlp.fc1", "fc1"), ("mlp.fc2", "fc2")):
            weight = matrix(short + part)
            put(prefix, (name,), weight, stored[f"{short}{part}.bias"], [len(weight)])
        layer += 1
    found["model.connector.modality_projection.proj.weight"] = matrix("connector")
    found[text + "embed_tokens.weight"] = matrix("lm_head")
    found[text + "norm.weight"] = stored["text.norm.scale"]
    layer = 0
    while f"text.{layer}.qkv.codes" in stored:
        short, prefix = f"text.{layer}.", f"{text}layers.{layer}."
        found[prefix + "input_layernorm.weight"] = stored[f"{short}norm1.scale"]
        found[prefix + "post_attention_layernorm.weight"] = stored[f"{short}norm2.scale"]
        out, qkv = matrix(f"{short}out"), matrix(f"{short}qkv")
        key = (len(qkv) - out.shape[1]) // 2
        names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        put(prefix, names, qkv, None, [out.shape[1], key, key])
        put(prefix, ("self_attn.o_proj",), out, None, [len(out)])
        gate_up = matrix(f"{short}gate_up")
        put(prefix, ("mlp.gate_proj", "mlp.up_proj"), gate_up, None, [len(gate_up) // 2] * 2)
        down = matrix(f"{short}down")
        put(prefix, ("mlp.down_proj",), down, None, [len(down)])
        layer += 1
    return found


def embed(model: Model, ids: Tensor, seen: Tensor, first_image_token: int) -> Tensor:
    """[rows, length, width]: `seen` [rows, image tokens, width] stands where the image tokens are."""
    embeds = model.model.text_model.embed_tokens(ids)
    last = first_image_token + seen.shape[1]
    return torch.cat([embeds[:, :first_image_token], seen.to(embeds.dtype), embeds[:, last:]], dim=1)


def hidden(model: Model, embeds: Tensor, positions: Tensor, sees: Tensor) -> Tensor:
    """[rows, length, width]; `sees` [rows, 1, length, length] bool."""
    text = model.model.text_model
    return text(
        inputs_embeds=embeds, position_ids=positions, attention_mask=sees, use_cache=False
    ).last_hidden_state


def logits(model: Model, states: Tensor) -> Tensor:
    return (states @ model.lm_head.weight.to(states.dtype).T).float()
