"""FS-GRPO (AVR, arXiv 2604.14568): which format pays, learned from sampled responses. The objective is adapted.

* Every group has one path forced into each format, so that none dies out for want of samples. Where a path was forced,
  the tokens that pick the format teach nothing.
* A group's advantage acts on the tokens that pick the format, and on them alone. As published it acts on every token,
  and a right long response, below its group's mean for being long, then unlearns its content.
* The content's tokens get right minus a running mean of the same kind of question in the same format, a loss that keeps
  them near where the stage began (k3, as published), and supervised replay of the same questions.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from configuration import FsgrpoConfig, ModelConfig
from network import Model, features, hidden, logits, precision
from packing import Row, decisions, pack
from questions import KINDS, Question, draw_question
from render import Renderer, scenes_of
from responses import Format, read
from reward import base_reward, diversity, diversity_weight, right
from scenes import draw_sheet
from stages import supervised
from training import Trainer, train
from vocabulary import END_ID, PAD_ID, Vocabulary

Array = np.ndarray
Tensor = torch.Tensor

REPLAY_QUESTIONS = 8  # a picture
STD_FLOOR = 0.05  # of a group's rewards: groups that agree give no advantage
BASELINE_RATE = 16  # responses after which a running mean has moved by a tenth


@dataclass(frozen=True)
class Paths:
    prompts: Tensor  # [questions, length], padded on the left
    tokens: Tensor  # [paths, new], PAD_ID behind the end
    log_probs: Tensor  # [paths, new], at the sampling temperature
    lengths: Array  # [paths]


def left_padded(rows: list[list[int]]) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[PAD_ID] * (length - len(row)) + row for row in rows])


def embed_left(model: Model, ids: Tensor, seen: Tensor) -> Tensor:
    """As `network.embed`, where the picture's tokens begin at another place in each row."""
    embeds = model.model.text_model.embed_tokens(ids)
    holes = ids == model.config.image_token_id
    return embeds.masked_scatter(holes[..., None], seen.to(embeds.dtype))


@torch.no_grad()
def sample(
    model: Model, v: Vocabulary, prompts: Tensor, seen: Tensor, forced: list[Format | None], temperature: float,
    longest: int, generator: torch.Generator,
) -> Paths:  # fmt: skip
    """`forced` holds a format, or None, for each path of a question; every question has as many paths."""
    device, group = seen.device, len(forced)
    count = len(prompts) * group
    mask = (prompts != PAD_ID).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.text_config)
    text = model.model.text_model
    out = text(
        inputs_embeds=embed_left(model, prompts, seen), attention_mask=mask, position_ids=positions,
        past_key_values=cache, use_cache=True,
    )  # fmt: skip
    state = out.last_hidden_state[:, -1].repeat_interleave(group, 0)
    cache.batch_repeat_interleave(group)
    mask, position = mask.repeat_interleave(group, 0), positions[:, -1].repeat_interleave(group, 0)
    wanted = forced * len(prompts)
    tokens = torch.full((count, longest), PAD_ID, device=device)
    log_probs = torch.zeros(count, longest, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    fused = [0] * count
    for place in range(longest):
        spread = (logits(model, state) / temperature).log_softmax(-1)
        noise = torch.rand(spread.shape, device=device, generator=generator).clamp_(min=1e-20)
        taken = (spread - (-noise.log()).log()).argmax(-1)
        for path in range(count):
            token = forced_token(wanted[path], place, fused[path], tokens[path, place - 1].item(), v)
            if token is not None:
                taken[path] = token
        taken = torch.where(done, PAD_ID, taken)
        tokens[:, place] = taken
        log_probs[:, place] = spread.gather(1, taken[:, None])[:, 0] * ~done
        done |= (taken == END_ID) | (taken == PAD_ID)  # who says the padding token has said nothing valid
        for path in (taken == v.fused).nonzero().flatten().tolist():
            fused[path] += 1
        if place + 1 == longest or bool(done.all()):
            break
        position = position + 1
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
        out = text(
            inputs_embeds=text.embed_tokens(taken[:, None]), attention_mask=mask, position_ids=position[:, None],
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        state = out.last_hidden_state[:, -1]
    lengths = (tokens != PAD_ID).sum(1).cpu().numpy()
    new = int(lengths.max())
    return Paths(prompts, tokens[:, :new], log_probs[:, :new], lengths)


def forced_token(form: Format | None, place: int, fused: int, before: int, v: Vocabulary) -> int | None:
    """What a path forced into `form` must say at `place`."""
    if form is None:
        return None
    if place == 0:
        return v.open
    if place == 1:
        return v.answer if form is Format.DIRECT else v.perception
    if before == v.fused and fused == 1 and form is not Format.DIRECT:
        return v.reasoning if form is Format.FULL else v.answer
    return None


class Baselines:
    """A running mean of right answers for each kind of question and format."""

    def __init__(self) -> None:
        self.mean = np.full((len(KINDS), len(Format)), 0.5)

    def advantage(self, kind: str, form: Format, was_right: bool) -> float:
        mean = self.mean[KINDS.index(kind), form]
        return (was_right - mean) / float(np.sqrt(mean * (1 - mean) + STD_FLOOR))

    def update(self, kind: str, form: Format, outcomes: list[bool]) -> None:
        place = KINDS.index(kind), form
        self.mean[place] += (1 - 0.9 ** (len(outcomes) / BASELINE_RATE)) * (np.mean(outcomes) - self.mean[place])


@dataclass(frozen=True)
class Judgement:
    reward: Array  # [paths] with diversity
    group_advantage: Array  # [paths]
    content_advantage: Array  # [paths]
    form: list[Format | None]
    right: Array  # [paths] bool


def weigh(
    questions: list[Question], texts: list[str | None], forced: list[Format | None], done: float, baselines: Baselines
) -> Judgement:
    """`texts` are the paths of the questions in turn, None where one did not end."""
    group = len(forced)
    responses = [read(text) for text in texts]
    forms = [None if r is None else r.form for r in responses]
    owners = [question for question in questions for _ in range(group)]
    was_right = np.array([r is not None and right(r.answer, q.answer) for r, q in zip(responses, owners, strict=True)])
    reward = np.array([base_reward(r, t or "", q.answer) for r, t, q in zip(responses, texts, owners, strict=True)])
    free = [place for place, form in enumerate(forced) if form is None]
    for start in range(0, len(owners), group):
        # Forced paths chose nothing, so they neither earn nor count as variety.
        earned = diversity([forms[start + place] for place in free], diversity_weight(done))
        for place, extra in zip(free, earned, strict=True):
            reward[start + place] += extra
    groups = reward.reshape(-1, group)
    spread = groups.std(axis=1, keepdims=True) + STD_FLOOR
    group_advantage = ((groups - groups.mean(axis=1, keepdims=True)) / spread).reshape(-1)
    content = [
        -1.0 if form is None else baselines.advantage(q.kind, form, bool(ok))
        for q, form, ok in zip(owners, forms, was_right, strict=True)
    ]
    outcomes: dict[tuple[str, Format], list[bool]] = {}
    for question, form, ok in zip(owners, forms, was_right, strict=True):
        if form is not None:
            outcomes.setdefault((question.kind, form), []).append(bool(ok))
    for (kind, form), values in outcomes.items():
        baselines.update(kind, form, values)
    return Judgement(reward, group_advantage, np.array(content), forms, was_right)


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The negated surrogate, bounded for negative advantages as verl's dual clip is."""
    bounded = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return -torch.maximum(bounded, 3.0 * advantage.clamp(max=0))


def path_loss(
    model: Model, start: Model, v: Vocabulary, config: FsgrpoConfig, paths: Paths, seen: Tensor, chosen: Array,
    judgement: Judgement, forced: list[Format | None],
) -> Tensor:  # fmt: skip
    """Of the paths `chosen`; `seen` [questions, image tokens, width]."""
    device, group = seen.device, len(forced)
    new = int(paths.lengths[chosen].max())
    picked = torch.from_numpy(chosen).to(device)
    tokens = paths.tokens[picked][:, :new]
    ids = torch.cat([paths.prompts[picked // group], tokens], 1)
    real = ids != PAD_ID
    positions = (real.long().cumsum(1) - 1).clamp(min=0)
    length = ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    sees = (causal & real[:, None]) | torch.eye(length, dtype=torch.bool, device=device)
    begun = length - new

    def spread(network: Model) -> Tensor:
        # A path may say the image token too, so only the prompt is filled with what was seen.
        asked = embed_left(network, paths.prompts[picked // group], seen[picked // group])
        embeds = torch.cat([asked, network.model.text_model.embed_tokens(tokens)], 1)
        states = hidden(network, embeds, positions, sees[:, None])
        return (logits(network, states[:, begun - 1 : -1]) / config.temperature).log_softmax(-1)

    now = spread(model)
    log_prob = now.gather(2, tokens[..., None])[..., 0]
    said = tokens != PAD_ID
    picks = torch.zeros_like(said)
    for row, path in enumerate(chosen):
        for place in decisions(tokens[row, : paths.lengths[path]].tolist(), v):
            picks[row, place] = True
    free = torch.tensor([forced[path % group] is None for path in chosen], device=device)[:, None]
    by_path = lambda values: torch.tensor(values[chosen], dtype=torch.float32, device=device)[:, None]  # noqa: E731
    ratio = (log_prob - paths.log_probs[picked][:, :new]).clamp(-3, 3).exp()
    deciding = (picks & said & free).float()
    content = (said & ~picks).float()
    loss = (clipped(ratio, by_path(judgement.group_advantage), config.clip) * deciding).sum() / deciding.sum().clamp(1)
    entropy = -(now.exp() * now).sum(-1)
    loss = loss - config.entropy_weight * (entropy * deciding).sum() / deciding.sum().clamp(1)
    of_content = clipped(ratio, by_path(judgement.content_advantage), config.clip) * config.content_weight
    with torch.no_grad():
        began = spread(start).gather(2, tokens[..., None])[..., 0]
    off = (began - log_prob).clamp(-10, 10)
    of_content = of_content + config.kl_weight * (off.exp() - off - 1)
    return loss + (of_content * content).sum() / content.sum().clamp(1)


def train_fsgrpo(
    model: Model, vocabulary: Vocabulary, model_config: ModelConfig, config: FsgrpoConfig, seed: int,
    device: torch.device, checkpoint: Path,
) -> dict[str, Any]:  # fmt: skip
    """The tower stays as it is."""
    renderer = Renderer(device, model_config.image_side)
    start = copy.deepcopy(model).eval().requires_grad_(False)
    for module in (model.model.vision_model, model.model.connector):
        module.requires_grad_(False)
    parameters = list(model.model.text_model.parameters())
    trainer = Trainer({"model": model}, parameters, config.schedule)
    baselines = Baselines()
    forced: list[Format | None] = [None] * (config.group - len(Format)) + list(Format)
    kinds, shares = list(config.shares), list(config.shares.values())

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"vqa fsgrpo {seed} {number}")
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
        sheets, questions = [], []
        while len(questions) < config.questions:
            sheet = draw_sheet(rng, "train")
            if question := draw_question(rng, sheet, rng.choices(kinds, shares)[0], "train"):
                sheets.append(sheet)
                questions.append(question)
        with torch.no_grad(), precision(device):
            pixels = renderer(scenes_of(sheets, rng, "train").to(device), generator).pixels
            seen = features(model, pixels)
            prompts = left_padded([vocabulary.prompt(q.text) for q in questions]).to(device)
            paths = sample(model, vocabulary, prompts, seen, forced, config.temperature, model_config.longest, generator)
        texts = [vocabulary.read(row.tolist()) for row in paths.tokens]
        judgement = weigh(questions, texts, forced, number / config.schedule.steps, baselines)

        rate = config.schedule.rate(number)
        order = np.array(rng.sample(range(config.questions), config.questions))
        parts = np.array_split(order, max(1, config.questions // config.update_questions))
        loss = torch.zeros(())
        for place, part in enumerate(parts):
            chosen = (part[:, None] * config.group + np.arange(config.group)).reshape(-1)
            with precision(device):
                loss = path_loss(model, start, vocabulary, config, paths, seen, chosen, judgement, forced)
                loss = loss + config.replay_weight * replay(rng, generator)
            if place + 1 < len(parts):
                trainer.update(loss, rate)
        free = [p for p in range(len(texts)) if forced[p % config.group] is None]
        figures = {
            "reward": float(judgement.reward[free].mean()),
            "right": float(judgement.right[free].mean()),
            "tokens": float(paths.lengths[free].mean()),
        }
        for form in (*Format, None):
            share = np.mean([judgement.form[p] is form for p in free])
            figures["invalid" if form is None else form.name.lower()] = float(share)
        return loss, figures

    def replay(rng: random.Random, generator: torch.Generator) -> Tensor:
        sheets = [draw_sheet(rng, "train") for _ in range(config.replay_rows)]
        rows: list[Row] = []
        for sheet in sheets:
            asked: list[Question] = []
            while len(asked) < REPLAY_QUESTIONS:
                if question := draw_question(rng, sheet, rng.choices(kinds, shares)[0], "train"):
                    asked.append(question)
            rows.append([(question, tuple(Format)) for question in asked])
        with torch.no_grad():
            seen = features(model, renderer(scenes_of(sheets, rng, "train").to(device), generator).pixels)
        return supervised(model, pack(rows, vocabulary), seen, decisions=False)[0]

    return train("fsgrpo", trainer, checkpoint, step)
