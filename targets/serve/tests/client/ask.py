"""Asks two servers of curt's with OpenAI's client: python ask.py TEXT_URL VISION_URL PICTURE"""

import base64
import sys

import openai

QUESTION = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?"
MESSAGES = [{"role": "user", "content": QUESTION}]


def texts(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == "reasoner"

    whole = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, seed=1, logprobs=True)
    choice = whole.choices[0]
    assert "Answer: 36, 63, 90, 135, 45, 54, 126, 99, 108" in choice.message.content, choice
    assert choice.finish_reason == "stop" and whole.usage.total_tokens > 100
    assert len(choice.logprobs.content) == whole.usage.completion_tokens
    assert all(token.logprob <= 0 for token in choice.logprobs.content)

    options = {"stream": True, "stream_options": {"include_usage": True}}
    stream = list(client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, seed=1, **options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == choice.message.content and stream[-1].usage == whole.usage
    assert len(stream) > 50, len(stream)

    several = client.chat.completions.create(model=model, messages=MESSAGES, n=3, seed=1, stop=["want"], max_tokens=40)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    own = {"curt": {"paths": 8, "keep": 2}}
    voted = client.chat.completions.create(model=model, messages=MESSAGES, seed=0, extra_body=own)
    assert len(voted.choices) == 1 and voted.curt["checks"][0]["kept"] == 2, voted

    for wrong, kind, param in [
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"model": "another"}, openai.NotFoundError, "model"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
    ]:
        try:
            client.chat.completions.create(**{"model": model, "messages": MESSAGES, **wrong})
        except kind as error:
            assert error.param == param, error
        else:
            raise AssertionError(f"{wrong} was taken")


def pictures(url: str, picture: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    with open(picture, "rb") as file:
        data = "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()
    content = [
        {"type": "text", "text": "How many shapes are red?"},
        {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
    ]
    answer = client.chat.completions.create(model="vqa", messages=[{"role": "user", "content": content}])
    message = answer.choices[0].message
    assert message.content == "2", message
    assert message.reasoning_content.startswith("top none none red"), message
    assert answer.usage.completion_tokens_details.reasoning_tokens > 10
    content[1]["image_url"]["url"] = "http://127.0.0.1/picture.jpg"
    try:
        client.chat.completions.create(model="vqa", messages=[{"role": "user", "content": content}])
    except openai.BadRequestError as error:
        assert error.param == "messages[0].content[1].image_url.url", error
    else:
        raise AssertionError("an address was fetched")


texts(sys.argv[1])
pictures(sys.argv[2], sys.argv[3])
