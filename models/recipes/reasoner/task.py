"""The function machine: questions, reasoning chains, graded checks, and the split into train and held-out parts.

    A machine turns 9 into 77 and 12 into 101. It is fed 6, 5. What comes out?

    Maybe it is times 8 plus 5
    Check 12: 12 * 8 = 96, 96 + 5 = 101, want 101 ok
    Now 6: 6 * 8 = 48, 48 + 5 = 53
    Next 5: 5 * 8 = 40, 40 + 5 = 45
    Answer: 53, 45

The chain commits to a rule before it has computed anything, so its first line decides whether the answer is right. The
check on the second example shows which way it went, and nothing after it turns back.

Run as a command it writes questions as JSON lines: python task.py --part held-out --count 1000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

Part = Literal["train", "held-out"]
Operation = Literal["times-plus", "times-minus", "plus-times"]

LARGEST_NUMBER = 240  # every number in a text is a single token, and this is the largest one
INPUTS = range(1, 13)  # what a machine can be fed; small enough that nine fed numbers and two examples stay distinct

OPENERS = ("", "", "OK. ", "Hmm, ")
COMMITMENTS = ("I think the rule is", "Maybe it is", "The rule may be", "It seems to be")
STEP_WORDS = ("Now", "Next", "Then")
OK, BAD = " ok", " bad"
ANSWER_PATTERN = r"Answer: ([0-9, ]+)"
SYSTEM_TEXTS = (
    "You look for the rule of a machine.",
    "Think step by step.",
    "Answer the question.",
    "You are a careful machine.",
    "Check the rule, then answer.",
)


@dataclass(frozen=True)
class TaskConfig:
    max_multiplier: int
    max_addend: int
    fed: int
    held_out_percent: int

    @cached_property
    def rules(self) -> list[Rule]:
        return [
            Rule(operation, a, b)
            for operation in get_args(Operation)
            for a in range(2, self.max_multiplier + 1)
            for b in range(1, self.max_addend + 1)
        ]


@dataclass(frozen=True)
class Rule:
    operation: Operation
    a: int
    b: int

    def __call__(self, x: int) -> int:
        match self.operation:
            case "times-plus":
                return x * self.a + self.b
            case "times-minus":
                return x * self.a - self.b
            case "plus-times":
                return (x + self.b) * self.a

    def text(self) -> str:
        match self.operation:
            case "times-plus":
                return f"times {self.a} plus {self.b}"
            case "times-minus":
                return f"times {self.a} minus {self.b}"
            case "plus-times":
                return f"plus {self.b} times {self.a}"

    def steps(self, x: int) -> str:
        """The two steps written out. Only rules that stay within 0..=LARGEST_NUMBER on `x` may be asked."""
        a, b, y = self.a, self.b, self(x)
        match self.operation:
            case "times-plus":
                return f"{x} * {a} = {x * a}, {x * a} + {b} = {y}"
            case "times-minus":
                return f"{x} * {a} = {x * a}, {x * a} - {b} = {y}"
            case "plus-times":
                return f"{x} + {b} = {x + b}, {x + b} * {a} = {y}"

    def fits(self, inputs: tuple[int, ...] | list[int]) -> bool:
        """Whether every output is a number the texts can hold."""
        return all(0 <= self(x) <= LARGEST_NUMBER for x in inputs)


@dataclass(frozen=True)
class Question:
    rule: Rule
    examples: tuple[int, int]  # the two inputs shown with their outputs
    fed: tuple[int, ...]

    def text(self) -> str:
        first, second = self.examples
        fed = ", ".join(map(str, self.fed))
        return (
            f"A machine turns {first} into {self.rule(first)} and {second} into {self.rule(second)}. "
            f"It is fed {fed}. What comes out?"
        )

    def answer(self) -> str:
        return answer_text(self.rule, self.fed)

    def group(self) -> str:
        """What must not stand in both parts: the machine and the example inputs.

        The machine is written as slope and intercept, not as operation, a and b: "plus 1 times 3" and "times 3 plus 3"
        make the same question, and two points fix the line. The order of the examples does not count.
        """
        intercept = 2 * self.rule(1) - self.rule(2)
        slope = self.rule(2) - self.rule(1)
        low, high = sorted(self.examples)
        return f"{slope}x{intercept:+d}@{low},{high}"


def answer_text(rule: Rule, fed: tuple[int, ...]) -> str:
    return ", ".join(str(rule(x)) for x in fed)


def part_of(group: str, config: TaskConfig) -> Part:
    """A hash and not a random draw, so that a group's part never depends on what was drawn before it."""
    bucket = int.from_bytes(hashlib.sha256(f"function-machine {group}".encode()).digest()[:8], "big") % 100
    return "held-out" if bucket < config.held_out_percent else "train"


def draw_question(rng: random.Random, config: TaskConfig, part: Part, fed: int | None = None) -> Question:
    rules = config.rules
    while True:
        rule = rng.choice(rules)
        examples = rng.sample(INPUTS[1:], 2)
        rest = [x for x in INPUTS if x not in examples]
        question = Question(rule, (examples[0], examples[1]), tuple(rng.sample(rest, fed or config.fed)))
        if rule.fits(INPUTS) and part_of(question.group(), config) == part:
            return question


def held_out_questions(seed: int, count: int, config: TaskConfig, part: Part = "held-out") -> Iterator[Question]:
    """`count` questions of as many groups."""
    rng = random.Random(f"{part} {seed}")
    seen: set[str] = set()
    misses = 0
    while len(seen) < count:
        question = draw_question(rng, config, part)
        if question.group() in seen:
            misses += 1
            if misses > 100 * count:
                raise ValueError(f"the {part} part has fewer than {count} groups (found {len(seen)})")
            continue
        seen.add(question.group())
        yield question


def items(part: Part, seed: int, count: int, config: TaskConfig) -> Iterator[dict[str, str]]:
    """The questions of `held_out_questions` as a workload writes them."""
    for number, question in enumerate(held_out_questions(seed, count, config, part)):
        yield {
            "id": f"{part}-{seed}-{number}",
            "group": question.group(),
            "question": question.text(),
            "answer": question.answer(),
        }


def near_miss(rng: random.Random, question: Question, config: TaskConfig) -> Rule | None:
    """A wrong rule that a hasty reader might pick and that the check on the second example exposes."""
    first, second = question.examples
    target = question.rule(second)
    rules = config.rules
    for _ in range(40):
        if rng.random() < 0.5:
            candidates = [r for r in rules if r(first) == question.rule(first) and r(second) != target]
        else:
            candidates = neighbours(question.rule, config)
        candidates = [r for r in candidates if r(second) != target and r.fits(question.examples + question.fed)]
        if candidates:
            return rng.choice(candidates)
    return None


def neighbours(rule: Rule, config: TaskConfig) -> list[Rule]:
    """Rules that differ in one place: the multiplier by 1, the addend by up to 3, or the operation."""
    a, b = rule.a, rule.b
    near = [Rule(rule.operation, a + d, b) for d in (-1, 1)]
    near += [Rule(rule.operation, a, b + d) for d in (-3, -2, -1, 1, 2, 3)]
    near += [Rule(operation, a, b) for operation in get_args(Operation) if operation != rule.operation]
    allowed = set(config.rules)
    return [r for r in near if r in allowed]


def chain_text(rng: random.Random, question: Question, guess: Rule, write_verdict: bool) -> str:
    """The reasoning that follows from `guess`, right or wrong."""
    opener, commitment = rng.choice(OPENERS), rng.choice(COMMITMENTS)
    if opener == "Hmm, " and not commitment.startswith("I "):
        commitment = commitment[0].lower() + commitment[1:]
    second = question.examples[1]
    want = question.rule(second)
    verdict = (OK if guess(second) == want else BAD) if write_verdict else ""
    lines = [
        f"{opener}{commitment} {guess.text()}",
        f"Check {second}: {guess.steps(second)}, want {want}{verdict}",
        *(f"{rng.choice(STEP_WORDS)} {x}: {guess.steps(x)}" for x in question.fed),
        f"Answer: {answer_text(guess, question.fed)}",
    ]
    return "\n".join(lines)


def draw_chain(
    rng: random.Random, question: Question, config: TaskConfig, near_miss_share: float, verdict_share: float
) -> str:
    wrong = near_miss(rng, question, config) if rng.random() < near_miss_share else None
    return chain_text(rng, question, wrong or question.rule, rng.random() < verdict_share)


def draw_graded_check(rng: random.Random, config: TaskConfig) -> str:
    """One check line of a random claim, right in half of the cases and otherwise off by a little."""
    rules = config.rules
    while True:
        rule, x = rng.choice(rules), rng.choice(INPUTS)
        if rule.fits((x,)):
            break
    result = want = rule(x)
    if rng.random() < 0.5:
        off = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24))
        want = min(LARGEST_NUMBER, max(0, result + rng.choice((-off, off))))
    return f"Check {x}: {rule.steps(x)}, want {want}{OK if want == result else BAD}\n"


def main() -> None:
    from settings import load_settings

    parser = argparse.ArgumentParser(description="Write questions of one part as JSON lines, one question a group.")
    parser.add_argument("--part", choices=get_args(Part), default="held-out")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for item in items(arguments.part, arguments.seed, arguments.count, load_settings().task):
        sys.stdout.write(json.dumps(item) + "\n")


if __name__ == "__main__":
    main()
