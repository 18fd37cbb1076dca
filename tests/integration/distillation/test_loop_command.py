"""`slcolm distil loop`, `choose` and `agreement` on the sample, one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.annals import Data, small_data
from support.trained import trained_once

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.model.folder import CARD_FILE

SHORT = ("--encoder", "random", "--epochs", "2")


def slcolm(*arguments: str, home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "slcolm_services", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "SLCOLM_HOME": str(home), "NO_PROXY": "*"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def recorded(documents: list[Document], path: Path) -> None:
    """Answers of an LLM that knows everything."""
    lines = []
    for document in documents:
        relations: dict[str, list[list[str]]] = {}
        for triple in document.triples():
            relations.setdefault(triple.type, []).append([triple.head, triple.tail])
        answer = json.dumps({"真实的实体": {}, "真实的关系": relations}, ensure_ascii=False)
        line = {"id": document.id, "text": document.text, "llm_raw": answer}
        lines.append(json.dumps(line, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def files(data: Data) -> list[str]:
    return [
        *("--task", str(data.task), "--train", str(data.paths["train"])),
        *("--dev", str(data.paths["dev"])),
    ]


@pytest.fixture(scope="module")
def old(data: Data, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    return trained_once(tmp_path_factory, worker_id, data).model


@pytest.mark.timeout(400)
def test_the_loop_trains_on_what_both_say_and_keeps_the_better_model(
    data: Data, files: list[str], old: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    recorded([*data.documents["dev"], *data.documents["test"]], answers)
    out, silver_path = tmp_path / "new", tmp_path / "silver.jsonl"
    report = slcolm(
        *("distil", "loop", *files, *SHORT, "--input", str(data.paths["test"])),
        *("--model", str(old), "--guide", "replay", "--recordings", str(answers)),
        *("--metric", "entities", "--silver", str(silver_path), "--out", str(out)),
        home=tmp_path,
    )
    assert report["answered"] == report["raw_texts"] == 20
    silver = read_documents(silver_path)
    assert len(silver) == report["silver"]["documents"]
    assert sum(len(document.relations) for document in silver) == report["silver"]["relations"]
    # The guard: the new model is there if it is better, and the old one is as it was.
    better = report["new"]["entities"] > report["old"]["entities"]
    assert report["kept"] == ("new" if better else "old")
    assert out.is_dir() == better
    assert (tmp_path / "new.rejected").is_dir() != better
    folder = out if better else tmp_path / "new.rejected"
    card = json.loads((folder / CARD_FILE).read_bytes())
    assert card["settings"]["weigh_silver"]
    assert card["data"]["silver"]["documents"] == len(silver)
    assert not (tmp_path / "new.checkpoints").exists()


@pytest.mark.timeout(400)
def test_texts_are_chosen_by_what_is_doubted_and_at_random_by_the_seed(
    data: Data, old: Path, tmp_path: Path
) -> None:
    def choose(name: str, *arguments: str) -> list[str]:
        out = tmp_path / f"{name}.jsonl"
        report = slcolm(
            *("distil", "choose", "--task", str(data.task), "--model", str(old)),
            *("--train", str(data.paths["train"]), "--input", str(data.paths["test"])),
            *("--count", "5", "--out", str(out), *arguments),
            home=tmp_path,
        )
        chosen = [document.id for document in read_documents(out)]
        assert chosen == [text["id"] for text in report["texts"]]
        if not arguments:
            gains = [text["gain"] for text in report["texts"]]
            assert gains == sorted(gains, reverse=True)
        return chosen

    by_gain = choose("gain")
    assert choose("again") == by_gain
    assert len(set(by_gain)) == 5
    one, same = choose("one", "--by", "random"), choose("same", "--by", "random")
    other = choose("other", "--by", "random", "--seed", "1")
    assert one == same != other


def test_agreement_is_counted_over_the_texts_that_are_annotated(data: Data, tmp_path: Path) -> None:
    gold = data.documents["test"]
    perfect = tmp_path / "perfect.jsonl"
    write_documents(perfect, gold[:10])
    blind = tmp_path / "blind.jsonl"
    write_documents(blind, [document.without_annotations() for document in gold])
    found = slcolm(
        *("distil", "agreement", str(data.paths["test"]), str(perfect), str(blind)),
        *("--task", str(data.task)),
        home=tmp_path,
    )["annotated"]
    for kind in ("spans", "mentions", "relations"):
        lines = found[str(perfect)][kind]
        assert all(line["f1"] == pytest.approx(1.0) for line in lines.values())
        assert found[str(blind)][kind]["micro"]["f1"] == 0.0
    assert found[str(perfect)]["texts"] == 10
    entities = sum(len(document.entities) for document in gold[:10])
    by_type = found[str(perfect)]["spans"]
    assert sum(line.get("gold", 0) for line in by_type.values()) == entities
