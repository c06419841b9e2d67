"""Greedy ids of the shipped package from plain ONNX Runtime, one question at a time: what curt is held to.

    python models/recipes/vqa/reference.py

Writes models/recipes/reference/data/vqa.json. Its int8 products round what they multiply, so that two orders of the same
steps may differ in a logit's second digit: questions are kept whose every choice is clearer than that.
"""

from __future__ import annotations


import numpy as np

from configuration import PACKAGE, RECIPE, WORKLOAD, write_json
from decoding import Package, Rows
from judge import pixels_of, read_items
from vocabulary import END_ID

OUT = RECIPE.parent / "reference" / "data" / "vqa.json"
ITEMS = 24
LONGEST = 192
CLEAR = 0.5  # least distance of the best logit from the next, at every token


def greedy(package: Package, prompt: list[int], features: np.ndarray) -> tuple[list[int], float]:
    """Ids up to the end token, and the smallest margin on the way."""
    rows, _ = Rows.prefilled(package, np.array([prompt]), features)
    ids, margin = [], np.inf
    while len(ids) < LONGEST and ids[-1:] != [END_ID]:
        least, best = np.sort(rows.logits[0])[-2:]
        margin = min(margin, float(best - least))
        ids.append(int(rows.logits[0].argmax()))
        rows.feed(np.array([ids[-1]]), np.ones(1, bool))
    return ids, margin


def main() -> None:
    package = Package(PACKAGE, threads=1)
    side = package.config["vision_config"]["image_size"]
    kept, seen = [], set()
    for item in read_items(WORKLOAD, "held-out"):
        if item["image"] in seen:
            continue
        seen.add(item["image"])
        prompt = package.vocabulary.prompt(item["question"])
        features = package.features(pixels_of(WORKLOAD / item["image"], side)[None])
        ids, margin = greedy(package, prompt, features)
        if margin >= CLEAR:
            kept.append({"image": item["image"], "question": item["question"], "prompt": prompt, "greedy": ids})
        if len(kept) == ITEMS:
            break
    write_json(OUT, {"command": "python models/recipes/vqa/reference.py", "least_margin": CLEAR, "items": kept})
    print(f"{OUT}: {len(kept)} questions, {sum(len(item['greedy']) for item in kept)} ids")


if __name__ == "__main__":
    main()
