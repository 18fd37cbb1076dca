"""Inputs that cost little to send must not cost much to refuse: time and memory are bounded.

Each input is tried in a process of its own. What it may use is several times what it needs, and a
fraction of what it would need if the work grew with the square of its size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2

TESTS = Path(__file__).parents[1]
CPU_SECONDS, MEMORY_MIB = 60, 3072
MANY = 100_000

_ENTITIES = [{"type": "P", "start": 0, "end": 1}] * MANY
_RELATIONS = [{"type": "r", "head": 0, "tail": 1}] * MANY
_LINE = {"id": "a", "text": "ab", "entities": _ENTITIES, "relations": _RELATIONS}
_TYPES = [common_pb2.RelationType(name=f"r{number}") for number in range(MANY)]
_SCHEMA = common_pb2.TaskSchema(
    name="t",
    language="en",
    entity_types=[common_pb2.EntityType(name="P")],
    relation_types=[common_pb2.RelationType(name="r")],
)
_CROWDED = common_pb2.Document(
    id="a",
    text="ab",
    entities=[common_pb2.Entity(type="P", start=0, end=1)] * MANY,
    relations=[common_pb2.Relation(type="r", head=0, tail=1)] * MANY,
)
_WRONG = common_pb2.Document(id="a", text="ab", entities=[common_pb2.Entity(start=9)] * MANY)

INPUTS: dict[str, tuple[str, bytes]] = {
    "jsonl-nested": ("jsonl", b"[" * MANY),
    "jsonl-nested-objects": ("jsonl", b'{"a":' * MANY),
    "jsonl-nested-closed": ("jsonl", b'{"id":' + b"[" * 900 + b"]" * 900 + b"}"),
    "jsonl-10-mb-text": ("jsonl", b'{"id": "a", "text": "' + b"ab " * 3_500_000 + b'"}'),
    "jsonl-10-mb-spaces": ("jsonl", b" " * 10_000_000),
    "jsonl-many-annotations": ("jsonl", json.dumps(_LINE).encode()),
    "jsonl-many-wrong": ("jsonl", b'{"id": 1, "x": 2}\n' * MANY),
    "jsonl-same-ids": ("jsonl", b'{"id": "a", "text": "b"}\n' * MANY),
    "jsonl-digits": ("jsonl", b'{"id": ' + b"9" * 5_000_000 + b"}"),
    "jsonl-keys": ("jsonl", b"{" + b'"a": 1, ' * MANY + b'"b": 1}'),
    "spert-nested": ("spert", b"[" * MANY),
    "spert-many": ("spert", b"[" + b"{}," * MANY + b"{}]"),
    "spert-many-lines": ("spert", b"[\n" + b'{"tokens": ["a"]},\n' * MANY + b"{}]"),
    "spert-spaces": ("spert", b"[" + b" " * 10_000_000),
    "spert-tokens": ("spert", json.dumps([{"tokens": ["a"] * 1_000_000}]).encode()),
    "iob2-long-sentence": ("iob2", b"a B-P\n" * MANY),
    "iob2-continued": ("iob2", b"a B-P\n" + b"a I-P\n" * MANY),
    "iob2-columns": ("iob2", b"a " * 5_000_000 + b"O"),
    "task-nested": ("task", b"name: " + b"[" * MANY),
    "task-dashes": ("task", b"- " * MANY),
    "task-aliases-of-a-list": (
        "task",
        b"name: t\nlanguage: en\nx: &h ["
        + b",".join(b"a%d" % number for number in range(20_000))
        + b"]\nrelation_types:\n"
        + b"".join(b"- {name: r%d, head: *h}\n" % number for number in range(9_000)),
    ),
    "task-bomb": (
        "task",
        b"a: &a [x, x]\n"
        + b"".join(
            b"b%d: &b%d [%s]\n" % (number, number, b",".join([before] * 10))
            for number, before in enumerate([b"*a", *(b"*b%d" % n for n in range(30))])
        )
        + b"name: t\nlanguage: en\nrelation_types: *b30\n",
    ),
    "task-many-types": (
        "task",
        b"name: t\nlanguage: en\nrelation_types:\n"
        + b"".join(b"- {name: r%d}\n" % number for number in range(MANY)),
    ),
    "answer-nested": ("answer", b'{"relations": ' + b"[" * MANY),
    "answer-nested-objects": ("answer", b'{"a":' * MANY),
    "answer-braces": ("answer", b"{" * 1_000_000),
    "answer-quotes": ("answer", b'{"' + b'a" ' * MANY),
    "answer-unclosed": ("answer", b'{"relations": [["a", "b"' * 20_000),
    "answer-fences": ("answer", b"```" * MANY),
    "answer-pairs": ("answer", json.dumps({"父": [["吕范", "Peter"]] * MANY}).encode()),
    "answer-mentions": ("answer", json.dumps({"PER": [f"m {n}" for n in range(MANY)]}).encode()),
    "answer-brackets": ("answer", json.dumps({"PER": ["(" * 499 + "]" * 9] * 2_000}).encode()),
    "completion-nested": ("completion", b'{"choices":' + b"[" * MANY),
    "recording-nested": ("recording", b'{"llm_raw":' * MANY),
    "recording-deep-answer": (
        "recording",
        b'{"id": "a", "text": "b", "llm_raw": ' + b'{"a":' * 900,
    ),
    "prediction-many": ("prediction", b'{"id": "a", "triples": []}\n' * MANY),
    "policy-nested": ("policy", b"[" * MANY),
    "policy-digits": ("policy", b'{"threshold": ' + b"9" * 5_000_000 + b"}"),
    "ledger-nested": ("ledger", b'{"prompt_digest": ' + b"[" * MANY),
    "settings-nested": ("settings", b"a = " + b"[" * MANY),
    "settings-digits": ("settings", b"a = " + b"9" * 1_000_000),
    "settings-keys": ("settings", b"".join(b"k%d = 1\n" % n for n in range(20_000))),
    "settings-dotted": ("settings", b".".join([b"a"] * 5_000) + b" = 1"),
    "tokens-nested": ("tokens", b"auth = " + b"{a = " * 5_000),
    "manifest-nested": ("manifest", b'{"files":' * MANY),
    "manifest-digits": ("manifest", b'{"format": ' + b"9" * 3_000_000 + b"}"),
    "manifest-many-files": (
        "manifest",
        json.dumps({"format": 1, "files": {f"f{n}": "0" * 64 for n in range(40_000)}}).encode(),
    ),
    "card-nested": ("card", b"[" * MANY),
    "tokenizer-nested": ("tokenizer", b"[" * MANY),
    "graph-nested": ("graph", b"\x3a\xff\x01" * MANY),
    "wire-many-types": (
        "wire-schema",
        common_pb2.TaskSchema(relation_types=_TYPES).SerializeToString(),
    ),
    "wire-many-wrong": (
        "wire-index",
        retrieval_pb2.IndexDemonstrationsRequest(
            schema=_SCHEMA,
            sentences=[
                retrieval_pb2.IndexedSentence(
                    gold=_WRONG, role=retrieval_pb2.SENTENCE_ROLE_TRAINING, vector=[1.0]
                )
            ],
        ).SerializeToString(),
    ),
    "wire-crowded-merge": (
        "wire-merge",
        evaluation_pb2.MergeRequest(
            schema=_SCHEMA,
            policy=evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_UNION),
            items=[
                evaluation_pb2.MergeItem(
                    prediction=_CROWDED,
                    has_llm_answer=True,
                    llm_triples=[common_pb2.Triple(head="a", tail="b", type="r")] * MANY,
                )
            ],
        ).SerializeToString(),
    ),
    "wire-crowded-score": (
        "wire-score",
        evaluation_pb2.ScoreRequest(
            schema=_SCHEMA,
            gold=[_CROWDED],
            protocol="span",
            predictions=[evaluation_pb2.ScoredSystem(id="a", document=_CROWDED)],
        ).SerializeToString(),
    ),
    "wire-crowded-guide": (
        "wire-guide",
        guidance_pb2.GuideRequest(
            schema=_SCHEMA,
            items=[
                guidance_pb2.GuideItem(
                    prediction=_CROWDED,
                    candidates=[common_pb2.CandidateRelation(type="r", triggers=["a"])] * 1_000,
                )
            ],
        ).SerializeToString(),
    ),
    "wire-many-demonstrations": (
        "wire-guide",
        guidance_pb2.GuideRequest(
            schema=_SCHEMA,
            items=[
                guidance_pb2.GuideItem(
                    prediction=common_pb2.Document(id="a", text="ab"),
                    demonstrations=[
                        common_pb2.Demonstration(gold=common_pb2.Document(id="b", text="cd" * 50))
                    ]
                    * 2_000,
                )
            ],
        ).SerializeToString(),
    ),
}
"""Target and input by name."""


@pytest.mark.parametrize("name", list(INPUTS))
def test_work_is_bounded(name: str, tmp_path: Path) -> None:
    target, content = INPUTS[name]
    path = tmp_path / "input"
    path.write_bytes(content)
    command = [sys.executable, "-m", "fuzz.limited", target, str(path)]
    done = subprocess.run(
        [*command, str(CPU_SECONDS), str(MEMORY_MIB)],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
