"""Waiting for batches that a provider answers in its own time.

Nothing about the wait needs to be remembered: batches are in the ledger of the guidance service
with the run that sent them, and what is asked already is not sent again. A coordinator that was
killed while it waited looks for the batches of the run and waits on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import structlog

from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.context import StageContext, Tools
from slcolm_services.errors import SlcolmError

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
"""How soon it is noticed that the run was cancelled."""

_MAX_FAILURES = 20
"""Questions about a batch that may fail in a row: hours were waited, a few minutes more are due."""


def of_run(tools: Tools, run_id: str) -> list[guidance_pb2.Batch]:
    """Every batch of a run, ended ones included."""
    found: list[guidance_pb2.Batch] = []
    token = ""
    while True:
        response: guidance_pb2.ListBatchesResponse = tools.peers.invoke(
            "guidance",
            tools.peers.guidance.ListBatches,
            guidance_pb2.ListBatchesRequest(page_token=token),
        )
        found += [batch for batch in response.batches if batch.run_id == run_id]
        token = response.next_page_token
        if not token:
            return found


def wait_for_batches(
    tools: Tools, context: StageContext, submitted: Iterable[guidance_pb2.Batch]
) -> None:
    """Wait until every batch has ended.

    Answers of an ended batch are in the ledger. What a batch could not get is asked one by one
    afterwards, so a batch that failed is no error here.

    Raises:
        SlcolmError: The guidance service or the provider could not be asked for too long.
        Cancelled: The run was cancelled; the batches go on.
    """
    batches = {batch.id: batch for batch in submitted}
    failures = 0
    while batches:
        context.progress(*_progress(batches))
        running = [batch.id for batch in batches.values() if _is_running(batch)]
        if not running:
            return
        _pause(tools, context, batches)
        for batch_id in running:
            try:
                batches[batch_id] = _get(tools, batch_id)
                failures = 0
            except SlcolmError as error:
                failures += 1
                _log.warning("batch_not_seen", batch_id=batch_id, reason=error.reason)
                if failures >= _MAX_FAILURES:
                    raise


def _pause(tools: Tools, context: StageContext, batches: Mapping[str, guidance_pb2.Batch]) -> None:
    """Wait for the next look, noticing meanwhile that the run was cancelled."""
    end = time.monotonic() + tools.config.batch_poll_seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
        context.progress(*_progress(batches))


def _progress(batches: Mapping[str, guidance_pb2.Batch]) -> tuple[int, int, str]:
    sent = sum(batch.sent for batch in batches.values())
    done = sum(batch.answered + batch.failed for batch in batches.values())
    running = sum(map(_is_running, batches.values()))
    return done, sent, f"{running} of {len(batches)} batches with the provider"


def _is_running(batch: guidance_pb2.Batch) -> bool:
    return batch.state == guidance_pb2.BATCH_STATE_RUNNING


def _get(tools: Tools, batch_id: str) -> guidance_pb2.Batch:
    response: guidance_pb2.GetBatchResponse = tools.peers.invoke(
        "guidance",
        tools.peers.guidance.GetBatch,
        guidance_pb2.GetBatchRequest(batch_id=batch_id),
    )
    return response.batch
