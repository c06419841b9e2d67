"""Numbers and words are single tokens, any text survives, and the template renders what was trained on."""

import random

import jinja2
import pytest
from settings import load_settings
from task import LARGEST_NUMBER, draw_chain, draw_question
from tokenizer import CHAT_TEMPLATE, END, END_ID, PAD, PAD_ID, build_tokenizer, render

CONFIG = load_settings().task
TOKENIZER = build_tokenizer(CONFIG)


def test_special_ids_are_where_the_configs_say() -> None:
    assert (TOKENIZER.token_to_id(PAD), TOKENIZER.token_to_id(END)) == (PAD_ID, END_ID)


def test_numbers_are_single_tokens() -> None:
    assert all(len(TOKENIZER.encode(f" {number}").ids) == 1 for number in range(LARGEST_NUMBER + 1))


def test_every_word_of_the_task_is_a_single_token() -> None:
    rng = random.Random(5)
    for _ in range(100):
        question = draw_question(rng, CONFIG, "train")
        for text in (question.text(), draw_chain(rng, question, CONFIG, 0.3, 0.7)):
            pieces = TOKENIZER.pre_tokenizer.pre_tokenize_str(text)
            assert TOKENIZER.encode(text).tokens == [piece for piece, _ in pieces]


@pytest.mark.parametrize("text", ["Grüße, 東京 🚲\n\ttabs  and spaces ", "999999 -1 1,2,3", "\x00\x7f", ""])
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_prompt_and_chain_tokenize_alike_together_and_apart() -> None:
    rng = random.Random(6)
    question = draw_question(rng, CONFIG, "train")
    chain = draw_chain(rng, question, CONFIG, 0.3, 0.7)
    prompt = render([("user", question.text())], add_generation_prompt=True)
    whole = render([("user", question.text()), ("assistant", chain)])
    assert TOKENIZER.encode(prompt).ids + TOKENIZER.encode(chain + END).ids == TOKENIZER.encode(whole).ids


def test_full_questions_have_one_length() -> None:
    rng = random.Random(7)
    prompts = [render([("user", draw_question(rng, CONFIG, "train").text())], True) for _ in range(200)]
    assert len({len(TOKENIZER.encode(prompt).ids) for prompt in prompts}) == 1


@pytest.mark.parametrize("add_generation_prompt", [False, True])
@pytest.mark.parametrize(
    "messages",
    [
        [("user", "one")],
        [("system", "be brief"), ("user", "one {{ braces }}")],
        [("user", "one"), ("assistant", "two\nlines"), ("user", "three")],
        [],
    ],
)
def test_the_template_renders_what_was_trained_on(messages: list, add_generation_prompt: bool) -> None:
    # As transformers compiles chat templates.
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(CHAT_TEMPLATE).render(
        messages=[{"role": role, "content": content} for role, content in messages],
        add_generation_prompt=add_generation_prompt,
    )
    assert rendered == render(messages, add_generation_prompt)
