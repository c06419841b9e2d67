"""Decodes many paths of equally long prompts in lockstep with plain ONNX Runtime.

One KV buffer per layer is bound as past and present, as onnxruntime-genai does; a prompt is prefilled once and its rows
are repeated. Here and not in onnxruntime-genai because the figures need log-probabilities and the cached values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tokenizer import END_ID, PAD_ID

Array = np.ndarray


@dataclass(frozen=True)
class Sampling:
    temperature: float  # 0 is greedy
    min_p: float
    max_tokens: int


@dataclass(frozen=True)
class Paths:
    tokens: Array  # [rows, steps] int64; PAD_ID after the end token
    log_probs: Array  # [rows, steps] f32, of the token taken, under the whole distribution; 0 after the end
    lengths: Array  # [rows] int64: tokens with the end token, or all steps


class Decoder:
    def __init__(self, folder: Path, threads: int) -> None:
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = config["decoder"]
        self.layers: int = decoder["num_hidden_layers"]
        self.kv_shape: tuple[int, int] = (decoder["num_key_value_heads"], decoder["head_size"])
        self.vocabulary: int = config["vocab_size"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(folder / decoder["filename"], options, providers=["CPUExecutionProvider"])

    def buffers(self, rows: int, capacity: int) -> list[Array]:
        """Keys and values of each layer in turn, each [rows, kv_heads, capacity, head_dim] f32."""
        heads, size = self.kv_shape
        return [np.zeros((rows, heads, capacity, size), np.float32) for _ in range(2 * self.layers)]

    def step(self, ids: Array, kv: list[Array], past: int) -> Array:
        """Runs `ids` [rows, new] after `past` cached positions; returns logits [rows, new, vocabulary] f32."""
        rows, new = ids.shape
        mask = np.ones((rows, past + new), np.int64)
        logits = np.empty((rows, new, self.vocabulary), np.float32)
        binding = self.session.io_binding()
        ids = np.ascontiguousarray(ids)
        for name, array in (("input_ids", ids), ("attention_mask", mask)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        for index, array in enumerate(kv):
            kind = "key" if index % 2 == 0 else "value"
            name = f"{index // 2}.{kind}"
            binding.bind_input(f"past_key_values.{name}", "cpu", 0, np.float32, array.shape, array.ctypes.data)
            binding.bind_output(f"present.{name}", "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self.session.run_with_iobinding(binding)
        return logits

    def decode(self, prompts: Array, paths: int, sampling: Sampling, seed: int) -> Paths:
        """`paths` rows for each prompt of [prompts, length], one after the other."""
        count, length = prompts.shape
        max_tokens = sampling.max_tokens
        rows = count * paths
        prompt_kv = self.buffers(count, length + max_tokens)
        logits = np.repeat(self.step(prompts, prompt_kv, 0)[:, -1], paths, axis=0)
        kv = [np.repeat(array, paths, axis=0) for array in prompt_kv]
        rng = np.random.Generator(np.random.Philox(seed))
        tokens = np.full((rows, max_tokens), PAD_ID, np.int64)
        log_probs = np.zeros((rows, max_tokens), np.float32)
        lengths = np.full(rows, max_tokens, np.int64)
        live = np.ones(rows, bool)
        for position in range(max_tokens):
            chosen, log_prob = choose(logits, sampling.temperature, sampling.min_p, rng)
            tokens[live, position] = chosen[live]
            log_probs[live, position] = log_prob[live]
            ended = live & (chosen == END_ID)
            lengths[ended] = position + 1
            live &= ~ended
            if not live.any() or position + 1 == max_tokens:
                break
            logits = self.step(tokens[:, position : position + 1], kv, length + position)[:, -1]
        return Paths(tokens, log_probs, lengths)

    def values(self, ids: Array) -> list[Array]:
        """The cached values of each layer, [rows, kv_heads, length, head_dim] f32, after a prefill of `ids`."""
        kv = self.buffers(*ids.shape)
        self.step(ids, kv, 0)
        return kv[1::2]


def choose(logits: Array, temperature: float, min_p: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A token for each row and its log-probability at temperature 1, before min-p."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    if temperature == 0:
        chosen = shifted.argmax(axis=-1)
    else:
        # The likeliest token weighs 1, so min-p is a threshold on the weights as they are.
        weights = np.exp(shifted / temperature)
        weights[weights < min_p] = 0
        cumulated = weights.cumsum(axis=-1, dtype=np.float64)
        drawn = rng.random((len(cumulated), 1)) * cumulated[:, -1:]
        chosen = (cumulated <= drawn).sum(axis=-1)
    taken = np.take_along_axis(shifted, chosen[:, None], axis=-1)[:, 0]
    return chosen, taken - np.log(np.exp(shifted).sum(axis=-1))
