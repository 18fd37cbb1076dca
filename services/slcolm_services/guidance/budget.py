"""A spending limit that is kept before sending, not noticed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slcolm_services.errors import BudgetExhausted


class Budget:
    """Counts what was spent and what calls in flight may cost at worst.

    Args:
        limit: Most that may be spent; 0: no limit.
        spent: What was spent already.
    """

    def __init__(self, limit: float, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self._held = 0.0

    @contextmanager
    def hold(self, worst_case: float) -> Iterator[None]:
        """Set the worst case of a call aside while it is in flight.

        Raises:
            BudgetExhausted: It does not fit beside what was spent and what is set aside.
        """
        if self.limit and self.spent + self._held + worst_case > self.limit:
            raise BudgetExhausted(
                f"the limit of {self.limit:g} does not allow a call that may cost {worst_case:g}:"
                f" {self.spent:g} are spent, {self._held:g} are set aside for calls in flight",
                metadata={
                    "limit": f"{self.limit:g}",
                    "spent": f"{self.spent:g}",
                    "worst_case": f"{worst_case:g}",
                },
            )
        self._held += worst_case
        try:
            yield
        finally:
            self._held -= worst_case
