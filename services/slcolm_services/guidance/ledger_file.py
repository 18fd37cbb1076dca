"""A ledger's answers as a file of recordings, and back.

    {"id": "s17", "text": "…", "llm_raw": "…", "occurrence": 0, "prompt_digest": "…",
     "provider": "openai", "model": "…", "finish_reason": "stop", "time": "2026-05-01T10:00:00Z",
     "usage": [{"call_id": "…", "run_id": "r1", "time": "…", "calls": 1, "prompt_tokens": 812, …}]}

The first four keys are those of every recording, so that the file can be replayed and scored. The
others bring an answer back under its request's digest, with what was spent on it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.jsonfields import BrokenJson, JsonFields, load_json
from slcolm_services.corpus.lines import scan_lines
from slcolm_services.corpus.records import Findings, Problem, data_invalid
from slcolm_services.guidance.booking import parts, utc
from slcolm_services.guidance.entries import Answer, Asked, Settlement
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.tables import ANSWERS, SPENDINGS
from slcolm_services.guidance.usage import Usage

_LINES_AT_A_TIME = 500
_DIGEST = re.compile("[0-9a-f]{64}")
_MOST_SPENT = 10**12
"""Of each count and cost of a booking: sums of many still fit the database and have no infinity."""

_MOST_SAMPLES = 2**31 - 1

_COUNTS = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "estimated_calls")
_NO_DIGEST = (
    "is missing: a recording that no ledger wrote cannot go back into one;"
    " `--guide replay --recordings FILE` answers with it"
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes:
        answers: Answers that the ledger did not have.
        known: Answers that it had.
    """

    answers: int
    known: int


async def export_answers(
    ledger: Ledger, path: Path, *, run_id: str = "", provider: str = ""
) -> int:
    """Write answers to a file, the oldest first; it appears whole or not at all.

    Args:
        ledger: Where they are; open.
        path: The file.
        run_id: Only those that were paid for by a run; empty: all.
        provider: Only those of a provider; empty: of all.

    Returns:
        How many there are.

    Raises:
        InvalidInput: The file cannot be written.
    """
    count = 0
    with replacing(path) as file:
        async for line in _lines(ledger, run_id, provider):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


async def import_answers(ledger: Ledger, paths: Sequence[Path]) -> Imported:
    """Bring answers from files back under their digests. An answer that is there stands.

    Every file is read before the first answer is written; what was imported before changes nothing.

    Args:
        ledger: Where they go; open.
        paths: Files that `export_answers` wrote.

    Raises:
        DataInvalid: A line is no answer of a ledger; `violations` names each. Or a file has none.
    """
    for path in paths:
        if not sum(1 for _ in _answers(path)):
            raise data_invalid(path, [Problem(None, "file", "holds no answer")])
    new = known = 0
    for path in paths:
        lines = _answers(path)
        while part := list(islice(lines, _LINES_AT_A_TIME)):
            digests = {settlements[0].digest for settlements in part}
            there = await ledger.answered(list(digests))
            await ledger.settle_all([each for settlements in part for each in settlements])
            new, known = new + len(digests - there), known + len(there)
    return Imported(new, known)


async def _lines(ledger: Ledger, run_id: str, provider: str) -> AsyncIterator[dict[str, Any]]:
    query = sa.select(ANSWERS.c.digest).order_by(ANSWERS.c.create_time, ANSWERS.c.digest)
    if provider:
        query = query.where(ANSWERS.c.provider == provider)
    if run_id:
        paid = sa.select(SPENDINGS.c.digest).where(SPENDINGS.c.run_id == run_id)
        query = query.where(ANSWERS.c.digest.in_(paid))
    digests = await ledger.transact(lambda connection: list(connection.scalars(query)))
    for part in parts(digests):
        # A part in a transaction of its own: who asks and pays meanwhile does not wait for long.
        for line in await ledger.transact(partial(_part, digests=part)):
            yield line


def _part(connection: sa.Connection, digests: Sequence[str]) -> list[dict[str, Any]]:
    spent = defaultdict(list)
    for row in connection.execute(
        sa.select(SPENDINGS).where(SPENDINGS.c.digest.in_(digests)).order_by(SPENDINGS.c.id)
    ):
        spent[row.digest].append(
            {
                # The first form of ledgers named no calls.
                "call_id": row.call_id or f"{row.digest}:{row.id}",
                "run_id": row.run_id,
                "time": utc(row.create_time).isoformat(),
                **{name: getattr(row, name) for name in _COUNTS},
                "cost": row.cost,
            }
        )
    rows = connection.execute(sa.select(ANSWERS).where(ANSWERS.c.digest.in_(digests)))
    lines = {
        row.digest: {
            "id": row.item_id,
            "text": row.item_text,
            "llm_raw": row.text,
            "occurrence": row.sample,
            "prompt_digest": row.digest,
            "provider": row.provider,
            "model": row.model,
            "finish_reason": row.finish_reason,
            "time": utc(row.create_time).isoformat(),
            "usage": spent[row.digest],
        }
        for row in rows
    }
    return [lines[digest] for digest in digests]


def _answers(path: Path) -> Iterator[list[Settlement]]:
    """What the lines of a file settle.

    Raises:
        DataInvalid: Lines cannot be read; at the end of the file, with all of them.
    """
    problems: list[Problem] = []
    for line in scan_lines(path):
        found = Findings(line.number)
        settlements: list[Settlement] = []
        if line.problem:
            found.error("file", line.problem)
        elif line.text.strip():
            settlements = _read(line.text, found)
        if found.has_errors:
            problems += found.record(None).problems
        elif settlements:
            yield settlements
    if problems:
        raise data_invalid(path, problems)


def _read(text: str, found: Findings) -> list[Settlement]:
    """What a line settles: its first booking with the answer, further ones without."""
    try:
        fields = JsonFields.of(load_json(text, found), "line", found)
    except BrokenJson as error:
        found.error("line", str(error))
        return []
    if fields is None:
        return []
    if fields.raw("prompt_digest") is None:
        found.error("prompt_digest", _NO_DIGEST)
        return []
    digest = fields.string("prompt_digest") or ""
    if not _DIGEST.fullmatch(digest):
        found.error("prompt_digest", "must be a SHA-256 in 64 lower-case hexadecimal digits")
    names = ("id", "text", "llm_raw", "provider", "model", "finish_reason")
    words = {name: fields.string(name) or "" for name in names}
    occurrence = _count(fields, "occurrence", "", _MOST_SAMPLES, found)
    asked = Asked(words["id"], words["text"], occurrence)
    answer = Answer(words["llm_raw"], words["model"], words["finish_reason"])
    time = _time(fields, "time", found)
    written = Settlement(digest, answer, Usage(), words["provider"], "", asked, create_time=time)
    return [written, *_bookings(fields, written, found)]


def _bookings(fields: JsonFields, written: Settlement, found: Findings) -> Iterator[Settlement]:
    for number, booking in enumerate(fields.objects("usage")):
        if booking is None:
            continue
        cost = booking.raw("cost")
        place = f"usage[{number}]."
        is_number = isinstance(cost, int | float) and not isinstance(cost, bool)
        if not is_number or not 0 <= cost <= _MOST_SPENT:
            found.error(f"{place}cost", f"must be a number from 0 to {_MOST_SPENT}")
            cost = 0.0
        counts = {name: _count(booking, name, place, _MOST_SPENT, found) for name in _COUNTS}
        yield replace(
            written,
            answer=None,
            usage=Usage(**counts, cost=float(cost)),
            run_id=booking.string("run_id") or "",
            call_id=booking.string("call_id") or "",
            create_time=_time(booking, "time", found),
        )


def _count(fields: JsonFields, name: str, path: str, most: int, found: Findings) -> int:
    value = fields.integer(name) or 0
    if not 0 <= value <= most:
        found.error(f"{path}{name}", f"must be from 0 to {most}")
        return 0
    return value


def _time(fields: JsonFields, name: str, found: Findings) -> datetime | None:
    text = fields.string(name)
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        found.error(name, "must be a time as in 2026-05-01T10:00:00+00:00")
        return None
    return utc(time)
