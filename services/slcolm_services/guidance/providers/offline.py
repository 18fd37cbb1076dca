"""The stand-in for an LLM: rules that answer in an LLM's form and say that they are rules."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable

from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.guidance.answer_form import KEYS, AnswerForm, mentions_by_label
from slcolm_services.guidance.entries import Answer
from slcolm_services.guidance.prompt import Window, prompt_language
from slcolm_services.guidance.providers.base import Completion, ProviderInfo, Request
from slcolm_services.guidance.rules import Finding, Revised, revise

MODEL = "offline-rules"
"""Name that the stand-in gives instead of a model's."""

_VERSION = 2
_WORDS = {
    "zh": {
        "head": "离线规则（不是语言模型）。",
        "unsupported": "删除{triple}：概率只有{evidence}，也不在候选类型中。",
        "impossible": "删除{triple}：实体类型不符。",
        "wording": "补充{triple}：与示例用词相同“{evidence}”。",
        "trigger": "补充{triple}：两者之间只有触发词“{evidence}”。",
    },
    "en": {
        "head": "Offline rules (no language model). ",
        "unsupported": "Dropped {triple}: probability {evidence}, and no candidate type. ",
        "impossible": "Dropped {triple}: entity types do not fit. ",
        "wording": 'Added {triple}: same wording as an example, "{evidence}". ',
        "trigger": 'Added {triple}: only the trigger word "{evidence}" between them. ',
    },
}


class OfflineProvider:
    """Answers by rules; costs nothing and needs no network.

    Args:
        name: Name that requests use.
        window: What fits into a prompt; rules have no limit of their own, so that prompts come out
            as they would for an LLM.
        min_probability: SLM triples below it are dropped where retrieval does not propose their
            type.
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

    async def check(self) -> None:
        """See `Provider.check`: it needs nothing."""

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Answer by rules.

        Raises:
            InvalidInput: Another sample than the first is asked for.
        """
        del deadline
        if request.sample:
            raise InvalidInput(
                f"the offline rules have one answer to a text, not a sample {request.sample}",
                violations=[FieldViolation("sample", "must be 0 for the offline rules")],
            )
        text = await asyncio.to_thread(self._answer, request)
        return Completion(Answer(text, MODEL))

    def _answer(self, request: Request) -> str:
        revised = revise(request.item, request.schema, min_probability=self._min_probability)
        language = prompt_language(request.schema)
        keys = KEYS[language]
        text = request.item.prediction.text
        return json.dumps(
            {
                keys.reasoning: _explain(revised, language),
                keys.entities: mentions_by_label(revised.entities, text, request.schema),
                keys.relations: AnswerForm(language).relation_list(revised.triples),
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
