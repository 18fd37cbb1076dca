"""Figures beside the scores look the same from a command and from a run's report."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm_services.coordinator.figures import (
    comparison_to_json,
    curve_to_json,
    reliability_to_json,
)
from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.wire_scores import difference_to_wire, scores_to_wire
from slcolm_services.scoring.reliability import judge
from slcolm_services.scoring.report import comparison_json, judged_json
from slcolm_services.scoring.strict import Sentence, compare, count_strict, score, strict_items

SCHEMA = TaskSchema("t", "en", (), tuple(map(RelationType, ("common", "rare"))))
GOLD = [
    Sentence("1", (Triple("a", "b", "common"), Triple("c", "d", "rare"))),
    Sentence("2", (Triple("e", "f", "common"),)),
]

triples = st.builds(
    Triple,
    st.sampled_from("abc"),
    st.sampled_from("bdf"),
    st.sampled_from(["common", "rare"]),
    st.none() | st.floats(0, 1),
)


@given(st.lists(triples, max_size=5))
def test_reliability_and_precision_recall_have_one_form(found: list[Triple]) -> None:
    predicted = [Sentence("1", tuple(found))]
    judged = judge(strict_items(GOLD, predicted, SCHEMA))
    scores = score(count_strict(GOLD, predicted, SCHEMA), {})

    told = json.loads(json.dumps(judged_json(judged)))
    wire = scores_to_wire(scores, judged)

    assert reliability_to_json(wire) == told["reliability"]
    assert curve_to_json(wire.precision_recall) == told["precision_recall"]
    average = wire.average_precision if wire.HasField("average_precision") else None
    assert average == told["average_precision"]


def test_differences_have_one_form() -> None:
    first, second = (count_strict(GOLD, found, SCHEMA) for found in (GOLD[:1], GOLD))
    comparison = compare(first, second, samples=50)
    wire = evaluation_pb2.CompareResponse(
        micro_f1=difference_to_wire(comparison.micro_f1),
        macro_f1_pr=difference_to_wire(comparison.macro_f1_pr),
        macro_f1_mean=difference_to_wire(comparison.macro_f1_mean),
    )

    assert comparison_to_json(wire) == comparison_json(comparison)
