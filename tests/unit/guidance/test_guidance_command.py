"""`slcolm guide` and `slcolm guidance` on files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from slcolm_services.cli.guidance import guidance
from slcolm_services.cli.guide import guide
from slcolm_services.cli.guided_json import as_line
from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.recordings import RecordedEntity, read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.errors import (
    AnswerNotRecorded,
    ConfigInvalid,
    DataInvalid,
    InvalidInput,
    NotFound,
)

FATHER = '{"真实的关系":[{"类型":"父","主体":"甲","客体":"乙"}]}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLCOLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def task(tmp_path: Path, schema: TaskSchema) -> str:
    write_schema(tmp_path / "task.yaml", schema)
    return str(tmp_path / "task.yaml")


@pytest.fixture
def predictions(tmp_path: Path) -> str:
    office = (Entity("PER", 0, 1, 0.9), Entity("OFI", 2, 4, 0.9))
    people = (Entity("PER", 0, 1, 0.9), Entity("PER", 2, 3, 0.9))
    documents = [
        Document("s1", "甲为某官。", office, (Relation("任职", 0, 1, 0.9),)),
        Document("s2", "甲子乙，从之。", people, (Relation("攻伐", 0, 1, 0.3),)),
    ]
    write_documents(tmp_path / "predictions.jsonl", documents)
    return str(tmp_path / "predictions.jsonl")


@pytest.fixture
def train(tmp_path: Path) -> str:
    people = (Entity("PER", 0, 1), Entity("PER", 2, 3))
    documents = [
        Document(f"d{number}", f"{head}子{tail}，{more}。", people, (Relation("父", 0, 1),))
        for number, (head, tail, more) in enumerate(zip("丙戊庚", "丁己辛", "从之", strict=False))
    ]
    write_documents(tmp_path / "train.jsonl", documents)
    return str(tmp_path / "train.jsonl")


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """Two answers to the second text, none to the first."""
    lines = [{"id": "s2", "text": "甲子乙，从之。", "llm_raw": raw} for raw in (FATHER, "无")]
    file = tmp_path / "recording.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(file)


def run(*arguments: str) -> Result:
    # The command line sends what is logged to stderr.
    with capture_logs():
        return CliRunner().invoke(guide, arguments, catch_exceptions=False)


def as_json(*arguments: str) -> dict[str, Any]:
    value = json.loads(run(*arguments, "--json").stdout)
    assert isinstance(value, dict)
    return value


def test_parse_reads_every_line_of_a_recording(tmp_path: Path, task: str) -> None:
    answers: tuple[object, ...] = (
        "```json\n{'任职':[['甲','某官']],'师生':[['甲','乙']]}\n```",
        {"任职": []},
    )
    lines = [{"id": "s1", "occurrence": 1, "text": "甲为某官。", "llm_raw": raw} for raw in answers]
    file = tmp_path / "recording.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    arguments = ["parse", str(file), "--task", task]
    result = CliRunner().invoke(guidance, [*arguments, "--json"], catch_exceptions=False)
    first, second = json.loads(result.stdout)["items"]
    assert (first["id"], first["occurrence"]) == ("s1", 1)
    assert first["triples"] == [{"head": "甲", "tail": "某官", "type": "任职"}]
    assert first["dropped"] == {"unknown_type": 1}
    assert first["repairs"] == {"code_fence": 1, "python_literal": 1}
    assert second["triples"] == []
    table = CliRunner().invoke(guidance, arguments, catch_exceptions=False)
    assert "unknown type: 师生" in table.stdout


def test_parse_refuses_a_file_without_recordings(tmp_path: Path, task: str) -> None:
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    arguments = ["parse", str(tmp_path / "empty.jsonl"), "--task", task]
    with pytest.raises(DataInvalid, match="holds no recording"):
        CliRunner().invoke(guidance, arguments, catch_exceptions=False)


def test_parse_counts_texts_without_an_answer_apart(tmp_path: Path, task: str) -> None:
    lines = [{"id": "s", "text": "甲为某官。", "llm_raw": raw} for raw in (None, "{}")]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    arguments = ["parse", str(tmp_path / "r.jsonl"), "--task", task]
    told = CliRunner().invoke(guidance, arguments, catch_exceptions=False).stdout.split()
    assert told[told.index("answers") + 1] == told[told.index("answer") + 1] == "1"


def test_answers_are_written_a_line_each_with_their_places(
    tmp_path: Path, task: str, predictions: str, train: str
) -> None:
    out = tmp_path / "answers.jsonl"
    result = run(*(predictions, "--task", task, "--demonstrations", train), *("--out", str(out)))
    assert "no language model was asked" in result.stdout
    first, second = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert (first["id"], first["occurrence"], first["offline_rules"]) == ("s1", 0, True)
    assert first["triples"] == [{"head": "甲", "tail": "某官", "type": "任职"}]
    assert first["entities"][1] == {"type": "OFI", "start": 2, "end": 4}
    assert first["relations"] == [{"type": "任职", "head": 0, "tail": 1}]
    assert [revision["kind"] for revision in first["revisions"]] == ["kept"]
    assert "0.30" in second["explanation"]
    assert [revision["kind"] for revision in second["revisions"]] == ["dropped"]


def test_samples_and_failures_have_lines_of_their_own(
    task: str, predictions: str, recording: str
) -> None:
    replay = (predictions, "--task", task, "--guide", "replay", "--recordings", recording)
    result = run(*replay, "--samples", "2", "--json")
    assert result.exit_code == 1
    items = json.loads(result.stdout)["items"]
    assert [(item["id"], item["occurrence"]) for item in items] == [
        ("s1", 0),
        ("s2", 0),
        ("s1", 1),
        ("s2", 1),
    ]
    assert items[0]["error"]["reason"] == "ANSWER_NOT_RECORDED"
    assert [item["llm_raw"] for item in items] == [None, FATHER, None, "无"]
    assert items[1]["revisions"] == [
        {"kind": "relabelled", "head": "甲", "tail": "乙", "type": "父", "previous_type": "攻伐"}
    ]
    assert not items[3]["usable"]


def test_answers_are_written_where_others_are_missing_and_the_status_says_so(
    tmp_path: Path, task: str, predictions: str, recording: str
) -> None:
    out = tmp_path / "answers.jsonl"
    replay = ("--guide", "replay", "--recordings", recording)
    result = run(predictions, "--task", task, *replay, "--out", str(out))
    assert result.exit_code == 1
    assert "1 answer (" in result.stdout
    assert "without an answer: 1 of 2" in result.stderr
    assert "s1: there is no recorded answer" in result.stderr
    assert [line.llm_raw for line in read_recordings(out)] == [None, FATHER]
    again = run(
        *(predictions, "--task", task, "--guide", "replay", "--recordings", str(out), "--json")
    )
    items = json.loads(again.stdout)["items"]
    assert [item["llm_raw"] for item in items] == [None, FATHER]


def test_a_line_is_a_recording_with_what_the_small_model_found_and_what_is_true(
    tmp_path: Path, task: str, predictions: str, recording: str
) -> None:
    gold = tmp_path / "gold.jsonl"
    people = (Entity("PER", 0, 1), Entity("PER", 2, 3))
    texts = {document.id: document for document in read_documents(predictions)}
    true = [
        Document("s2", texts["s2"].text, people, (Relation("父", 0, 1),)),
        Document("s1", texts["s1"].text),
    ]
    write_documents(gold, true)
    out = tmp_path / "answers.jsonl"
    replay = ("--guide", "replay", "--recordings", recording)
    run(predictions, "--task", task, *replay, "--gold", str(gold), "--out", str(out))
    first, second = read_recordings(out)
    assert (first.gold_triples, second.gold_triples) == ((), (Triple("甲", "乙", "父"),))
    assert second.gold_entities == (RecordedEntity("甲", "PER"), RecordedEntity("乙", "PER"))
    assert second.slm_entities == (
        RecordedEntity("甲", "PER", 0.9),
        RecordedEntity("乙", "PER", 0.9),
    )
    assert second.slm_triples == (Triple("甲", "乙", "攻伐"),)
    assert second.slm_triples[0].prob == 0.3


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example("\ud83d half a pair\u2028")
def test_an_answer_is_recorded_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, raw: str
) -> None:
    path = tmp_path_factory.mktemp("answers") / "a.jsonl"
    line = as_line({"id": "1", "text": "甲", "llm_raw": raw})
    path.write_text(line, encoding="utf-8", newline="\n")
    assert [found.llm_raw for found in read_recordings(path)] == [raw]


@pytest.mark.parametrize("change", ["another text", "no line"])
def test_gold_must_tell_of_every_text(
    tmp_path: Path, task: str, predictions: str, change: str
) -> None:
    gold = tmp_path / "gold.jsonl"
    first, second = (document.without_annotations() for document in read_documents(predictions))
    others = [Document("s2", "别的。")] if change == "another text" else []
    write_documents(gold, [first, *others])
    out = tmp_path / "answers.jsonl"
    with pytest.raises(DataInvalid, match=r"what is true of 1 text$") as caught:
        run(predictions, "--task", task, "--gold", str(gold), "--out", str(out))
    assert [violation.field for violation in caught.value.violations] == [f"--gold {second.id}"]
    assert not out.exists()


@pytest.mark.parametrize("name", ["folder", "file/answers.jsonl"])
def test_where_nothing_can_be_written_nobody_is_asked(
    tmp_path: Path, task: str, predictions: str, home: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    config = ("--guide", "openai", "--llm-model", "m", "--llm-base-url", "http://127.0.0.1:1/v1")
    with pytest.raises(InvalidInput, match="cannot be written"):
        run(predictions, "--task", task, "--out", str(tmp_path / name), *config)
    assert not home.exists()


def test_a_file_without_any_answer_is_an_error(tmp_path: Path, task: str, recording: str) -> None:
    write_documents(tmp_path / "other.jsonl", [Document("x", "丙守某地。")])
    other = str(tmp_path / "other.jsonl")
    out = tmp_path / "answers.jsonl"
    with pytest.raises(AnswerNotRecorded):
        run(
            *(other, "--task", task, "--out", str(out)),
            *("--guide", "replay", "--recordings", recording),
        )
    assert not out.exists()


def test_a_dry_run_tells_tokens_cost_and_what_is_shown(
    task: str, predictions: str, train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    arguments = (
        *(predictions, "--task", task, "--demonstrations", train, "--shots", "1", "--dry-run"),
        *("--guide", "openai", "--llm-model", "tiny", "--prompt-price", "10"),
        *("--completion-price", "20", "--currency", "EUR", "--show", "s2"),
    )
    report = as_json(*arguments)
    tokens = report["prompt_tokens"]
    assert (report["prompts"], report["answered"]) == (2, 0)
    assert tokens["min"] <= tokens["median"] <= tokens["max"] < tokens["total"]
    assert report["max_answer_tokens"] == 2 * 2_048
    cost = (tokens["total"] * 10 + report["max_answer_tokens"] * 20) / 1e6
    assert report["max_cost"] == pytest.approx(cost)
    system, user = report["messages"]
    assert "候选类型" in system["content"]
    assert '句子："甲子乙，从之。"' in user["content"]
    assert "丙子丁" in user["content"]
    assert "戊子己" not in user["content"]
    table = run(*arguments).stdout
    assert '句子："甲子乙，从之。"' in table
    assert "cost at most" in table


def test_a_model_of_a_file_has_its_own_prices(tmp_path: Path, task: str, predictions: str) -> None:
    config = tmp_path / "slcolm.toml"
    config.write_text(
        """
[guidance]
currency = "CNY"
[[guidance.models]]
name = "hosted"
model = "large"
prompt_price = 10.0
endpoints = [{base_url = "http://localhost:1/v1", api_key_env = ""}]
""",
        encoding="utf-8",
    )
    arguments = (predictions, "--task", task, "--dry-run", "--config", str(config))
    report = as_json(*arguments, "--guide", "hosted")
    assert (report["provider"], report["model"], report["currency"]) == ("hosted", "large", "CNY")
    assert report["max_cost"] == pytest.approx(report["prompt_tokens"]["total"] * 10 / 1e6)
    with pytest.raises(ConfigInvalid, match="known are offline, replay, openai, hosted"):
        run(*arguments, "--guide", "other")


def test_parts_of_the_prompt_can_be_left_out(task: str, predictions: str, train: str) -> None:
    arguments = (predictions, "--task", task, "--demonstrations", train, "--dry-run")
    full = as_json(*arguments)["prompt_tokens"]["total"]
    for part in ("definitions", "demonstrations", "prediction"):
        assert as_json(*arguments, "--omit", part)["prompt_tokens"]["total"] < full


def test_wrong_usage_is_named(task: str, predictions: str) -> None:
    with pytest.raises(InvalidInput, match="--out"):
        run(predictions, "--task", task)
    with pytest.raises(InvalidInput, match="--dry-run"):
        run(predictions, "--task", task, "--show", "s1", "--json")
    with pytest.raises(NotFound):
        run(predictions, "--task", task, "--dry-run", "--show", "s9")
    with pytest.raises(ConfigInvalid, match="--llm-model"):
        run(predictions, "--task", task, "--dry-run", "--guide", "openai")
