"""The commands as a user calls them, in processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import networkx as nx
import pytest
from support.annals import Data

from slcolm_services.corpus.documents import Document


def _slcolm(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slcolm_services", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SLCOLM_HOME": str(home)},
    )


def _data_options(data: Data) -> list[str | Path]:
    options: list[str | Path] = ["--task", data.task]
    for split, path in data.paths.items():
        options += [f"--{split}", path]
    return options


@pytest.fixture(scope="module")
def recordings(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of an LLM that knows everything, for all of dev and half of test."""
    path = tmp_path_factory.mktemp("recordings") / "answers.jsonl"
    test = data.documents["test"]
    with path.open("w", encoding="utf-8") as file:
        for document in [*data.documents["dev"], *test[: len(test) // 2]]:
            line = {"id": document.id, "text": document.text, "llm_raw": _perfect_answer(document)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return path


def _perfect_answer(document: Document) -> str:
    relations: dict[str, list[list[str]]] = {}
    for triple in document.triples():
        relations.setdefault(triple.type, []).append([triple.head, triple.tail])
    return "答案：" + json.dumps({"实体": {}, "关系": relations}, ensure_ascii=False)


def test_a_replayed_run_ends_with_files_and_one_json_document(
    data: Data, recordings: Path, tmp_path: Path
) -> None:
    """An LLM that is always right wins on dev; texts without an answer keep the SLM's triples."""
    out = tmp_path / "out"
    result = _slcolm(
        *("run", *_data_options(data), "--guide", "replay", "--recordings", recordings),
        *("--epochs", "2", "--out", out, "--json"),
        home=tmp_path / "home",
    )

    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report == json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["policy"]["mode"] == "llm"
    assert report["policy"]["entity_filter"] == "text"
    assert report["answers"]["test"]["usable"] == len(data.documents["test"]) // 2
    assert report["merged"]["strict"]["micro"]["f"] > report["slm"]["strict"]["micro"]["f"]
    assert len((out / "merged.jsonl").read_text(encoding="utf-8").splitlines()) == len(
        data.documents["test"]
    )
    assert {stage["name"] for stage in report["stages"]} >= {"train", "guide", "report"}
    _predict_and_score(data, out, tmp_path)
    _draw_graph(out, tmp_path)


def _draw_graph(out: Path, tmp_path: Path) -> None:
    """What a run leaves is a graph: each triple an edge, between mentions that have a type."""
    merged, graph = out / "merged.jsonl", tmp_path / "graph.graphml"
    result = _slcolm(
        *("graph", merged, "--format", "graphml", "--out", graph, "--json"), home=tmp_path / "home"
    )
    assert result.returncode == 0, result.stderr
    drawn = nx.read_graphml(graph, force_multigraph=True)
    assert json.loads(result.stdout)["edges"] == drawn.number_of_edges()
    assert all(drawn.nodes[name]["type"] for name in drawn)
    edges = {
        (edge["document"], drawn.nodes[head]["text"], edge["type"], drawn.nodes[tail]["text"])
        for head, tail, edge in drawn.edges(data=True)
    }
    lines = map(json.loads, merged.read_text(encoding="utf-8").splitlines())
    triples = {
        (line["id"], triple["head"], triple["type"], triple["tail"])
        for line in lines
        for triple in line["triples"]
    }
    assert edges == triples
    assert triples


def _predict_and_score(data: Data, out: Path, tmp_path: Path) -> None:
    """The model that a run leaves is used by `predict`, and `score` reads what it writes."""
    predictions = tmp_path / "predictions.jsonl"
    test = data.paths["test"]
    result = _slcolm(
        *("predict", "--model", out / "model", "--input", test, "--output", predictions),
        home=tmp_path / "home",
    )
    assert result.returncode == 0, result.stderr
    scored = [
        _slcolm(
            *("score", "--gold", test, "--pred", predicted, "--task", data.task),
            *("--train", data.paths["train"], "--protocol", protocol, "--json"),
            home=tmp_path / "home",
        )
        for predicted, protocol in (
            (predictions, "strict"),
            (predictions, "span"),
            (out / "merged.jsonl", "strict"),
        )
    ]
    assert [result.returncode for result in scored] == [0, 0, 0], scored
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for result, system in ((scored[0], "slm"), (scored[2], "merged")):
        micro = json.loads(result.stdout)["micro"]
        assert micro["f"] == pytest.approx(report[system]["strict"]["micro"]["f"])


@pytest.mark.parametrize(
    ("lines", "places"),
    [
        (['{"id": "a", "text": "broken'], ["line 1"]),
        (
            ['{"id": "a", "text": "甲", "entities": [{"type": "PER", "start": 0, "end": 9}]}'],
            ["line 1", "entities[0].end"],
        ),
        (
            ['{"id": "a", "text": "甲", "entities": [{"type": "X", "start": 0, "end": 1}]}'],
            ["line 1", "entities[0].type"],
        ),
        ([], ["no document"]),
    ],
)
def test_bad_data_stops_a_run_before_anything_is_written(
    data: Data, tmp_path: Path, lines: Sequence[str], places: Sequence[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    options = [bad if option == data.paths["dev"] else option for option in _data_options(data)]

    result = _slcolm("run", *options, "--out", tmp_path / "out", home=tmp_path / "home")

    assert result.returncode == 1
    assert str(bad) in result.stderr
    assert all(place in result.stderr for place in places)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "home").exists()


def test_a_coordinator_that_is_down_is_named(tmp_path: Path) -> None:
    result = _slcolm("runs", "list", "--coordinator", "127.0.0.1:1", "--json", home=tmp_path)

    assert result.returncode == 1
    assert "cannot be reached" in result.stderr
    assert json.loads(result.stdout)["error"]["code"] == "UNAVAILABLE"


def test_a_port_in_use_is_one_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = _slcolm("up", "--port", str(port), home=tmp_path)

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in line
