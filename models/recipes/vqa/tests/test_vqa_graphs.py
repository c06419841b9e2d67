"""The exported graphs say what transformers says, and what a package stores can be trained on."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from configuration import PACKAGE, Attention, load_settings
from decoding import Package, Rows
from folder import write_folder, write_package
from network import build, package_weights, state_of
from quantize import quantized, restored
from vocabulary import END_ID, IMAGE_ID, Vocabulary

SETTINGS = load_settings("small")
VOCABULARY = Vocabulary(PACKAGE)
NEW_TOKENS = 24
# Sums of f32 in another order; logits of this model are of size 1.
LOGIT_TOLERANCE = 2e-4


def pixels(count: int) -> np.ndarray:
    side = SETTINGS.model.image_side
    return np.random.default_rng(4).integers(0, 256, (count, 3, side, side), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vqa") / "hf"
    write_folder(path, SETTINGS.model, VOCABULARY.text, state_of(build(SETTINGS.model, 3)))
    return path


@pytest.fixture(scope="module")
def reference(folder: Path) -> tuple[np.ndarray, list[list[int]], np.ndarray]:
    """Prompts of two pictures, what transformers writes after them, and its first logits."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = np.array([VOCABULARY.prompt("What is the largest digit?")] * 2)
    values = torch.from_numpy((pixels(2).astype(np.float32) / 255 - 0.5) / 0.5)[:, None]
    inputs = {"input_ids": torch.from_numpy(prompts), "pixel_values": values}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        first = model(**inputs).logits[:, -1].numpy()
        written = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None)
    return prompts, written[:, prompts.shape[1] :].tolist(), first


def greedy(package: Package, prompts: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
    rows, _ = Rows.prefilled(package, prompts, package.features(pixels(len(prompts))))
    first, written = rows.logits, []
    for _ in range(NEW_TOKENS):
        written.append(rows.logits.argmax(-1))
        rows.feed(written[-1], np.ones(len(prompts), bool))
    return np.stack(written, 1).tolist(), first


@pytest.mark.parametrize("attention", ["growing", "grouped"])
def test_greedy_ids_equal_those_of_transformers(
    folder: Path, reference: tuple[np.ndarray, list[list[int]], np.ndarray], tmp_path: Path, attention: Attention
) -> None:
    write_package(folder, tmp_path, "f32", SETTINGS.block, attention)
    prompts, expected, logits = reference
    written, first = greedy(Package(tmp_path, 1), prompts)
    assert np.abs(first - logits).max() < LOGIT_TOLERANCE
    assert written == expected


def test_the_processors_mask_moves_the_positions(folder: Path, tmp_path: Path) -> None:
    """A picture that fills a part of its square spreads over the whole table, as in transformers."""
    from transformers import AutoModelForImageTextToText

    write_package(folder, tmp_path, "f32", SETTINGS.block)
    side, patch = SETTINGS.model.image_side, SETTINGS.model.patch
    mask = np.zeros((3, 1, side, side), bool)
    mask[0] = True
    mask[1, :, : 5 * patch, : 11 * patch] = True
    values = (pixels(3).astype(np.float32) / 255 - 0.5)[:, None] / 0.5
    values[2] = 0  # a picture that is only padding is left out
    session = ort.InferenceSession(tmp_path / "onnx" / "vision_encoder.onnx", providers=["CPUExecutionProvider"])
    seen = session.run(None, {"pixel_values": values, "pixel_attention_mask": mask})[0]
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        kept = model.model.get_image_features(torch.from_numpy(values), torch.from_numpy(mask)).pooler_output
    expected = torch.cat([part.reshape(-1, 64, SETTINGS.model.width) for part in kept if len(part)])
    assert seen.shape == tuple(expected.shape) and len(seen) == 2
    assert np.abs(seen - expected.numpy()).max() < LOGIT_TOLERANCE


@pytest.mark.parametrize("bits", [8, 4])
def test_blocks_are_off_by_half_a_step_and_stay_as_they_are(bits: int) -> None:
    weight = np.random.default_rng(1).normal(size=(12, 64)).astype(np.float32)
    weight[3, :32] = 0
    once = quantized(weight, bits, 32)
    back = restored(once)
    step = np.repeat(once.scales, 32, axis=1)
    assert (np.abs(back - weight) <= 0.5 * step * (1 + 1e-5)).all()
    again = quantized(back, bits, 32)
    assert (again.codes == once.codes).all()


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.06), ("int4", 0.6)])
def test_quantised_graphs_multiply_by_the_restored_weights(
    folder: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    """Held to f32, whose logits are of size 0.3. Rounding weights and activations costs up to 0.021 at eight bits here;
    the tolerance is three times that, and for four bits ten times as much."""
    write_package(folder, tmp_path / "f32", "f32", SETTINGS.block)
    write_package(folder, tmp_path / precision, precision, SETTINGS.block)
    prompts = np.array([VOCABULARY.prompt("Add up the red digits.")])
    exact, rough = (greedy(Package(tmp_path / name, 1), prompts)[1] for name in ("f32", precision))
    assert 0 < np.abs(exact - rough).max() < tolerance


def test_a_package_is_read_back_as_it_was_stored(folder: Path, tmp_path: Path) -> None:
    write_package(folder, tmp_path / "first", "int8", SETTINGS.block)
    weights = package_weights(tmp_path / "first")
    write_folder(tmp_path / "again", SETTINGS.model, VOCABULARY.text, weights)
    write_package(tmp_path / "again", tmp_path / "second", "int8", SETTINGS.block)
    for path in sorted((tmp_path / "first" / "onnx").iterdir()):
        first, second = (
            {t.name: t.raw_data for t in onnx.load(tmp_path / name / "onnx" / path.name).graph.initializer}
            for name in ("first", "second")
        )
        different = [name for name in first if first[name] != second[name] and not name.endswith(".scales")]
        assert not different, path.name  # scales pass through f32 division and may differ in their last bit


def test_the_shipped_package_has_the_published_layout() -> None:
    expected = {
        "vision_encoder": (["pixel_values", "pixel_attention_mask"], ["image_features"]),
        "embed_tokens": (["input_ids"], ["inputs_embeds"]),
    }
    cache = [f"{layer}.{kind}" for layer in range(6) for kind in ("key", "value")]
    expected["decoder_model_merged"] = (
        ["inputs_embeds", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in cache)],
        ["logits", *(f"present.{name}" for name in cache)],
    )
    for name, (inputs, outputs) in expected.items():
        graph = onnx.load(PACKAGE / "onnx" / f"{name}_int8.onnx").graph
        assert [value.name for value in graph.input] == inputs
        assert [value.name for value in graph.output] == outputs
    assert sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file()) <= 8_000_000


def test_the_shipped_tokenizer_is_as_the_card_says() -> None:
    v = VOCABULARY
    assert (v.open, v.close, v.end_tag, v.fused) == (33, 35, 274, 294)
    assert (v.answer, v.perception, v.reasoning) == (272, 300, 302)
    assert v.encode("<perception>top none 1 2</perception><answer>3</answer>")[:3] == [33, 300, 35]
    assert v.encode("</perception><reasoning>") == [274, 300, 294, 302, 35]
    assert v.encode("</reasoning><answer>") == [274, 302, 294, 272, 35]
    assert v.prompt("Hi").count(IMAGE_ID) == 64 and v.response("x")[-1] == END_ID
    template = json.loads((PACKAGE / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    from jinja2 import Template

    content = [{"type": "image"}, {"type": "text", "text": "Hi"}]
    text = Template(template).render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
    around = "<fake_token_around_image>"
    text = text.replace("<image>", around + "<global-img>" + "<image>" * 64 + around)
    assert v.encode(text) == v.prompt("Hi")
