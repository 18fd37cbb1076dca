"""`slcolm recordings curve`: numbers as JSON, and a page that stands alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.annals import SAMPLE

from slcolm_services.cli.curve import curve
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.errors import DataInvalid


def _recording(path: Path, *, gold: bool = True, prob: float | None = 0.6) -> Path:
    """An LLM that is always right beside an SLM that turns every triple round."""
    lines: list[dict[str, Any]] = []
    for document in read_documents(SAMPLE / "test.jsonl")[:12]:
        triples = [{"head": t.head, "tail": t.tail, "type": t.type} for t in document.triples()]
        turned = [{**t, "head": t["tail"], "tail": t["head"], "prob": prob} for t in triples]
        lines.append(
            {
                "id": document.id,
                "text": document.text,
                "prompt": "请标注：" + document.text if len(lines) % 2 else None,
                "llm_raw": "{}",
                "gold_triples": triples if gold else [],
                "slm_triples": turned,
                "slm_entities": [
                    {"text": document.mention(i), "type": entity.type, "prob": 0.9}
                    for i, entity in enumerate(document.entities)
                ],
                "strict_llm_triples": [[t["head"], t["tail"], t["type"]] for t in triples],
            }
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def _arguments(recording: Path) -> list[str]:
    task, train = str(SAMPLE / "task.yaml"), str(SAMPLE / "train.jsonl")
    return [str(recording), "--task", task, "--train", train]


def test_the_curves_run_from_the_slm_to_everything(tmp_path: Path) -> None:
    page = tmp_path / "curve.html"
    prices = ["--prompt-price", "2", "--completion-price", "8", "--currency", "EUR"]
    arguments = [*_arguments(_recording(tmp_path / "r.jsonl")), *prices, "--orders", "20"]

    result = CliRunner().invoke(curve, [*arguments, "--out", str(page), "--json"])

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    routing, random = told["orders"]["routing"], told["orders"]["random"]
    assert told["prompts_recorded"] == 6
    assert len(routing["micro"]) == 13
    for name in ("micro", "macro", "tail", "tokens", "cost"):
        assert routing[name][0] == pytest.approx(random[name][0])
        assert routing[name][-1] == pytest.approx(random[name][-1])
    assert routing["micro"][-1] > routing["micro"][0]
    assert routing["tokens"] == sorted(routing["tokens"])
    assert [row["asked"] for row in told["table"]] == [0, 1, 3, 6, 9, 12]
    html = page.read_text(encoding="utf-8")
    assert html.count('<svg viewBox="0 0 330 240"') == 9
    assert "cost, EUR" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)


def test_answers_recorded_as_text_alone_are_read(tmp_path: Path) -> None:
    path = _recording(tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        said = [
            dict(zip(("head", "tail", "type"), t, strict=True)) for t in line["strict_llm_triples"]
        ]
        line["llm_raw"] = json.dumps({"relations": said}, ensure_ascii=False)
    raw = [{k: v for k, v in line.items() if k != "strict_llm_triples"} for line in lines]
    curves = []
    for content in (lines, raw):
        path.write_text("\n".join(map(json.dumps, content)), encoding="utf-8")
        result = CliRunner().invoke(curve, [*_arguments(path), "--orders", "20", "--json"])
        assert result.exit_code == 0, result.output
        curves.append(json.loads(result.stdout)["orders"]["routing"]["micro"])
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("changes", "words"), [({"gold": False}, "no gold"), ({"prob": None}, "no probability")]
)
def test_what_cannot_be_drawn_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    recording = _recording(tmp_path / "r.jsonl", **changes)

    result = CliRunner().invoke(curve, _arguments(recording))

    assert isinstance(result.exception, DataInvalid)
    assert any(words in item.problem for item in result.exception.violations)
