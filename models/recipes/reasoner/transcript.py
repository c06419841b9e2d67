"""Stores what onnxruntime-genai itself makes of the package: `curt doctor` replays it on other machines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnxruntime
import onnxruntime_genai as og

from settings import Settings
from task import held_out_questions
from tokenizer import render

TRANSCRIPT_SEED = 2


def transcript(folder: Path, settings: Settings) -> dict[str, Any]:
    """Prompts and greedy tokens of a few held-out questions; fails where the template or a chain is not as expected."""
    config = og.Config(str(folder))
    config.clear_providers()
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)
    prompts = []
    for question in held_out_questions(TRANSCRIPT_SEED, settings.evaluate.transcript_prompts, settings.task):
        text = render([("user", question.text())], add_generation_prompt=True)
        ids = tokenizer.encode(text).tolist()
        greedy = list(greedy_tokens(model, ids, int(settings.sampling["max_tokens"])))
        prompts.append({"text": question.text(), "ids": ids, "greedy": greedy})
    return {"onnxruntime": onnxruntime.__version__, "onnxruntime_genai": og.__version__, "prompts": prompts}


def greedy_tokens(model: og.Model, ids: list[int], limit: int) -> Iterable[int]:
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(do_sample=False, max_length=len(ids) + limit)
    generator = og.Generator(model, parameters)
    generator.append_tokens(ids)
    while not generator.is_done():
        generator.generate_next_token()
        yield int(generator.get_next_tokens()[0])
