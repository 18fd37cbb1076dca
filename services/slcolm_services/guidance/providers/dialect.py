"""What an endpoint takes: found out by being refused, then remembered.

Endpoints that speak chat completions differ in what they enforce (a JSON schema, a JSON object,
nothing) and in parameters: reasoning models refuse a temperature, and want the longest answer under
another name. A refused request costs nothing, so that asking is the surest table of vendors.
"""

from __future__ import annotations

import re
from typing import Any

from slcolm_services.guidance.config import ANSWER_FORMS, ModelSettings
from slcolm_services.guidance.providers.base import Request

_JSON_SCHEMA, _JSON_OBJECT, PLAIN = ANSWER_FORMS
_LENGTH, _NEW_LENGTH = "max_tokens", "max_completion_tokens"
_DISPENSABLE = ("temperature", "top_p", "seed")
_FORM_NAMED = re.compile(r"response_format|json_schema|json_object|guided_json|structured.outputs?")
_NOT_TAKEN = re.compile(
    r"unsupported|not support|n't support|unknown|unrecognized|unexpected|not permitted|not allowed"
    r"|only the default"
)


class Dialect:
    """How requests to one endpoint are put.

    Args:
        settings: What is asked for.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        auto = settings.answer_form not in ANSWER_FORMS
        self._forms: tuple[str, ...] = ANSWER_FORMS if auto else (settings.answer_form,)
        self._length = _LENGTH
        self._left_out: set[str] = set()

    def body(self, request: Request) -> dict[str, Any]:
        """A request's body, as far as is known what the endpoint takes."""
        settings = self._settings
        first = request.sample == 0
        seed = None if settings.seed is None else settings.seed + request.sample
        wishes: dict[str, Any] = {
            "temperature": settings.temperature if first else settings.sample_temperature,
            "top_p": settings.top_p,
            "seed": seed,
        }
        return {
            "model": settings.model,
            "messages": [
                {"role": message.role, "content": _sendable(message.content)}
                for message in request.prompt.messages
            ],
            self._length: settings.max_answer_tokens,
            **{
                name: wish
                for name, wish in wishes.items()
                if wish is not None and name not in self._left_out
            },
            **self._response_format(request),
            **settings.extra_body,
        }

    def learn(self, body: dict[str, Any], refusal: str) -> bool:
        """Learn from what an endpoint says when it refuses a body.

        Args:
            body: What was refused.
            refusal: The endpoint's words.

        Returns:
            Whether the request can be put in another way now.
        """
        words = refusal.lower()
        form = form_of(body)
        if form != PLAIN and _FORM_NAMED.search(words):
            return self._give_up(form)
        if not _NOT_TAKEN.search(words):
            return False
        if _LENGTH in body and _NEW_LENGTH in words:
            self._length = _NEW_LENGTH
            return True
        named = {name for name in _DISPENSABLE if name in body and name in words}
        self._left_out |= named
        return bool(named)

    def _give_up(self, form: str) -> bool:
        """Leave a form of answers out; of equal requests in flight the first one does it."""
        remaining = tuple(known for known in self._forms if known != form)
        if not remaining:
            return False
        self._forms = remaining
        return True

    def _response_format(self, request: Request) -> dict[str, Any]:
        for form in self._forms:
            if form == _JSON_SCHEMA and request.answer_schema is not None:
                schema = {"name": "answer", "strict": True, "schema": request.answer_schema}
                return {"response_format": {"type": form, "json_schema": schema}}
            if form == _JSON_OBJECT:
                return {"response_format": {"type": form}}
        return {}


def form_of(body: dict[str, Any]) -> str:
    """The form of answers that a body asks for."""
    wanted = body.get("response_format")
    return str(wanted.get("type", PLAIN)) if isinstance(wanted, dict) else PLAIN


def _sendable(text: str) -> str:
    """Texts may hold lone surrogates, which UTF-8 refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
