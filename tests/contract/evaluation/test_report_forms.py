"""Scores look the same to programs whether they come from a command or over the wire."""

from __future__ import annotations

from slcolm_services.coordinator.figures import scores_to_json
from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.wire_scores import scores_to_wire
from slcolm_services.scoring.report import strict_json
from slcolm_services.scoring.strict import Sentence, count_strict, score

SCHEMA = TaskSchema("t", "en", (), tuple(map(RelationType, ("common", "rare", "unseen"))))


def test_the_report_of_a_run_and_of_the_score_command_have_one_form() -> None:
    gold = [
        Sentence("1", (Triple("a", "b", "common"), Triple("c", "d", "rare"))),
        Sentence("2", (Triple("e", "f", "common"),)),
    ]
    predicted = [
        Sentence("1", (Triple("a", "b", "common"), Triple("a", "d", "unseen"))),
        Sentence("2", (Triple("e", "e", "common"), Triple("e", "g", "alien"))),
    ]
    scores = score(count_strict(gold, predicted, SCHEMA), {"common": 200, "rare": 3}, samples=50)

    told = strict_json(scores)
    over_the_wire = scores_to_json(scores_to_wire(scores))

    assert told.pop("sentences") == 2
    assert over_the_wire == told
