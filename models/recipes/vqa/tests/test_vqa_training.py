"""Packed rows lose what separate rows lose; stopped stages go on; the choice of a format is learned where it was free."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from configuration import PACKAGE, load_settings
from fsgrpo import Baselines, Paths, forced_token, left_padded, path_loss, sample, train_fsgrpo, weigh
from make import between
from network import build, embed, features, hidden, logits
from packing import decisions, pack
from questions import KINDS, draw_question
from render import Renderer, random_scenes, scenes_of
from responses import Format, written
from scenes import draw_sheet
from stages import cells_of_tokens, supervised, train_formats, train_tower
from vocabulary import END_ID, PAD_ID, Vocabulary

SETTINGS = load_settings("small")
V = Vocabulary(PACKAGE)
CPU = torch.device("cpu")
# f32 sums in another order; losses are of size 7.
LOSS_TOLERANCE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rows(count: int, seed: int, forms: tuple[Format, ...] = tuple(Format)) -> list:
    rng = random.Random(seed)
    packed = []
    for _ in range(count):
        sheet = draw_sheet(rng, "train")
        drawn = [question for kind in KINDS if (question := draw_question(rng, sheet, kind, "train"))]
        packed.append([(question, forms) for question in drawn[:5]])
    return packed


def test_packed_responses_lose_what_they_lose_alone() -> None:
    model = build(SETTINGS.model, 1).eval()
    some = rows(2, 1)
    seen = torch.randn(2, 64, SETTINGS.model.width, generator=torch.Generator().manual_seed(1))
    packed = pack(some, V)
    targets = packed.targets
    with torch.no_grad():
        states = hidden(model, embed(model, packed.ids, seen, packed.first_image_token), packed.positions, packed.sees)
        together = F.cross_entropy(logits(model, states[targets.row, targets.place]), targets.token, reduction="none")
        number = 0
        for row, questions in enumerate(some):
            for question, forms in questions:
                for form in forms:
                    prompt = V.prompt(question.text)
                    ids = torch.tensor([prompt + V.response(written(question, form))])
                    length = ids.shape[1]
                    sees = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
                    embeds = embed(model, ids, seen[row : row + 1], V.first_image_token)
                    states = hidden(model, embeds, torch.arange(length)[None], sees)
                    alone = F.cross_entropy(logits(model, states[0, len(prompt) - 1 : -1]), ids[0, len(prompt) :], reduction="none")
                    got = together[targets.response == number]
                    assert (got - alone).abs().max() < LOSS_TOLERANCE, (question.kind, form)
                    number += 1
    assert number == len(packed.kinds)


def test_the_tokens_that_pick_a_format_are_one_for_direct_and_two_for_the_others() -> None:
    question = rows(1, 2)[0][0][0]
    for form, named in ((Format.DIRECT, ["answer"]), (Format.PERCEPTION, ["perception", "answer"]), (Format.FULL, ["perception", "reasoning"])):
        tokens = V.response(written(question, form))
        assert [V.tokenizer.decode([tokens[place]]) for place in decisions(tokens, V)] == named


def test_without_decisions_the_choice_is_left_alone() -> None:
    model = build(SETTINGS.model, 1)
    seen = torch.zeros(1, 64, SETTINGS.model.width)
    packed = pack(rows(1, 3), V)
    learned = packed.targets.token[packed.targets.decision].unique()
    gradients = []
    for with_decisions in (True, False):
        model.zero_grad()
        # The head alone, so that a target's row of it moves for no other reason than being wanted.
        model.model.text_model.requires_grad_(True)
        supervised(model, packed, seen, with_decisions)[0].backward()
        gradients.append(model.lm_head.weight.grad.clone())
    assert (gradients[0][learned] - gradients[1][learned]).abs().max() > 1e-3


def test_the_labels_of_image_tokens_are_what_is_drawn_there() -> None:
    generator = torch.Generator().manual_seed(5)
    scenes = random_scenes(4, generator, CPU)
    pictures = Renderer(CPU)(scenes, generator)
    cells = cells_of_tokens(pictures, SETTINGS.model)
    assert cells.shape == (4, 64) and cells.max() <= 8 and cells.min() == -1
    for picture, cell in zip(range(4), cells, strict=True):
        assert all(scenes.present[picture, c] == 1 for c in cell[cell >= 0].tolist())
    assert pictures.pixels.min() >= 0 and pictures.pixels.max() <= 255
    assert (pictures.pixels == pictures.pixels.round()).all()


def test_a_drawing_shows_its_colours_where_it_says() -> None:
    """Under every light and camera, a red thing is redder than it is green or blue."""
    rng = random.Random(1)
    sheets = [draw_sheet(rng, "train") for _ in range(8)]
    scenes = scenes_of(sheets, rng, "train")
    pictures = Renderer(CPU)(scenes, torch.Generator().manual_seed(2))
    for picture, sheet in enumerate(sheets):
        for thing in sheet:
            at = pictures.cell[picture] == thing.cell
            if thing.color in ("red", "blue") and at.sum() > 40:
                red, green, blue = pictures.pixels[picture][:, at].median(1).values
                mine, other = (red, blue) if thing.color == "red" else (blue, red)
                assert mine >= other - 8 and mine >= green - 8, (thing, red, green, blue)


@pytest.mark.parametrize("stage", ["tower", "formats", "fsgrpo"])
def test_a_stopped_stage_goes_on_as_if_it_had_not(tmp_path: Path, stage: str) -> None:
    def run(steps: int, checkpoint: Path) -> dict[str, torch.Tensor]:
        config = getattr(SETTINGS, stage)
        # The schedule is that of two steps; only the stop differs.
        schedule = replace(config.schedule, checkpoint_every=1)
        config = replace(config, schedule=schedule)
        model = build(SETTINGS.model, 1)
        shared = (1, CPU, checkpoint)
        if steps == 1:
            with pytest.raises(Stopped):
                call(stage, model, config, shared, stop_after=1)
        else:
            call(stage, model, config, shared, stop_after=None)
        return {name: value.clone() for name, value in model.state_dict().items()}

    class Stopped(Exception):
        pass

    def call(stage: str, model, config, shared, stop_after: int | None) -> None:
        import training

        original = training.Trainer.save

        def save(self, path, step, extra):
            original(self, path, step, extra)
            if step == stop_after:
                raise Stopped

        training.Trainer.save = save
        try:
            if stage == "tower":
                train_tower(model, SETTINGS.model, config, *shared)
            else:
                {"formats": train_formats, "fsgrpo": train_fsgrpo}[stage](model, V, SETTINGS.model, config, *shared)
        finally:
            training.Trainer.save = original

    straight = run(2, tmp_path / "straight.pt")
    run(1, tmp_path / "stopped.pt")
    went_on = run(2, tmp_path / "stopped.pt")
    start = build(SETTINGS.model, 1).state_dict()
    assert any(not torch.equal(start[name], value) for name, value in straight.items()), "something was learned"
    if stage == "fsgrpo":
        return  # running means begin anew after a stop; the weights then differ a little
    assert all(torch.equal(straight[name], value) for name, value in went_on.items())


def test_forced_paths_pick_what_they_are_told() -> None:
    model = build(SETTINGS.model, 1).eval()
    prompts = left_padded([V.prompt("Count the stars."), V.prompt("Which color do most shapes have?")])
    seen = torch.zeros(2, 64, SETTINGS.model.width)
    forced = [None, *Format]
    paths = sample(model, V, prompts, seen, forced, 0.8, 12, torch.Generator().manual_seed(1))
    for question in range(2):
        for place, form in enumerate(forced):
            tokens = paths.tokens[question * 4 + place].tolist()
            if form is not None:
                assert tokens[:2] == [V.open, V.answer if form is Format.DIRECT else V.perception]
    assert forced_token(Format.FULL, 30, 1, V.fused, V) == V.reasoning
    assert forced_token(Format.PERCEPTION, 30, 1, V.fused, V) == V.answer
    assert forced_token(Format.FULL, 60, 2, V.fused, V) is None, "behind the reasoning nothing is forced"
    assert forced_token(None, 0, 0, PAD_ID, V) is None


def test_sampled_log_probs_are_those_of_the_model() -> None:
    """Left padding and the cache change nothing: ratios begin at one."""
    model = build(SETTINGS.model, 1).eval()
    questions = ["Count the stars.", "What is the sum of the star digits minus the sum of the square digits?"]
    prompts = left_padded([V.prompt(text) for text in questions])
    seen = torch.randn(2, 64, SETTINGS.model.width, generator=torch.Generator().manual_seed(2))
    forced = [None, Format.DIRECT]
    paths = sample(model, V, prompts, seen, forced, 0.8, 10, torch.Generator().manual_seed(1))
    for path in range(4):
        length = int(paths.lengths[path])
        prompt = V.prompt(questions[path // 2])
        ids = torch.tensor([prompt + paths.tokens[path, :length].tolist()])
        sees = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()[None, None]
        with torch.no_grad():
            embeds = embed(model, ids, seen[path // 2 : path // 2 + 1], V.first_image_token)
            states = hidden(model, embeds, torch.arange(ids.shape[1])[None], sees)
            spread = (logits(model, states[0, len(prompt) - 1 : -1]) / 0.8).log_softmax(-1)
        expected = spread.gather(1, ids[0, len(prompt) :, None])[:, 0]
        assert (expected - paths.log_probs[path, :length]).abs().max() < LOSS_TOLERANCE


def made_up(texts: list[str], prompt: str) -> Paths:
    """As if an untrained model had written them: every token about as likely as any other."""
    rows = [V.response(text) for text in texts]
    length = max(map(len, rows))
    tokens = torch.tensor([row + [PAD_ID] * (length - len(row)) for row in rows])
    return Paths(left_padded([V.prompt(prompt)]), tokens, torch.full(tokens.shape, -math.log(SETTINGS.model.vocabulary)), np.array([len(row) for row in rows]))


def test_advantages_are_of_the_group_and_forced_paths_earn_no_variety() -> None:
    question = next(q for q, _ in rows(1, 4)[0] if q.kind == "count_color")
    texts = [written(question, form) for form in (Format.DIRECT, Format.DIRECT, Format.FULL)] + ["nonsense"]
    forced = [None, None, Format.FULL, None]
    judgement = weigh([question], texts, forced, 0.0, Baselines())
    assert judgement.reward[2] == pytest.approx(1.0), "forced: no diversity"
    assert judgement.reward[0] == pytest.approx(1.5), "the only valid format among the free ones is no variety"
    assert judgement.form == [Format.DIRECT, Format.DIRECT, Format.FULL, None]
    assert judgement.group_advantage[0] > 0 > judgement.group_advantage[3]
    assert judgement.content_advantage[2] > 0, "a right answer is encouraged although its reward is below the mean"
    assert judgement.content_advantage[3] == -1.0


def test_a_forced_choice_teaches_nothing_and_a_free_one_does() -> None:
    question = rows(1, 4)[0][0][0]
    texts = [written(question, Format.DIRECT), written(question, Format.FULL)]
    paths = made_up(texts, question.text)
    seen = torch.zeros(1, 64, SETTINGS.model.width)
    config = replace(SETTINGS.fsgrpo, content_weight=0.0, kl_weight=0.0, entropy_weight=0.0)
    model, start = build(SETTINGS.model, 1), build(SETTINGS.model, 1)

    def gradient(forced: list[Format | None]) -> float:
        judgement = weigh([question], texts, forced, 1.0, Baselines())
        model.zero_grad()
        path_loss(model, start, V, config, paths, seen, np.arange(2), judgement, forced).backward()
        return float(model.lm_head.weight.grad.abs().max())

    assert gradient([Format.DIRECT, Format.FULL]) == 0
    assert gradient([None, None]) > 0


def test_staying_where_the_stage_began_costs_nothing() -> None:
    question = rows(1, 4)[0][0][0]
    texts = [written(question, Format.DIRECT), written(question, Format.FULL)]
    paths, forced = made_up(texts, question.text), [Format.DIRECT, Format.FULL]
    seen = torch.zeros(1, 64, SETTINGS.model.width)
    config = replace(SETTINGS.fsgrpo, content_weight=0.0, entropy_weight=0.0, kl_weight=1.0)
    judgement = weigh([question], texts, forced, 1.0, Baselines())
    here, elsewhere = build(SETTINGS.model, 1), build(SETTINGS.model, 2)
    losses = [
        path_loss(here, start, V, config, paths, seen, np.arange(2), judgement, forced).item()
        for start in (here, elsewhere)
    ]
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses[1] > 0.01


def test_features_do_not_depend_on_their_batch() -> None:
    model = build(SETTINGS.model, 1).eval()
    pixels = torch.randint(0, 256, (3, 3, 128, 128), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        together, alone = features(model, pixels), features(model, pixels[1:2])
    assert (together[1:2] - alone).abs().max() < LOSS_TOLERANCE
    assert END_ID == 2


def test_what_is_exported_lies_between_what_fsgrpo_began_with_and_ended_with() -> None:
    before, after = ({"a": np.array(values, np.float16)} for values in ([0.0, 2.0], [1.0, -2.0]))
    for share, wanted in ((0.0, [0.0, 2.0]), (0.25, [0.25, 1.0]), (1.0, [1.0, -2.0])):
        mixed = between(before, after, share)["a"]
        assert mixed.dtype == np.float16
        assert mixed.tolist() == wanted
