"""A byte-level BPE tokenizer whose words and numbers are single tokens, and the chat template.

Byte-level, so that any text can be asked; small, because the merges are learned on the task's own words only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from settings import replacing, write_json
from task import LARGEST_NUMBER, SYSTEM_TEXTS, TaskConfig, draw_chain, draw_question

PAD, END, SYSTEM, USER, ASSISTANT = SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD_ID, END_ID = 0, 1

# The loop is the whole format: every message starts with its role, and only the assistant says when it has ended.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{- '<|' + message['role'] + '|>' + message['content'] -}}\n"
    "{%- if message['role'] == 'assistant' -%}{{- '<|end|>' -}}{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}\n"
)

Message = tuple[str, str]  # role, content


def render(messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
    """What CHAT_TEMPLATE renders, without Jinja; a test holds the two together."""
    text = "".join(f"<|{role}|>{content}{END if role == 'assistant' else ''}" for role, content in messages)
    return text + (ASSISTANT if add_generation_prompt else "")


def build_tokenizer(config: TaskConfig) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        # More than is ever reached: merging goes on until every word of the corpus is one token.
        vocab_size=4000,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(vocabulary_corpus(config), trainer)
    return tokenizer


def vocabulary_corpus(config: TaskConfig) -> list[str]:
    rng = random.Random("vocabulary")
    texts = [f" {number}" for number in range(LARGEST_NUMBER + 1)] + list(SYSTEM_TEXTS)
    for _ in range(500):
        question = draw_question(rng, config, "train")
        texts += [question.text(), draw_chain(rng, question, config, 0.3, 0.7)]
    return texts


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context: int) -> None:
    """The three files that Hugging Face and onnxruntime-genai look for."""
    with replacing(folder / "tokenizer.json") as temporary:
        tokenizer.save(str(temporary), pretty=False)
    with replacing(folder / "chat_template.jinja") as temporary:
        temporary.write_text(CHAT_TEMPLATE, encoding="utf-8")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "bos_token": END,
            "eos_token": END,
            "pad_token": PAD,
            "unk_token": END,
            "model_max_length": context,
            "added_tokens_decoder": {
                str(tokenizer.token_to_id(token)): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for token in SPECIAL
            },
            "chat_template": CHAT_TEMPLATE,
        },
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))))
