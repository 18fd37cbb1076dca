"""Spending limits that are kept before sending, not noticed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from slcolm_services.errors import BudgetExhausted
from slcolm_services.guidance.usage import RunBudget, Usage

_ROUNDING = 1e-9
"""Sums of prices are compared up to this part of the limit."""


@dataclass(slots=True)
class Account:
    """What has been spent on a run or on everything, and what is set aside at worst case.

    Attributes:
        spent: Spent.
        in_flight: Set aside for calls that end in seconds.
        in_batches: Set aside for batches, which end in hours.
    """

    spent: Usage = field(default_factory=Usage)
    in_flight: Usage = field(default_factory=Usage)
    in_batches: Usage = field(default_factory=Usage)

    def shortage(
        self, budget: RunBudget, worst: Usage, run_id: str
    ) -> tuple[BudgetExhausted | None, bool]:
        """Whether a call fits into a budget beside what is spent and set aside.

        Args:
            budget: What may be spent.
            worst: What the call costs at worst.
            run_id: Whose budget it is; empty: everyone's.

        Returns:
            Why it does not fit, or None; and whether it may fit once the calls in flight have ended
            and what they really cost is known.
        """
        lasting = self.spent + self.in_batches
        error = self._excess(budget, lasting + worst, worst, run_id)
        if error is not None:
            return error, False
        return self._excess(budget, lasting + self.in_flight + worst, worst, run_id), True

    def _excess(
        self, budget: RunBudget, reached: Usage, worst: Usage, run_id: str
    ) -> BudgetExhausted | None:
        for name, limit, total, spent, need in (
            ("calls", budget.max_calls, reached.calls, self.spent.calls, worst.calls),
            ("tokens", budget.max_tokens, reached.tokens, self.spent.tokens, worst.tokens),
            ("cost", budget.max_cost, reached.cost, self.spent.cost, worst.cost),
        ):
            if limit and total > limit * (1 + _ROUNDING):
                whose = f"of run {run_id!r}" if run_id else "of the service"
                set_aside = total - spent - need
                return BudgetExhausted(
                    f"the limit max_{name} = {limit:g} {whose} does not allow a call that may take"
                    f" {need:g}: {spent:g} spent, {set_aside:g} set aside",
                    metadata={
                        "subject": f"run:{run_id}" if run_id else "service",
                        "limit_name": f"max_{name}",
                        "limit": f"{limit:g}",
                        "spent": f"{spent:g}",
                        "set_aside": f"{set_aside:g}",
                        "worst_case": f"{need:g}",
                    },
                )
        return None
