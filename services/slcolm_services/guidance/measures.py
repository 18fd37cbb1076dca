"""What the guidance service measures of its work, for Prometheus.

Labels are names of the configuration, of this project's errors and of HTTP: never what a caller or
an endpoint wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from slcolm_services.errors import BudgetExhausted, SlcolmError
from slcolm_services.guidance.usage import Usage
from slcolm_services.runtime.metrics import Measures

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)

FREE, LEDGER, BOUGHT, SHARED, BATCH = "free", "ledger", "bought", "shared", "batch"
"""Where an answer came from: rules or recordings, the ledger, an endpoint, another caller's request
that was in flight, or an endpoint's batch."""


class GuidanceMeasures(Measures):
    """Items, answers, requests to endpoints and what they cost."""

    def __init__(self) -> None:
        self.items = Counter(
            "slcolm_guidance_items",
            "Items guided or annotated, by outcome: OK or the reason of the error",
            ["provider", "outcome"],
            registry=None,
        )
        self.answers = Counter(
            "slcolm_guidance_answers",
            "Answers by where they came from: free, ledger, bought, shared or batch",
            ["provider", "source"],
            registry=None,
        )
        self.tokens = Counter(
            "slcolm_guidance_tokens",
            "Tokens paid for: prompt, cached (part of the prompt's) and completion",
            ["provider", "kind"],
            registry=None,
        )
        self.cost = Counter(
            "slcolm_guidance_cost",
            "Money spent, in the currency of the prices",
            ["provider", "currency"],
            registry=None,
        )
        self.budget_refusals = Counter(
            "slcolm_guidance_budget_refusals",
            "Items and batches that a budget refused: of a run or of the service, by its limit",
            ["budget", "limit"],
            registry=None,
        )
        self.requests = Counter(
            "slcolm_guidance_llm_requests",
            "Requests to endpoints: answered, timeout, connection, unreadable, too_long, "
            "refused_form, or status_ with the HTTP status",
            ["model", "endpoint", "outcome"],
            registry=None,
        )
        self.request_seconds = Histogram(
            "slcolm_guidance_llm_request_seconds",
            "Seconds that a request to an endpoint took, whatever came of it",
            ["model", "endpoint"],
            buckets=_SECONDS,
            registry=None,
        )
        self.retries = Counter(
            "slcolm_guidance_llm_retries",
            "Attempts that failed and were followed by another one",
            ["provider"],
            registry=None,
        )

    def answered(self, provider: str, source: str) -> None:
        """Count an answer."""
        self.answers.labels(provider, source).inc()

    def paid(self, provider: str, usage: Usage, currency: str) -> None:
        """Count what was spent."""
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ):
            self.tokens.labels(provider, kind).inc(tokens)
        self.cost.labels(provider, currency).inc(usage.cost)

    def ended(self, provider: str, outcome: object) -> None:
        """Count an item: an answer or its error."""
        if not isinstance(outcome, SlcolmError):
            self.items.labels(provider, "OK").inc()
            return
        self.items.labels(provider, outcome.reason).inc()
        if isinstance(outcome, BudgetExhausted):
            self._refused(outcome)

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Count what a budget refuses in the block."""
        try:
            yield
        except BudgetExhausted as error:
            self._refused(error)
            raise

    def _refused(self, error: BudgetExhausted) -> None:
        whose = error.metadata["subject"].partition(":")[0]
        self.budget_refusals.labels(whose, error.metadata["limit_name"].removeprefix("max_")).inc()
