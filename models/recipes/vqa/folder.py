"""The Hugging Face files of the model, and the package: the same files with the ONNX graphs under onnx/."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from configuration import Attention, ModelConfig, Precision, replacing, write_json
from graphs import decoder, embed_tokens, vision_encoder
from vocabulary import CHAT_TEMPLATE, END_ID, IMAGE_ID, IMAGE_TOKENS, PAD_ID, SPECIAL, START_ID

Array = np.ndarray

# The suffix under which transformers.js looks for a precision.
SUFFIX: dict[Precision, str] = {"f32": "", "int8": "_int8", "int4": "_q4"}


def model_json(config: ModelConfig) -> dict[str, Any]:
    """config.json of an Idefics3ForConditionalGeneration."""
    ends = {"bos_token_id": START_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID}
    text = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": config.rope_theta,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        **ends,
    }
    vision = {
        "model_type": "idefics3_vision",
        "hidden_size": config.vision_width,
        "intermediate_size": config.vision_feed_forward,
        "num_hidden_layers": config.vision_layers,
        "num_attention_heads": config.vision_heads,
        "num_channels": 3,
        "image_size": config.image_side,
        "patch_size": config.patch,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
    }
    return {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": IMAGE_ID,
        "scale_factor": config.scale,
        "tie_word_embeddings": True,
        "vocab_size": config.vocabulary,
        **ends,
        "text_config": text,
        "vision_config": vision,
    }


def write_folder(folder: Path, config: ModelConfig, tokenizer: str, weights: Mapping[str, Array]) -> None:
    """A folder that transformers' AutoProcessor and AutoModelForImageTextToText open."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", model_json(config))
    ends = {"bos_token_id": START_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID}
    write_json(folder / "generation_config.json", {**ends, "do_sample": False, "max_new_tokens": config.longest})
    side = {"longest_edge": config.image_side}
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Idefics3ImageProcessor",
            "processor_class": "Idefics3Processor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": side,
            "max_image_size": side,
            "resample": 1,  # Lanczos
            "do_image_splitting": False,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "do_pad": True,
        },
    )
    write_json(
        folder / "processor_config.json",
        {"processor_class": "Idefics3Processor", "image_seq_len": IMAGE_TOKENS},
    )
    names = {"bos_token": SPECIAL[START_ID], "eos_token": SPECIAL[END_ID], "pad_token": SPECIAL[PAD_ID]}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": "Idefics3Processor",
            **names,
            "unk_token": SPECIAL[PAD_ID],
            "additional_special_tokens": list(SPECIAL[3:]),
            "model_max_length": config.context,
            "clean_up_tokenization_spaces": False,
            "padding_side": "left",
            "truncation_side": "left",
            "added_tokens_decoder": {
                str(number): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for number, token in enumerate(SPECIAL)
            },
            "chat_template": CHAT_TEMPLATE,
        },
    )
    write_json(
        folder / "special_tokens_map.json", {**names, "additional_special_tokens": list(SPECIAL[3:])}
    )
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    with replacing(folder / "tokenizer.json") as temporary:
        temporary.write_text(tokenizer, encoding="utf-8")
    with replacing(folder / "model.safetensors") as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, temporary, {"format": "pt"})


def read_weights(folder: Path) -> dict[str, Array]:
    """f32 arrays under their Hugging Face names."""
    return {name: value.astype(np.float32) for name, value in load_file(folder / "model.safetensors").items()}


def write_package(folder: Path, out: Path, precision: Precision, block: int, attention: Attention = "growing") -> None:
    """The transformers.js package of a Hugging Face folder, in one precision."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = read_weights(folder)
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    models = {
        "vision_encoder": vision_encoder(weights, config, precision, block),
        "embed_tokens": embed_tokens(weights, config, precision, block),
        "decoder_model_merged": decoder(weights, config, precision, block, attention),
    }
    for name, model in models.items():
        with replacing(out / "onnx" / f"{name}{SUFFIX[precision]}.onnx") as temporary:
            onnx.save(model, temporary)
    for path in folder.iterdir():
        if path.suffix == ".json" and path.name != "config.json":
            with replacing(out / path.name) as temporary:
                shutil.copyfile(path, temporary)
    dtype = {"f32": "fp32", "int8": "int8", "int4": "q4"}[precision]
    write_json(out / "config.json", {**config, "transformers.js_config": {"dtype": dtype}})
