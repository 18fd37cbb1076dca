"""What would be sent, without sending it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slcolm_services.guidance.exchange import request_digest
from slcolm_services.guidance.items import Prompt
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import ProviderInfo


@dataclass(frozen=True, slots=True)
class Rendered:
    """What would be sent for one item.

    Attributes:
        prompt: The prompt.
        digest: Name of the request in the ledger.
        answered: The ledger has the answer.
    """

    prompt: Prompt
    digest: str
    answered: bool


async def rendered(
    builds: Sequence[Callable[[Window], Prompt]],
    info: ProviderInfo,
    ledger: Ledger,
    *,
    sample: int,
) -> list[Rendered]:
    """Build prompts for a provider, and look each up in the ledger.

    Args:
        builds: Each makes a prompt that fits a window.
        info: The provider, whose window the prompts are to fit.
        ledger: Where paid answers are kept.
        sample: Which answer to the same prompt: 0 is the first one.

    Raises:
        PromptTooLong: A prompt does not fit the window.
    """

    def build() -> list[tuple[Prompt, str]]:
        prompts = [make(info.window) for make in builds]
        return [(prompt, request_digest(info, prompt, sample)) for prompt in prompts]

    made = await asyncio.to_thread(build)
    answered = await ledger.answered([digest for _, digest in made])
    return [Rendered(prompt, digest, digest in answered) for prompt, digest in made]
