"""`slcolm batches`: LLM requests that a provider answers in its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_client import call, connect
from slcolm_services.cli.connecting import client_security
from slcolm_services.cli.output import console, emit_json, json_option

_TIMEOUT_SECONDS = 600.0

_guidance_option = click.option(
    "--guidance",
    "address",
    metavar="HOST:PORT",
    envvar="SLCOLM_GUIDANCE",
    required=True,
    help="The guidance service that has the batches.",
)


@click.group()
def batches() -> None:
    """List, show and cancel batches of LLM requests.

    \b
    Example:
      slcolm batches list --guidance localhost:50053
    """


@batches.command("list")
@_guidance_option
@json_option
def list_batches(address: str, *, as_json: bool) -> None:
    """List batches as they were last seen, newest first.

    \b
    Example:
      slcolm batches list --guidance localhost:50053 --json
    """
    found = []
    with _stub(address) as stub:
        token = ""
        while True:
            request = guidance_pb2.ListBatchesRequest(page_token=token)
            response = call(stub.ListBatches, request, timeout_seconds=_TIMEOUT_SECONDS)
            found.extend(response.batches)
            token = response.next_page_token
            if not token:
                break
    if as_json:
        emit_json({"batches": [_as_dict(batch) for batch in found]})
    else:
        _print(found)


@batches.command("show")
@click.argument("batch_id")
@_guidance_option
@json_option
def show_batch(batch_id: str, address: str, *, as_json: bool) -> None:
    """Ask the provider how a batch stands, and collect its answers once there are any.

    \b
    Example:
      slcolm batches show 5b0c7a91d2e4f688 --guidance localhost:50053
    """
    request = guidance_pb2.GetBatchRequest(batch_id=batch_id)
    with _stub(address) as stub:
        response = call(stub.GetBatch, request, timeout_seconds=_TIMEOUT_SECONDS)
    _show(response.batch, as_json=as_json)


@batches.command("cancel")
@click.argument("batch_id")
@_guidance_option
@json_option
def cancel_batch(batch_id: str, address: str, *, as_json: bool) -> None:
    """Stop a batch; what is answered by then is kept.

    \b
    Example:
      slcolm batches cancel 5b0c7a91d2e4f688 --guidance localhost:50053
    """
    request = guidance_pb2.CancelBatchRequest(batch_id=batch_id)
    with _stub(address) as stub:
        response = call(stub.CancelBatch, request, timeout_seconds=_TIMEOUT_SECONDS)
    _show(response.batch, as_json=as_json)


@contextmanager
def _stub(address: str) -> Iterator[guidance_pb2_grpc.GuidanceServiceStub]:
    with connect(address, security=client_security()) as channel:
        yield guidance_pb2_grpc.GuidanceServiceStub(channel)


def _as_dict(batch: guidance_pb2.Batch) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(batch, preserving_proto_field_name=True)
    return found


def _show(batch: guidance_pb2.Batch, *, as_json: bool) -> None:
    if as_json:
        emit_json(_as_dict(batch))
        return
    _print([batch])
    if batch.error.message:
        console().print(f"[red]{escape(batch.error.message)}[/]")


def _print(found: list[guidance_pb2.Batch]) -> None:
    table = Table()
    for name in ("batch", "provider", "run", "state", "created"):
        table.add_column(name)
    for name in ("sent", "answered", "failed"):
        table.add_column(name, justify="right")
    for batch in found:
        table.add_row(
            batch.id,
            escape(batch.provider),
            escape(batch.run_id),
            guidance_pb2.BatchState.Name(batch.state).removeprefix("BATCH_STATE_").lower(),
            batch.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            str(batch.sent),
            str(batch.answered),
            str(batch.failed),
        )
    console().print(table)
