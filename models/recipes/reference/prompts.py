"""The prompts: 5 to 500 tokens, the same ones every time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

SEED = 20261124
SHORTEST, LONGEST = 5, 500
# The length the benchmark decodes from: `curt-bench decode` and targets/peers check their ids on this very prompt.
BENCHMARK = 190


@dataclass(frozen=True)
class Prompt:
    id: str
    ids: list[int]


def arbitrary(count: int, first_id: int, vocabulary: int) -> list[Prompt]:
    """Random ids of lengths spread evenly over the whole range, so that both ends are there."""
    rng = np.random.default_rng([SEED, count, first_id, vocabulary])
    lengths = np.linspace(SHORTEST, LONGEST, count).round().astype(int)
    return [Prompt(f"ids-{n}", rng.integers(first_id, vocabulary, n).tolist()) for n in lengths]


def reasoner(package: Path, task: Path) -> list[Prompt]:
    """Held-out questions in the package's chat format, and arbitrary ids for the lengths questions do not have."""
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    template = (package / "chat_template.jinja").read_text(encoding="utf-8")
    command = [sys.executable, str(task), "--part", "held-out", "--count", "84", "--seed", str(SEED)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    items = [json.loads(line) for line in lines]

    prompts = []
    for number, item in enumerate(items):
        messages = [{"role": "user", "content": item["question"]}]
        if number % 4 == 1:
            messages.insert(0, {"role": "system", "content": "Think step by step."})
        if number % 4 == 3:
            earlier = items[number - 1]
            turn = [("user", earlier["question"]), ("assistant", f"Answer: {earlier['answer']}")]
            messages = [{"role": role, "content": content} for role, content in turn] + messages
        prompts.append(Prompt(f"question-{number}", encode(tokenizer, render(template, messages))))
    special = len(tokenizer.get_added_tokens_decoder())
    prompts += arbitrary(24, special, tokenizer.get_vocab_size())
    joined = [token for prompt in prompts for token in prompt.ids]
    return [*prompts, Prompt("benchmark", joined[:BENCHMARK])]


def smollm2(package: Path) -> list[Prompt]:
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    template = (package / "chat_template.jinja").read_text(encoding="utf-8")
    texts = [(f"text-{n}", text) for n, text in enumerate(TEXTS)]
    texts += [(f"chat-{n}", render(template, [user(question)])) for n, question in enumerate(QUESTIONS)]
    rng = random.Random(SEED)
    texts += [(f"shots-{n}", render(template, few_shot(rng, examples=2 + n % 2))) for n in range(10)]
    texts += [(f"long-{n}", render(template, few_shot(rng, examples=7))) for n in range(6)]
    prompts = [Prompt(name, encode(tokenizer, text)) for name, text in texts]
    prompts.append(Prompt("benchmark", prompts[-1].ids[:BENCHMARK]))
    lengths = [len(prompt.ids) for prompt in prompts]
    if min(lengths) > SHORTEST or not LONGEST - 60 <= max(lengths) <= LONGEST:
        raise ValueError(f"prompts span {min(lengths)} to {max(lengths)} tokens, expected {SHORTEST} to {LONGEST}")
    return prompts


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def render(template: str, messages: list[dict[str, str]]) -> str:
    # The block options are the ones transformers renders chat templates with.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def few_shot(rng: random.Random, examples: int) -> list[dict[str, str]]:
    """Worked word problems and one more to solve: 2 examples make about 180 tokens, 7 about 480."""
    messages = [{"role": "system", "content": "Solve the problem step by step. End with 'The answer is N.'"}]
    for _ in range(examples):
        question, solution = word_problem(rng)
        messages += [user(question), {"role": "assistant", "content": solution}]
    return [*messages, user(word_problem(rng)[0])]


def word_problem(rng: random.Random) -> tuple[str, str]:
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    a, b = rng.randint(5, 9), rng.randint(2, 4)
    match rng.randrange(3):
        case 0:
            question = f"{name} has {a} {thing}. {name} buys {b} more. How many {thing} does {name} have now?"
            solution = f"{name} starts with {a} {thing} and buys {b}, so {a} + {b} = {a + b}."
            answer = a + b
        case 1:
            question = f"{name} has {a} {thing}. {name} gives {b} to {other}. How many {thing} does {name} have left?"
            solution = f"{name} had {a} {thing} and gave away {b}, so {a} - {b} = {a - b}."
            answer = a - b
        case _:
            question = f"{name} has {b} boxes with {a} {thing} in each box. How many {thing} does {name} have?"
            solution = f"There are {b} boxes of {a} {thing}, so {b} * {a} = {a * b}."
            answer = a * b
    return question, f"{solution} The answer is {answer}."


NAMES = ("Ada", "Ben", "Cleo", "Dan", "Ella", "Finn", "Gus", "Hana", "Ivo", "June")
THINGS = ("apples", "books", "pens", "cards", "eggs", "coins", "toys", "shells")

TEXTS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "Water boils at a temperature of",
    "The three primary colours are",
    "def fibonacci(n):\n    if n < 2:\n        return n\n",
    "SELECT name, price FROM products WHERE",
    "1, 2, 4, 8, 16,",
    "year:  1999\nyear:  2007\nyear:  20",
    "Liebe Grüße aus Zürich, und bis bald! À bientôt,",
    "日本の首都は",
    "🙂🙂 🙃",
    "| city | country |\n|------|---------|\n| Oslo | Norway |\n| Rome |",
    "To be honest, I don't think we've seen the last of it; they'll be back, she said, and",
    "A lighthouse keeper writes in his log every evening. Tonight the wind is from the north, the sea is grey, and two "
    "fishing boats have come in late. He notes the hour, trims the lamp, and then he sees",
)

QUESTIONS = (
    "Hi!",
    "What is the capital of Italy?",
    "Name three planets.",
    "Why is the sky blue?",
    "Write a short poem about rain.",
    "What is 7 plus 5?",
    "Translate 'good morning' into Spanish.",
    "How do I boil an egg?",
    "Give me a synonym for 'happy'.",
    "Who wrote Romeo and Juliet?",
    "What does a battery do?",
    "List five fruits that are red.",
    "Explain what a computer is to a child.",
    "What is the largest ocean on Earth?",
    "Write a Python function that adds two numbers.",
    "How many days are there in a leap year?",
    "Summarize in one sentence: The cat sat on the mat all day because the sun was warm and nobody called it to eat.",
    "What should I pack for a weekend in the mountains in winter?",
    "Is a tomato a fruit or a vegetable? Answer in one word.",
    "Tell me a joke about a robot who wanted to learn how to dance but had two left feet.",
    "Rewrite this politely: 'Send me the file now, you are late again and everybody is waiting for you.'",
    "Which is heavier, a kilogram of iron or a kilogram of feathers? Explain your answer step by step.",
    "A train leaves at 9:15 and the trip takes 2 hours and 50 minutes. When does it arrive?",
    "Here is a list: milk, bread, apples, cheese, rice, tea. Sort it alphabetically and number the items.",
)
