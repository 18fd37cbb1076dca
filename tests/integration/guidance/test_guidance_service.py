"""The service over gRPC, with rules and with recorded answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from slcolm.common.v1 import common_pb2
from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.status import DETAILS_TRAILER
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire

_TIMEOUT_SECONDS = 20.0
ANSWER = '{"思考过程":"甲子乙。","真实的关系":{"父":[["甲","乙"]],"师生":[["甲","乙"]]}}'


@asynccontextmanager
async def serving(
    config: GuidanceConfig,
) -> AsyncIterator[guidance_pb2_grpc.GuidanceServiceStub]:
    server = ServerConfig(drain_delay_seconds=0.0, grace_seconds=0.0)
    async with Server(build(config), server) as running:
        await running.load()
        async with grpc.aio.insecure_channel(running.address) as channel:
            yield guidance_pb2_grpc.GuidanceServiceStub(channel)


@pytest.fixture
def recorded(tmp_path: Path, items: list[GuideItem]) -> str:
    """The first of the texts has two recorded answers, in the other script; the second has none."""
    path = tmp_path / "recording.jsonl"
    text = items[0].prediction.text.replace("为", "為")
    lines = [{"id": "a", "text": text, "llm_raw": raw} for raw in (ANSWER, "{}")]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return str(path)


def request(
    items: list[GuideItem], schema: TaskSchema, provider: str = ""
) -> guidance_pb2.GuideRequest:
    return guidance_pb2.GuideRequest(
        items=[
            guidance_pb2.GuideItem(
                prediction=document_to_wire(item.prediction),
                candidates=[common_pb2.CandidateRelation(type="父", score=1.0, triggers=["子"])],
            )
            for item in items
        ],
        schema=schema_to_wire(schema),
        provider=provider,
    )


async def test_rules_guide_and_say_that_they_are_rules(
    schema: TaskSchema, items: list[GuideItem]
) -> None:
    async with serving(GuidanceConfig()) as stub:
        response = await stub.Guide(request(items, schema), timeout=_TIMEOUT_SECONDS)
    assert [result.id for result in response.results] == ["p", "q"]
    guided = response.results[0].guided
    assert {(found.head, found.tail, found.type) for found in guided.triples} == {
        ("甲", "乙", "父"),
        ("丙", "某官", "任职"),
    }
    assert {(item.kind, item.triple.type) for item in guided.revisions} == {
        (guidance_pb2.REVISION_KIND_KEPT, "任职"),
        (guidance_pb2.REVISION_KIND_ADDED, "父"),
    }
    assert guided.origin.offline_rules
    assert guided.origin.model == "offline-rules"
    assert "离线规则" in guided.explanation
    assert {entity.text for entity in guided.entities} == {"甲", "乙", "丙", "某官"}


async def test_recorded_answers_are_found_by_their_sentence(
    schema: TaskSchema, items: list[GuideItem], recorded: str
) -> None:
    config = GuidanceConfig(provider="replay", recordings=(recorded,))
    async with serving(config) as stub:
        response = await stub.Guide(request(items, schema), timeout=_TIMEOUT_SECONDS)
    found, missing = response.results
    assert found.guided.origin.replayed
    assert not found.guided.origin.offline_rules
    assert [triple.type for triple in found.guided.triples] == ["父"]
    assert found.guided.explanation == "甲子乙。"
    assert dict(found.guided.dropped) == {"unknown_type": 1}
    (relation,) = found.guided.relations
    ends = [found.guided.entities[end] for end in (relation.head, relation.tail)]
    assert [(end.text, end.type) for end in ends] == [("甲", "PER"), ("乙", "PER")]
    assert all(items[0].prediction.text[end.start : end.end] == end.text for end in ends)
    assert missing.WhichOneof("outcome") == "error"
    assert missing.error.code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_samples_are_the_further_recorded_answers(
    schema: TaskSchema, items: list[GuideItem], recorded: str
) -> None:
    config = GuidanceConfig(provider="replay", recordings=(recorded,))
    wire = request(items[:1], schema)
    reasons = []
    async with serving(config) as stub:
        for sample in range(3):
            wire.sample = sample
            response = await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
            (result,) = response.results
            reasons.append((result.guided.usable, result.error.code))
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert reasons == [(True, 0), (False, 0), (False, not_found)]


async def test_the_rules_have_one_answer(schema: TaskSchema, items: list[GuideItem]) -> None:
    wire = request(items[:1], schema)
    wire.sample = 1
    async with serving(GuidanceConfig()) as stub:
        response = await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
    assert response.results[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_triple_that_the_text_does_not_have_is_given_as_the_answer_has_it(
    tmp_path: Path, schema: TaskSchema, items: list[GuideItem]
) -> None:
    raw = {
        "真实的实体": {"人物": ["甲", "龙王", {"片段": ["甲", "乙"]}]},
        "真实的关系": [{"类型": "父", "主体": "甲", "客体": "龙王"}],
    }
    path = tmp_path / "recording.jsonl"
    line = {"id": "a", "text": items[0].prediction.text, "llm_raw": raw}
    path.write_text(json.dumps(line), encoding="utf-8")
    async with serving(GuidanceConfig(provider="replay", recordings=(str(path),))) as stub:
        response = await stub.Guide(request(items[:1], schema), timeout=_TIMEOUT_SECONDS)
    guided = response.results[0].guided
    assert not guided.triples
    assert [(found.head, found.tail) for found in guided.ungrounded] == [("甲", "龙王")]
    assert dict(guided.dropped) == {"not_in_text": 1, "entity_not_in_text": 1}
    (in_pieces,) = guided.discontinuous_entities
    text = items[0].prediction.text
    assert [text[piece.start : piece.end] for piece in in_pieces.pieces] == ["甲", "乙"]


async def test_texts_are_annotated_without_a_small_model(
    schema: TaskSchema, items: list[GuideItem], recorded: str
) -> None:
    async with serving(GuidanceConfig(recordings=(recorded,))) as stub:
        response = await stub.Annotate(
            guidance_pb2.AnnotateRequest(
                documents=[common_pb2.Document(id="z", text=items[0].prediction.text)],
                schema=schema_to_wire(schema),
                provider="replay",
                style="cot",
            ),
            timeout=_TIMEOUT_SECONDS,
        )
    (result,) = response.results
    assert result.id == "z"
    assert [triple.type for triple in result.annotation.triples] == ["父"]


async def test_shows_what_would_be_sent(schema: TaskSchema, items: list[GuideItem]) -> None:
    config = GuidanceConfig(context_tokens=8_000)
    async with serving(config) as stub:
        guide = request(items, schema)
        response = await stub.RenderPrompt(
            guidance_pb2.RenderPromptRequest(items=guide.items, schema=guide.schema),
            timeout=_TIMEOUT_SECONDS,
        )
    first, second = response.prompts
    assert (first.id, second.id) == ("p", "q")
    assert first.prompt_digest != second.prompt_digest
    assert first.prompt_tokens > 100
    assert items[0].prediction.text in first.messages[1].content


async def test_lists_its_providers_and_what_was_spent(recorded: str) -> None:
    config = GuidanceConfig(provider="replay", recordings=(recorded,), currency="EUR")
    async with serving(config) as stub:
        page = await stub.ListProviders(
            guidance_pb2.ListProvidersRequest(page_size=1), timeout=_TIMEOUT_SECONDS
        )
        rest = await stub.ListProviders(
            guidance_pb2.ListProvidersRequest(page_token=page.next_page_token),
            timeout=_TIMEOUT_SECONDS,
        )
        usage = await stub.GetUsage(guidance_pb2.GetUsageRequest(), timeout=_TIMEOUT_SECONDS)
    (default,) = page.providers
    assert (default.name, default.kind, default.default) == ("replay", "replay", True)
    assert [(provider.name, provider.default) for provider in rest.providers] == [
        ("offline", False)
    ]
    assert default.digest != rest.providers[0].digest
    assert usage.usage.calls == 0
    assert usage.usage.currency == "EUR"
    assert not usage.HasField("since_time")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda wire: setattr(wire, "provider", "gpt"), grpc.StatusCode.NOT_FOUND),
        (lambda wire: setattr(wire.options, "template", "guide.zh.v99"), None),
        (lambda wire: setattr(wire.options, "max_demonstrations", -1), None),
        (lambda wire: setattr(wire, "sample", -1), None),
        (lambda wire: setattr(wire.budget, "max_cost", 1.0), None),
        (lambda wire: wire.items[1].prediction.MergeFrom(wire.items[0].prediction), None),
        (lambda wire: wire.schema.Clear(), grpc.StatusCode.INVALID_ARGUMENT),
        (
            lambda wire: setattr(wire.items[0].prediction, "text", "字" * 101),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            lambda wire: setattr(wire.items[0].prediction.entities[0], "end", 99),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
async def test_a_wrong_request_is_refused_as_a_whole(
    schema: TaskSchema, items: list[GuideItem], change: object, code: grpc.StatusCode | None
) -> None:
    assert callable(change)
    wire = request(items, schema)
    change(wire)
    async with serving(GuidanceConfig(max_text_chars=100)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
    assert caught.value.code() is (code or grpc.StatusCode.INVALID_ARGUMENT)


def violated(status: status_pb2.Status) -> list[str]:
    """Fields that an error names."""
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return [violation.field for violation in bad.field_violations]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (
            lambda wire: setattr(wire.items[1].candidates[0], "score", float("nan")),
            "items[1].candidates[0].score",
        ),
        (
            lambda wire: setattr(wire.items[1].candidates[0], "score", float("inf")),
            "items[1].candidates[0].score",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_field(
    schema: TaskSchema,
    items: list[GuideItem],
    change: Callable[[guidance_pb2.GuideRequest], None],
    field: str,
) -> None:
    wire = request(items, schema)
    change(wire)
    async with serving(GuidanceConfig()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers: Any = caught.value.trailing_metadata()
    packed = next(value for key, value in trailers if key == DETAILS_TRAILER)
    assert violated(status_pb2.Status.FromString(packed)) == [field]


@pytest.mark.parametrize("text", ["", " \n\u3000"])
async def test_an_empty_text_fails_alone(
    schema: TaskSchema, items: list[GuideItem], text: str
) -> None:
    wire = request(items, schema)
    wire.items[0].prediction.CopyFrom(common_pb2.Document(id="empty", text=text))
    annotate = guidance_pb2.AnnotateRequest(
        documents=[item.prediction for item in wire.items], schema=wire.schema
    )
    async with serving(GuidanceConfig()) as stub:
        guided = await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
        annotated = await stub.Annotate(annotate, timeout=_TIMEOUT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.RenderPrompt(
                guidance_pb2.RenderPromptRequest(items=wire.items, schema=wire.schema)
            )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for results, field in ((guided.results, "prediction.text"), (annotated.results, "text")):
        empty, other = results
        assert empty.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert violated(empty.error) == [field]
        assert not other.HasField("error")


async def test_a_text_that_fits_no_window_fails_alone(
    schema: TaskSchema, items: list[GuideItem]
) -> None:
    wire = request(items, schema)
    wire.items[0].prediction.text += "王" * 200_000
    async with serving(GuidanceConfig()) as stub:
        response = await stub.Guide(wire, timeout=_TIMEOUT_SECONDS)
    long, short = response.results
    assert "PROMPT_TOO_LONG" in str(long.error)
    assert short.guided.triples
