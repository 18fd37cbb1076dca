"""`slcolm health`: whether a service takes calls, for people and for containers' checks."""

from __future__ import annotations

import sys
from typing import Any

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slcolm_services.cli.output import emit_json, json_option


@click.command()
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--name",
    default="",
    show_default="readiness",
    help="What is asked about: liveness, or what the service depends on, such as ledger.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@json_option
def health(address: str, name: str, timeout_seconds: float, *, as_json: bool) -> None:
    """Ask a service, in plain text, whether it takes calls: exit status 0 where it does, else 1.

    Where a service speaks TLS ask its `[server] health_port`.

    \b
    Example:
      slcolm health 127.0.0.1:50050
      slcolm health 127.0.0.1:8080 --name liveness --json
    """
    # Not a channel of the client: that one gives no call to a service that is not ready.
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            answer = stub.Check(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            call: Any = error  # what gRPC raises is a call too, which its types do not say
            code: grpc.StatusCode = call.code()
            state = "UNKNOWN_NAME" if code is grpc.StatusCode.NOT_FOUND else code.name
        else:
            state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if as_json:
        emit_json({"address": address, "name": name, "state": state})
    else:
        click.echo(state)
    sys.exit(0 if state == "SERVING" else 1)
