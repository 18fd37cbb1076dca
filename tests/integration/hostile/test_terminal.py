"""Commands on hostile files write nothing that a terminal obeys, and JSON that says the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema

EVIL = "a\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202eb[red]c[/red]"
"""Clears the screen, writes the clipboard, colours, turns round; then the markup of our console."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Data, a task and recordings with control sequences wherever a text may stand."""
    kind = f"r{EVIL}"
    schema = TaskSchema(EVIL, "en", (EntityType("P", EVIL, EVIL),), (RelationType(kind, EVIL),))
    write_schema(tmp_path / "task.yaml", schema)
    text = f"Peter met Mary {EVIL}"
    entities = (Entity("P", 0, 5, 0.5), Entity("P", 10, 14, 0.5))
    documents = [
        Document(f"{EVIL}{n}", f"{n} {text}", entities, (Relation(kind, 0, 1, 0.5),))
        for n in range(3)
    ]
    write_documents(tmp_path / "data.jsonl", documents)
    answer = json.dumps({"relations": {EVIL: [["Peter", "Mary"]]}, "reasoning": EVIL})
    lines = [json.dumps({"id": EVIL, "text": text, "llm_raw": answer, "prompt": EVIL})]
    (tmp_path / "recordings.jsonl").write_text("\n".join(lines))
    wrong = {"id": EVIL, "text": EVIL, EVIL: 1, "entities": [{"type": EVIL, "start": 0, "end": 1}]}
    (tmp_path / "wrong.jsonl").write_text(json.dumps(wrong))
    (tmp_path / "wrong.yaml").write_text(json.dumps({"name": 1, EVIL: EVIL}))
    (tmp_path / "wrong.toml").write_text(
        json.dumps(EVIL) + " = 1\n[server]\n" + json.dumps(EVIL) + "= 2"
    )
    (tmp_path / "wrong.json").write_text(json.dumps({"mode": EVIL, EVIL: 1}))
    (tmp_path / "evil\x1b[2J.jsonl").write_text("{")
    return {path.name: str(path) for path in tmp_path.iterdir()}


def run(*arguments: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "slcolm_services", *arguments], capture_output=True, check=False
    )
    assert done.returncode in {0, 1, 2}, done.stderr
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert "Traceback" not in err
    for written in (out, err):
        assert not OBEYED.search(written), repr(written)
    return out, err


COMMANDS = {
    "check": ("data", "check", "data.jsonl", "--task", "task.yaml"),
    "check-wrong": ("data", "check", "wrong.jsonl", "--task", "task.yaml"),
    "check-no-task": ("data", "check", "data.jsonl", "--task", "wrong.yaml"),
    "check-name": ("data", "check", "evil\x1b[2J.jsonl"),
    "stats": ("data", "stats", "data.jsonl"),
    "score": ("score", "--gold", "data.jsonl", "--pred", "data.jsonl", "--task", "task.yaml"),
    "parse": ("guidance", "parse", "recordings.jsonl", "--task", "task.yaml"),
    "guide": ("guide", "data.jsonl", "--task", "task.yaml", "--dry-run", "--show", f"{EVIL}1"),
    "policy": (
        *("policy", "apply", "recordings.jsonl", "--task", "task.yaml"),
        *("--policy", "wrong.json", "--out", "out.jsonl"),
    ),
    "settings": (
        "guide",
        "data.jsonl",
        "--task",
        "task.yaml",
        "--config",
        "wrong.toml",
        "--dry-run",
    ),
    "usage": ("data", EVIL),
    "no-file": ("data", "check", f"/nowhere/{EVIL}"),
}

WITHOUT_TEXTS = {"check"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_nothing_that_a_terminal_obeys_is_written(name: str, files: dict[str, str]) -> None:
    arguments = [files.get(part, part).replace("\0", "") for part in COMMANDS[name]]
    shown = "".join(run(*arguments))
    # What was in the file is told, by the names of the characters.
    assert r"\x1b" in shown or name in WITHOUT_TEXTS
    if name in {"parse", "score"}:
        out, _ = run(*arguments, "--json")
        assert json.loads(out)
        # Markup in a text is text too.
        assert EVIL in str(json.loads(out)) or repr(EVIL)[1:-1] in str(json.loads(out))
