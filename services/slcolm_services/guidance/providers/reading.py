"""Reads what an endpoint sends: any of it may be missing or of another shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slcolm_services.corpus.jsonfields import SURROGATE
from slcolm_services.guidance.entries import Answer
from slcolm_services.guidance.prompt import estimate_tokens
from slcolm_services.guidance.providers.base import Completion
from slcolm_services.guidance.usage import Prices, Usage

_BYTES_PER_TOKEN = 4

_MAX_TOKENS = 10**9
"""More than any call can take: an endpoint that tells more has not counted."""

_MAX_NAME_CHARS = 200
"""Of a model's name and of the word for why it stopped: they are kept with every answer."""


class Unreadable(Exception):
    """There is no answer in what an endpoint sent with status 200.

    Args:
        problem: What is wrong.
        usage: What was paid for it.
    """

    def __init__(self, problem: str, usage: Usage) -> None:
        super().__init__(problem)
        self.problem = problem
        self.usage = usage


def read_completion(
    content: bytes, *, model: str, prompt_tokens: int, prices: Prices
) -> Completion:
    """Read a chat completion.

    Args:
        content: JSON as the endpoint sent it.
        model: Model name where the endpoint tells none.
        prompt_tokens: Estimate for endpoints that do not tell what they counted.
        prices: What a call costs.

    Raises:
        Unreadable: It is no JSON, or holds no choice.
    """
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        # What begins as an answer was written and paid for; a gateway's page was not.
        begun = content.lstrip()[:1] == b"{"
        answer_tokens = -(-len(content) // _BYTES_PER_TOKEN)
        usage = _usage({}, prompt_tokens, answer_tokens, prices) if begun else Usage()
        raise Unreadable("the endpoint's answer is not JSON", usage) from None
    completion = _mapping(payload)
    choices = completion.get("choices")
    choice = _mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = _mapping(choice.get("message"))
    text = _text(message.get("content")) or _text(message.get("refusal"))
    usage = _usage(completion, prompt_tokens, estimate_tokens(text), prices)
    if not message:
        paid = usage if completion.get("usage") else Usage()
        raise Unreadable("the endpoint's answer holds no choice", paid)
    return Completion(
        Answer(
            text=text,
            model=_name(completion.get("model")) or model,
            finish_reason=_name(choice.get("finish_reason")),
        ),
        usage,
    )


def _usage(
    completion: Mapping[str, Any], prompt_estimate: int, answer_estimate: int, prices: Prices
) -> Usage:
    reported = _mapping(completion.get("usage"))
    prompt = _count(reported, "prompt_tokens")
    generated = _count(reported, "completion_tokens")
    estimated = prompt is None or generated is None
    prompt = prompt_estimate if prompt is None else prompt
    generated = answer_estimate if generated is None else generated
    details = _mapping(reported.get("prompt_tokens_details"))
    # DeepSeek tells what came from its cache under a name of its own.
    cached = _count(details, "cached_tokens") or _count(reported, "prompt_cache_hit_tokens") or 0
    cached = min(cached, prompt)
    cost = prices.cost(prompt=prompt, completion=generated, cached=cached)
    return Usage(1, prompt, generated, cached, cost, estimated_calls=int(estimated))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Text as it is; content in parts, as some endpoints send it, one after another."""
    if isinstance(value, list):
        return "".join(_text(_mapping(part).get("text")) for part in value)
    # JSON can write half of a surrogate pair; neither the ledger nor the wire can carry it.
    return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else ""


def _name(value: object) -> str:
    return _text(value)[:_MAX_NAME_CHARS] if isinstance(value, str) else ""


def _count(holder: Mapping[str, Any], name: str) -> int | None:
    value = holder.get(name)
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None
