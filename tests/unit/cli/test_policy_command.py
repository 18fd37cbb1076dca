"""`slcolm policy` as a person and as a program use it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slcolm_services.cli.policy import policy
from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.errors import DataInvalid, InvalidInput

SCHEMA = TaskSchema(
    "t", "en", (EntityType("PER", "PER"),), (RelationType("knows"), RelationType("likes"))
)
ENTITIES = (Entity("PER", 0, 1), Entity("PER", 2, 3))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_schema(tmp_path / "task.yaml", SCHEMA)
    train = [Document(str(i), "A B", ENTITIES, (Relation("knows", 0, 1),)) for i in range(25)]
    write_documents(tmp_path / "train.jsonl", train)
    for seed, name in enumerate(("first", "second")):
        (tmp_path / f"{name}.jsonl").write_text(recorded(80, seed=seed))
    return tmp_path


def recorded(count: int, *, seed: int, gold: bool = True) -> str:
    """An SLM that knows `knows`, and an LLM that is right about `likes` most of the time."""
    draw = random.Random(seed)
    lines = []
    for index in range(count):
        likes = ["A", "B", "likes"] if draw.random() < 0.8 else ["B", "A", "likes"]
        line = {
            "id": str(index),
            "text": "A B",
            "slm_entities": [{"text": name, "type": "PER", "prob": 0.9} for name in "AB"],
            "slm_triples": [
                {"head": "A", "tail": "B", "type": "knows", "prob": 0.5 + (index % 5) / 10},
                {"head": "B", "tail": "A", "type": "knows", "prob": 0.5},
            ],
            "llm_raw": "",
            "strict_llm_triples": [likes],
        }
        if gold:
            line["gold_triples"] = [
                {"head": "A", "tail": "B", "type": kind} for kind in ("knows", "likes")
            ]
        lines.append(json.dumps(line))
    return "\n".join(lines)


def run(files: Path, command: str, *arguments: object, train: bool = True) -> str:
    task = ["--task", str(files / "task.yaml")]
    if train:
        task += ["--train", str(files / "train.jsonl")]
    texts = [str(argument) for argument in arguments]
    result = CliRunner().invoke(policy, [command, *texts, *task], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def parsed(text: str) -> Any:
    return json.loads(text)


def fitted(files: Path, *more: object) -> Any:
    out = files / "policy.json"
    run(files, "fit", "--dev", files / "first.jsonl", "--out", out, *more)
    return parsed(out.read_text())


def test_a_policy_file_holds_its_figures_and_its_task(files: Path) -> None:
    content = fitted(files)
    assert content["task"] == "t"
    assert content["calibration"]["method"] in {"none", "temperature", "isotonic"}
    fit = content["fit"]
    assert (fit["sentences"], fit["answered"], fit["sources"]) == (80, 80, ["llm"])
    assert fit["chosen"]["mode"] == content["mode"]
    assert fit["chosen"]["objective"] >= fit["runners_up"][-1]["objective"] - 0.05
    assert {"slm", "llm"} <= {best["mode"] for best in fit["best_of_mode"]}


def test_several_files_over_the_same_sentences_are_several_llms(files: Path) -> None:
    both = ["--dev", files / "second.jsonl"]
    assert fitted(files, *both)["fit"]["sources"] == ["llm-1", "llm-2"]
    out = files / "p.json"
    told = run(files, "fit", "--dev", files / "first.jsonl", *both, "--out", out)
    assert "2 LLMs over the same sentences; 80 sentences" in told


def test_both_filters_may_be_chosen_from(files: Path) -> None:
    filters = ["--entity-filter", "slm", "--entity-filter", "text"]
    content = parsed(
        run(files, "fit", "--dev", files / "first.jsonl", *filters, "--out", files / "p", "--json")
    )
    assert {trial["entity_filter"] for trial in content["trials"]} == {"slm", "text"}
    assert content["policy"]["entity_filter"] == "slm"


def test_applying_scores_beside_every_mode_where_gold_is_known(files: Path) -> None:
    fitted(files, "--mode", "learned")
    apply = ["--policy", files / "policy.json", files / "second.jsonl", "--out", files / "m.jsonl"]
    told = run(files, "apply", *apply, train=False)
    for word in ("merged", "slm", "llm", "union", "gate", "merged - this"):
        assert word in told
    systems = parsed(run(files, "apply", *apply, "--json", train=False))["systems"]
    assert systems["merged"]["micro"]["f"] > systems["slm"]["micro"]["f"]
    assert systems["slm"]["merged_minus_this"]["micro_f1"]["low"] > 0
    triples = [t for line in (files / "m.jsonl").read_text().splitlines() for t in _triples(line)]
    assert all(0 <= triple["prob"] <= 1 for triple in triples)
    assert {tuple(triple["sources"]) for triple in triples} == {("slm",), ("llm",)}
    assert {"slm_prob" in t for t in triples if t["sources"] == ["slm"]} == {True}


def _triples(line: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(line)["triples"]
    return found


def test_applying_without_gold_merges_and_scores_nothing(files: Path) -> None:
    fitted(files)
    (files / "bare.jsonl").write_text(recorded(3, seed=5, gold=False))
    apply = ["--policy", files / "policy.json", files / "bare.jsonl", "--out", files / "m.jsonl"]
    assert parsed(run(files, "apply", *apply, "--json"))["systems"] == {}


@pytest.mark.parametrize("command", ["fit", "apply", "crossvalidate"])
def test_gold_that_some_lines_lack_is_named_by_line(files: Path, command: str) -> None:
    """Missing gold is not empty gold: what the LLM says there would count as wrong."""
    fitted(files)
    lines = [json.loads(line) for line in recorded(40, seed=0).splitlines()]
    del lines[6]["gold_triples"]
    lines[5]["gold_triples"] = []
    mixed = files / "mixed.jsonl"
    mixed.write_text("\n\n" + "\n".join(map(json.dumps, lines)))
    arguments: dict[str, list[object]] = {
        "fit": ["--dev", mixed, "--out", files / "p.json"],
        "apply": [mixed, "--policy", files / "policy.json", "--out", files / "m.jsonl"],
        "crossvalidate": [mixed],
    }
    with pytest.raises(DataInvalid, match="39 of 40") as caught:
        run(files, command, *arguments[command])
    (violation,) = caught.value.violations
    assert violation.field == f"{mixed}: line 9: gold_triples"


def test_parts_of_which_one_lacks_gold_are_refused(files: Path) -> None:
    fitted(files)
    (files / "bare.jsonl").write_text(
        recorded(3, seed=5, gold=False).replace('"id": "', '"id": "x')
    )
    apply = ["--policy", files / "policy.json", files / "first.jsonl", files / "bare.jsonl"]
    with pytest.raises(DataInvalid, match="80 of 83"):
        run(files, "apply", *apply, "--out", files / "m.jsonl")


def test_a_policy_of_another_task_is_refused(files: Path) -> None:
    fitted(files)
    other = TaskSchema("other", "en", SCHEMA.entity_types, SCHEMA.relation_types)
    write_schema(files / "task.yaml", other)
    with pytest.raises(InvalidInput, match="not for task 'other'"):
        run(files, "apply", "--policy", files / "policy.json", files / "first.jsonl", "--out", "m")


def test_cross_validation_says_what_each_fold_chose_and_scores_all(files: Path) -> None:
    told = run(files, "crossvalidate", files / "first.jsonl", "--folds", 3)
    assert "Policy of each fold" in told
    content = parsed(run(files, "crossvalidate", files / "first.jsonl", "--folds", 3, "--json"))
    assert len(content["policies"]) == 3
    assert content["systems"]["merged"]["sentences"] == 80
    difference = content["systems"]["llm"]["merged_minus_this"]["micro_f1"]
    assert difference["low"] <= difference["value"] <= difference["high"]


def raw_only(count: int, said: str) -> str:
    """Recordings with the answer's text, as a ledger exports them, and gold beside it."""
    lines = [json.loads(line) for line in recorded(count, seed=0).splitlines()]
    for line in lines:
        del line["strict_llm_triples"]
        line["llm_raw"] = said
    return "\n".join(map(json.dumps, lines))


def test_answers_recorded_as_text_alone_are_read(files: Path) -> None:
    answer = {"relations": [{"type": "likes", "head": "A", "tail": "B"}]}
    (files / "raw.jsonl").write_text(raw_only(80, json.dumps(answer)))
    out = files / "policy.json"
    told = parsed(run(files, "fit", "--dev", files / "raw.jsonl", "--out", out, "--json"))
    assert told["policy"]["fit"]["answered"] == 80
    apply = ["--policy", out, files / "raw.jsonl", "--out", files / "m.jsonl", "--json"]
    systems = parsed(run(files, "apply", *apply))["systems"]
    assert systems["llm"]["per_relation"]["likes"]["counts"] == [80, 80, 80]


def test_an_answer_that_cannot_be_read_is_none(files: Path) -> None:
    (files / "raw.jsonl").write_text(raw_only(80, "I am sorry."))
    out = files / "policy.json"
    told = parsed(run(files, "fit", "--dev", files / "raw.jsonl", "--out", out, "--json"))
    assert told["policy"]["provenance"] == "default: no LLM answers on dev to choose by"


@pytest.mark.parametrize(
    ("content", "problem"), [("\n", "holds no recording"), (None, "nothing to compare with")]
)
def test_recordings_that_nothing_can_be_fitted_on_are_refused(
    files: Path, content: str | None, problem: str
) -> None:
    (files / "dev.jsonl").write_text(content or recorded(40, seed=0, gold=False))
    for command in (["fit", "--out", files / "p.json", "--dev"], ["crossvalidate"]):
        with pytest.raises(DataInvalid, match=problem):
            run(files, *command, files / "dev.jsonl")
    assert not (files / "p.json").exists()
