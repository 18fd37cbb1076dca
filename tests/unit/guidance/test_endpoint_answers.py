"""What endpoints send is read whatever its shape, and what they refuse is left out."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.config import ModelSettings
from slcolm_services.guidance.items import GuideItem, Message, Prompt
from slcolm_services.guidance.prompt import estimate_tokens
from slcolm_services.guidance.providers.base import Completion, Request
from slcolm_services.guidance.providers.dialect import Dialect, form_of
from slcolm_services.guidance.providers.endpoint import retry_after
from slcolm_services.guidance.providers.reading import Unreadable, read_completion
from slcolm_services.guidance.usage import Prices, Usage

PRICES = Prices(10.0, 1.0, 20.0, "EUR")


def read(payload: object) -> Completion:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return read_completion(content, model="tiny", prompt_tokens=500, prices=PRICES)


def completion(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}], "model": "tiny-2026"}


def request(sample: int = 0, schema: dict[str, Any] | None = None, text: str = "x") -> Request:
    prompt = Prompt((Message("system", "s"), Message("user", text)), 10)
    task = TaskSchema("t", "en", (), ())
    return Request(prompt, GuideItem(Document("d", text)), task, sample, schema)


def test_usage_is_read_with_cached_tokens_by_either_name() -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 10}
    for cached in (
        {"prompt_tokens_details": {"cached_tokens": 40}},
        {"prompt_cache_hit_tokens": 40},
    ):
        answer = read({**completion(content="a"), "usage": counts | cached})
        assert replace(answer.usage, cost=0) == Usage(1, 100, 10, 40)
        assert answer.usage.cost == pytest.approx(0.00084)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 7},
        {"prompt_tokens": "7", "completion_tokens": True},
        {"prompt_tokens": 10**30, "completion_tokens": 10**30},
        {"prompt_tokens": -1, "completion_tokens": -1},
        [],
        "x",
    ],
)
def test_usage_that_is_not_told_is_estimated_and_marked(usage: object) -> None:
    answer = read({**completion(content="甲乙丙"), "usage": usage})
    assert answer.usage.estimated_calls == 1
    assert answer.usage.completion_tokens == estimate_tokens("甲乙丙")
    assert answer.usage.prompt_tokens in {7, 500}
    assert answer.usage.cost > 0


def test_a_refusal_in_words_is_the_answer() -> None:
    assert read(completion(content=None, refusal="I cannot.")).answer.text == "I cannot."


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, 3, {"type": "text", "text": "b"}]
    assert read(completion(content=parts)).answer.text == "ab"


@pytest.mark.parametrize(
    ("content", "paid"),
    [
        (b'{"choices": [{"message": {"content": "half an ans', True),
        (b"<html>maintenance</html>", False),
        (b"", False),
        (b"   ", False),
        (b"[" * 100_000, False),
        (b'{"choices": []}', False),
        (b'{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}', True),
        (b'{"error": {"message": "overloaded"}}', False),
    ],
)
def test_what_holds_no_answer_is_told_with_what_it_cost(content: bytes, paid: bool) -> None:
    with pytest.raises(Unreadable) as caught:
        read(content)
    assert bool(caught.value.usage.calls) == paid


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "usage", "model", "refusal"]), inner
        )
    ),
)


@given(JSON | st.builds(lambda inner: {"choices": [{"message": inner}], "usage": inner}, JSON))
def test_no_shape_breaks_the_reader(payload: object) -> None:
    try:
        answer = read(payload)
    except Unreadable:
        return
    assert isinstance(answer.answer.text, str)
    assert answer.usage.calls == 1


@given(st.binary())
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read(content)


FORM_REFUSALS = (
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "This response_format type is unavailable now",
    "extra_forbidden: body.response_format.json_schema: Extra inputs are not permitted",
)


@pytest.mark.parametrize("words", FORM_REFUSALS)
def test_a_refused_form_is_given_up_for_the_next_one(words: str) -> None:
    dialect = Dialect(ModelSettings(model="m"))
    asked = request(schema={"type": "object"})
    forms = []
    for _ in range(3):
        body = dialect.body(asked)
        forms.append(form_of(body))
        learnt = dialect.learn(body, words)
    assert forms == ["json_schema", "json_object", "plain"]
    assert not learnt


def test_equal_requests_that_are_refused_together_give_up_one_form() -> None:
    dialect = Dialect(ModelSettings(model="m"))
    body = dialect.body(request(schema={"type": "object"}))
    assert dialect.learn(body, FORM_REFUSALS[0])
    assert dialect.learn(body, FORM_REFUSALS[0])
    assert form_of(dialect.body(request(schema={"type": "object"}))) == "json_object"


def test_a_request_without_a_schema_asks_for_an_object() -> None:
    assert form_of(Dialect(ModelSettings(model="m")).body(request())) == "json_object"


def test_a_configured_form_is_kept() -> None:
    dialect = Dialect(ModelSettings(model="m", answer_form="json_object"))
    body = dialect.body(request(schema={"type": "object"}))
    assert form_of(body) == "json_object"
    assert not dialect.learn(body, FORM_REFUSALS[0])


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens; 'max_tokens' is too large: 2048.",
        "The text mentions the temperature of the sea and was flagged.",
        "messages[0].content must not be empty",
        "",
    ],
)
def test_other_refusals_teach_nothing(words: str) -> None:
    dialect = Dialect(ModelSettings(model="m"))
    body = dialect.body(request())
    assert not dialect.learn(body, words)
    assert dialect.body(request()) == body


def test_parameters_that_are_not_supported_are_left_out() -> None:
    dialect = Dialect(ModelSettings(model="m", top_p=0.9, seed=1))
    body = dialect.body(request())
    assert {"temperature", "top_p", "seed", "max_tokens"} <= body.keys()
    for words in (
        "Unsupported value: 'temperature'. Only the default (1) value is supported.",
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "body.seed: Extra inputs are not permitted",
    ):
        assert dialect.learn(body, words)
        body = dialect.body(request())
    assert {"temperature", "seed", "max_tokens"}.isdisjoint(body)
    assert body["max_completion_tokens"] == 2048
    assert body["top_p"] == 0.9


def test_further_samples_are_drawn_at_their_own_temperature_and_seed() -> None:
    dialect = Dialect(ModelSettings(model="m", sample_temperature=0.9, seed=5))
    first, third = dialect.body(request()), dialect.body(request(sample=2))
    assert (first["temperature"], first["seed"]) == (0.0, 5)
    assert (third["temperature"], third["seed"]) == (0.9, 7)


def test_what_one_provider_alone_knows_goes_along() -> None:
    body = Dialect(ModelSettings(model="m", extra_body={"top_k": 20})).body(request())
    assert body["top_k"] == 20


def test_any_text_can_be_sent() -> None:
    body = Dialect(ModelSettings(model="m")).body(request(text="甲\udc80乙"))
    assert body["messages"][1]["content"] == "甲?乙"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    seconds = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert seconds == pytest.approx(100, abs=5)
