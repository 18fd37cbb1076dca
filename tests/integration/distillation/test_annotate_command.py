"""`slcolm annotate`, as a person runs it, against a real endpoint that answers well and badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.chat_server import Behaviour, ChatServer, chat_server, completion, refuse, reply

from slcolm_services.cli.annotate import annotate
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.errors import AnswerNotRecorded, InvalidInput

TASK = """
name: news
language: en
entity_types:
  - {name: PER, label: person, definition: people}
  - {name: ORG, label: organisation, definition: organisations}
relation_types:
  - {name: works for, head: [PER], tail: [ORG], definition: someone works for}
"""
TEXTS = {
    "plain": "Ann Lee left the EU for Acme Corp .",
    "cased": "ann lee left ACME , said Ann Lee .",
    "twice": "Acme sued Acme Bank and Acme again .",
    "lost": "Nothing is named here .",
}
ANSWERS: dict[str, Any] = {
    "plain": {
        "entities": {
            "person": ["Ann Lee", "Bob"],
            "organisation": ["EU", "Acme Corp", {"pieces": ["EU", "Corp"]}],
        },
        "relations": [{"type": "works for", "head": "Ann Lee", "tail": "Acme Corp"}],
    },
    "cased": {"entities": {"organisation": ["Acme"]}, "relations": []},
    "twice": {"entities": {"organisation": ["Acme", "Acme Bank"]}, "relations": []},
    "lost": "I would rather not say.",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SLCOLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        running.usual = answering(lambda name, _: ANSWERS[name])
        yield running


def answering(answer: Callable[[str, str], Any]) -> Callable[[dict[str, Any]], Behaviour]:
    """Behaviour that answers by the name of the text and the whole prompt."""

    def usual(body: dict[str, Any]) -> Behaviour:
        prompt = "\n".join(message["content"] for message in body["messages"])
        name = next((name for name, text in TEXTS.items() if text in prompt), "lost")
        said = answer(name, prompt)
        if not isinstance(said, dict | str):
            return refuse("no", status=400)
        text = said if isinstance(said, str) else json.dumps(said)
        return reply(200, completion(text))

    return usual


def report_of(result: Result) -> dict[str, Any]:
    """What was printed, amid what was logged: here nobody has configured logging."""
    printed = result.stdout[result.stdout.index("{\n") :]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(printed)[0]
    return found


class Case:
    """A task, texts, and where the annotations go."""

    def __init__(self, folder: Path) -> None:
        self.task = folder / "task.yaml"
        self.task.write_text(TASK, encoding="utf-8")
        self.raw = folder / "raw.jsonl"
        self.out = folder / "annotated.jsonl"
        lines = (json.dumps({"id": name, "text": text}) for name, text in TEXTS.items())
        self.raw.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, *arguments: str) -> Result:
        paths = ["--task", str(self.task), "--input", str(self.raw), "--out", str(self.out)]
        return CliRunner().invoke(annotate, [*paths, *arguments, "--json"])

    def ask(self, server: ChatServer, *arguments: str) -> tuple[int, dict[str, Any]]:
        result = self.run(
            *("--guide", "openai", "--llm-model", "tiny", "--llm-base-url", server.url),
            *arguments,
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.exit_code, report_of(result)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def entities(path: Path, name: str) -> dict[str, str]:
    (document,) = (one for one in read_documents(path) if one.id == name)
    return {
        f"{entity.type} {document.mention(index)} {entity.start}": entity.tier
        for index, entity in enumerate(document.entities)
    }


def test_mentions_are_found_repaired_where_that_is_certain_and_else_counted(
    case: Case, server: ChatServer
) -> None:
    status, report = case.ask(server)
    assert status == 1
    assert report["failures"] == {"lost": "DATA_INVALID"}
    assert entities(case.out, "plain") == {
        "PER Ann Lee 0": "B",
        "ORG EU 17": "B",
        "ORG Acme Corp 24": "B",
    }
    # One wording of the text can be meant by "Acme", and it is written otherwise.
    assert entities(case.out, "cased") == {"ORG ACME 13": "C"}
    # Every place, but those inside a longer name.
    assert entities(case.out, "twice") == {
        "ORG Acme 0": "B",
        "ORG Acme Bank 10": "B",
        "ORG Acme 24": "B",
    }
    assert report["dropped"]["not_in_text"] == report["dropped"]["discontinuous"] == 1
    assert report["repairs"]["case_variant"] == 1
    assert report["unusable_answers"] == 1
    (plain,) = (one for one in read_documents(case.out) if one.id == "plain")
    assert [(one.type, one.tier) for one in plain.relations] == [("works for", "B")]


def test_every_line_says_where_it_comes_from(case: Case, server: ChatServer) -> None:
    case.ask(server)
    line = json.loads(case.out.read_text(encoding="utf-8").splitlines()[0])
    origin = line["origin"]
    assert (origin["provider"], origin["model"], origin["offline_rules"]) == (
        *("openai", "tiny-2026"),
        False,
    )
    assert [prompt["style"] for prompt in origin["prompts"]] == ["standard"]
    assert len(origin["prompts"][0]["digest"]) == 64


def test_two_prompts_that_agree_bear_each_other_out(case: Case, server: ChatServer) -> None:
    fewer = {"entities": {"person": ["Ann Lee"]}, "relations": []}

    def say(name: str, prompt: str) -> Any:
        in_steps = "step" in prompt.lower()
        return fewer if name == "plain" and in_steps else ANSWERS[name]

    server.usual = answering(say)
    _, report = case.ask(server, "--prompt", "standard", "--prompt", "cot")
    # Half of the answers is no majority.
    assert entities(case.out, "plain") == {"PER Ann Lee 0": "A"}
    assert entities(case.out, "twice")["ORG Acme Bank 10"] == "A"
    assert report["dropped"]["minority"] == 2
    assert report["paid_calls"] == 8


def test_the_same_command_again_pays_for_nothing(case: Case, server: ChatServer) -> None:
    _, first = case.ask(server)
    written = case.out.read_bytes()
    _, second = case.ask(server)
    assert (first["paid_calls"], second["paid_calls"]) == (4, 0)
    assert len(server.bodies) == 4
    assert case.out.read_bytes() == written


def test_a_text_that_fails_costs_itself_and_a_budget_is_kept(
    case: Case, server: ChatServer
) -> None:
    server.usual = answering(lambda name, _: None if name == "twice" else ANSWERS[name])
    status, report = case.ask(server)
    assert status == 1
    assert set(report["failures"]) == {"lost", "twice"}
    assert [document.id for document in read_documents(case.out)] == ["plain", "cased"]
    case.out.unlink()
    server.usual = answering(lambda name, _: ANSWERS[name])
    status, report = case.ask(server, "--prompt", "cot", "--max-calls", "1")
    assert report["paid_calls"] == 1
    assert set(report["failures"].values()) <= {"BUDGET_EXHAUSTED", "DATA_INVALID"}


def test_the_most_similar_examples_are_shown(
    case: Case, server: ChatServer, tmp_path: Path
) -> None:
    solved = tmp_path / "solved.jsonl"
    texts = ["Acme Bank sued Beta Bank .", "Rain fell on the plain ."]
    lines = (json.dumps({"id": f"s{n}", "text": text}) for n, text in enumerate(texts))
    solved.write_text("\n".join(lines) + "\n", encoding="utf-8")
    case.ask(server, "--demos", "1", "--demonstrations", str(solved))
    (about_twice,) = (
        json.dumps(body) for body in server.bodies if TEXTS["twice"] in json.dumps(body)
    )
    assert texts[0] in about_twice
    assert texts[1] not in about_twice
    assert isinstance(case.run("--demos", "2").exception, InvalidInput)


def test_recorded_answers_to_tokens_are_replayed(case: Case, tmp_path: Path) -> None:
    recording = tmp_path / "recorded.jsonl"
    line = {
        "id": "plain",
        "tokens": TEXTS["plain"].split(),
        "llm_raw": json.dumps(ANSWERS["plain"]),
    }
    recording.write_text(json.dumps(line) + "\n", encoding="utf-8")
    result = case.run("--guide", "replay", "--recordings", str(recording), "--entities-only")
    report = report_of(result)
    assert result.exit_code == 1
    assert set(report["failures"].values()) == {AnswerNotRecorded.reason}
    assert (report["entities"], report["relations"]) == (3, 0)


def test_the_stand_in_says_so(case: Case) -> None:
    report = report_of(case.run())
    assert report["offline_rules"]


def test_nothing_is_written_where_nothing_could_be_read(case: Case, server: ChatServer) -> None:
    server.usual = answering(lambda name, _: "I would rather not say.")
    result = case.run(*("--guide", "openai", "--llm-model", "tiny", "--llm-base-url", server.url))
    assert result.exception is not None
    assert not case.out.exists()


def test_a_dry_run_tells_what_would_be_sent_and_asks_nobody(case: Case, server: ChatServer) -> None:
    asked = (
        *("--guide", "openai", "--llm-model", "tiny", "--llm-base-url", server.url),
        *("--prompt", "standard", "--prompt", "cot"),
        *("--prompt-price", "1", "--completion-price", "2", "--currency", "USD"),
    )
    dry = case.run(*asked, "--dry-run", "--show", "plain")
    told = report_of(dry)

    assert dry.exit_code == 0
    assert server.bodies == []
    assert not case.out.exists()
    assert (told["texts"], told["prompts"], told["answered"]) == (4, 8, 0)
    tokens = told["prompt_tokens"]
    assert tokens["to_send"] == tokens["total"] > 0
    assert told["max_cost"] == pytest.approx(
        (tokens["total"] + 2 * told["max_answer_tokens"]) / 1e6
    )

    case.run(*asked)
    # What was told is what was sent, and the ledger has the answers now.
    assert told["messages"] in [body["messages"] for body in server.bodies]
    assert len(server.bodies) == told["prompts"]
    again = report_of(case.run(*asked, "--dry-run"))
    assert (again["answered"], again["max_cost"]) == (8, 0)
    assert len(server.bodies) == told["prompts"]


def test_where_annotations_go_is_asked_for_but_not_by_a_dry_run(case: Case) -> None:
    paths = ["--task", str(case.task), "--input", str(case.raw)]
    assert CliRunner().invoke(annotate, paths).exit_code == 2
    assert CliRunner().invoke(annotate, [*paths, "--show", "plain"]).exit_code == 2
    told = CliRunner().invoke(annotate, [*paths, "--dry-run"])
    assert told.exit_code == 0
    assert "4 texts, 4 prompts for offline" in told.stdout
    assert "cost at most 0.00" in told.stdout
