"""A tiny random-weight Idefics3 (the class of SmolVLM), exported in both layouts that real ones come in.

Names, ranks and types of the three graphs are those of HuggingFaceTB/SmolVLM-256M-Instruct: the vision encoder takes
`pixel_values` and `pixel_attention_mask`, the embedding table `input_ids`, and the decoder `inputs_embeds` with keys and
values that grow (Concat). The folder of the onnxruntime-genai layout has the same decoder, and an embedding graph that
puts the image features in place itself, as that layout's do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tiny
import torch
from tokenizers import AddedToken
from transformers import (
    DynamicCache,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

NAME = "tiny-idefics3"
GENAI_NAME = "tiny-idefics3-genai"
TILE = 32  # pixels of a tile's edge
LONGEST_EDGE = 128  # of a picture before it is cut into tiles: at the most 4 × 4 of them
PATCH = 8
SCALE = 2  # tokens of a tile are patches / SCALE²
IMAGE_TOKENS = (TILE // PATCH // SCALE) ** 2
CONTEXT = 640

FAKE, IMAGE, END, GLOBAL = "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"
ROWS_AND_COLUMNS = 6  # as many names of tiles as SmolVLM's tokenizer has
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# The vision tower's output is normalised and then projected: without this, image features would be small beside the
# embeddings of tokens, and what a picture shows would not change an answer.
FEATURE_GAIN = 1.0


def tokenizer() -> PreTrainedTokenizerFast:
    base = tiny.tokenizer()
    names = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = [FAKE, IMAGE, END, GLOBAL, *names]
    base.add_tokens([AddedToken(text, special=True, normalized=False) for text in special], special_tokens=True)
    base.eos_token = END
    base.chat_template = CHAT_TEMPLATE
    return base


def config(vocabulary: PreTrainedTokenizerFast) -> Idefics3Config:
    ids = {name: vocabulary.convert_tokens_to_ids(text) for name, text in (("image", IMAGE), ("end", END))}
    shared = {"bos_token_id": tiny.BOS_ID, "eos_token_id": ids["end"], "pad_token_id": tiny.PAD_ID}
    return Idefics3Config(
        image_token_id=ids["image"],
        scale_factor=SCALE,
        tie_word_embeddings=False,
        **shared,
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": TILE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            **shared,
        },
    )


def random_model(vocabulary: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """Weights of NumPy's generator, as those of `tiny`."""
    model = Idefics3ForConditionalGeneration(config(vocabulary)).float().eval()
    randomize(model, NAME)
    return model


def randomize(model: Idefics3ForConditionalGeneration, name_of_model: str) -> None:
    """What a picture shows changes the answer, and no logit is infinite."""
    rng = np.random.default_rng([tiny.SEED, *name_of_model.encode()])
    for name, parameter in sorted(model.named_parameters()):
        draw = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        if "norm" in name:
            values = draw * 0.2 + (1 if name.endswith("weight") else 0)
        elif name.endswith(".bias"):
            values = 0.3 * draw
        elif "position_embedding" in name or "embed_tokens" in name or "lm_head" in name:
            values = tiny.EMBEDDING_SCALE * draw
        elif "patch_embedding" in name:
            values = draw / np.sqrt(draw[0].size)
        elif "connector" in name:
            values = FEATURE_GAIN * draw / np.sqrt(parameter.shape[1])
        else:
            values = tiny.PROJECTION_GAIN / np.sqrt(parameter.shape[1]) * draw
        parameter.data = torch.from_numpy(values.astype(np.float32))
    model.generation_config.eos_token_id = model.config.text_config.eos_token_id
    model.generation_config.pad_token_id = tiny.PAD_ID


def preprocessor(splitting: bool = True) -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_image_splitting": splitting,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Idefics3ImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": TILE},
        "processor_class": "Idefics3Processor",
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": LONGEST_EDGE},
    }


def write_hugging_face(folder: Path, splitting: bool = True) -> Idefics3ForConditionalGeneration:
    """The folder that AutoProcessor and AutoModelForImageTextToText open."""
    vocabulary = tokenizer()
    model = random_model(vocabulary)
    model.save_pretrained(folder)
    vocabulary.save_pretrained(folder)
    tiny.strip_environment(folder / "tokenizer_config.json")
    write_json(folder / "preprocessor_config.json", preprocessor(splitting))
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": IMAGE_TOKENS}
    write_json(folder / "processor_config.json", processor)
    return model


def export(weights: Path, model: Idefics3ForConditionalGeneration, packages: Path) -> list[Path]:
    """Writes both packages."""
    out, genai = packages / NAME, packages / GENAI_NAME
    graphs = out / "onnx"
    graphs.mkdir(parents=True)
    vision_encoder(model, graphs / "vision_encoder.onnx")
    embed_tokens(model, graphs / "embed_tokens.onnx")
    decoder(model, graphs / "decoder_model_merged.onnx")
    texts = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    pictures = ("preprocessor_config.json", "processor_config.json")
    for name in (*texts, *pictures, "config.json", "generation_config.json"):
        (out / name).write_bytes((weights / name).read_bytes())
    card(out, "the transformers.js layout")

    genai.mkdir(parents=True)
    (genai / "text.onnx").write_bytes((graphs / "decoder_model_merged.onnx").read_bytes())
    (genai / "vision.onnx").write_bytes((graphs / "vision_encoder.onnx").read_bytes())
    embed_and_merge(model, genai / "embedding.onnx")
    for name in (*texts, *pictures):
        (genai / name).write_bytes((weights / name).read_bytes())
    write_json(genai / "genai_config.json", genai_config(model.config))
    card(genai, "the onnxruntime-genai layout")
    return [out, genai]


def genai_config(model: Idefics3Config) -> dict[str, Any]:
    text = model.text_config
    return {
        "model": {
            "type": "idefics3",
            "bos_token_id": text.bos_token_id,
            "eos_token_id": text.eos_token_id,
            "pad_token_id": text.pad_token_id,
            "image_token_id": model.image_token_id,
            "vocab_size": text.vocab_size,
            "context_length": text.max_position_embeddings,
            "decoder": {
                "filename": "text.onnx",
                "head_size": text.head_dim,
                "hidden_size": text.hidden_size,
                "num_attention_heads": text.num_attention_heads,
                "num_key_value_heads": text.num_key_value_heads,
                "num_hidden_layers": text.num_hidden_layers,
                "inputs": {
                    "inputs_embeds": "inputs_embeds",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
            "embedding": {
                "filename": "embedding.onnx",
                "inputs": {"input_ids": "input_ids", "image_features": "image_features"},
                "outputs": {"inputs_embeds": "inputs_embeds"},
            },
            "vision": {
                "filename": "vision.onnx",
                "config_filename": "preprocessor_config.json",
                "inputs": {"pixel_values": "pixel_values", "attention_mask": "pixel_attention_mask"},
                "outputs": {"image_features": "image_features"},
            },
        },
        "search": {"do_sample": False, "max_length": text.max_position_embeddings, "past_present_share_buffer": False},
    }


class VisionEncoder(torch.nn.Module):
    """Pixels to image features. Every tile is full, so that attention needs no mask; positions come from the mask.

    As transformers embeds patches, but for a tensor of zeros whose type its tracing exporter takes for float.
    """

    def __init__(self, model: Idefics3ForConditionalGeneration) -> None:
        super().__init__()
        self.vision = model.model.vision_model
        self.connector = model.model.connector
        self.patch = model.config.vision_config.patch_size
        self.side = model.config.vision_config.image_size // self.patch

    def forward(self, pixel_values: torch.Tensor, pixel_attention_mask: torch.Tensor) -> torch.Tensor:
        pixels = pixel_values.flatten(0, 1)
        mask = pixel_attention_mask.flatten(0, 1).float()
        patches = torch.nn.functional.max_pool2d(mask[:, None], self.patch)[:, 0] > 0
        edges = torch.arange(1 / self.side, 1.0, 1 / self.side)
        steps = torch.arange(self.side, dtype=torch.float32)
        down, across = (
            torch.bucketize(torch.clamp(steps / count[:, None], max=1.0 - 1e-6), edges, right=True)
            for count in (patches[:, :, 0].sum(1), patches[:, 0, :].sum(1))
        )
        positions = (down[:, :, None] * self.side + across[:, None, :]) * patches.long()
        embeddings = self.vision.embeddings
        hidden = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        hidden = hidden + embeddings.position_embedding(positions.flatten(1))
        hidden = self.vision.encoder(inputs_embeds=hidden, attention_mask=None).last_hidden_state
        return self.connector(self.vision.post_layernorm(hidden))


class Decoder(torch.nn.Module):
    """The language model over embeddings, its cache plain tensors in and out."""

    def __init__(self, model: Idefics3ForConditionalGeneration) -> None:
        super().__init__()
        self.text = model.model.text_model
        self.head = model.lm_head

    def forward(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        output = self.text(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            use_cache=True,
        )
        present = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        return (self.head(output.last_hidden_state), *present)


class EmbedAndMerge(torch.nn.Module):
    """Ids to embeddings, image features in place of image tokens in their order."""

    def __init__(self, model: Idefics3ForConditionalGeneration) -> None:
        super().__init__()
        self.table = model.model.text_model.embed_tokens
        self.image_token = model.config.image_token_id

    def forward(self, input_ids: torch.Tensor, image_features: torch.Tensor) -> torch.Tensor:
        embeddings = self.table(input_ids)
        places = (input_ids == self.image_token).unsqueeze(-1).expand_as(embeddings)
        return embeddings.masked_scatter(places, image_features)


def vision_encoder(model: Idefics3ForConditionalGeneration, file: Path, opset: int = 17) -> None:
    size = model.config.vision_config.image_size
    pixels = torch.zeros((2, 3, 3, size, size))
    axes = {0: "batch_size", 1: "num_images"}
    write(
        VisionEncoder(model),
        (pixels, torch.ones((2, 3, size, size), dtype=torch.bool)),
        file,
        ["pixel_values", "pixel_attention_mask"],
        ["image_features"],
        {"pixel_values": axes, "pixel_attention_mask": axes, "image_features": {0: "num_tiles"}},
    )


def embed_tokens(model: Idefics3ForConditionalGeneration, file: Path) -> None:
    axes = {0: "batch_size", 1: "sequence_length"}
    write(
        model.model.text_model.embed_tokens,
        (torch.zeros((2, 3), dtype=torch.long),),
        file,
        ["input_ids"],
        ["inputs_embeds"],
        {"input_ids": axes, "inputs_embeds": axes},
    )


def embed_and_merge(model: Idefics3ForConditionalGeneration, file: Path) -> None:
    axes = {0: "batch_size", 1: "sequence_length"}
    ids = torch.tensor([[1, model.config.image_token_id, 2]])
    features = torch.zeros((1, model.config.text_config.hidden_size))
    write(
        EmbedAndMerge(model),
        (ids, features),
        file,
        ["input_ids", "image_features"],
        ["inputs_embeds"],
        {"input_ids": axes, "inputs_embeds": axes, "image_features": {0: "num_image_tokens"}},
    )


def decoder(model: Idefics3ForConditionalGeneration, file: Path) -> None:
    text = model.config.text_config
    names = [f"{layer}.{part}" for layer in range(text.num_hidden_layers) for part in ("key", "value")]
    past_names, present_names = [f"past_key_values.{name}" for name in names], [f"present.{name}" for name in names]
    token_axes = {0: "batch_size", 1: "sequence_length"}
    axes = {name: token_axes for name in ("inputs_embeds", "position_ids", "logits")}
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in past_names}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in present_names}
    rows, new, past = 2, 3, 4  # of the example that is traced; all three are free in the graph
    example = (
        torch.zeros((rows, new, text.hidden_size)),
        torch.ones((rows, past + new), dtype=torch.long),
        torch.arange(past, past + new).expand(rows, new),
        *[torch.zeros((rows, text.num_key_value_heads, past, text.head_dim)) for _ in past_names],
    )
    inputs = ["inputs_embeds", "attention_mask", "position_ids", *past_names]
    write(Decoder(model), example, file, inputs, ["logits", *present_names], axes)


def write(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    file: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    torch.onnx.export(
        module.eval(),
        example,
        str(file),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    tiny.strip_provenance(file)


def card(package: Path, layout: str) -> None:
    (package / "README.md").write_text(
        f"""---
license: apache-2.0 OR mit
---

# {package.name}

Random weights, Idefics3 architecture (SmolVLM's), fp32, {layout}: for tests alone. Made by
`models/recipes/reference/make.py`; what it says is noise.
"""
    )


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")
