"""Trains the model from scratch; seeded, resumable, measured in steps and tokens.

Every batch is a function of (seed, step), so resuming needs no random state. There are three kinds of row:

* conversations, of which the assistant's text is learned: mostly one question, sometimes several or a system text;
* graded checks, in the same batches: random claims, worked out and judged. Without them the model learns to write a
  verdict but not to mean it, and its KV cache then says nothing about whether its own guess was right;
* openings, in batches of their own: a question and the first line of its chain. Finding the rule is what takes longest
  to learn, and it is one line of a chain; a batch of openings holds about five times as many of them.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from settings import ModelConfig, Settings, Stage, replacing, write_json
from task import BAD, OK, SYSTEM_TEXTS, Question, draw_chain, draw_graded_check, draw_question
from tokenizer import ASSISTANT, END, END_ID, PAD_ID, Message, build_tokenizer, render, write_tokenizer

GRADED_CHECK_TOKENS = 19  # the longest one
EMBEDDING_STD = 0.2
LOGIT_STD = 0.6  # of the untrained model: near enough to uniform, far enough from zero gradients


@dataclass(frozen=True)
class Batch:
    ids: torch.Tensor  # [rows, length] int64, padded on the right
    weights: torch.Tensor  # [rows, length] f32: how much predicting this token counts


def build_model(config: ModelConfig, vocabulary: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            intermediate_size=config.feed_forward,
            max_position_embeddings=config.context,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=END_ID,
            eos_token_id=END_ID,
            pad_token_id=PAD_ID,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_tokens" in name:
                parameter.normal_(0, EMBEDDING_STD)
            elif parameter.dim() == 2:
                parameter.normal_(0, 1 / math.sqrt(parameter.shape[1]))
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter /= math.sqrt(2 * config.layers)
        model.model.norm.weight.fill_(LOGIT_STD / (EMBEDDING_STD * math.sqrt(config.hidden)))
    return model


class Batches:
    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self.task, self.train, self.tokenizer = settings.task, settings.train, tokenizer
        self.equals = single_token(tokenizer, " =")
        self.verdicts = {single_token(tokenizer, OK), single_token(tokenizer, BAD)}

    def at(self, step: int) -> Batch:
        stage, _ = self.train.stage_at(step)
        rng = random.Random(f"{self.train.seed} {step}")
        if step % 10 < round(10 * stage.opening_share):
            rows = max(4, self.train.batch_tokens // opening_tokens(stage.fed))
            return collate([self.opening_row(rng, stage) for _ in range(rows)])
        rows = max(4, self.train.batch_tokens // conversation_tokens(stage.fed))
        graded = round(rows * stage.grade_share)
        checks = max(1, conversation_tokens(stage.fed) // GRADED_CHECK_TOKENS)
        built = [self.graded_row(rng, checks) for _ in range(graded)]
        built += [self.conversation_row(rng, stage) for _ in range(rows - graded)]
        return collate(built)

    def conversation_row(self, rng: random.Random, stage: Stage) -> tuple[list[int], list[float]]:
        fed = [stage.fed]
        # Several short questions take the place of one long one, so that the row keeps its length.
        if stage.fed >= 5 and rng.random() < self.train.several_turns_share:
            fed = [1, 1] if stage.fed < 9 else rng.choice(([3, 3], [1, 1, 2], [5, 1]))
        messages: list[Message] = []
        if rng.random() < self.train.system_share:
            messages.append(("system", rng.choice(SYSTEM_TEXTS)))
        ids: list[int] = []
        weights: list[float] = []
        for count in fed:
            question = draw_question(rng, self.task, "train", count)
            messages.append(("user", question.text()))
            prompt = self.tokenizer.encode(render(messages, add_generation_prompt=True)).ids
            chain = self.tokenizer.encode(self.chain(rng, question, stage) + END).ids
            ids += prompt + chain
            weights += [0.0] * len(prompt)
            weights += [stage.verdict_weight if token in self.verdicts else 1.0 for token in chain]
            messages = []
        return ids, weights

    def opening_row(self, rng: random.Random, stage: Stage) -> tuple[list[int], list[float]]:
        question = draw_question(rng, self.task, "train", stage.fed)
        prompt = self.tokenizer.encode(render([("user", question.text())], add_generation_prompt=True)).ids
        opening = self.chain(rng, question, stage).partition("\n")[0] + "\n"
        chain = self.tokenizer.encode(opening).ids
        return prompt + chain, [0.0] * len(prompt) + [1.0] * len(chain)

    def chain(self, rng: random.Random, question: Question, stage: Stage) -> str:
        return draw_chain(rng, question, self.task, stage.near_miss_share, stage.verdict_share)

    def graded_row(self, rng: random.Random, checks: int) -> tuple[list[int], list[float]]:
        """Only results and verdicts count: the claims themselves are random."""
        text = ASSISTANT + "".join(draw_graded_check(rng, self.task) for _ in range(checks))
        ids = self.tokenizer.encode(text).ids
        weights = [0.0] * len(ids)
        for position, token in enumerate(ids):
            if token in self.verdicts:
                weights[position] = self.train.graded_verdict_weight
            elif ids[position - 1] == self.equals:
                weights[position] = 1.0
        return ids, weights


def conversation_tokens(fed: int) -> int:
    """About the length of prompt and chain together."""
    return 69 + 17 * fed


def opening_tokens(fed: int) -> int:
    return 31 + 2 * fed


def single_token(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, expected one")
    return ids[0]


def collate(rows: list[tuple[list[int], list[float]]]) -> Batch:
    length = max(len(ids) for ids, _ in rows)
    return Batch(
        ids=torch.tensor([ids + [PAD_ID] * (length - len(ids)) for ids, _ in rows]),
        weights=torch.tensor([weights + [0.0] * (length - len(weights)) for _, weights in rows]),
    )


def weighted_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    # Rows are padded on the right and attention is causal, so no mask is needed.
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
    weights = batch.weights[:, 1:]
    chosen = weights > 0
    logits = model.lm_head(hidden[chosen].float())
    losses = F.cross_entropy(logits, batch.ids[:, 1:][chosen], reduction="none")
    return (losses * weights[chosen]).sum() / chosen.sum()


def build_optimizer(model: LlamaForCausalLM, weight_decay: float) -> torch.optim.AdamW:
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def learning_rate(step: int, settings: Settings) -> float:
    """The main schedule, or the stage's own: its rate, going to zero.

    The main one is a cosine over a horizon of its own, so that stages can be added without changing the steps before;
    its last steps go to zero as well.
    """
    train = settings.train
    stage, done = train.stage_at(step)
    if stage.learning_rate is not None:
        return stage.learning_rate * min(1.0, (done + 1) / train.warmup_steps) * (1 - done / stage.steps)
    end = sum(stage.steps for stage in train.stages if stage.learning_rate is None)
    warm = min(1.0, (step + 1) / train.warmup_steps)
    anneal = min(1.0, (end - step) / train.anneal_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / train.cosine_steps)))
    return warm * anneal * (train.final_learning_rate + (train.learning_rate - train.final_learning_rate) * cosine)


def train(settings: Settings, hf_folder: Path) -> None:
    """Writes a Hugging Face folder. Continues from the checkpoint in the work folder if there is one."""
    torch.set_num_threads(settings.train.threads)
    tokenizer = build_tokenizer(settings.task)
    model = build_model(settings.model, tokenizer.get_vocab_size(), settings.train.seed)
    optimizer = build_optimizer(model, settings.train.weight_decay)
    checkpoint = settings.work / "checkpoint.pt"
    step, tokens, seconds = 0, 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, tokens, seconds = saved["step"], saved["tokens"], saved["seconds"]

    begun = time.monotonic() - seconds
    batches = Batches(settings, tokenizer)
    model.train()
    with tqdm(total=settings.train.steps, initial=step, unit="step", desc="train", mininterval=1) as bar:
        while step < settings.train.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings)
            batch = batches.at(step)
            loss = weighted_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, tokens = step + 1, tokens + batch.ids.numel()
            bar.update()
            if step % settings.train.checkpoint_every == 0 or step == settings.train.steps:
                with replacing(checkpoint) as temporary:
                    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                    seconds = time.monotonic() - begun
                    torch.save(state | {"step": step, "tokens": tokens, "seconds": seconds}, temporary)
                figures = teacher_forced(model, batches, settings.train.stage_at(step - 1)[0])
                shown = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
                bar.write(f"step {step}, {tokens / 1e6:.2f} M tokens, loss {loss.item():.4f}: {shown}")
    write_json(
        settings.work / "train.json",
        {
            "parameters": sum(p.numel() for p in model.parameters()),
            "steps": step,
            "tokens": tokens,
            "threads": settings.train.threads,
            "seconds": round(seconds),
        },
    )
    save_hf(model, tokenizer, settings, hf_folder)


@torch.no_grad()
def teacher_forced(model: LlamaForCausalLM, batches: Batches, stage: Stage, rows: int = 64) -> dict[str, float]:
    """Shares of tokens predicted right on held-out chains that follow the right rule: a look while training."""
    rng = random.Random("teacher forced")
    tokenizer, task = batches.tokenizer, batches.task
    built = []
    for _ in range(rows):
        question = draw_question(rng, task, "held-out", stage.fed)
        text = render([("user", question.text()), ("assistant", draw_chain(rng, question, task, 0.0, 1.0))])
        ids = tokenizer.encode(text).ids
        built.append((ids, [0.0] * len(ids)))
    built += [batches.graded_row(rng, 8) for _ in range(rows)]
    ids = collate(built).ids
    predicted = model(input_ids=ids, use_cache=False).logits.argmax(-1)[:, :-1]
    right = predicted == ids[:, 1:]
    rule_words = [single_token(tokenizer, word) for word in (" times", " plus", " minus")]
    guess, result, verdict = [], [], []
    for row in range(len(built)):
        tokens = ids[row].tolist()
        if row < rows:
            ops = [p for p, token in enumerate(tokens) if token in rule_words][:2]
            guess.append(all(bool(right[row, p - 1]) and bool(right[row, p]) for p in ops))
        result += [bool(right[row, p]) for p, token in enumerate(tokens[:-1]) if token == batches.equals]
        if row >= rows:
            verdict += [bool(right[row, p - 1]) for p, token in enumerate(tokens) if token in batches.verdicts]
    figures = {"guess": guess, "result": result, "verdict": verdict}
    return {name: sum(values) / len(values) for name, values in figures.items()}


def save_hf(model: LlamaForCausalLM, tokenizer: Tokenizer, settings: Settings, folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.generation_config = GenerationConfig(bos_token_id=END_ID, eos_token_id=END_ID, pad_token_id=PAD_ID)
    model.save_pretrained(partial)
    write_tokenizer(partial, tokenizer, settings.model.context)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
