"""What is done in the ledger's transactions: claims are granted, answers written, costs booked.

Transactions of all processes take turns, so that what is read here stays true until it is written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from slcolm_services.errors import BudgetExhausted
from slcolm_services.guidance.budget import Account
from slcolm_services.guidance.entries import Answer, Claim, Claimed, ClaimOutcome, Settlement, Wait
from slcolm_services.guidance.tables import ANSWERS, CLAIMS, HOLDERS, SPENDINGS, TOTALS
from slcolm_services.guidance.usage import RunBudget, Usage

_MAX_PARAMETERS = 500
"""Values in one statement; SQLite takes 32,766, older builds 999."""

_SUMS = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost", "estimated_calls")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL keeps no NUL, and no database what UTF-8 cannot say."""

_IS_LIVE = CLAIMS.c.holder == HOLDERS.c.id
"""A claim counts while its holder is there; whoever has died is removed (see `Vigil`)."""


def find(connection: sa.Connection, digests: Sequence[str]) -> list[Answer | None]:
    """The answers to requests, in their order."""
    columns = ANSWERS.c
    found = {}
    for part in parts(digests):
        query = sa.select(columns.digest, columns.text, columns.model, columns.finish_reason)
        for digest, *answer in connection.execute(query.where(columns.digest.in_(part))):
            found[digest] = Answer(*answer)
    return [found.get(digest) for digest in digests]


def grant(
    connection: sa.Connection,
    claims: Sequence[Claim],
    limits: RunBudget,
    holder: str,
    *,
    in_batch: bool = False,
) -> list[ClaimOutcome]:
    """Grant claims, in order, as far as others and the budgets allow.

    Args:
        connection: In a transaction.
        claims: What is wished for.
        limits: What may be spent on everything.
        holder: Who holds the claims that are granted; one of its own that is there already is
            granted again.
        in_batch: The holder is a batch.
    """
    answers = find(connection, [claim.digest for claim in claims])
    taken = _live_claims(connection, [claim.digest for claim in claims])
    accounts: Mapping[str, Account] = {}
    if limits or any(claim.budget for claim in claims):
        accounts = _accounts(connection, {"", *(claim.run_id for claim in claims)})
    outcomes: list[ClaimOutcome] = []
    rows = []
    for claim, answer in zip(claims, answers, strict=True):
        outcome = answer or _refusal(claim, taken.get(claim.digest), holder, limits, accounts)
        outcomes.append(outcome or Claimed())
        if outcome is None and claim.digest not in taken:
            taken[claim.digest] = (holder, in_batch)
            rows.append(_claim_row(claim, holder))
            for scope in {"", claim.run_id} & accounts.keys():
                if in_batch:
                    accounts[scope].in_batches += claim.worst
                else:
                    accounts[scope].in_flight += claim.worst
    if rows:
        digests = [row["digest"] for row in rows]
        remove_claims(connection, digests)  # of holders that have died
        connection.execute(sa.insert(CLAIMS), rows)
    return outcomes


def settle(connection: sa.Connection, settlements: Sequence[Settlement]) -> list[bool]:
    """Write answers and what they cost, and end the claims on them.

    Returns:
        For each, whether it was not booked before.
    """
    booked = _existing(connection, SPENDINGS.c.call_id, [each.call_id for each in settlements])
    answered = _existing(connection, ANSWERS.c.digest, [each.digest for each in settlements])
    now = datetime.now(UTC)
    answers, spendings, outcomes = [], [], []
    sums: dict[str, Usage] = defaultdict(Usage)
    since: dict[str, datetime] = {}
    for each in settlements:
        time = each.create_time or now
        outcomes.append(each.call_id not in booked)
        if each.answer is not None and each.digest not in answered:
            answered.add(each.digest)
            answers.append(_answer_row(each, each.answer, time))
        if each.usage.calls and each.call_id not in booked:
            booked.add(each.call_id)
            spendings.append(_spending_row(each, time))
            for scope in {"", each.run_id}:
                sums[scope] += each.usage
                since[scope] = min(time, since.get(scope, time))
    if answers:
        connection.execute(sa.insert(ANSWERS), answers)
    if spendings:
        connection.execute(sa.insert(SPENDINGS), spendings)
    for scope, usage in sums.items():
        _add_to_total(connection, scope, usage, since[scope])
    remove_claims(connection, [each.digest for each in settlements])
    return outcomes


def remove_claims(
    connection: sa.Connection, digests: Sequence[str], holder: str | None = None
) -> None:
    """End claims: those of one holder, or whoever's."""
    for part in parts(digests):
        statement = sa.delete(CLAIMS).where(CLAIMS.c.digest.in_(part))
        if holder is not None:
            statement = statement.where(CLAIMS.c.holder == holder)
        connection.execute(statement)


def usage_of(row: Any) -> Usage:
    """The usage that a row of spendings or totals tells."""
    return Usage(
        calls=int(row.calls),
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.completion_tokens),
        cached_tokens=int(row.cached_tokens),
        cost=float(row.cost),
        estimated_calls=int(row.estimated_calls),
    )


def utc(time: datetime) -> datetime:
    """A time as it was written: SQLite forgets the zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def storable(text: str) -> str:
    """A text with what databases cannot keep replaced, character by character."""
    return _UNSTORABLE.sub("�", text)


def parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many values at a time as a statement takes."""
    for start in range(0, len(values), _MAX_PARAMETERS):
        yield values[start : start + _MAX_PARAMETERS]


def _refusal(
    claim: Claim,
    taken: tuple[str, bool] | None,
    holder: str,
    limits: RunBudget,
    accounts: Mapping[str, Account],
) -> Wait | BudgetExhausted | None:
    if taken is not None:
        other, is_batch = taken
        return None if other == holder else Wait(batch_id=other if is_batch else "")
    for budget, run_id in ((limits, ""), (claim.budget, claim.run_id)):
        if budget:
            error, passing = accounts[run_id].shortage(budget, claim.worst, run_id)
            if error is not None:
                return Wait(exhausted=error) if passing else error
    return None


def _live_claims(connection: sa.Connection, digests: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Holders of the claims on requests, and whether they are batches."""
    found = {}
    for part in parts(digests):
        query = (
            sa.select(CLAIMS.c.digest, HOLDERS.c.id, HOLDERS.c.expire_time)
            .join(HOLDERS, _IS_LIVE)
            .where(CLAIMS.c.digest.in_(part))
        )
        for digest, holder, expire_time in connection.execute(query):
            found[digest] = (holder, expire_time is None)
    return found


def _accounts(connection: sa.Connection, scopes: set[str]) -> dict[str, Account]:
    accounts = {scope: Account() for scope in scopes}
    for part in parts(list(scopes)):
        for row in connection.execute(sa.select(TOTALS).where(TOTALS.c.run_id.in_(part))):
            accounts[row.run_id].spent = usage_of(row)
    is_batch = HOLDERS.c.expire_time.is_(None)
    query = (
        sa.select(
            CLAIMS.c.run_id,
            is_batch,
            sa.func.count(),
            sa.func.sum(CLAIMS.c.tokens),
            sa.func.sum(CLAIMS.c.cost),
        )
        .join(HOLDERS, _IS_LIVE)
        .group_by(CLAIMS.c.run_id, is_batch)
    )
    for run_id, in_batch, calls, tokens, cost in connection.execute(query):
        held = Usage(calls=calls, prompt_tokens=int(tokens), cost=float(cost))
        for scope in {"", run_id} & accounts.keys():
            if in_batch:
                accounts[scope].in_batches += held
            else:
                accounts[scope].in_flight += held
    return accounts


def _existing(connection: sa.Connection, column: sa.Column[Any], values: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for part in parts(values):
        found.update(connection.scalars(sa.select(column).where(column.in_(part))))
    return found


def _add_to_total(connection: sa.Connection, scope: str, usage: Usage, since: datetime) -> None:
    where = TOTALS.c.run_id == scope
    row = connection.execute(sa.select(TOTALS).where(where)).one_or_none()
    if row is not None:
        usage, since = usage_of(row) + usage, min(utc(row.since), since)
    values = {name: getattr(usage, name) for name in _SUMS} | {"since": since}
    if row is None:
        connection.execute(sa.insert(TOTALS).values(run_id=scope, **values))
    else:
        connection.execute(sa.update(TOTALS).where(where).values(**values))


def _claim_row(claim: Claim, holder: str) -> dict[str, Any]:
    return {
        "digest": claim.digest,
        "holder": holder,
        "run_id": claim.run_id,
        "tokens": claim.worst.tokens,
        "cost": claim.worst.cost,
        "sample": claim.asked.sample,
        "item_id": storable(claim.asked.id),
        "item_text": storable(claim.asked.text),
    }


def _answer_row(each: Settlement, answer: Answer, time: datetime) -> dict[str, Any]:
    return {
        "digest": each.digest,
        "provider": each.provider,
        # What the endpoint says of itself may be of any length.
        "model": storable(answer.model)[:200],
        "text": storable(answer.text),
        "finish_reason": storable(answer.finish_reason)[:50],
        "create_time": time,
        "sample": each.asked.sample,
        "item_id": storable(each.asked.id),
        "item_text": storable(each.asked.text),
    }


def _spending_row(each: Settlement, time: datetime) -> dict[str, Any]:
    return {
        "run_id": each.run_id,
        "digest": each.digest,
        "call_id": each.call_id,
        "create_time": time,
        **{name: getattr(each.usage, name) for name in _SUMS},
    }
