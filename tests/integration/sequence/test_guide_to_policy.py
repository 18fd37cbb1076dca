"""From a model to a policy and its result, by the commands alone: predict, guide, policy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.annals import Data

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.recordings import read_recordings


@dataclass(frozen=True)
class Shell:
    """Commands in processes of their own, and a folder for their files."""

    data: Data
    folder: Path

    def __call__(self, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
        """What a command answers as JSON."""
        result = subprocess.run(
            [sys.executable, "-m", "slcolm_services", *map(str, arguments), "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SLCOLM_HOME": str(self.folder / "home")},
        )
        assert result.returncode == status, result.stderr
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value

    def guide(self, split: str, name: str, *more: str | Path, gold: bool, status: int = 0) -> Path:
        """The file with the answers to the predictions of a split."""
        out = self.folder / f"{name}-{split}.jsonl"
        self(
            *("guide", self.folder / f"predicted-{split}.jsonl", "--task", self.data.task),
            *("--demonstrations", self.data.paths["train"], "--out", out, *more),
            *(("--gold", self.data.paths[split]) if gold else ()),
            status=status,
        )
        return out

    def fit(self, *dev: Path, samples: bool = False) -> dict[str, Any]:
        """What fitting on answers to dev tells; the policy stands in `policy.json`."""
        told = self(
            *("policy", "fit", "--task", self.data.task, "--train", self.data.paths["train"]),
            *(part for path in dev for part in ("--dev", str(path))),
            *_samples(samples=samples),
            *("--entity-filter", "slm", "--entity-filter", "text"),
            *("--out", self.folder / "policy.json"),
        )
        fit = told["policy"]["fit"]
        assert isinstance(fit, dict)
        return fit

    def apply(self, *answers: Path, samples: bool = False) -> dict[str, Any]:
        """What applying the policy tells; the result stands in `merged.jsonl`."""
        return self(
            *("policy", "apply", "--policy", self.folder / "policy.json"),
            *answers,
            *_samples(samples=samples),
            *("--task", self.data.task, "--out", self.folder / "merged.jsonl"),
        )

    def merged(self) -> list[dict[str, Any]]:
        """Lines of the result."""
        lines = (self.folder / "merged.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def shell(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A small model has predicted dev and test."""
    started = Shell(data, tmp_path_factory.mktemp("chain"))
    model = started.folder / "model"
    started(
        *("train", "--task", data.task, "--encoder", "random"),
        *("--epochs", "25", "--seed", "1", "--out", model),
        *("--train", data.paths["train"], "--dev", data.paths["dev"]),
    )
    for split in ("dev", "test"):
        started(
            *("predict", "--model", model, "--input", data.paths[split]),
            *("--output", started.folder / f"predicted-{split}.jsonl"),
        )
    return started


def answer(document: Document, *, right: bool) -> str:
    triples = document.triples() if right else ()
    relations = [{"类型": t.type, "主体": t.head, "客体": t.tail} for t in triples]
    return json.dumps({"思考过程": "…", "真实的关系": relations}, ensure_ascii=False)


def recorded(path: Path, documents: Sequence[Document], *answers: bool) -> Path:
    """Answers to each text, right ones or empty ones."""
    lines = [
        {"id": document.id, "text": document.text, "llm_raw": answer(document, right=right)}
        for document in documents
        for right in answers
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def replaying(path: Path) -> tuple[str | Path, ...]:
    return ("--guide", "replay", "--recordings", path)


def _samples(*, samples: bool) -> tuple[str, ...]:
    return ("--samples",) if samples else ()


def test_a_policy_is_fitted_on_guided_dev_and_applied_to_new_text(shell: Shell) -> None:
    data = shell.data
    fit = shell.fit(shell.guide("dev", "rules", gold=True))
    assert (fit["sentences"], fit["answered"]) == (len(data.documents["dev"]),) * 2
    assert fit["sources"] == ["llm"]
    answers = shell.guide("test", "rules", gold=False)
    assert all(line.gold_triples is None for line in read_recordings(answers))
    told = shell.apply(answers)
    assert told["systems"] == {}
    merged = shell.merged()
    assert [line["id"] for line in merged] == [text.id for text in data.documents["test"]]
    score = shell(
        *("score", "--gold", data.paths["test"], "--pred", shell.folder / "merged.jsonl"),
        *("--task", data.task),
    )
    assert score["micro"]["f"] > 0


def test_what_the_small_model_found_comes_along(shell: Shell) -> None:
    """With gold for test, too, `apply` scores the SLM as `score` does from its own file."""
    data = shell.data
    shell.fit(shell.guide("dev", "rules", gold=True))
    told = shell.apply(shell.guide("test", "known", gold=True))
    predicted = shell.folder / "predicted-test.jsonl"
    alone = shell("score", "--gold", data.paths["test"], "--pred", predicted, "--task", data.task)
    assert told["systems"]["slm"]["counts"] == alone["counts"]
    assert told["systems"]["slm"]["counts"][2] > 0


def test_several_llms_are_told_apart_and_texts_without_an_answer_keep_the_slm(
    shell: Shell,
) -> None:
    data = shell.data
    sources = {"right": True, "silent": False}
    answers: dict[str, list[Path]] = {"dev": [], "test": []}
    for name, right in sources.items():
        for split, some in answers.items():
            texts = data.documents[split]
            known = texts[:-2] if split == "test" else texts
            recording = recorded(shell.folder / f"{name}.recorded", known, right)
            some.append(
                shell.guide(
                    split,
                    name,
                    *replaying(recording),
                    gold=split == "dev",
                    status=int(len(known) < len(texts)),
                )
            )
    fit = shell.fit(*answers["dev"])
    assert (fit["sources"], fit["answered"]) == (["llm-1", "llm-2"], len(data.documents["dev"]))
    shell.apply(*answers["test"])
    merged = shell.merged()
    assert len(merged) == len(data.documents["test"])
    found = {
        source for line in merged for triple in line["triples"] for source in triple["sources"]
    }
    assert "llm-1" in found
    assert all(triple["sources"] == ["slm"] for line in merged[-2:] for triple in line["triples"])


def test_samples_of_one_llm_are_told_apart(shell: Shell) -> None:
    dev = shell.data.documents["dev"]
    recording = recorded(shell.folder / "samples.recorded", dev, True, False, True)
    path = shell.guide("dev", "sampled", *replaying(recording), "--samples", "3", gold=True)
    assert len(read_recordings(path)) == 3 * len(dev)
    first = shell.fit(path)
    assert first["sources"] == ["llm"]
    fit = shell.fit(path, samples=True)
    assert (fit["sentences"], fit["sources"]) == (len(dev), ["llm#1", "llm#2", "llm#3"])
    told = shell.apply(path, samples=True)
    best = told["systems"]["merged"]["micro"]["f"]
    assert best > told["systems"]["slm"]["micro"]["f"]
