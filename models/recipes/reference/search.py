"""Ids of onnxruntime-genai under the search settings of a package's config: data/search.json.

python models/recipes/reference/search.py            # makes it anew (seconds)
python models/recipes/reference/search.py --check    # makes it anew, writes nothing, fails on a difference

Each case changes `search` (and the ids that end a path) in the config of one tiny package, and nothing else: what a user of that
folder gets from onnxruntime-genai, curt must give.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime_genai as og

HERE = Path(__file__).resolve().parent
FILE = HERE / "data/search.json"
PACKAGE = "tiny-llama-fp32"
NEW_TOKENS = 60
PROMPT = [1, 17, 290, 5, 66, 249, 17, 290, 40, 2]
# An id that the model says early, so that `min_length` has something to hold back.
EARLY_END = 12

CASES: list[dict[str, Any]] = [
    {"search": {}},
    {"search": {"repetition_penalty": 1.3}},
    {"search": {"repetition_penalty": 0.7}},
    {"search": {"no_repeat_ngram_size": 1}},
    {"search": {"no_repeat_ngram_size": 2}},
    {"search": {"no_repeat_ngram_size": 3, "repetition_penalty": 0.8}},
    {"search": {}, "ends_at": EARLY_END},
    {"search": {"min_length": 40}, "ends_at": EARLY_END},
    {"search": {"min_length": 40, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2}, "ends_at": EARLY_END},
    {"search": {"min_length": 5}, "ends_at": EARLY_END},
]


def main() -> int:
    free = greedy({"search": {}}, None)
    cases = []
    for case in CASES:
        eos = free[case["ends_at"]] if "ends_at" in case else None
        row: dict[str, Any] = {"search": case["search"]}
        if eos is not None:
            row["eos_token_id"] = eos
        row["greedy"] = greedy(case, eos)
        cases.append(row)
    made = {
        "package": PACKAGE,
        "made_by": "python models/recipes/reference/search.py",
        "onnxruntime_genai": version("onnxruntime-genai"),
        "new_tokens": NEW_TOKENS,
        "prompt": PROMPT,
        "cases": cases,
    }
    if "--check" in sys.argv[1:]:
        same = json.loads(FILE.read_text())["cases"] == cases
        print("the same" if same else f"{FILE} differs from what is made here")
        return 0 if same else 1
    lines = ",\n  ".join(json.dumps(case) for case in made.pop("cases"))
    head = json.dumps(made, indent=1)[:-2]
    FILE.write_text(f'{head},\n "cases": [\n  {lines}\n ]\n}}\n')
    return 0


def greedy(case: dict[str, Any], eos: int | None) -> list[int]:
    """What onnxruntime-genai says on the package with this config."""
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / PACKAGE
        shutil.copytree(HERE / "packages" / PACKAGE, package)
        config = json.loads((package / "genai_config.json").read_text())
        config["search"].update(case["search"])
        if eos is not None:
            config["model"]["eos_token_id"] = eos
        (package / "genai_config.json").write_text(json.dumps(config))
        model = og.Model(str(package))
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=len(PROMPT) + NEW_TOKENS)
        generator = og.Generator(model, params)
        generator.append_tokens(PROMPT)
        while not generator.is_done():
            generator.generate_next_token()
        return [int(token) for token in generator.get_sequence(0)][len(PROMPT) :]


if __name__ == "__main__":
    sys.exit(main())
