"""What the ledger is told and what it tells."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from slcolm_services.errors import BudgetExhausted
from slcolm_services.guidance.usage import RunBudget, Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer.

    Attributes:
        text: What the LLM wrote.
        model: Model name as the endpoint reported it.
        finish_reason: Why it stopped, in the endpoint's word; `length` means cut off.
    """

    text: str
    model: str
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about; kept so that answers can be given away as recordings.

    Attributes:
        id: Id of the text.
        text: The text.
        sample: Which answer to the same prompt.
    """

    id: str = ""
    text: str = ""
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to ask something.

    Attributes:
        digest: Of the request.
        worst: What it costs at worst.
        run_id: Run that it is booked on; may be empty.
        budget: What the run may spend.
        asked: What the request is about.
    """

    digest: str
    worst: Usage
    run_id: str = ""
    budget: RunBudget = field(default_factory=RunBudget)
    asked: Asked = field(default_factory=Asked)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim is granted: the request may be sent, and must be settled or released."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else asks the same, or what is left is set aside for calls in flight.

    Attributes:
        batch_id: The batch that the request is part of; empty: it takes seconds.
        exhausted: The error where it is the budget that is waited for.
    """

    batch_id: str = ""
    exhausted: BudgetExhausted | None = None


ClaimOutcome = Answer | Claimed | Wait | BudgetExhausted
"""An answer where there is one already; else whether the request may be sent."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of a call and what it cost.

    Attributes:
        digest: Of the request.
        answer: The answer; None: there is none, it was charged for all the same.
        usage: What it cost.
        provider: Who gave it.
        run_id: Run that it is booked on; may be empty.
        asked: What the request is about.
        call_id: Names the call: two settlements of one call are booked once.
        create_time: When it was given; None: now.
    """

    digest: str
    answer: Answer | None
    usage: Usage
    provider: str
    run_id: str = ""
    asked: Asked = field(default_factory=Asked)
    call_id: str = field(default_factory=lambda: secrets.token_hex(16))
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """Sum of what was spent, and since when it was counted (None: nothing was)."""

    usage: Usage
    since: datetime | None
