"""The two references: onnxruntime-genai on a package, and Hugging Face transformers on f32 weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime_genai as og
import torch
from transformers import AutoModelForCausalLM

TOP = 8
# Steps whose logits are kept, besides the last: prefill, the first step from the cache, and one well into decoding.
LOGIT_STEPS = (0, 1, 31)


@dataclass(frozen=True)
class Greedy:
    """One greedy continuation. `logits[i]` are those that token i was picked from."""

    tokens: list[int]
    margins: list[float]  # largest minus second largest logit, per token
    top: dict[int, list[tuple[int, float]]]  # step → the TOP largest (token id, logit)


class Runtime(Protocol):
    name: str

    def greedy(self, prompt: list[int], new_tokens: int) -> Greedy: ...


class Trace:
    """Collects what a greedy run is compared by, and checks that it is greedy."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.margins: list[float] = []
        self.top: list[list[tuple[int, float]]] = []

    def add(self, token: int, logits: np.ndarray) -> None:
        if int(logits.argmax()) != token:
            raise ValueError(f"step {len(self.tokens)}: picked {token}, the largest logit is that of {logits.argmax()}")
        largest = np.argsort(-logits, kind="stable")[:TOP]
        self.tokens.append(token)
        self.margins.append(float(logits[largest[0]] - logits[largest[1]]))
        self.top.append([(int(i), float(logits[i])) for i in largest])

    def finish(self) -> Greedy:
        last = len(self.tokens) - 1
        steps = sorted({step for step in (*LOGIT_STEPS, last) if step <= last})
        return Greedy(self.tokens, self.margins, {step: self.top[step] for step in steps})


class Genai:
    name = "onnxruntime-genai"

    def __init__(self, package: Path, threads: int) -> None:
        config = og.Config(str(package))
        # Threads that spin while they wait starve each other on a busy machine; results do not depend on it.
        options = {"intra_op_num_threads": threads, "session.intra_op.allow_spinning": "0"}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self.model = og.Model(config)

    def greedy(self, prompt: list[int], new_tokens: int) -> Greedy:
        parameters = og.GeneratorParams(self.model)
        parameters.set_search_options(max_length=len(prompt) + new_tokens, do_sample=False)
        generator = og.Generator(self.model, parameters)
        generator.append_tokens(np.array(prompt, dtype=np.int32))
        trace = Trace()
        while not generator.is_done():
            # [1, 1 or tokens fed, vocabulary]: the last row is the one the next token is picked from.
            logits = np.array(generator.get_logits())
            generator.generate_next_token()
            trace.add(int(generator.get_next_tokens()[0]), logits.reshape(-1, logits.shape[-1])[-1])
        return trace.finish()


class Transformers:
    name = "transformers"

    def __init__(self, weights: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()

    def greedy(self, prompt: list[int], new_tokens: int) -> Greedy:
        ids = torch.tensor([prompt])
        output = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        trace = Trace()
        for token, logits in zip(output.sequences[0, len(prompt) :].tolist(), output.logits, strict=True):
            trace.add(token, logits[0].numpy())
        return trace.finish()
