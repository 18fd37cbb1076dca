"""`slcolm graph` as a person and as a program use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rdflib import PROV, Graph, URIRef

from slcolm_services.cli.graph import graph
from slcolm_services.errors import DataInvalid, InvalidInput

LINE: dict[str, Any] = {
    "id": "t1",
    "text": "甲为太守，镇云泽。",
    "entities": [
        {"type": "PER", "start": 0, "end": 1, "prob": 0.99},
        {"type": "OFI", "start": 2, "end": 4, "prob": 0.98},
        {"type": "LOC", "start": 6, "end": 8, "prob": 0.9},
    ],
    "relations": [
        {"type": "任职", "head": 0, "tail": 1, "prob": 0.97},
        {"type": "驻守", "head": 0, "tail": 2, "prob": 0.61},
    ],
    "triples": [
        {
            "head": "甲",
            "tail": "太守",
            "type": "任职",
            "prob": 0.97,
            "sources": ["slm", "llm"],
            "rule": "agreed",
        },
        {
            "head": "甲",
            "tail": "云泽",
            "type": "驻守",
            "prob": 0.61,
            "sources": ["llm"],
            "rule": "llm",
        },
    ],
    "revisions": [{"kind": "add", "head": "甲", "tail": "云泽", "type": "驻守"}],
    "explanation": "“镇”表示驻守。",
    "answer": {
        "provider": "p",
        "model": "m",
        "prompt_digest": "d",
        "offline_rules": False,
        "replayed": False,
    },
}
FAILED = {
    "id": "t2",
    "text": "乙",
    "entities": [],
    "relations": [],
    "triples": [],
    "error": "too long",
}


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """A file as `slcolm run` writes it."""
    path = tmp_path / "merged.jsonl"
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in (LINE, FAILED)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def run(*args: object) -> str:
    result = CliRunner().invoke(
        graph, list(map(str, args)), catch_exceptions=False, standalone_mode=False
    )
    if result.exception:
        raise result.exception
    return result.output


def test_neo4j(merged: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"

    for _ in range(2):  # the second time in the place of the first
        said = run(merged, "--format", "neo4j", "--out", out)

    assert said == f"2 documents: 3 nodes, 2 edges -> {out}\n"
    assert (out / "nodes.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        '"PER:%E7%94%B2","甲","PER","t1","Entity\x1fPER"',
        '"OFI:%E5%A4%AA%E5%AE%88","太守","OFI","t1","Entity\x1fOFI"',
        '"LOC:%E4%BA%91%E6%B3%BD","云泽","LOC","t1","Entity\x1fLOC"',
    ]
    assert (out / "relationships.csv").read_text(encoding="utf-8").splitlines()[1] == (
        '"PER:%E7%94%B2","OFI:%E5%A4%AA%E5%AE%88","任职","t1",0.97,"slm\x1fllm","agreed",'
        '"“镇”表示驻守。","p","m",false'
    )


def test_turtle_under_a_base_of_ones_own(merged: Path, tmp_path: Path) -> None:
    out, base = tmp_path / "graph.ttl", "https://my.org/annals/"

    said = json.loads(run(merged, "--format", "turtle", "--out", out, "--base-iri", base, "--json"))

    assert said == {"out": str(out), "format": "turtle", "documents": 2, "nodes": 3, "edges": 2}
    read = Graph().parse(out)
    guiding = URIRef(base + "guiding:t1")
    assert len(set(read.subjects(PROV.wasGeneratedBy, guiding))) == 2
    assert (guiding, PROV.wasAssociatedWith, URIRef(base + "model:p:m")) in read


def test_several_files_make_one_graph(merged: Path, tmp_path: Path) -> None:
    other = tmp_path / "gold.jsonl"
    other.write_text(
        '{"id": "g1", "text": "甲", "entities": [{"type": "PER", "start": 0, "end": 1}]}\n',
        encoding="utf-8",
    )

    said = json.loads(run(merged, other, "--format", "graphml", "--out", tmp_path / "g", "--json"))

    assert (said["documents"], said["nodes"]) == (3, 3)


def test_a_document_in_two_files_is_refused(merged: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid) as caught:
        run(merged, merged, "--format", "graphml", "--out", tmp_path / "g")

    assert "'t1' stands in" in str(caught.value.violations[0])
    assert not (tmp_path / "g").exists()


def test_a_folder_with_something_else_is_left_alone(merged: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'merged\.jsonl', which would be lost"):
        run(merged, "--format", "neo4j", "--out", tmp_path)

    assert list(tmp_path.iterdir()) == [merged]


def test_an_option_that_would_do_nothing_is_refused(merged: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        graph,
        [str(merged), "--format", "graphml", "--out", str(tmp_path / "g"), "--base-iri", "urn:a:"],
    )

    assert result.exit_code == 2
    assert "--base-iri is for turtle" in result.output
