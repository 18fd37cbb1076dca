"""Tables of policies that were tried, and of what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slcolm_services.evaluation.fit import Fit, describe
from slcolm_services.evaluation.policy import Mode, Policy
from slcolm_services.evaluation.systems import System
from slcolm_services.evaluation.trials import Trial
from slcolm_services.scoring.counts import Interval
from slcolm_services.scoring.report import comparison_json, strict_json
from slcolm_services.scoring.strict import Difference


def print_fit(out: Console, fitted: Fit) -> None:
    """Print the best trial of each mode, and the policy that was chosen."""
    if fitted.trials:
        out.print(_trials_table(fitted.trials))
    calibration = fitted.policy.calibration
    out.print(f"Policy: {escape(fitted.policy.provenance)}")
    if calibration is not None:
        out.print(f"Calibration of the SLM: {calibration.method}")


def _trials_table(trials: Sequence[Trial]) -> Table:
    table = Table(title="Best of each mode on dev, cross-validated, in %", title_justify="left")
    table.add_column("policy")
    for column in ("micro F1", "macro F1", "objective", "behind the best"):
        table.add_column(column, justify="right")
    best: dict[Mode, Trial] = {}
    for trial in trials:
        best.setdefault(trial.policy.mode, trial)
    for trial in best.values():
        table.add_row(
            describe(trial.policy),
            _percent(trial.scores.micro.f1),
            _percent(trial.scores.macro.f1_pr),
            _percent(trial.objective),
            f"{_percent(trial.gap)} ± {_percent(trial.gap_standard_error)}",
        )
    return table


def fitted_policies_table(policies: Sequence[Policy]) -> Table:
    """What was fitted for each fold."""
    table = Table(title="Policy of each fold", title_justify="left")
    table.add_column("fold", justify="right")
    table.add_column("policy")
    table.add_column("calibration")
    for fold, policy in enumerate(policies, start=1):
        calibration = policy.calibration
        table.add_row(str(fold), describe(policy), calibration.method if calibration else "none")
    return table


def print_systems(out: Console, systems: Mapping[str, System]) -> None:
    """Print strict figures with intervals, and how far the merged result is ahead of each."""
    table = _figures_table("Strict, in %, with 95 % intervals")
    for name, system in systems.items():
        micro, macro = system.scores.micro, system.scores.macro
        table.add_row(
            escape(name),
            f"{_percent(micro.f1)} {_interval(micro.f1_interval)}",
            f"{_percent(macro.f1_pr)} {_interval(macro.f1_pr_interval)}",
            style=None if system.merged_minus_this else "bold",
        )
    out.print(table)
    table = _figures_table("merged - this, in points; * beyond chance")
    for name, system in systems.items():
        ahead = system.merged_minus_this
        if ahead is not None:
            micro_ahead, macro_ahead = _difference(ahead.micro_f1), _difference(ahead.macro_f1_pr)
            table.add_row(escape(name), micro_ahead, macro_ahead)
    out.print(table)


def _figures_table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True, min_width=12)
    for column in ("micro F1", "macro F1"):
        table.add_column(column, justify="right", no_wrap=True, min_width=22)
    return table


def systems_json(systems: Mapping[str, System]) -> dict[str, Any]:
    """The same as JSON, with every strict figure."""
    return {
        name: {
            **strict_json(system.scores),
            **(
                {"merged_minus_this": comparison_json(system.merged_minus_this)}
                if system.merged_minus_this
                else {}
            ),
        }
        for name, system in systems.items()
    }


def _difference(difference: Difference) -> str:
    low, high = difference.interval.low, difference.interval.high
    mark = "*" if low > 0 or high < 0 else " "
    return f"{100 * difference.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]{mark}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"
