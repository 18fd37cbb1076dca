"""Channels: how a client finds, balances over and keeps its connections."""

from __future__ import annotations

import json
import math
from typing import Any

import grpc

from slcolm_client._errors import invalid_argument
from slcolm_client._interceptors import SyncToken, aio_token
from slcolm_client._security import (
    PLAINTEXT,
    Security,
    channel_credentials,
    refuse_exposed_token,
)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

PROBE = "/grpc.health.v1.Health/Check"
"""Method by which a client waits for a server: any answer to it will do."""

_SERVICE_CONFIG = json.dumps(
    {
        # The default sends every call to the first address that answers.
        "loadBalancingConfig": [{"round_robin": {}}],
        # A server that loads or drains gets no calls.
        "healthCheckConfig": {"serviceName": ""},
        # No retryPolicy: see decision 0021.
    }
)


def connect(
    address: str,
    *,
    security: Security = PLAINTEXT,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.Channel:
    """Open a channel for synchronous stubs. It connects with the first call, and is thread-safe.

    Args:
        address: `host:port`, or a gRPC target such as `dns:///slcolm-extraction:50051`, whose
            addresses all get their share of the calls.
        security: TLS, and the token that every call carries.
        max_message_bytes: Largest message in either direction.

    Raises:
        InvalidArgument: The address is no gRPC target, the size is less than 1, or a file of
            `security` cannot be used.
        FailedPrecondition: A token would go to another machine in plain text.
    """
    _check(address)
    check_limit("max_message_bytes", max_message_bytes)
    refuse_exposed_token(address, security)
    options = _options(max_message_bytes, security)
    credentials = channel_credentials(security)
    if credentials is None:
        channel = grpc.insecure_channel(address, options)
    else:
        channel = grpc.secure_channel(address, credentials, options)
    if security.token is None:
        return channel
    return grpc.intercept_channel(channel, SyncToken(security.token))


def connect_aio(
    address: str,
    *,
    security: Security = PLAINTEXT,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """Open a channel for asyncio stubs, to be used on the running event loop only.

    Takes what `connect` takes, and raises what it raises.
    """
    _check(address)
    check_limit("max_message_bytes", max_message_bytes)
    refuse_exposed_token(address, security)
    options = _options(max_message_bytes, security)
    credentials = channel_credentials(security)
    interceptors = [] if security.token is None else aio_token(security.token)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options, interceptors=interceptors)
    return grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)


def wait_until_ready(channel: grpc.Channel, *, timeout_seconds: float) -> bool:
    """Wait until the service behind a channel of `connect` says that it takes calls.

    Returns:
        Whether it did, within the time.
    """
    ready = grpc.channel_ready_future(channel)
    try:
        ready.result(timeout=timeout_seconds)
    except grpc.FutureTimeoutError:
        return False
    finally:
        ready.cancel()
    return True


def is_answer(error: grpc.RpcError) -> bool:
    """Whether a probe that failed has reached a server all the same, one without health checks."""
    call: Any = error  # what gRPC raises is a call too, which its types do not say
    return call.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def check_limit(name: str, value: int) -> None:
    """Refuse a limit that lets nothing through.

    Raises:
        InvalidArgument: It is less than 1.
    """
    if value < 1:
        raise invalid_argument(name, f"must be at least 1, got {value}")


def check_timeout(seconds: float) -> None:
    """Refuse a deadline that has passed before it is set, or never comes; gRPC confuses the two.

    Raises:
        InvalidArgument: It is not above 0, or infinite.
    """
    if not 0 < seconds < math.inf:
        problem = f"must be greater than 0 and finite, got {seconds}"
        raise invalid_argument("timeout_seconds", problem)


def _check(address: str) -> None:
    # gRPC takes any of these, and says much later that nothing is there.
    if not isinstance(address, str):
        raise invalid_argument("address", f"must be a string, got {type(address).__name__}")
    if not address.strip():
        raise invalid_argument("address", "must be host:port or a gRPC target, got an empty string")
    if address.startswith(("http://", "https://")):
        raise invalid_argument("address", f"must be host:port or a gRPC target, got {address!r}")


def _options(max_message_bytes: int, security: Security) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Long calls wait behind NATs that forget idle connections; servers allow this rate.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # The default pings twice and then hardly any more where a call waits without data.
        ("grpc.http2.max_pings_without_data", 0),
        # A service that restarts is found again soon.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if security.token is not None and not security.uses_tls:
        # A proxy of the environment would get the token, whatever the address.
        options.append(("grpc.enable_http_proxy", 0))
    return options
