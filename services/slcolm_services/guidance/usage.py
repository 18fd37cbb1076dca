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
        estimated_calls: Those of the calls whose tokens the endpoint did not tell: they are
            estimated.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    estimated_calls: int = 0

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cost + other.cost,
            self.estimated_calls + other.estimated_calls,
        )


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What may be spent in all, by a run or by everyone. 0: no limit.

    Attributes:
        max_calls: Calls answered by an endpoint.
        max_tokens: Prompt and completion tokens together.
        max_cost: In the currency of the prices.
    """

    max_calls: int = 0
    max_tokens: int = 0
    max_cost: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.max_calls or self.max_tokens or self.max_cost)


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

    def __mul__(self, factor: float) -> Prices:
        return Prices(
            self.prompt_per_million * factor,
            self.cached_per_million * factor,
            self.completion_per_million * factor,
            self.currency,
        )

    def cost(self, *, prompt: int, completion: int, cached: int = 0) -> float:
        """Price of a call with these numbers of tokens."""
        return (
            (prompt - cached) * self.prompt_per_million
            + cached * self.cached_per_million
            + completion * self.completion_per_million
        ) / _MILLION
