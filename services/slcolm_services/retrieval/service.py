"""Puts the retrieval service together."""

from __future__ import annotations

from google.protobuf.message import Message

from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.measures import RetrievalMeasures
from slcolm_services.retrieval.retriever import Retriever
from slcolm_services.retrieval.servicer import RetrievalServicer
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service

_NAME = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name


def build(config: RetrievalConfig) -> Service:
    """The retrieval service as the runtime starts it. Nothing is opened before `start`."""
    measures = RetrievalMeasures()
    retriever = Retriever(config, measures)
    servicer = RetrievalServicer(config, retriever, measures)

    return Service(
        name=_NAME,
        register=lambda server: retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
            servicer, server
        ),
        start=retriever.open,
        stop=retriever.close,
        cost=_characters,
        collectors=measures.collectors,
        dependencies=[Dependency("index", retriever.check)],
        roles={
            "Select": Role.READ,
            "GetIndex": Role.READ,
            "ListIndexes": Role.READ,
            "IndexDemonstrations": Role.WRITE,
            "DeleteIndex": Role.ADMIN,
        },
    )


def _characters(request: Message) -> int:
    """Admission cost: characters to index or to search for; at least 1 for any call."""
    if isinstance(request, retrieval_pb2.SelectRequest):
        return max(1, sum(len(query.document.text) for query in request.queries))
    if isinstance(request, retrieval_pb2.IndexDemonstrationsRequest):
        return max(1, sum(len(sentence.gold.text) for sentence in request.sentences))
    return 1
