"""What commands that ask an LLM tell with `--dry-run`: prompts, tokens, cost at worst."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import click

from slcolm_services.cli.output import emit_json, number_of
from slcolm_services.corpus.printable import printable, printable_line
from slcolm_services.errors import NotFound
from slcolm_services.guidance.providers.base import ProviderInfo
from slcolm_services.guidance.rendering import Rendered


def tell_preview(
    info: ProviderInfo,
    names: Sequence[str],
    rounds: Sequence[Sequence[Rendered]],
    *,
    show: str | None,
    as_json: bool,
) -> None:
    """Tell what would be sent, and what is left out of it.

    Args:
        info: The provider that would be asked.
        names: Ids of the texts.
        rounds: For each time that the texts are asked about, a prompt per text.
        show: Id of a text whose messages are shown, those of the first round.
        as_json: Whether it is told to a program.

    Raises:
        NotFound: There is no text `show`.
    """
    if show is not None and show not in names:
        raise NotFound(f"there is no text {show!r} in the file", metadata={"id": show})
    prompts = [shown for one in rounds for shown in one]
    to_send = [shown for shown in prompts if not shown.answered]
    tokens = [shown.prompt.tokens for shown in prompts]
    unpaid = [shown.prompt.tokens for shown in to_send] if info.metered else []
    report: dict[str, Any] = {
        "provider": info.name,
        "model": info.model,
        "texts": len(names),
        "prompts": len(prompts),
        "answered": len(prompts) - len(to_send),
        "prompt_tokens": {
            "min": min(tokens, default=0),
            "median": statistics.median(tokens) if tokens else 0,
            "max": max(tokens, default=0),
            "total": sum(tokens),
            "to_send": sum(unpaid),
        },
        "max_answer_tokens": info.window.answer_tokens * len(unpaid),
        "max_cost": sum(
            info.prices.cost(prompt=count, completion=info.window.answer_tokens) for count in unpaid
        ),
        "currency": info.prices.currency,
        "shortened": _shortened(names, rounds),
    }
    if show is not None:
        report["messages"] = [
            {"role": message.role, "content": message.content}
            for message in rounds[0][names.index(show)].prompt.messages
        ]
    if as_json:
        emit_json(report)
    else:
        _print(report)


def _shortened(names: Sequence[str], rounds: Sequence[Sequence[Rendered]]) -> dict[str, list[str]]:
    """What was left out of the prompts for a text to fit."""
    found: dict[str, list[str]] = {}
    for one in rounds:
        for name, shown in zip(names, one, strict=True):
            parts = found.setdefault(name, [])
            parts += [part for part in shown.prompt.shortened if part not in parts]
    return {name: parts for name, parts in found.items() if parts}


def _print(report: dict[str, Any]) -> None:
    for message in report.get("messages", ()):
        click.echo(printable(f"[{message['role']}]\n{message['content']}\n"))
    tokens = report["prompt_tokens"]
    asked = f"{report['provider']} {report['model']}".strip()
    click.echo(
        f"{number_of(report['texts'], 'text')}, {number_of(report['prompts'], 'prompt')} for "
        f"{asked}; {report['answered']} answered already"
    )
    click.echo(
        f"prompt tokens (estimated): {tokens['min']} to {tokens['max']}, median"
        f" {tokens['median']:g}, {tokens['total']} in all"
    )
    click.echo(
        f"to pay for: {tokens['to_send']} prompt tokens and at most"
        f" {report['max_answer_tokens']} tokens of answers;"
        f" cost at most {report['max_cost']:.2f} {report['currency']}".rstrip()
    )
    for name, parts in report["shortened"].items():
        click.echo(printable_line(f"{name}: left out to fit: {'; '.join(parts)}"))
