"""The retrieval service over gRPC, as its callers see it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from slcolm.common.v1 import common_pb2
from slcolm.retrieval.v1 import retrieval_pb2 as pb
from slcolm.retrieval.v1 import retrieval_pb2_grpc
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.status import DETAILS_TRAILER

Stub = retrieval_pb2_grpc.RetrievalServiceStub
DEMONSTRATION = pb.SENTENCE_ROLE_DEMONSTRATION
TRAINING = pb.SENTENCE_ROLE_TRAINING

SCHEMA = common_pb2.TaskSchema(
    name="t",
    language="lzh",
    entity_types=[common_pb2.EntityType(name="PER"), common_pb2.EntityType(name="LOC")],
    relation_types=[
        common_pb2.RelationType(name="父", head_types=["PER"], tail_types=["PER"]),
        common_pb2.RelationType(name="杀", head_types=["PER"], tail_types=["PER"]),
        common_pb2.RelationType(name="到达", head_types=["PER"], tail_types=["LOC"]),
        common_pb2.RelationType(name="其他"),
    ],
    fallback_relation="其他",
)
TRAIN = [
    ("甲杀乙于野", "杀"), ("丙遂杀丁", "杀"), ("戊率众杀己", "杀"), ("庚夜杀辛", "杀"),
    ("甲之子乙也", "父"), ("丙之子丁也", "父"), ("戊有子己", "父"), ("庚之子辛立", "父"),
    ("甲至乙而還", "到达"), ("丙自北至丁", "到达"), ("戊至己", "到达"), ("庚復至辛", "到达"),
]  # fmt: skip
DEV = [("壬杀癸", "杀"), ("壬之子癸", "父"), ("壬至癸", "到达"), ("壬與癸戰", "其他")]


def vector(text: str) -> list[float]:
    """Mean of a direction for each character: like texts have like vectors."""
    characters = [np.random.default_rng(ord(character)).normal(size=16) for character in text]
    return [float(value) for value in np.mean(characters, axis=0)]


def sentence(name: str, text: str, type_: str, role: pb.SentenceRole) -> pb.IndexedSentence:
    where = [index for index, character in enumerate(text) if character in "甲乙丙丁戊己庚辛壬癸"]
    gold = common_pb2.Document(
        id=name,
        text=text,
        entities=[
            common_pb2.Entity(
                type="LOC" if type_ == "到达" and order else "PER", start=start, end=start + 1
            )
            for order, start in enumerate(where)
        ],
        relations=[common_pb2.Relation(type=type_, head=0, tail=1)],
    )
    prediction = common_pb2.Document(id=name, text=text) if role == DEMONSTRATION else None
    return pb.IndexedSentence(gold=gold, prediction=prediction, vector=vector(text), role=role)


SENTENCES = [
    *[sentence(f"train-{i}", text, type_, TRAINING) for i, (text, type_) in enumerate(TRAIN)],
    *[sentence(f"dev-{i}", text, type_, DEMONSTRATION) for i, (text, type_) in enumerate(DEV)],
]


def indexing(
    *sentences: pb.IndexedSentence, finish: bool = False, revision: str = "rev"
) -> pb.IndexDemonstrationsRequest:
    return pb.IndexDemonstrationsRequest(
        index_revision=revision,
        schema=SCHEMA,
        model_revision="model",
        sentences=sentences,
        finish=finish,
    )


def query(text: str, name: str = "q") -> pb.SelectQuery:
    return pb.SelectQuery(document=common_pb2.Document(id=name, text=text), vector=vector(text))


def selecting(*queries: pb.SelectQuery, random: bool = False, count: int = 2) -> pb.SelectRequest:
    return pb.SelectRequest(
        index_revision="rev", queries=queries, demonstration_count=count, random=random
    )


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Stub]:
    service = build(RetrievalConfig(folder=folder, **settings))
    async with Server(service, ServerConfig()) as server:
        await server.load()
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield retrieval_pb2_grpc.RetrievalServiceStub(channel)


def scenario(folder: Path, play: Callable[[Stub], Awaitable[None]], *, index: bool = True) -> None:
    """Serve a folder, index the sentences, and play a scenario."""

    async def main() -> None:
        async with serving(folder) as stub:
            if index:
                await stub.IndexDemonstrations(indexing(*SENTENCES))
                await stub.IndexDemonstrations(indexing(finish=True))
            await play(stub)

    asyncio.run(main())


async def refusal(call: Awaitable[Message]) -> tuple[grpc.StatusCode, str, list[str]]:
    """Status code, reason and fields of the error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailers: Any = caught.value.trailing_metadata()
    packed = next(value for key, value in trailers if key == DETAILS_TRAILER)
    status = status_pb2.Status.FromString(packed)
    return caught.value.code(), *details(status)


def details(status: status_pb2.Status) -> tuple[str, list[str]]:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return info.reason, [violation.field for violation in bad.field_violations]


def texts(result: pb.SelectResult) -> list[str]:
    return [item.gold.text for item in result.selection.demonstrations]


def candidates(result: pb.SelectResult) -> list[str]:
    return [item.type for item in result.selection.candidates]


def test_an_index_is_counted_while_it_is_built_and_when_finished(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        first = await stub.IndexDemonstrations(indexing(*SENTENCES[:5]))
        assert (first.index.training_count, first.index.finished) == (5, False)
        await stub.IndexDemonstrations(indexing(*SENTENCES))
        last = await stub.IndexDemonstrations(indexing(finish=True))
        assert last.index == pb.Index(
            revision="rev",
            model_revision="model",
            demonstration_count=4,
            training_count=12,
            trigger_count=last.index.trigger_count,
            finished=True,
            vector_dimension=16,
        )
        assert last.index.trigger_count > 0
        got = await stub.GetIndex(pb.GetIndexRequest(index_revision="rev"))
        assert got.index == last.index

    scenario(tmp_path, play, index=False)


def test_select_gives_like_sentences_and_likely_types_with_their_reasons(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        answer = await stub.Select(selecting(query("某杀某", "a"), query("某之子某", "b")))
        assert answer.index_revision == "rev"
        killed, born = answer.results
        assert (killed.id, born.id) == ("a", "b")
        assert texts(killed)[0] == "壬杀癸"
        assert texts(born)[0] == "壬之子癸"
        assert candidates(killed)[0] == "杀"
        assert candidates(born)[0] == "父"
        best = killed.selection.candidates[0]
        assert best.triggers[0] == "杀"
        assert best.from_similar
        demonstration = killed.selection.demonstrations[0]
        assert demonstration.HasField("prediction")
        assert demonstration.gold.entities[0].text == "壬"
        assert 0 < best.score <= 1
        assert demonstration.score > 0

    scenario(tmp_path, play)


@pytest.mark.parametrize("random", [False, True])
def test_the_own_sentence_is_never_a_demonstration(tmp_path: Path, random: bool) -> None:
    async def play(stub: Stub) -> None:
        for text in ("壬杀癸", "壬殺癸。", "壬 殺 癸"):
            answer = await stub.Select(selecting(query(text), random=random, count=10))
            assert set(texts(answer.results[0])) == {"壬之子癸", "壬至癸", "壬與癸戰"}
        by_id = await stub.Select(selecting(query("無關", "dev-1"), random=random, count=10))
        assert "壬之子癸" not in texts(by_id.results[0])

    scenario(tmp_path, play)


def test_entities_of_the_query_narrow_its_candidates(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        bare = query("甲遂至乙")
        assert "到达" in candidates((await stub.Select(selecting(bare))).results[0])
        persons = query("甲遂至乙")
        persons.document.entities.add(type="PER", start=0, end=1)
        found = candidates((await stub.Select(selecting(persons))).results[0])
        assert "到达" not in found
        assert found

    scenario(tmp_path, play)


def test_random_demonstrations_depend_on_the_query_id_alone(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        async def draw(text: str, name: str, count: int) -> list[str]:
            request = selecting(query(text, name), random=True, count=count)
            return texts((await stub.Select(request)).results[0])

        four = await draw("某杀某", "q1", 4)
        assert await draw("別的文字", "q1", 4) == four
        assert await draw("某杀某", "q1", 2) == four[:2]
        assert len({tuple(await draw("某杀某", f"q{i}", 4)) for i in range(8)}) > 1

    scenario(tmp_path, play)


def test_no_demonstrations_are_given_where_none_are_asked_for(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        (result,) = (await stub.Select(selecting(query("某杀某"), count=0))).results
        assert texts(result) == []
        assert candidates(result)
        limited = selecting(query("某杀某"))
        limited.max_candidates = 1
        assert candidates((await stub.Select(limited)).results[0]) == ["杀"]

    scenario(tmp_path, play)


def test_an_index_too_small_for_trigger_words_is_used_all_the_same(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        await stub.IndexDemonstrations(indexing(SENTENCES[-1], finish=True))
        (result,) = (await stub.Select(selecting(query("子與丑戰")))).results
        assert texts(result) == [SENTENCES[-1].gold.text]

    scenario(tmp_path, play, index=False)


def test_a_bad_query_fails_alone_and_keeps_its_place(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        short = query("甲", "short")
        short.vector.pop()
        infinite = query("甲", "infinite")
        infinite.vector[3] = math.inf
        empty = query("甲", "empty")
        del empty.vector[:]
        outside = query("甲", "outside")
        outside.document.entities.add(type="PER", start=0, end=9)
        answer = await stub.Select(
            selecting(short, query("某杀某", "good"), infinite, empty, outside)
        )
        assert [result.id for result in answer.results] == [
            "short", "good", "infinite", "empty", "outside"
        ]  # fmt: skip
        assert candidates(answer.results[1])[0] == "杀"
        errors = [details(answer.results[place].error) for place in (0, 2, 3, 4)]
        assert errors == [
            ("INVALID_INPUT", ["queries[0].vector"]),
            ("INVALID_INPUT", ["queries[2].vector[3]"]),
            ("INVALID_INPUT", ["queries[3].vector"]),
            ("INVALID_INPUT", ["queries[4].document.entities[0]"]),
        ]

    scenario(tmp_path, play)


def test_a_text_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, max_text_characters=5) as stub:
            long = sentence("long", "甲杀乙于野外", "杀", TRAINING)
            assert await refusal(stub.IndexDemonstrations(indexing(long))) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "TEXT_TOO_LONG",
                ["sentences[0].gold.text"],
            )
            await stub.IndexDemonstrations(indexing(*SENTENCES, finish=True))
            answer = await stub.Select(selecting(query("甲杀乙于野外", "long"), query("甲")))
            assert details(answer.results[0].error) == (
                "TEXT_TOO_LONG",
                ["queries[0].document.text"],
            )
            assert answer.results[1].WhichOneof("outcome") != "error"

    asyncio.run(main())


def test_concurrent_selects_answer_as_alone(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        requests = [
            selecting(*(query(text, f"{i}-{j}") for j, (text, _) in enumerate(TRAIN)))
            for i in range(6)
        ]
        alone = [await stub.Select(request) for request in requests]
        together = await asyncio.gather(*(stub.Select(request) for request in requests))
        assert together == alone

    scenario(tmp_path, play)


def test_an_index_survives_a_restart(tmp_path: Path) -> None:
    answers = []

    async def play(stub: Stub) -> None:
        answers.append(await stub.Select(selecting(query("某杀某"))))

    scenario(tmp_path, play)
    scenario(tmp_path, play, index=False)
    assert answers[0] == answers[1]


def test_an_unfinished_index_goes_on_after_a_restart_and_is_not_ready(tmp_path: Path) -> None:
    async def begin(stub: Stub) -> None:
        await stub.IndexDemonstrations(indexing(*SENTENCES[:8]))
        code, reason, _ = await refusal(stub.Select(selecting(query("某"))))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INDEX_NOT_READY")

    async def go_on(stub: Stub) -> None:
        done = await stub.IndexDemonstrations(indexing(*SENTENCES, finish=True))
        assert (done.index.training_count, done.index.demonstration_count) == (12, 4)

    scenario(tmp_path, begin, index=False)
    scenario(tmp_path, go_on, index=False)


def test_a_finished_index_never_changes_and_repeats_are_harmless(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        before = await stub.GetIndex(pb.GetIndexRequest(index_revision="rev"))
        for again in (indexing(*SENTENCES), indexing(*SENTENCES[:2], finish=True), indexing()):
            assert (await stub.IndexDemonstrations(again)).index == before.index
        new = sentence("train-new", "甲殺乙", "杀", TRAINING)
        code, reason, _ = await refusal(stub.IndexDemonstrations(indexing(SENTENCES[0], new)))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INDEX_FINISHED")

    scenario(tmp_path, play)


def test_a_deleted_index_is_gone(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        await stub.Select(selecting(query("某")))
        await stub.DeleteIndex(pb.DeleteIndexRequest(index_revision="rev"))
        for call in (
            stub.Select(selecting(query("某"))),
            stub.GetIndex(pb.GetIndexRequest(index_revision="rev")),
            stub.DeleteIndex(pb.DeleteIndexRequest(index_revision="rev")),
        ):
            code, reason, _ = await refusal(call)
            assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "INDEX_NOT_FOUND")
        assert not (await stub.ListIndexes(pb.ListIndexesRequest())).indexes

    scenario(tmp_path, play)


def test_indexes_are_listed_in_pages(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        for revision in ("b", "c", "a"):
            await stub.IndexDemonstrations(indexing(SENTENCES[0], revision=revision))
        first = await stub.ListIndexes(pb.ListIndexesRequest(page_size=2))
        assert [index.revision for index in first.indexes] == ["a", "b"]
        rest = await stub.ListIndexes(pb.ListIndexesRequest(page_token=first.next_page_token))
        assert [index.revision for index in rest.indexes] == ["c"]
        assert not rest.next_page_token

    scenario(tmp_path, play, index=False)


def test_a_bad_indexing_call_writes_nothing_and_names_the_field(tmp_path: Path) -> None:
    def changed(**values: object) -> pb.IndexedSentence:
        copy = pb.IndexedSentence()
        copy.CopyFrom(SENTENCES[1])
        for name, value in values.items():
            if name == "vector":
                del copy.vector[:]
                copy.vector.extend(value)  # type: ignore[arg-type]
            elif name == "type":
                copy.gold.relations[0].type = str(value)
            elif name == "id":
                copy.gold.id = str(value)
            else:
                copy.role = value  # type: ignore[assignment]
        return copy

    bad = [
        (changed(role=pb.SENTENCE_ROLE_UNSPECIFIED), "sentences[1].role"),
        (changed(id=""), "sentences[1].gold.id"),
        (changed(type="新"), "sentences[1].gold.relations[0].type"),
        (changed(vector=[1.0] * 15), "sentences[1].vector"),
        (changed(vector=[0.0] * 16), "sentences[1].vector"),
        (changed(vector=[math.nan] * 16), "sentences[1].vector[0]"),
    ]

    async def play(stub: Stub) -> None:
        for sentence_, field in bad:
            request = indexing(SENTENCES[0], sentence_)
            code, _, fields = await refusal(stub.IndexDemonstrations(request))
            assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
        for revision in ("", "Upper", "a" * 64, "../x"):
            request = indexing(SENTENCES[0], revision=revision)
            assert (await refusal(stub.IndexDemonstrations(request)))[2] == ["index_revision"]
        assert (await refusal(stub.IndexDemonstrations(indexing())))[2] == ["sentences"]
        assert not (await stub.ListIndexes(pb.ListIndexesRequest())).indexes

    scenario(tmp_path, play, index=False)


def test_every_call_must_agree_with_the_first(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        await stub.IndexDemonstrations(indexing(SENTENCES[0]))
        other_model = indexing(SENTENCES[1])
        other_model.model_revision = "other"
        assert (await refusal(stub.IndexDemonstrations(other_model)))[2] == ["model_revision"]
        other_schema = indexing(SENTENCES[1])
        other_schema.schema.name = "other"
        assert (await refusal(stub.IndexDemonstrations(other_schema)))[2] == ["schema"]
        got = await stub.GetIndex(pb.GetIndexRequest(index_revision="rev"))
        assert got.index.training_count == 1

    scenario(tmp_path, play, index=False)


def test_limits_and_counts_are_checked(tmp_path: Path) -> None:
    async def play(stub: Stub) -> None:
        many = selecting(*(query("甲", str(number)) for number in range(129)))
        assert (await refusal(stub.Select(many)))[1] == "BATCH_TOO_LARGE"
        twice = selecting(query("甲"), query("乙"))
        assert (await refusal(stub.Select(twice)))[2] == ["queries[1].id"]
        for field in ("demonstration_count", "neighbour_count", "max_candidates"):
            request = selecting(query("甲"))
            setattr(request, field, -1)
            assert (await refusal(stub.Select(request)))[2] == [field]
        crowd = indexing(*[SENTENCES[0]] * 513)
        assert (await refusal(stub.IndexDemonstrations(crowd)))[1] == "BATCH_TOO_LARGE"

    scenario(tmp_path, play)
