"""Puts the evaluation service together."""

from __future__ import annotations

from google.protobuf.message import Message

from slcolm.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.evaluation.measures import EvaluationMeasures
from slcolm_services.evaluation.servicer import EvaluationServicer
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service

_NAME = evaluation_pb2.DESCRIPTOR.services_by_name["EvaluationService"].full_name


def build(config: EvaluationConfig) -> Service:
    """The evaluation service as the runtime starts it. It holds no state."""
    measures = EvaluationMeasures()
    servicer = EvaluationServicer(config, measures)
    return Service(
        name=_NAME,
        register=lambda server: evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(
            servicer, server
        ),
        cost=_sentences,
        collectors=measures.collectors,
        roles={
            "Merge": Role.READ,
            "FitPolicy": Role.READ,
            "Score": Role.READ,
            "Compare": Role.READ,
        },
    )


def _sentences(request: Message) -> int:
    """Admission counts sentences: what is merged, fitted on or scored."""
    if isinstance(request, evaluation_pb2.MergeRequest):
        return max(1, len(request.items))
    if isinstance(
        request,
        evaluation_pb2.FitPolicyRequest
        | evaluation_pb2.ScoreRequest
        | evaluation_pb2.CompareRequest,
    ):
        return max(1, len(request.gold))
    return 1
