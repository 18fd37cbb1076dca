"""Every status becomes the error of its class, with what the service said."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import slcolm_client
from slcolm_client import FieldViolation, SlcolmClientError, error_from_rpc, error_from_status


class RpcFailure(grpc.RpcError):
    """What stubs raise, as far as it is read."""

    def __init__(self, code: grpc.StatusCode, message: str, *trailers: tuple[str, Any]) -> None:
        super().__init__()
        self._code, self._message, self._trailers = code, message, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> Any:
        return self._trailers


def detailed(code: grpc.StatusCode, message: str) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(1500)
    for detail in (
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="slcolm", metadata={"a": "b"}),
        error_details_pb2.BadRequest(
            field_violations=[{"field": "x.y", "description": "is wrong"}]
        ),
        error_details_pb2.RetryInfo(retry_delay=delay),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_status_code_has_its_class(code: grpc.StatusCode) -> None:
    error = error_from_rpc(RpcFailure(code, "Locally cancelled by application!"))
    assert error.code == code.name
    assert (type(error) is SlcolmClientError) == (code is grpc.StatusCode.UNKNOWN)


def test_every_class_can_be_imported_from_the_package() -> None:
    for cls in SlcolmClientError.__subclasses__():
        assert getattr(slcolm_client, cls.__name__) is cls
    assert slcolm_client.__all__ == sorted(slcolm_client.__all__)


def test_details_are_read() -> None:
    status = detailed(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
    error = error_from_rpc(
        RpcFailure(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "busy",
            ("grpc-status-details-bin", status.SerializeToString()),
            ("x-request-id", "r1"),
        )
    )
    assert isinstance(error, slcolm_client.ResourceExhausted)
    assert (error.message, error.reason, error.domain) == ("busy", "OVERLOADED", "slcolm")
    assert (error.metadata, error.retry_after_seconds) == ({"a": "b"}, 1.5)
    assert error.violations == (("x.y", "is wrong"),)
    assert str(error) == "OVERLOADED: busy\n  x.y: is wrong\n  request id r1"


def test_a_pushback_of_grpc_is_read_where_there_are_no_details() -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    for trailer, seconds in (("1500", 1.5), ("0", 0.0), ("-1", math.inf), ("soon", math.inf)):
        error = error_from_rpc(RpcFailure(code, "busy", ("grpc-retry-pushback-ms", trailer)))
        assert error.retry_after_seconds == seconds
    status = detailed(code, "busy").SerializeToString()
    both = (("grpc-retry-pushback-ms", "9"), ("grpc-status-details-bin", status))
    assert error_from_rpc(RpcFailure(code, "busy", *both)).retry_after_seconds == 1.5


def test_the_id_that_was_sent_stands_in_for_the_one_that_was_not_answered() -> None:
    gone = grpc.StatusCode.UNAVAILABLE
    assert error_from_rpc(RpcFailure(gone, "reset"), request_id="sent").request_id == "sent"
    answered = RpcFailure(gone, "reset", ("x-request-id", "answered"))
    assert error_from_rpc(answered, request_id="sent").request_id == "answered"


@pytest.mark.parametrize("cls", [SlcolmClientError, *SlcolmClientError.__subclasses__()])
def test_errors_go_through_pickle_whole(cls: type[SlcolmClientError]) -> None:
    error = cls(
        "busy",
        reason="OVERLOADED",
        domain="slcolm",
        metadata={"a": "b"},
        violations=[FieldViolation("x.y", "is wrong")],
        retry_after_seconds=1.5,
        request_id="r1",
    )
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is cls
        assert vars(again) == vars(error)
        assert str(again) == str(error) == "OVERLOADED: busy\n  x.y: is wrong\n  request id r1"


def test_an_item_of_a_batch_is_read_the_same_way() -> None:
    error = error_from_status(detailed(grpc.StatusCode.INVALID_ARGUMENT, "bad"))
    assert isinstance(error, slcolm_client.InvalidArgument)
    assert error.violations[0].field == "x.y"


def test_a_call_that_the_transport_dropped_is_unavailable_and_not_cancelled() -> None:
    dropped = RpcFailure(grpc.StatusCode.CANCELLED, "CANCELLED")
    assert isinstance(error_from_rpc(dropped), slcolm_client.Unavailable)
    status = detailed(grpc.StatusCode.CANCELLED, "the run was cancelled")
    said = RpcFailure(
        grpc.StatusCode.CANCELLED,
        "the run was cancelled",
        ("grpc-status-details-bin", status.SerializeToString()),
    )
    assert isinstance(error_from_rpc(said), slcolm_client.Cancelled)


def test_damaged_details_do_not_hide_the_error() -> None:
    error = error_from_rpc(
        RpcFailure(grpc.StatusCode.NOT_FOUND, "none", ("grpc-status-details-bin", b"\xff\xff"))
    )
    assert isinstance(error, slcolm_client.NotFound)
    assert (error.message, error.reason) == ("none", "")
