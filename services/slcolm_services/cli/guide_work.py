"""A guidance core inside a command, with the ledger that paid answers are kept in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from slcolm_services.cli.options import default_home
from slcolm_services.embedded import ledger_url
from slcolm_services.guidance.config import REPLAY, GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.service import build_guidance
from slcolm_services.runtime.config import Secret
from slcolm_services.runtime.database import make_folder_of


@asynccontextmanager
async def opened_guidance(config: GuidanceConfig) -> AsyncIterator[Guidance]:
    """Open a guidance core, and close it at the end.

    Answers that were paid for go into the ledger of $SLCOLM_HOME or ~/.slcolm; those of the
    offline rules and of recordings into memory.

    Args:
        config: Its providers; where the ledger is, is not for it to say.

    Raises:
        SlcolmError: The ledger or the recordings cannot be opened.
    """
    place = "sqlite://"
    if config.provider not in ("offline", REPLAY):
        place = ledger_url(default_home())
        make_folder_of(place)
    guidance = build_guidance(replace(config, ledger_url=Secret(place)))
    await guidance.open()
    try:
        yield guidance
    finally:
        await guidance.close()
