"""The stand-in for an LLM: rules that answer in an LLM's form and say that they are rules."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.ledger import Answer
from slcolm_services.guidance.prompt import Window, prompt_language
from slcolm_services.guidance.providers.base import Completion, ProviderInfo, Request
from slcolm_services.guidance.rules import Finding, Revised, revise

MODEL = "offline-rules"
"""Name that the stand-in gives instead of a model's."""

_VERSION = 1
_WORDS = {
    "zh": {
        "head": "离线规则（不是语言模型）。",
        "improbable": "删除{triple}：概率{evidence}过低。",
        "impossible": "删除{triple}：实体类型不符。",
        "wording": "补充{triple}：与示例用词相同“{evidence}”。",
        "trigger": "补充{triple}：两者之间只有触发词“{evidence}”。",
    },
    "en": {
        "head": "Offline rules (no language model). ",
        "improbable": "Dropped {triple}: probability {evidence} is too low. ",
        "impossible": "Dropped {triple}: entity types do not fit. ",
        "wording": 'Added {triple}: same wording as an example, "{evidence}". ',
        "trigger": 'Added {triple}: only the trigger word "{evidence}" between them. ',
    },
}
_KEYS = {
    "zh": ("思考过程", "真实的实体", "真实的关系"),
    "en": ("reasoning", "entities", "relations"),
}


class OfflineProvider:
    """Answers by rules; costs nothing and needs no network.

    Args:
        name: Name that requests use.
        window: What fits into a prompt; rules have no limit of their own, so that prompts come out
            as they would for an LLM.
        min_probability: SLM triples below it are dropped.
    """

    def __init__(self, name: str, window: Window, min_probability: float) -> None:
        self._min_probability = min_probability
        shaping = f"offline-rules {_VERSION} {min_probability}"
        digest = hashlib.sha256(shaping.encode()).hexdigest()
        self._info = ProviderInfo(name, "offline", MODEL, digest, window, offline_rules=True)

    @property
    def info(self) -> ProviderInfo:
        """What is told about it."""
        return self._info

    async def open(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Answer by rules."""
        del deadline
        text = await asyncio.to_thread(self._answer, request)
        return Completion(Answer(text, MODEL))

    def _answer(self, request: Request) -> str:
        revised = revise(request.item, request.schema, min_probability=self._min_probability)
        language = prompt_language(request.schema)
        reasons, entities, relations = _KEYS[language]
        return json.dumps(
            {
                reasons: _explain(revised, language),
                entities: _entities(revised, request.item.prediction.text, request.schema),
                relations: _by_type(revised.triples),
            },
            ensure_ascii=False,
        )


def _explain(revised: Revised, language: str) -> str:
    words = _WORDS[language]
    findings: Iterable[Finding] = (*revised.dropped, *revised.added)
    return words["head"] + "".join(
        words[finding.rule].format(
            triple=f"{finding.triple.type}({finding.triple.head}, {finding.triple.tail})",
            evidence=finding.evidence,
        )
        for finding in findings
    )


def _entities(revised: Revised, text: str, schema: TaskSchema) -> dict[str, list[str]]:
    labels = {kind.name: kind.label for kind in schema.entity_types}
    listed: dict[str, dict[str, None]] = {}
    for entity in revised.entities:
        mentions = listed.setdefault(labels.get(entity.type, entity.type), {})
        mentions[text[entity.start : entity.end]] = None
    return {label: list(mentions) for label, mentions in listed.items()}


def _by_type(triples: Iterable[Triple]) -> dict[str, list[list[str]]]:
    listed: dict[str, list[list[str]]] = {}
    for triple in triples:
        listed.setdefault(triple.type, []).append([triple.head, triple.tail])
    return listed
