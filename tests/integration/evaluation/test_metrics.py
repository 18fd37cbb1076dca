"""What the metrics tell of merging."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from support.metrics import Scraped

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.evaluation.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server

REQUEST = evaluation_pb2.MergeRequest(
    schema=common_pb2.TaskSchema(
        name="letters",
        language="en",
        entity_types=[common_pb2.EntityType(name="PER")],
        relation_types=[common_pb2.RelationType(name="knows")],
    ),
    policy=evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM),
    items=[
        evaluation_pb2.MergeItem(
            prediction=common_pb2.Document(
                id=name,
                text="A B C",
                entities=[
                    common_pb2.Entity(type="PER", start=at, end=at + 1, probability=0.9)
                    for at in (0, 2, 4)
                ],
                relations=[
                    common_pb2.Relation(type=kind, head=0, tail=tail, probability=0.8)
                    for tail in (1, 2)
                ],
            ),
            has_llm_answer=True,
            llm_triples=[
                common_pb2.Triple(head=head, tail=tail, type="knows")
                for head, tail in (("A", "B"), ("B", "C"), ("C", "B"))
            ],
        )
        for name, kind in (("good", "knows"), ("bad", "no type of the schema"))
    ],
)


def test_triples_are_counted_as_kept_added_and_removed_and_failed_sentences_by_reason() -> None:
    """The SLM says A-B and A-C, the LLM A-B, B-C and C-B, and the policy takes the LLM's."""

    async def scenario() -> Scraped:
        async with Server(build(EvaluationConfig()), ServerConfig(metrics_port=0)) as server:
            await server.load()
            async with grpc.aio.insecure_channel(server.address) as channel:
                stub: Any = evaluation_pb2_grpc.EvaluationServiceStub(channel)
                await stub.Merge(REQUEST, timeout=20)
            assert server.metrics_port is not None
            return await asyncio.to_thread(Scraped, server.metrics_port)

    page = asyncio.run(scenario())

    triples = "slcolm_evaluation_merged_triples_total"
    found = {name: page.value(triples, outcome=name) for name in ("kept", "added", "removed")}
    assert found == {"kept": 1, "added": 2, "removed": 1}
    sentences = "slcolm_evaluation_merged_sentences_total"
    assert page.value(sentences, outcome="OK") == 1
    assert page.value(sentences, outcome="INVALID_INPUT") == 1
