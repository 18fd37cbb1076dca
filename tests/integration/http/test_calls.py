"""JSON over HTTP through the real Envoy, with the configuration that is shipped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.clients import Coordinator, Extractor, busy, dropped, on_loop, served, until
from support.envoy import Fronted, eventually, free_port, fronted
from support.extracting import extraction_process
from support.letters import letters, write_model

from slcolm.extraction.v1 import extraction_pb2
from slcolm_services.errors import (
    BudgetExhausted,
    Cancelled,
    DeadlineTooShort,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    SlcolmError,
    Unauthenticated,
    Unavailable,
)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


async def _extracts(front: Fronted) -> bool:
    return (await front.call("extraction", "Extract", texts("A"))).status == 200


def texts(*found: str) -> dict[str, Any]:
    return {"documents": [{"id": str(i), "text": text} for i, text in enumerate(found)]}


@on_loop
async def test_a_chinese_text_is_extracted_from(model_folder: Path, tmp_path: Path) -> None:
    async with (
        letters(model_folder, tmp_path) as address,
        fronted(tmp_path, {"extraction": address}) as front,
    ):
        request = json.dumps(texts("😀A为𠀀x"), ensure_ascii=False)
        answer = await front.call("extraction", "Extract", request)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    (result,) = answer.json["results"]
    document = result["extraction"]["document"]
    assert document["text"] == "😀A为𠀀x"
    assert document["offsetUnit"] == "OFFSET_UNIT_UNICODE_CODE_POINTS"
    assert [(each["type"], each["start"], each["end"]) for each in document["entities"]] == [
        ("PER", 1, 2),
        ("LOC", 4, 5),
    ]
    (relation,) = document["relations"]
    # What is zero is there: the head is the first entity.
    assert (relation["type"], relation["head"], relation["tail"]) == ("lives_in", 0, 1)
    assert 0 < relation["probability"] < 1
    # 64 bits are more than a JavaScript number holds.
    assert result["extraction"]["unseenPairs"] == "0"


@on_loop
async def test_a_refused_call_has_its_reason_and_the_fields(
    model_folder: Path, tmp_path: Path
) -> None:
    async with (
        letters(model_folder, tmp_path) as address,
        fronted(tmp_path, {"extraction": address}) as front,
    ):
        answer = await front.call("extraction", "Extract", texts("A", "B", "A", "B"))

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert (answer.json["code"], answer.json["message"]) == (
        3,
        "4 items in documents, at most 3 are taken at once",
    )
    info = answer.detail("ErrorInfo")
    assert (info["reason"], info["domain"]) == ("BATCH_TOO_LARGE", "slcolm")
    (violation,) = answer.detail("BadRequest")["fieldViolations"]
    assert violation["field"] == "documents"


@on_loop
async def test_a_bad_text_fails_alone(model_folder: Path, tmp_path: Path) -> None:
    async with (
        letters(model_folder, tmp_path) as address,
        fronted(tmp_path, {"extraction": address}) as front,
    ):
        answer = await front.call("extraction", "Extract", texts("A", "A" * 21))

    good, bad = answer.json["results"]
    assert answer.status == 200
    assert good["extraction"]["document"]["entities"][0]["type"] == "PER"
    assert bad["error"]["details"][0]["reason"] == "TEXT_TOO_LONG"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"documents":', "Unexpected end"),
        ('{"documents": 5}', "documents"),
        ('{"documents": [{"id": "a", "text": 5}]}', "text"),
        ('{"documents": [{"id": "a", "offsetUnit": "BYTES"}]}', "offset_unit"),
        (b'{"documents": [{"id": "\xff"}]}', "UTF-8"),
        ("[" * 2000, "deep"),
        ("[]", "must be a message"),
    ],
)
@on_loop
async def test_what_is_no_request_is_refused_as_json(
    body: str | bytes, message: str, tmp_path: Path
) -> None:
    extractor = Extractor()
    async with (
        served(extractor) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        answer = await front.call("extraction", "Extract", body)

    assert (answer.status, answer.json["code"]) == (400, 3)
    assert message in answer.json["message"]
    assert extractor.arrived == []


@on_loop
async def test_names_of_fields_are_taken_both_ways_and_unknown_ones_ignored(
    tmp_path: Path,
) -> None:
    """Envoy has no way to refuse them (its issue 46623); documented."""
    coordinator = Coordinator()
    async with (
        served(coordinator) as server,
        fronted(tmp_path, {"coordinator": server.address}) as front,
    ):
        snake = await front.call("coordinator", "ListRuns", {"page_token": "2"})
        camel = await front.call("coordinator", "ListRuns", {"pageToken": "2", "unknown": 1})

    assert [run["id"] for run in snake.json["runs"]] == ["2", "3"]
    assert camel.json == snake.json


@on_loop
async def test_what_is_no_call_is_refused_as_json(tmp_path: Path) -> None:
    coordinator = Coordinator()
    async with (
        served(coordinator) as server,
        fronted(tmp_path, {"coordinator": server.address}) as front,
    ):
        path = front.path("coordinator", "ListRuns")
        json_type = {"content-type": "application/json"}
        answers = [
            # A page of another origin can send these without being asked whether it may.
            await front.send("POST", path, content="{}", headers={"content-type": "text/plain"}),
            await front.send("POST", path, data={"pageSize": "1"}),
            await front.send("POST", path),
            await front.send("GET", path),
            await front.send("POST", path + "?pageSize=x", content="{}", headers=json_type),
            await front.send("POST", path + "s", content="{}", headers=json_type),
            await front.send("POST", f"{front.url}/anything", content="{}", headers=json_type),
            # The other services are not among the addresses.
            await front.call("extraction", "ListModels", {}),
            # A page that says that its own name is at 127.0.0.1.
            await front.call("coordinator", "ListRuns", {}, host="attacker.example"),
        ]

    assert [each.status for each in answers] == [415, 415, 415, 415, 400, 404, 404, 404, 421]
    assert {each.headers["content-type"] for each in answers} == {"application/json"}
    assert all(each.json["message"] for each in answers)
    assert coordinator.calls == []


@on_loop
async def test_a_request_id_goes_all_the_way_and_comes_back(tmp_path: Path) -> None:
    coordinator = Coordinator()
    async with (
        served(coordinator) as server,
        fronted(tmp_path, {"coordinator": server.address}) as front,
    ):
        mine = await front.call("coordinator", "CreateRun", {}, x_request_id="mine-1")
        given = await front.call("coordinator", "CreateRun", {})
        refused = await front.call("coordinator", "Nothing", {})
        await until(lambda: front.log.read_text().count("\n") == 3)
        logged = [json.loads(line) for line in front.log.read_text().splitlines()]

    ids = [each.headers["x-request-id"] for each in (mine, given, refused)]
    assert ids[0] == "mine-1"
    assert coordinator.seen_metadata == ids[:2]
    assert [line["request_id"] for line in logged] == ids
    assert [line["status"] for line in logged] == [200, 200, 404]


@on_loop
async def test_an_overload_says_when_to_come_back(tmp_path: Path) -> None:
    extractor = Extractor(failures=[busy(1.2), dropped()])
    async with (
        served(extractor) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        overloaded = await front.call("extraction", "Extract", texts("A"))
        restarting = await front.call("extraction", "Extract", texts("A"))

    assert (overloaded.status, restarting.status) == (429, 503)
    assert overloaded.detail("ErrorInfo")["reason"] == "OVERLOADED"
    assert overloaded.detail("RetryInfo")["retryDelay"] == "1.200s"
    # In whole seconds, and never too early.
    assert overloaded.headers["retry-after"] == "2"
    assert restarting.headers["retry-after"] == "1"
    # A call that has reached the service is the caller's to repeat.
    assert len(extractor.arrived) == 2


@on_loop
async def test_the_status_follows_from_the_code(tmp_path: Path) -> None:
    errors: dict[int, list[SlcolmError]] = {
        400: [InvalidInput("no"), PreconditionFailed("no")],
        401: [Unauthenticated("no")],
        403: [PermissionDenied("no")],
        404: [NotFound("no")],
        429: [BudgetExhausted("no")],
        499: [Cancelled("no")],
        500: [SlcolmError("no")],
        503: [Unavailable("no")],
        504: [DeadlineTooShort("no")],
    }
    expected = [status for status, kinds in errors.items() for _ in kinds]
    failures: list[BaseException] = [error for kinds in errors.values() for error in kinds]
    async with (
        served(Extractor(failures=failures)) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        answers = [await front.call("extraction", "Extract", texts("A")) for _ in expected]

    assert [answer.status for answer in answers] == expected
    assert {answer.detail("ErrorInfo")["domain"] for answer in answers} == {"slcolm"}


@on_loop
async def test_a_call_ends_at_the_deadline_of_its_caller(tmp_path: Path) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        answer = await front.call("extraction", "Extract", texts("A"), grpc_timeout="500m")
        await until(lambda: extractor.cancelled == 1)

    assert (answer.status, answer.json["code"]) == (504, 4)


@on_loop
async def test_a_call_without_a_deadline_gets_that_of_the_service(tmp_path: Path) -> None:
    """No other: Envoy's own would be 15 s."""
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor, default_deadline_seconds=17.0) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        answer = await front.call("extraction", "Extract", texts("A"))

    assert (answer.status, answer.json["code"]) == (504, 4)
    assert "17.0 s" in answer.json["message"]


@on_loop
async def test_a_caller_that_goes_away_ends_its_call(tmp_path: Path) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        calling = asyncio.create_task(front.call("extraction", "Extract", texts("A")))
        await until(lambda: extractor.running == 1)
        calling.cancel()
        await until(lambda: extractor.cancelled == 1)


@on_loop
async def test_a_request_that_is_too_large_is_refused(tmp_path: Path) -> None:
    extractor = Extractor()
    async with (
        served(extractor, max_message_bytes=1000) as server,
        fronted(tmp_path, {"extraction": server.address}, max_request_bytes=5000) as front,
    ):
        by_envoy = await front.call("extraction", "Extract", texts("A" * 5000))
        by_service = await front.call("extraction", "Extract", texts("A" * 2000))
        small = await front.call("extraction", "Extract", texts("A" * 100))

    assert (by_envoy.status, by_envoy.json["code"]) == (413, 8)
    assert "5000 bytes are taken" in by_envoy.json["message"]
    assert (by_service.status, by_service.json["code"]) == (429, 8)
    assert "larger than max" in by_service.json["message"]
    assert small.status == 200


@on_loop
async def test_an_answer_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with (
        served(Extractor()) as server,
        fronted(tmp_path, {"extraction": server.address}, max_response_bytes=100_000) as front,
    ):
        answer = await front.call("extraction", "Extract", texts("A" * 200_000))

    assert (answer.status, answer.json["code"]) == (500, 13)


@on_loop
async def test_a_service_that_is_away_is_told_and_found_again(
    model_folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with fronted(tmp_path, {"extraction": f"127.0.0.1:{port}"}) as front:
        away = await front.call("extraction", "Extract", texts("A"))
        with extraction_process(model_folder, tmp_path, port) as service:
            await eventually(_extracts, front)
            service.process.kill()
            service.process.wait()
            gone = await front.call("extraction", "Extract", texts("A"))

    for answer in (away, gone):
        assert (answer.status, answer.json["code"]) == (503, 14)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["message"]


@pytest.mark.parametrize("text", [False, True])
@on_loop
async def test_grpc_web_is_spoken(text: bool, model_folder: Path, tmp_path: Path) -> None:
    request = extraction_pb2.ExtractRequest(documents=[{"id": "a", "text": "甲A"}])
    async with (
        letters(model_folder, tmp_path) as address,
        fronted(tmp_path, {"extraction": address}) as front,
    ):
        data = request.SerializeToString()
        (message,), good = await front.grpc_web("extraction", "Extract", data, text=text)
        none, bad = await front.grpc_web("extraction", "GetModel", b"\x0a\x01x", text=text)

    (result,) = extraction_pb2.ExtractResponse.FromString(message).results
    assert result.extraction.document.entities[0].text == "A"
    assert good["grpc-status"] == "0"
    assert none == []
    assert bad["grpc-status"] == "5"
    assert bad["grpc-status-details-bin"]


@on_loop
async def test_pages_of_allowed_origins_alone_may_call(tmp_path: Path) -> None:
    origin = "https://app.example.com"
    asking = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,authorization",
    }
    async with (
        served(Coordinator()) as server,
        fronted(tmp_path, {"coordinator": server.address}, origins=[origin]) as front,
    ):
        path = front.path("coordinator", "ListRuns")
        known = await front.send("OPTIONS", path, headers={"origin": origin, **asking})
        other = await front.send("OPTIONS", path, headers={"origin": "https://x.org", **asking})
        answer = await front.call("coordinator", "ListRuns", {}, origin=origin)

    assert known.status == 200
    assert known.headers["access-control-allow-origin"] == origin
    assert "authorization" in known.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in other.headers
    assert answer.headers["access-control-allow-origin"] == origin
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@on_loop
async def test_connections_are_pinged_and_kept(tmp_path: Path) -> None:
    """A service renews connections; no caller notices."""
    extractor = Extractor()
    async with (
        served(extractor, max_connection_age_seconds=0.2) as server,
        fronted(tmp_path, {"extraction": server.address}) as front,
    ):
        answers = []
        for number in range(40):
            answers.append((await front.call("extraction", "Extract", texts(str(number)))).status)
            await asyncio.sleep(0.02)

    assert answers == [200] * 40


@on_loop
async def test_the_port_of_health_answers_nothing_else(tmp_path: Path) -> None:
    health, metrics = free_port(), free_port()
    async with (
        served(Coordinator()) as server,
        fronted(
            tmp_path,
            {"coordinator": server.address},
            health_port=health,
            metrics_port=metrics,
        ) as front,
    ):
        await front.call("coordinator", "ListRuns", {})
        paths = [
            (health, "/healthz"),
            (health, "/slcolm.coordinator.v1.CoordinatorService/ListRuns"),
            (metrics, "/metrics"),
            (metrics, "/quitquitquit"),
            (metrics, "/config_dump"),
        ]
        answers = [
            await front.send("GET", f"http://127.0.0.1:{port}{path}") for port, path in paths
        ]
        on_main = await front.send("GET", f"{front.url}/healthz")

    assert [each.status for each in answers] == [200, 404, 200, 404, 404]
    assert on_main.status == 200
    assert 'envoy_cluster_upstream_rq{envoy_response_code="200"' in answers[2].text
