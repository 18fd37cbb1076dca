"""Many texts: cut into batches, put together again, with an error where there is no result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm.extraction.v1 import extraction_pb2
from slcolm_client import (
    Extraction,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    SlcolmClientError,
    Unavailable,
)
from slcolm_client._bulk import Batcher, Item, Work, items_of, items_of_aio, sendable
from slcolm_client._messages import extracting

MEBIBYTE = 1024 * 1024


def batches(texts: Any, size: int = 2) -> list[list[str]]:
    found = [[item.id for item in batch] for batch in Batcher(size).batches(items_of(texts))]

    async def aio() -> list[list[str]]:
        made = Batcher(size).batches_aio(items_of_aio(texts))
        return [[item.id for item in batch] async for batch in made]

    if not isinstance(texts, Iterator):
        assert asyncio.run(aio()) == found
    return found


def test_texts_are_named_by_their_place_or_by_the_caller() -> None:
    assert batches(["a", "b", "c"]) == [["0", "1"], ["2"]]
    assert batches({"x": "a", "y": "b"}, 10) == [["x", "y"]]
    assert batches([("x", "a"), ("y", "b"), ("z", "c")]) == [["x", "y"], ["z"]]
    assert batches([]) == []


def test_batches_are_cut_by_bytes_too_and_a_text_that_is_larger_goes_alone() -> None:
    half = "字" * (MEBIBYTE // 6)
    texts = [half, half, "b" * 5, "c" * 3 * MEBIBYTE, "d"]
    assert batches(texts, 10) == [["0", "1"], ["2"], ["3"], ["4"]]


def test_a_name_that_comes_again_begins_a_batch() -> None:
    assert batches([("x", "a"), ("y", "b"), ("x", "c"), ("x", "d")], 10) == [
        ["x", "y"],
        ["x"],
        ["x"],
    ]


def test_texts_are_read_no_further_than_batches_are_asked_for() -> None:
    read: list[int] = []

    def source() -> Iterator[str]:
        for place in range(100):
            read.append(place)
            yield "a"

    made = Batcher(10).batches(items_of(source()))
    assert read == []
    next(made)
    assert len(read) == 10


def test_texts_may_come_from_an_asynchronous_iterable() -> None:
    async def source() -> AsyncIterator[tuple[str, str]]:
        yield "x", "a"
        yield "y", "b"

    async def main() -> list[Item]:
        return [item async for item in items_of_aio(source())]

    assert asyncio.run(main()) == [Item("x", "a"), Item("y", "b")]


@pytest.mark.parametrize("texts", ["王甲", "王甲".encode(), None, 3])
def test_what_are_no_texts_is_said_at_once(texts: Any) -> None:
    for read in (items_of, items_of_aio):
        with pytest.raises(InvalidArgument, match=f"not one {type(texts).__name__}") as caught:
            read(texts)
        assert [violation.field for violation in caught.value.violations] == ["texts"]


@pytest.mark.parametrize(
    ("texts", "field", "problem"),
    [
        (["王甲", None], "texts[1]", "must be a string, got NoneType"),
        ({"a": "王甲", "b": b"x"}, "texts['b']", "must be a string, got bytes"),
        (["王甲\ud800"], "texts[0]", "a lone surrogate stands at 2"),
        ({"": "王甲"}, "texts['']", "has no name"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_place(texts: Any, field: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        sendable(items_of(texts))
    (violation,) = caught.value.violations
    assert violation.field == field
    assert problem in violation.problem
    assert caught.value.domain == "slcolm_client"


def test_a_batch_has_a_text_at_least() -> None:
    with pytest.raises(InvalidArgument, match="batch_size"):
        Batcher(0)


class Service:
    """Answers, or fails, as a service with these limits would."""

    def __init__(
        self, *, limit: int = 1000, most_bytes: int = 10**9, too_large: Any = None
    ) -> None:
        self.limit = limit
        self.most_bytes = most_bytes
        self.too_large = too_large or ResourceExhausted("too large", reason="MESSAGE_TOO_LARGE")
        self.sizes: list[int] = []

    def __call__(self, request: extraction_pb2.ExtractRequest) -> extraction_pb2.ExtractResponse:
        self.sizes.append(len(request.documents))
        if len(request.documents) > self.limit:
            raise InvalidArgument(
                "too many", reason="BATCH_TOO_LARGE", metadata={"limit": str(self.limit)}
            )
        if request.ByteSize() > self.most_bytes:
            raise self.too_large
        response = extraction_pb2.ExtractResponse(model_revision="m")
        for document in request.documents:
            response.results.add(id=document.id).extraction.document.text = document.text
        return response


def done(work: Work[Extraction], service: Any) -> list[Extraction]:
    while (request := work.next_request()) is not None:
        try:
            response = service(request)
        except SlcolmClientError as error:
            work.fail(error)
        else:
            work.answer(response)
    return work.results


def work_on(
    texts: Any, batcher: Batcher | None = None, *, all_or_nothing: bool = False
) -> Work[Extraction]:
    asking = extracting("", include_vectors=False, all_or_nothing=all_or_nothing)
    return Work(list(items_of(texts)), asking, batcher or Batcher(1000))


def test_a_service_that_takes_less_gets_less_from_then_on() -> None:
    batcher, service = Batcher(32), Service(limit=5)
    results = done(work_on([str(i) for i in range(12)], batcher), service)
    assert [(result.id, result.text, result.error) for result in results] == [
        (str(i), str(i), None) for i in range(12)
    ]
    assert service.sizes == [12, 5, 5, 2]
    assert batcher.size == 5


@pytest.mark.parametrize(
    "error",
    [
        ResourceExhausted("too large", reason="MESSAGE_TOO_LARGE"),
        InvalidArgument("too dear", reason="REQUEST_TOO_LARGE"),
    ],
)
def test_what_is_too_large_is_halved_until_it_fits(error: SlcolmClientError) -> None:
    service = Service(most_bytes=3000, too_large=error)
    results = done(work_on(["a" * 1000] * 3 + ["b" * 4000] + ["c"] * 3), service)
    assert [result.error and result.error.reason for result in results] == [
        None,
        None,
        None,
        error.reason,
        None,
        None,
        None,
    ]
    assert [len(result.text) for result in results] == [1000] * 3 + [4000] + [1] * 3


@given(
    st.lists(st.sampled_from(["good", "surrogate \ud800", "x" * 2000]), max_size=40),
    st.integers(1, 10),
)
def test_every_text_has_one_result_in_its_place(texts: list[str], limit: int) -> None:
    results = done(work_on(texts), Service(limit=limit, most_bytes=1500))
    assert [(result.id, result.text) for result in results] == [
        (str(place), text) for place, text in enumerate(texts)
    ]
    expected = {"good": None, "surrogate \ud800": "INVALID_INPUT"}
    assert [result.error and result.error.reason for result in results] == [
        expected.get(text, "MESSAGE_TOO_LARGE") for text in texts
    ]


def test_a_failed_call_costs_its_texts_and_says_why() -> None:
    def gone(request: Any) -> Any:
        raise Unavailable("gone", request_id="r1")

    results = done(work_on(["a", "\ud800", "b"]), gone)
    assert [result.error.code if result.error else None for result in results] == [
        "UNAVAILABLE",
        "INVALID_ARGUMENT",
        "UNAVAILABLE",
    ]
    assert results[0].error is not None
    assert results[0].error.request_id == "r1"


def test_what_would_fail_every_call_is_raised() -> None:
    def refuse(request: Any) -> Any:
        raise FailedPrecondition("not yet", reason="RUN_NOT_READY")

    with pytest.raises(FailedPrecondition):
        done(work_on(["a"]), refuse)


def test_where_all_or_nothing_is_asked_for_any_failure_is_raised() -> None:
    def gone(request: Any) -> Any:
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        done(work_on(["a"], all_or_nothing=True), gone)


@pytest.mark.parametrize("limit", ["", "no", "0", "9"])
def test_a_limit_that_helps_nothing_is_a_failure_and_no_endless_loop(limit: str) -> None:
    def refuse(request: Any) -> Any:
        raise InvalidArgument("too many", reason="BATCH_TOO_LARGE", metadata={"limit": limit})

    results = done(work_on(["a", "b"]), refuse)
    assert [result.error.code if result.error else None for result in results] == [
        "INVALID_ARGUMENT"
    ] * 2


def test_an_answer_to_something_else_is_a_failure_of_its_texts() -> None:
    def other(request: Any) -> Any:
        return extraction_pb2.ExtractResponse(results=[{"id": "other"}])

    results = done(work_on(["a", "b"]), other)
    assert all(isinstance(result.error, Internal) for result in results)
    assert [result.id for result in results] == ["0", "1"]
