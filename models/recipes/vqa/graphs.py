"""Writes the three ONNX graphs of an Idefics3 model, tensor for tensor as SmolVLM-256M-Instruct is published.

    vision_encoder         pixel_values, pixel_attention_mask -> image_features
    embed_tokens           input_ids -> inputs_embeds
    decoder_model_merged   inputs_embeds, attention_mask, position_ids, past_key_values.N.* -> logits, present.N.*

The graphs are written node by node from the Hugging Face weights, so that nothing depends on what an exporter of some
torch version makes of the Python code, and every weight is in the file once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from configuration import Attention, Precision
from quantize import quantized

Array = np.ndarray
Weights = Mapping[str, Array]  # Hugging Face names

OPSET = 21  # the newest whose operators every ONNX Runtime since 1.18 knows
MASKED = np.float32(np.finfo(np.float32).min)  # what transformers adds to the score of a masked position


@dataclass(frozen=True)
class Input:
    name: str
    dtype: int
    shape: tuple[str | int, ...]


class Graph:
    """Nodes, initializers and names; every operator returns the name of its first output."""

    def __init__(self, precision: Precision, block: int) -> None:
        self.precision, self.block = precision, block
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        return self.ops(kind, inputs, 1, name, domain, **attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[str], count: int, name: str = "", domain: str = "", **attributes: Any
    ) -> list[str]:
        stem = name or f"{kind}_{len(self.nodes)}"
        outputs = [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, f"/{stem}", domain=domain, **attributes))
        return outputs

    def name_output(self, value: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name], f"/{name}"))

    def stored(self, name: str, array: Array) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def floats(self, name: str, array: Array) -> str:
        """A table or kernel that is not quantised in blocks: half floats in the file, widened when it is loaded."""
        if self.precision == "f32":
            return self.stored(name, array.astype(np.float32))
        return self.op("Cast", self.stored(name, array.astype(np.float16)), name=f"{name}_f32", to=TensorProto.FLOAT)

    def ints(self, *values: int) -> str:
        return self.stored("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.stored(f"float_{value!r}", np.float32(value))

    def linear(self, value: str, name: str, weight: Array, bias: Array | None = None) -> str:
        """`value` [..., inputs] times `weight` [outputs, inputs] transposed."""
        outputs, inputs = weight.shape
        if self.precision != "f32":
            packed = quantized(weight, 8 if self.precision == "int8" else 4, self.block)
            out = self.op(
                "MatMulNBits",
                value,
                self.stored(f"{name}.codes", packed.codes),
                self.stored(f"{name}.scales", packed.scales),
                domain="com.microsoft",
                K=inputs,
                N=outputs,
                bits=packed.bits,
                block_size=self.block,
                accuracy_level=4,
            )
        else:
            out = self.op("MatMul", value, self.stored(name, weight.T.astype(np.float32)))
        return out if bias is None else self.op("Add", out, self.stored(f"{name}.bias", bias.astype(np.float32)))

    def reshape(self, value: str, *shape: int) -> str:
        return self.op("Reshape", value, self.ints(*shape))

    def transpose(self, value: str, *order: int) -> str:
        return self.op("Transpose", value, perm=order)

    def dimension(self, value: str, axis: int) -> str:
        """[1] int64."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def slice(self, value: str, start: int, end: int, axis: int) -> str:
        return self.op("Slice", value, self.ints(start), self.ints(end), self.ints(axis))

    def count_up(self, start: str, end: str) -> str:
        """start..end of two [1] int64 tensors."""
        zero = self.stored("first", np.int64(0))
        first, last = self.op("Gather", start, zero), self.op("Gather", end, zero)
        return self.op("Range", first, last, self.stored("one", np.int64(1)))

    def model(self, name: str, inputs: Sequence[Input], outputs: Sequence[Input]) -> onnx.ModelProto:
        def described(values: Sequence[Input]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(v.name, v.dtype, v.shape) for v in values]

        graph = helper.make_graph(
            self.nodes, name, described(inputs), described(outputs), list(self.initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="curt vqa recipe", ir_version=10)
        onnx.checker.check_model(model)
        return model


def vision_encoder(weights: Weights, config: Mapping[str, Any], precision: Precision, block: int) -> onnx.ModelProto:
    """[batch, images, 3, side, side] -> [real images, image tokens, text width]: images of zeros are left out."""
    vision, scale = config["vision_config"], config["scale_factor"]
    width, heads, patch, side = (
        vision[key] for key in ("hidden_size", "num_attention_heads", "patch_size", "image_size")
    )
    grid = side // patch
    g = Graph(precision, block)
    prefix = "model.vision_model."

    pixels = g.reshape("pixel_values", -1, 3, side, side)
    real = g.op("ReduceMax", g.op("Abs", pixels), g.ints(1, 2, 3), keepdims=0)
    real = g.op("Greater", real, g.scalar(0.0))
    pixels = g.op("Compress", pixels, real, axis=0)
    mask = g.op("Compress", g.reshape("pixel_attention_mask", -1, side, side), real, axis=0)
    seen = g.reshape(g.op("Cast", mask, to=TensorProto.FLOAT), -1, grid, patch, grid, patch)
    seen = g.op("ReduceMax", seen, g.ints(2, 4), keepdims=0)  # [images, grid, grid] of 0 and 1

    kernel = weights[prefix + "embeddings.patch_embedding.weight"]
    bias = weights[prefix + "embeddings.patch_embedding.bias"].astype(np.float32)
    x = g.op(
        "Conv", pixels, g.floats("patch.weight", kernel), g.stored("patch.bias", bias),
        kernel_shape=[patch, patch], strides=[patch, patch],
    )  # fmt: skip
    x = g.transpose(g.reshape(x, 0, width, grid * grid), 0, 2, 1)
    x = g.op("Add", x, vision_positions(g, weights[prefix + "embeddings.position_embedding.weight"], seen, grid))

    hidden = g.op("Sub", g.scalar(1.0), g.reshape(seen, -1, 1, 1, grid * grid))
    bias_of_mask = g.op("Mul", hidden, g.scalar(float(MASKED)))
    head = width // heads
    for layer in range(vision["num_hidden_layers"]):
        names = f"{prefix}encoder.layers.{layer}."

        def part(name: str, names: str = names) -> tuple[Array, Array]:
            return weights[f"{names}{name}.weight"], weights[f"{names}{name}.bias"]

        y = layer_norm(g, x, f"vision.{layer}.norm1", *part("layer_norm1"), vision["layer_norm_eps"])
        parts = [part(f"self_attn.{kind}_proj") for kind in "qkv"]
        weight, bias = (np.concatenate([pair[i] for pair in parts]) for i in (0, 1))
        y = g.linear(y, f"vision.{layer}.qkv", weight, bias)
        y = g.transpose(g.reshape(y, 0, 0, 3, heads, head), 2, 0, 3, 1, 4)
        q, k, v = (g.op("Gather", y, g.stored(f"index_{i}", np.int64(i)), axis=0) for i in range(3))
        scores = g.op("MatMul", g.op("Mul", q, g.scalar(head**-0.5)), g.transpose(k, 0, 1, 3, 2))
        y = g.op("MatMul", g.op("Softmax", g.op("Add", scores, bias_of_mask), axis=-1), v)
        y = g.reshape(g.transpose(y, 0, 2, 1, 3), 0, 0, width)
        x = g.op("Add", x, g.linear(y, f"vision.{layer}.out", *part("self_attn.out_proj")))
        y = layer_norm(g, x, f"vision.{layer}.norm2", *part("layer_norm2"), vision["layer_norm_eps"])
        y = g.op("Gelu", g.linear(y, f"vision.{layer}.fc1", *part("mlp.fc1")), approximate="tanh")
        x = g.op("Add", x, g.linear(y, f"vision.{layer}.fc2", *part("mlp.fc2")))
    last = (weights[f"{prefix}post_layernorm.{kind}"] for kind in ("weight", "bias"))
    x = layer_norm(g, x, "vision.norm", *last, vision["layer_norm_eps"])

    # Pixel shuffle: each scale x scale patch of patches becomes one token.
    small = grid // scale
    x = g.transpose(g.reshape(x, 0, small, scale, small, scale * width), 0, 1, 3, 2, 4)
    x = g.reshape(x, 0, small * small, scale * scale * width)
    x = g.linear(x, "connector", weights["model.connector.modality_projection.proj.weight"])
    g.name_output(x, "image_features")
    text_width = config["text_config"]["hidden_size"]
    return g.model(
        "vision_encoder",
        [
            Input("pixel_values", TensorProto.FLOAT, ("batch_size", "num_images", 3, side, side)),
            Input("pixel_attention_mask", TensorProto.BOOL, ("batch_size", "num_images", side, side)),
        ],
        [Input("image_features", TensorProto.FLOAT, ("num_real_images", small * small, text_width))],
    )


def vision_positions(g: Graph, table: Array, seen: str, grid: int) -> str:
    """Position embeddings as the processor's mask asks: a smaller picture spreads over the whole table."""
    boundaries = np.arange(1, grid, dtype=np.float32) / np.float32(grid)
    buckets = []
    for axis, line in (("rows", g.slice(seen, 0, 1, 2)), ("columns", g.slice(seen, 0, 1, 1))):
        count = g.op("ReduceSum", g.reshape(line, 0, grid), g.ints(1), keepdims=1)  # [images, 1]
        step = g.op("Div", g.scalar(1.0), count)
        along = g.op("Mul", g.stored("places", np.arange(grid, dtype=np.float32)), step)  # [images, grid]
        along = g.op("Min", along, g.scalar(float(np.float32(1.0 - 1e-6))))
        past = g.op("GreaterOrEqual", g.op("Unsqueeze", along, g.ints(2)), g.stored("boundaries", boundaries))
        bucket = g.op("ReduceSum", g.op("Cast", past, to=TensorProto.INT64), g.ints(2), keepdims=0)
        buckets.append(g.op("Unsqueeze", bucket, g.ints(2 if axis == "rows" else 1)))
    ids = g.op("Add", g.op("Mul", buckets[0], g.ints(grid)), buckets[1])
    ids = g.op("Mul", ids, g.op("Cast", seen, to=TensorProto.INT64))  # unseen patches take the first row
    return g.op("Gather", g.floats("positions", table), g.reshape(ids, 0, grid * grid))


def layer_norm(g: Graph, x: str, name: str, weight: Array, bias: Array, epsilon: float) -> str:
    scale, offset = g.stored(f"{name}.scale", np.float32(weight)), g.stored(f"{name}.bias", np.float32(bias))
    return g.op("LayerNormalization", x, scale, offset, axis=-1, epsilon=epsilon)


def rms_norm(g: Graph, x: str, name: str, weight: Array, epsilon: float) -> str:
    """Written out; ONNX Runtime fuses it into one kernel when it loads the graph."""
    square = g.op("Pow", x, g.scalar(2.0))
    mean = g.op("ReduceMean", square, g.ints(-1), keepdims=1)
    root = g.op("Sqrt", g.op("Add", mean, g.scalar(epsilon)))
    return g.op("Mul", g.op("Div", x, root), g.stored(f"{name}.scale", weight.astype(np.float32)))


def embed_tokens(weights: Weights, config: Mapping[str, Any], precision: Precision, block: int) -> onnx.ModelProto:
    g = Graph(precision, block)
    table = weights["model.text_model.embed_tokens.weight"]
    if precision == "f32":
        rows = g.op("Gather", g.stored("embed_tokens.weight", table.astype(np.float32)), "input_ids")
    else:
        # The blocks of the tied head; eight bits in every quantised package, for a row is looked up and not summed.
        packed = quantized(table, 8, block)
        rows = g.op("Gather", g.stored("embed_tokens.codes", packed.codes), "input_ids")
        rows = g.op("Sub", g.op("Cast", rows, to=TensorProto.FLOAT), g.scalar(128.0))
        scales = g.op("Gather", g.stored("embed_tokens.scales", packed.scales[:, :, None]), "input_ids")
        rows = g.reshape(g.op("Mul", rows, scales), 0, 0, table.shape[1])
    g.name_output(rows, "inputs_embeds")
    shape = ("batch_size", "sequence_length")
    return g.model(
        "embed_tokens",
        [Input("input_ids", TensorProto.INT64, shape)],
        [Input("inputs_embeds", TensorProto.FLOAT, (*shape, table.shape[1]))],
    )


def decoder(
    weights: Weights, config: Mapping[str, Any], precision: Precision, block: int, attention: Attention = "growing"
) -> onnx.ModelProto:
    """The text model and its head. `growing`: operators of the ONNX standard, keys and values are concatenated.
    `grouped`: one GroupQueryAttention a layer, whose past and present may be one buffer."""
    text = config["text_config"]
    width, heads, kv_heads, head = (
        text[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    g = Graph(precision, block)
    prefix = "model.text_model."
    attend = GrowingAttention(g, text) if attention == "growing" else GroupedAttention(g, text)
    x = "inputs_embeds"
    for layer in range(text["num_hidden_layers"]):
        names = f"{prefix}layers.{layer}."

        def part(name: str, names: str = names) -> Array:
            return weights[f"{names}{name}.weight"]

        y = rms_norm(g, x, f"text.{layer}.norm1", part("input_layernorm"), text["rms_norm_eps"])
        qkv = np.concatenate([part(f"self_attn.{kind}_proj") for kind in "qkv"])
        y = attend.layer(layer, g.linear(y, f"text.{layer}.qkv", qkv))
        x = g.op("Add", x, g.linear(y, f"text.{layer}.out", part("self_attn.o_proj")))
        y = rms_norm(g, x, f"text.{layer}.norm2", part("post_attention_layernorm"), text["rms_norm_eps"])
        y = g.linear(y, f"text.{layer}.gate_up", np.concatenate([part("mlp.gate_proj"), part("mlp.up_proj")]))
        gate, up = g.ops("Split", [y], 2, axis=-1, num_outputs=2)
        y = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), up)
        x = g.op("Add", x, g.linear(y, f"text.{layer}.down", part("mlp.down_proj")))
    x = rms_norm(g, x, "text.norm", weights[prefix + "norm.weight"], text["rms_norm_eps"])
    g.name_output(g.linear(x, "lm_head", weights[prefix + "embed_tokens.weight"]), "logits")

    batch, new, total = "batch_size", "sequence_length", "total_sequence_length"
    inputs = [
        Input("inputs_embeds", TensorProto.FLOAT, (batch, new, width)),
        Input("attention_mask", TensorProto.INT64, (batch, total)),
        Input("position_ids", TensorProto.INT64, (batch, new)),
    ]
    outputs = [Input("logits", TensorProto.FLOAT, (batch, new, text["vocab_size"]))]
    for layer in range(text["num_hidden_layers"]):
        for kind in ("key", "value"):
            past = (batch, kv_heads, "past_sequence_length", head)
            inputs.append(Input(f"past_key_values.{layer}.{kind}", TensorProto.FLOAT, past))
            outputs.append(Input(f"present.{layer}.{kind}", TensorProto.FLOAT, (batch, kv_heads, total, head)))
    return g.model("decoder_model_merged", inputs, outputs)


def rotary(g: Graph, positions: str, text: Mapping[str, Any]) -> tuple[str, str]:
    """cos and sin of [..., 1] f32 positions, each [..., head_dim / 2]."""
    halves = np.arange(0, text["head_dim"], 2, dtype=np.float32) / np.float32(text["head_dim"])
    angles = g.op("Mul", positions, g.stored("frequencies", 1 / np.float32(text["rope_theta"]) ** halves))
    return g.op("Cos", angles), g.op("Sin", angles)


class GrowingAttention:
    def __init__(self, g: Graph, text: Mapping[str, Any]) -> None:
        self.g = g
        self.heads, self.kv_heads, self.head = (
            text[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim")
        )
        positions = g.op("Unsqueeze", g.op("Cast", "position_ids", to=TensorProto.FLOAT), g.ints(1, 3))
        self.cos, self.sin = rotary(g, positions, text)  # [batch, 1, new, head / 2]
        total, new = g.dimension("attention_mask", 1), g.dimension("position_ids", 1)
        past = g.op("Sub", total, new)
        zero = g.ints(0)
        queries = g.op("Unsqueeze", g.count_up(past, total), g.ints(1))  # [new, 1]
        causal = g.op("LessOrEqual", g.count_up(zero, total), queries)  # [new, total]
        valid = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.BOOL), g.ints(1))
        allowed = g.op("And", valid, causal)  # [batch, new, total]
        bias = g.op("Where", allowed, g.scalar(0.0), g.scalar(float(MASKED)))
        self.bias = g.op("Unsqueeze", bias, g.ints(1, 2))  # [batch, 1, 1, new, total]

    def layer(self, layer: int, qkv: str) -> str:
        g, heads, kv_heads, head = self.g, self.heads, self.kv_heads, self.head
        every = g.transpose(g.reshape(qkv, 0, 0, heads + 2 * kv_heads, head), 0, 2, 1, 3)
        turned = self.rotate(g.slice(every, 0, heads + kv_heads, 1))
        query = g.slice(turned, 0, heads, 1)
        fresh = {"key": g.slice(turned, heads, heads + kv_heads, 1)}
        fresh["value"] = g.slice(every, heads + kv_heads, heads + 2 * kv_heads, 1)
        for kind, value in fresh.items():
            past = f"past_key_values.{layer}.{kind}"
            g.op("Concat", past, value, name=f"present.{layer}.{kind}", axis=2)
        keys = g.op("Unsqueeze", g.transpose(f"present.{layer}.key", 0, 1, 3, 2), g.ints(2))
        values = g.op("Unsqueeze", f"present.{layer}.value", g.ints(2))
        query = g.op("Mul", query, g.scalar(head**-0.5))
        query = self.grouped(query)
        scores = g.op("Add", g.op("MatMul", query, keys), self.bias)
        out = g.op("MatMul", g.op("Softmax", scores, axis=-1), values)  # [batch, kv_heads, group, new, head]
        out = g.transpose(out, 0, 3, 1, 2, 4)
        return self.flat(out)

    def grouped(self, query: str) -> str:
        """[batch, heads, new, head] as [batch, kv_heads, heads / kv_heads, new, head]."""
        g = self.g
        batch_new = g.op(
            "Concat", g.dimension(query, 0), g.ints(self.kv_heads, self.heads // self.kv_heads),
            g.dimension(query, 2), g.ints(self.head), axis=0,
        )  # fmt: skip
        return g.op("Reshape", query, batch_new)

    def flat(self, out: str) -> str:
        return self.g.reshape(out, 0, 0, self.heads * self.head)

    def rotate(self, x: str) -> str:
        g = self.g
        low, high = g.ops("Split", [x], 2, axis=-1, num_outputs=2)
        first = g.op("Sub", g.op("Mul", low, self.cos), g.op("Mul", high, self.sin))
        second = g.op("Add", g.op("Mul", high, self.cos), g.op("Mul", low, self.sin))
        return g.op("Concat", first, second, axis=-1)


class GroupedAttention:
    def __init__(self, g: Graph, text: Mapping[str, Any]) -> None:
        self.g, self.text = g, text
        # Tables that ONNX Runtime computes once, when it loads the graph.
        end = g.ints(text["max_position_embeddings"])
        positions = g.op("Cast", g.count_up(g.ints(0), end), to=TensorProto.FLOAT)
        self.cos, self.sin = rotary(g, g.op("Unsqueeze", positions, g.ints(1)), text)
        lengths = g.op("ReduceSum", "attention_mask", g.ints(1), keepdims=0)
        self.last = g.op("Cast", g.op("Sub", lengths, g.ints(1)), to=TensorProto.INT32)  # [batch]
        total = g.op("Gather", g.dimension("attention_mask", 1), g.stored("first", np.int64(0)))
        self.total = g.op("Cast", total, to=TensorProto.INT32)

    def layer(self, layer: int, qkv: str) -> str:
        text = self.text
        past = [f"past_key_values.{layer}.{kind}" for kind in ("key", "value")]
        node = helper.make_node(
            "GroupQueryAttention",
            [qkv, "", "", *past, self.last, self.total, self.cos, self.sin, "position_ids"],
            [f"attention.{layer}", f"present.{layer}.key", f"present.{layer}.value"],
            f"/attention.{layer}",
            domain="com.microsoft",
            num_heads=text["num_attention_heads"],
            kv_num_heads=text["num_key_value_heads"],
            do_rotary=1,
            rotary_interleaved=0,
        )
        self.g.nodes.append(node)
        return f"attention.{layer}"
