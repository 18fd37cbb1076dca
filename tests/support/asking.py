"""A process that has texts guided, to be killed: `python -m support.asking URL LEDGER WHAT N`.

A LEASE in seconds may follow.

Without a LEASE it is short, so that others need not wait long for a dead process.
"""

from __future__ import annotations

import asyncio
import sys

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.service import build_guidance
from slcolm_services.runtime.config import Secret

LEASE_SECONDS = 1.0
_TIMEOUT_SECONDS = 120.0

SCHEMA = TaskSchema(
    name="annals",
    language="lzh",
    entity_types=(EntityType("PER", "人物"),),
    relation_types=(RelationType("父", "", ("PER",), ("PER",)),),
)


def texts(count: int) -> list[GuideItem]:
    """That many texts."""
    entities = (Entity("PER", 0, 1, 0.9), Entity("PER", 2, 3, 0.9))
    return [GuideItem(Document(f"t{n}", f"甲子乙，{n}年。", entities)) for n in range(count)]


def guidance(url: str, ledger_url: str, lease_seconds: float = LEASE_SECONDS) -> Guidance:
    """Guidance by the endpoint at a URL; its claims lapse a lease after its death."""
    work = build_guidance(
        GuidanceConfig(
            provider="openai",
            model="tiny",
            base_url=url,
            api_key_env="",
            ledger_url=Secret(ledger_url),
            batches=True,
            max_concurrency=8,
            min_concurrency=8,
        )
    )
    work._ledger._lease_seconds = lease_seconds
    work._ledger._database._tick_seconds = lease_seconds / 4
    return work


async def ask(url: str, ledger_url: str, what: str, count: int, lease_seconds: float) -> None:
    """Guide texts, or submit a batch of them."""
    work = guidance(url, ledger_url, lease_seconds)
    await work.open()
    if what == "batch":
        await work.submit_batch(texts(count), SCHEMA, timeout_seconds=_TIMEOUT_SECONDS)
    else:
        outcomes = await work.guide(texts(count), SCHEMA, timeout_seconds=_TIMEOUT_SECONDS)
        assert all(isinstance(outcome, Guided) for outcome in outcomes), outcomes
    await work.close()


if __name__ == "__main__":
    _, url_, ledger_url_, what_, count_, *lease_ = sys.argv
    seconds_ = float(lease_[0]) if lease_ else LEASE_SECONDS
    asyncio.run(ask(url_, ledger_url_, what_, int(count_), seconds_))
