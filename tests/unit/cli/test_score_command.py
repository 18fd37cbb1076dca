"""`slcolm score` and `slcolm policy` as a person and as a program use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slcolm_services.cli.policy import policy
from slcolm_services.cli.recordings import recordings
from slcolm_services.cli.score import score
from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.errors import DataInvalid

SCHEMA = TaskSchema(
    "t", "en", (EntityType("PER", "PER"),), (RelationType("knows"), RelationType("likes"))
)
ENTITIES = (Entity("PER", 0, 1), Entity("PER", 2, 3))


def document(name: str, kind: str = "knows") -> Document:
    return Document(name, "A B", ENTITIES, (Relation(kind, 0, 1),))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_schema(tmp_path / "task.yaml", SCHEMA)
    write_documents(tmp_path / "gold.jsonl", [document("1"), document("2", "likes")])
    write_documents(tmp_path / "train.jsonl", [document(str(index)) for index in range(25)])
    return tmp_path


def run(files: Path, pred: str, *more: str) -> Any:
    arguments = ["--gold", str(files / "gold.jsonl"), "--pred", str(files / pred)]
    arguments += ["--task", str(files / "task.yaml"), *more]
    return CliRunner().invoke(score, arguments, catch_exceptions=False)


def test_strict_scores_as_json_name_the_ids_of_one_file_only(files: Path) -> None:
    lines = [
        {"id": "1", "triples": [{"head": "A", "tail": "B", "type": "knows", "sources": ["llm"]}]},
        {"id": "9", "triples": []},
    ]
    (files / "pred.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = json.loads(
        run(files, "pred.jsonl", "--train", str(files / "train.jsonl"), "--json").stdout
    )
    assert found["counts"] == [1, 1, 2]
    assert found["ids"] == {"gold_only": ["2"], "prediction_only": ["9"]}
    assert found["by_frequency"]["medium"]["counts"] == [1, 1, 1]
    assert found["by_frequency"]["tail"]["counts"] == [0, 0, 1]
    assert found["micro"]["f_interval"]


def test_the_table_names_them_too(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("1"), document("9")])
    result = run(files, "pred.jsonl", "--train", str(files / "train.jsonl"))
    assert "1 gold sentence without a prediction" in result.stderr
    assert "1 prediction of no gold sentence" in result.stderr
    for word in ("micro", "macro", "head", "medium", "tail", "knows", "likes"):
        assert word in result.stdout


def test_without_training_data_nothing_is_said_of_frequency(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("1")])
    found = json.loads(run(files, "pred.jsonl", "--json").stdout)
    assert found["by_frequency"] is None
    assert found["per_relation"]["knows"]["training_count"] is None
    told = run(files, "pred.jsonl").stdout
    assert "tail" not in told
    assert "in train" not in told


@pytest.mark.parametrize("protocol", ["strict", "span"])
def test_predictions_about_other_texts_are_refused(files: Path, protocol: str) -> None:
    other = Document("2", "C D", ENTITIES, (Relation("knows", 0, 1),))
    write_documents(files / "pred.jsonl", [document("1"), other])
    with pytest.raises(DataInvalid, match="another text") as caught:
        run(files, "pred.jsonl", "--protocol", protocol)
    assert [violation.field for violation in caught.value.violations] == ["--pred 2"]


def test_span_scores(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("1"), document("2")])
    found = json.loads(run(files, "pred.jsonl", "--protocol", "span", "--json").stdout)
    assert found["entities"]["micro"]["f"] == 1.0
    assert found["relations"]["counts"] == [1, 2, 2]
    assert "boundaries" in run(files, "pred.jsonl", "--protocol", "span").stdout


def test_span_scores_tell_ner_schemes_and_types(files: Path) -> None:
    wide = Document("1", "A B", (Entity("PER", 0, 2), ENTITIES[1]), (Relation("knows", 0, 1),))
    write_documents(files / "pred.jsonl", [wide])
    ner = json.loads(run(files, "pred.jsonl", "--protocol", "span", "--json").stdout)["ner"]
    assert list(ner) == ["strict", "exact", "partial", "type"]
    assert ner["partial"]["counts"] == {
        "correct": 1,
        "incorrect": 0,
        "partial": 1,
        "missed": 2,
        "spurious": 0,
    }
    assert ner["partial"]["p"] == 0.75
    assert ner["partial"]["r"] == 0.375
    told = run(files, "pred.jsonl", "--protocol", "span").stdout
    for words in ("1/1/0/2/0", "1/0/1/2/0", "By entity type", "By relation type"):
        assert words in told


def predicted(*triples: tuple[str, str, str, float | None]) -> str:
    """Lines of triples, all for sentence 1."""
    found = [
        {"head": head, "tail": tail, "type": kind} | ({} if prob is None else {"prob": prob})
        for head, tail, kind, prob in triples
    ]
    return json.dumps({"id": "1", "triples": found})


def test_probabilities_are_judged_where_there_are_some(files: Path) -> None:
    (files / "pred.jsonl").write_text(predicted(("A", "B", "knows", 0.8), ("B", "A", "likes", 0.3)))
    found = json.loads(run(files, "pred.jsonl", "--json").stdout)
    assert found["reliability"]["count"] == 2
    assert found["reliability"]["expected_calibration_error"] == pytest.approx(0.25)
    assert found["precision_recall"][0] == {"threshold": 0.8, "p": 1.0, "r": 0.5}
    assert found["average_precision"] == 0.5
    told = run(files, "pred.jsonl").stdout
    assert "expected calibration error 25.00 %, Brier score 0.0650" in told
    assert "average precision 50.00 %" in told


def test_predictions_without_probabilities_are_scored_without_them(files: Path) -> None:
    (files / "pred.jsonl").write_text(predicted(("A", "B", "knows", None)))
    found = json.loads(run(files, "pred.jsonl", "--json").stdout)
    assert (found["reliability"], found["average_precision"]) == (None, None)
    assert found["precision_recall"] == []
    assert "calibration" not in run(files, "pred.jsonl").stdout


def test_a_baseline_is_compared_on_the_same_sentences(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("1"), document("2", "likes")])
    (files / "old.jsonl").write_text(predicted(("A", "B", "knows", None)))
    baseline = ["--baseline", str(files / "old.jsonl")]
    found = json.loads(run(files, "pred.jsonl", *baseline, "--json").stdout)
    assert found["micro"]["f"] == 1.0
    assert found["baseline"]["micro"]["f"] == pytest.approx(2 / 3)
    assert found["baseline"]["ids"]["gold_only"] == ["2"]
    assert list(found["minus_baseline"]) == ["micro_f1", "macro_f1_pr", "macro_f1_mean"]
    difference = found["minus_baseline"]["micro_f1"]
    assert difference["value"] == pytest.approx(1 / 3)
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert "+33.33" in run(files, "pred.jsonl", *baseline).stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--protocol", "span"], "strict protocol only"), (["--bootstrap", "0"], "needs resamples")],
)
def test_a_baseline_is_refused_where_it_cannot_be_compared(
    files: Path, more: list[str], words: str
) -> None:
    write_documents(files / "pred.jsonl", [document("1")])
    result = run(files, "pred.jsonl", "--baseline", str(files / "gold.jsonl"), *more)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_empty_file_of_predictions_is_named(files: Path) -> None:
    (files / "pred.jsonl").write_text("")
    with pytest.raises(DataInvalid) as caught:
        run(files, "pred.jsonl")
    assert [violation.problem for violation in caught.value.violations] == ["holds no prediction"]
    assert "pred.jsonl" in caught.value.message


def test_the_span_protocol_refuses_triples_without_offsets(files: Path) -> None:
    (files / "pred.jsonl").write_text('{"id": "1", "triples": []}')
    with pytest.raises(DataInvalid, match="offsets"):
        run(files, "pred.jsonl", "--protocol", "span")


@pytest.mark.parametrize(("protocol", "what"), [("strict", "relation"), ("span", "entity")])
def test_gold_with_nothing_to_find_is_refused(files: Path, protocol: str, what: str) -> None:
    """Zeros would look like a bad system."""
    write_documents(files / "pred.jsonl", [document("1")])
    write_documents(files / "gold.jsonl", [Document("1", "A B", ENTITIES[: protocol == "strict"])])
    with pytest.raises(DataInvalid, match="nothing to score by") as caught:
        run(files, "pred.jsonl", "--protocol", protocol)
    (violation,) = caught.value.violations
    assert (violation.field, what in violation.problem) == ("--gold", True)


def test_entities_alone_have_span_scores(files: Path) -> None:
    write_documents(files / "gold.jsonl", [Document("1", "A B", ENTITIES)])
    write_documents(files / "pred.jsonl", [document("1")])
    found = json.loads(run(files, "pred.jsonl", "--protocol", "span", "--json").stdout)
    assert found["entities"]["micro"]["f"] == 1.0


def test_tables_of_both_protocols_call_counts_alike(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("1")])
    for protocol in ("strict", "span"):
        told = run(files, "pred.jsonl", "--protocol", protocol).stdout
        assert all(word in told for word in ("correct", "predicted", "gold"))
        assert "right" not in told
        assert "found" not in told


def test_files_without_a_common_id_are_refused(files: Path) -> None:
    write_documents(files / "pred.jsonl", [document("9")])
    with pytest.raises(DataInvalid, match="share no id"):
        run(files, "pred.jsonl")


def recorded(count: int) -> str:
    """Sentences where the LLM is always right and the SLM never says anything."""
    triple = {"head": "A", "tail": "B", "type": "knows"}
    entities = [{"text": name, "type": "PER", "prob": 0.9} for name in "AB"]
    return "\n".join(
        json.dumps(
            {
                "id": str(index),
                "text": "A B",
                "gold_triples": [triple],
                "slm_entities": entities,
                "slm_triples": [],
                "llm_raw": "",
                "strict_llm_triples": [["A", "B", "knows"]],
            }
        )
        for index in range(count)
    )


def test_a_policy_is_fitted_and_applied(files: Path) -> None:
    (files / "dev.jsonl").write_text(recorded(40))
    task = ["--task", str(files / "task.yaml"), "--train", str(files / "train.jsonl")]
    out = files / "policy.json"
    fit = ["fit", "--dev", str(files / "dev.jsonl"), *task, "--out", str(out)]
    told = CliRunner().invoke(policy, fit, catch_exceptions=False).stdout
    assert "llm" in told
    assert json.loads(out.read_text())["mode"] == "llm"
    trials = json.loads(
        CliRunner().invoke(policy, [*fit, "--json"], catch_exceptions=False).stdout
    )["trials"]
    assert trials[0]["gap"] == 0
    merged = files / "merged.jsonl"
    apply = ["apply", "--policy", str(out), str(files / "dev.jsonl"), *task, "--out", str(merged)]
    assert "40 triples" in CliRunner().invoke(policy, apply, catch_exceptions=False).stdout
    assert json.loads(merged.read_text().splitlines()[0])["triples"] == [
        {"head": "A", "tail": "B", "type": "knows", "sources": ["llm"], "rule": "llm"}
    ]


def test_recorded_runs_as_tables_and_two_files_of_one_name(files: Path) -> None:
    (files / "run.jsonl").write_text(recorded(2))
    task = ["--task", str(files / "task.yaml"), "--train", str(files / "train.jsonl")]
    command = ["score", str(files / "run.jsonl"), *task]
    told = CliRunner().invoke(recordings, command, catch_exceptions=False).stdout
    for mode in ("slm", "llm", "union", "threshold", "gate"):
        assert mode in told
    with pytest.raises(DataInvalid, match="same name"):
        CliRunner().invoke(recordings, [*command, str(files / "run.jsonl")], catch_exceptions=False)
