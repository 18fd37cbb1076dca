"""What a call costs."""

from __future__ import annotations

from dataclasses import dataclass

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent.

    Attributes:
        calls: Calls answered by the endpoint.
        prompt_tokens: Tokens sent, those from the endpoint's cache included.
        completion_tokens: Tokens received.
        cached_tokens: Prompt tokens that the endpoint served from its cache.
        cost: In the currency of the prices.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What a provider charges.

    Attributes:
        prompt_per_million: Per million prompt tokens.
        cached_per_million: Per million prompt tokens that came from its cache.
        completion_per_million: Per million tokens of the answer.
        currency: ISO 4217 code; empty where no price is configured.
    """

    prompt_per_million: float = 0.0
    cached_per_million: float = 0.0
    completion_per_million: float = 0.0
    currency: str = ""

    def cost(self, *, prompt: int, completion: int, cached: int = 0) -> float:
        """Price of a call with these numbers of tokens."""
        return (
            (prompt - cached) * self.prompt_per_million
            + cached * self.cached_per_million
            + completion * self.completion_per_million
        ) / _MILLION
