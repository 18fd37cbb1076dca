"""Errors become statuses with the details that AIP-193 asks for."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from slcolm_services import errors
from slcolm_services.errors import FieldViolation, SlcolmError
from slcolm_services.runtime.status import code_of, fitted, status_of, trailers_of


def unpack(status: status_pb2.Status) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        assert name not in found, "each detail stands once"
        found[name] = getattr(error_details_pb2, name)()
        detail.Unpack(found[name])
    return found


def tree(cls: type[SlcolmError]) -> list[type[SlcolmError]]:
    return [cls, *(deep for child in cls.__subclasses__() for deep in tree(child))]


@pytest.mark.parametrize("cls", [c for c in tree(SlcolmError) if c is not errors.RemoteError])
def test_every_error_of_the_tree_has_a_status_and_a_reason(cls: type[SlcolmError]) -> None:
    status = status_of(cls("why", metadata={"k": "v"}))
    assert code_of(status).name == cls.code
    assert status.message == "why"
    info = unpack(status)["ErrorInfo"]
    assert (info.reason, info.domain, dict(info.metadata)) == (cls.reason, "slcolm", {"k": "v"})


def test_details_follow_from_what_the_error_knows() -> None:
    violations = [FieldViolation("a.b", "is wrong")]
    found = unpack(status_of(errors.InvalidInput("x", violations=violations)))
    assert [(v.field, v.description) for v in found["BadRequest"].field_violations] == [
        ("a.b", "is wrong")
    ]
    found = unpack(status_of(errors.Overloaded("x", retry_after_seconds=0.25)))
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 250
    found = unpack(status_of(errors.RunNotFound("x", metadata={"run_id": "r1"})))
    assert found["ResourceInfo"].resource_type == "run"
    assert found["ResourceInfo"].resource_name == "r1"
    found = unpack(status_of(errors.BudgetExhausted("spent")))
    assert found["QuotaFailure"].violations[0].description == "spent"


def test_errors_outside_the_tree_tell_nothing() -> None:
    status = status_of(KeyError("a secret sentence"))
    assert code_of(status) is grpc.StatusCode.INTERNAL
    assert b"secret" not in status.SerializeToString()


def test_cancellation_is_not_an_internal_error() -> None:
    assert code_of(status_of(asyncio.CancelledError())) is grpc.StatusCode.CANCELLED


def test_an_error_of_another_service_keeps_its_code_and_reason() -> None:
    status = status_of(errors.RemoteError("x", code="RESOURCE_EXHAUSTED", reason="OVERLOADED"))
    assert code_of(status) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unpack(status)["ErrorInfo"].reason == "OVERLOADED"


def test_a_number_that_is_no_code_is_unknown() -> None:
    assert code_of(status_pb2.Status(code=99)) is grpc.StatusCode.UNKNOWN


def test_trailers_carry_the_details_and_the_delay() -> None:
    status = status_of(errors.Overloaded("x", retry_after_seconds=1.5))
    trailers = dict(trailers_of(status))
    assert trailers["grpc-retry-pushback-ms"] == "1500"
    assert status_pb2.Status.FromString(trailers["grpc-status-details-bin"]) == status
    assert "grpc-retry-pushback-ms" not in dict(trailers_of(status_of(SlcolmError("x"))))


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_fitting_leaves_out_the_last_violations_and_counts_them(count: int) -> None:
    violations = [FieldViolation(f"line {i}", "字" * 30) for i in range(count)]
    status = fitted(status_of(errors.DataInvalid("错" * 1000, violations=violations)))
    assert len(status.SerializeToString()) < 6 * 1024
    found = unpack(status)
    kept = [v.field for v in found["BadRequest"].field_violations] if count else []
    assert kept == [f"line {i}" for i in range(len(kept))]
    left_out = int(found["ErrorInfo"].metadata.get("violations_left_out", 0))
    assert len(kept) + left_out == count
    assert (left_out == 0) == (count <= 3)
