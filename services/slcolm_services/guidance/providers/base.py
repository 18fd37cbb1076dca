"""What a provider of answers is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import ProviderUnavailable
from slcolm_services.guidance.entries import Answer
from slcolm_services.guidance.items import GuideItem, Prompt
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.usage import Prices, Usage


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        prompt: What an LLM is sent.
        item: What the prompt was made of, for providers that are no LLM. It holds what the prompt
            options leave in.
        schema: The task.
        sample: Which answer to the same prompt: 0 is the first one, the others are sampled anew.
        answer_schema: JSON schema of the answer, for endpoints that enforce one; None: none.
    """

    prompt: Prompt
    item: GuideItem
    schema: TaskSchema
    sample: int = 0
    answer_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and what it cost."""

    answer: Answer
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """What is told about a provider.

    Attributes:
        name: Name that requests use.
        kind: `openai`, `replay` or `offline`.
        model: Model name; empty where there is none.
        digest: Over everything about the provider that shapes first answers (sample 0).
        sampling: What else shapes the other samples; part of their digests alone.
        window: What fits into one call.
        prices: What it charges.
        offline_rules: No language model writes the answers.
        replayed: The answers were recorded earlier.
        metered: Answers cost something: they go through the ledger and count as calls.
        concurrency: Requests that it works on at once.
        answer_form: Form of answers that its endpoint was found to enforce: `json_schema`,
            `json_object` or `plain`; empty until it was asked.
    """

    name: str
    kind: str
    model: str
    digest: str
    window: Window
    prices: Prices = field(default_factory=Prices)
    offline_rules: bool = False
    replayed: bool = False
    metered: bool = False
    sampling: str = ""
    concurrency: int = 16
    answer_form: str = ""


class ChargedInVain(ProviderUnavailable):
    """An endpoint charged for answers that cannot be used, and gave none that can.

    Args:
        message: One sentence for people.
        usage: What was spent, to be booked.
        metadata: As for every error.
        retry_after_seconds: Likewise.
    """

    def __init__(
        self,
        message: str,
        *,
        usage: Usage | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)
        self.usage = usage or Usage()


class Provider(Protocol):
    """Answers requests."""

    @property
    def info(self) -> ProviderInfo:
        """What is told about it; valid once it is open."""

    async def open(self) -> None:
        """Load what it needs."""

    async def close(self) -> None:
        """Let go of what `open` loaded."""

    async def check(self) -> None:
        """Go on where, by what is known without a request, it answers.

        Raises:
            ProviderUnavailable: It does not.
        """

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Answer a request.

        Args:
            request: What to answer.
            deadline: When the caller stops waiting, on the event loop's clock (seconds).

        Raises:
            ProviderUnavailable: The endpoint cannot be reached, refuses or keeps failing;
                `ChargedInVain` where that has cost something.
            AnswerNotRecorded: There is no recorded answer to the text.
            DeadlineTooShort: The deadline passed first.
        """
