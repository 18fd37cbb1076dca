"""Inputs to begin with, made from the sample that is shipped."""

from __future__ import annotations

import json
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper
from support.annals import SAMPLE
from tokenizers import Tokenizer, models, pre_tokenizers

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import format_line, read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.guidance.answer_form import AnswerForm

TOKENS = (
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b",", b"\n", b"\r", b"\0", b"\xff", b"\x85"),
    *(b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-0", b"1.0", b"9" * 30, b"9" * 5000),
    *(b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u2028".encode(), b"\x1b[2J"),
    *(b"[" * 200, b'{"a":' * 200, b"&a ", b"*a", b"!!python/object:os.system ", b"<<: ", b"- "),
    *(b"id", b"text", b"entities", b"relations", b"start", b"end", b"head", b"tail", b"type"),
    *(b"prob", b"../", b"{{ 7*7 }}", b"</script>", b"```", "“".encode(), "：".encode(), b"B-"),
)
"""What is put into inputs, beside bytes at random."""


@cache
def task() -> TaskSchema:
    """The sample's task."""
    return read_schema(SAMPLE / "task.yaml")


@cache
def documents() -> tuple[Document, ...]:
    """A few sentences of the sample."""
    return tuple(read_documents(SAMPLE / "dev.jsonl")[:6])


def native() -> list[bytes]:
    """Native lines."""
    return [
        (format_line(documents()[0]) + "\n").encode(),
        "".join(format_line(document) + "\n" for document in documents()[1:4]).encode(),
        (
            b'{"id": "a", "text": "ab", "entities": [{"type": "P", "start": 0, "end": 1, "prob": 0.5, "tier": "A"}],'
            b' "origin": {"model": "m"}}'
        ),
    ]


def spert() -> list[bytes]:
    """SpERT's form."""
    document = documents()[0]
    value = {
        "tokens": list(document.text),
        "entities": [
            {"type": entity.type, "start": entity.start, "end": entity.end}
            for entity in document.entities
        ],
        "relations": [
            {"type": relation.type, "head": relation.head, "tail": relation.tail}
            for relation in document.relations
        ],
        "orig_id": 17,
    }
    odd = {**value, "tokens": document.text, "17": "orig_id"}
    del odd["orig_id"]
    return [json.dumps([value, odd], ensure_ascii=False).encode()]


def iob2() -> list[bytes]:
    """Columns."""
    return [
        b"-DOCSTART- O\n\nPeter NNP B-PER\nBlackburn NNP I-PER\n. . O\n\nMary\tB-PER\n",
        "\n".join(f"{character} O" for character in documents()[0].text).encode(),
    ]


def tasks() -> list[bytes]:
    """Task schemas in both forms."""
    types = {
        "entities": {"PER": {"short": "PER", "verbose": "人 物"}},
        "relations": {"任 职": {"short": "任职", "verbose": "任 职", "symmetric": False}},
    }
    return [
        (SAMPLE / "task.yaml").read_bytes()[:1500],
        (
            b"name: t\nlanguage: en\nentity_types: [{name: &p P}]\n"
            b"relation_types:\n  - {name: r, head: &h [P], tail: *h, symmetric: true, count: 3}\n"
        ),
        json.dumps(types, ensure_ascii=False).encode(),
    ]


def answers() -> list[bytes]:
    """Answers of LLMs, in the form that is asked for and in others."""
    form = AnswerForm("zh")
    right = json.dumps(form.answer(documents()[0], task(), "因为…"), ensure_ascii=False)
    triple = documents()[0].triples()[0]
    return [
        right.encode(),
        f"好的。\n```json\n{right}\n```\n以上。".encode(),
        f"{{'关系': {{'{triple.type}': [['{triple.head}', '{triple.tail}', 0.9]]}}".encode(),
        f'{{"relations": "[[\\"{triple.head}\\", \\"{triple.tail}\\"]]", "PER": ["a", {{}}]}}'.encode(),
        '{"实体": [{"type": "人物", "片段": ["甲", "乙"]}], "三元组": [["甲", "父", "乙"]]}'.encode(),
    ]


def completions() -> list[bytes]:
    """What endpoints send."""
    return [
        json.dumps(
            {
                "model": "m",
                "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 1},
                },
            }
        ).encode(),
        b'{"choices": [{"message": {"content": [{"text": "a"}, {"text": "b"}]}}]}',
    ]


def recordings() -> list[bytes]:
    """Lines of recordings."""
    document = documents()[0]
    triples = [
        {"head": triple.head, "tail": triple.tail, "type": triple.type, "prob": 0.5}
        for triple in document.triples()
    ]
    line = {
        "id": document.id,
        "text": document.text,
        "llm_raw": {"a": [1, None]},
        "prompt": "p",
        "occurrence": 1,
        "gold_entities": [{"text": "a", "type": "b", "prob": 0.1}],
        "gold_triples": triples,
        "slm_triples": triples,
        "llm_entities_parsed": {"a": ["b"]},
        "llm_relations_parsed": {"a": [["b", "c"]]},
        "strict_llm_triples": [["a", "b", "c"]],
    }
    tokens = {"id": "t", "tokens": ["a", "b"], "llm_raw": "{}"}
    return [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in (line, tokens)]


def predictions() -> list[bytes]:
    """Lines of predictions."""
    line = {"id": "a", "text": "ab", "triples": [{"head": "a", "tail": "b", "type": "r"}]}
    return [*native(), json.dumps(line).encode()]


def tables() -> list[bytes]:
    """Parquet, with and without ids and compression, in one row group and in several."""
    texts = [document.text for document in documents()]
    made = []
    for columns, options in (
        ({"id": ["a", None, ""], "text": texts[:3]}, {"compression": "none"}),
        ({"id": [1, 2, 3, 4], "text": [*texts[:3], None]}, {"row_group_size": 2}),
        ({"text": [], "more": []}, {}),
        ({"text": [1.5]}, {"compression": "zstd"}),
    ):
        content = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), content, **options)
        made.append(content.getvalue().to_pybytes())
    return made


def document_rows() -> list[bytes]:
    """Rows that name their document, rows that failed, and lines of merged.jsonl."""
    rows = [json.loads(format_line(document)) for document in documents()[:4]]
    grouped = [row | {"doc": f"d-{number}"} for number, row in enumerate(rows)]
    error = {"code": "INVALID_ARGUMENT", "reason": "DATA_INVALID", "message": "m"}
    failed = [{"id": "a", "error": error, "doc": "d-9"}, {"id": "b", "error": "away", "doc": "d-8"}]
    merged = {
        "id": "a",
        "text": "ab",
        "entities": [{"type": "P", "start": at, "end": at + 1} for at in range(2)],
        "relations": [{"type": "r", "head": 0, "tail": 1, "prob": 0.5}],
        "triples": [{"head": "a", "tail": "b", "type": "r", "sources": ["slm"], "rule": "agreed"}],
    }
    return [
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines).encode()
        for lines in ([*grouped, *failed], rows, [merged, failed[0]])
    ]


def policies() -> list[bytes]:
    """Policy files."""
    return [
        (
            b'{"mode": "gate", "threshold": 0.6, "weak_types": ["r"], "rare_below": 20, '
            b'"training_counts": {"r": 3}, "entity_filter": "slm", "provenance": "x", "quorum": 0.5, '
            b'"calibration": {"method": "isotonic", "from_probabilities": [0.1, 0.9], '
            b'"to_probabilities": [0.2, 0.8]}, "task": "t"}'
        ),
        (
            b'{"mode": "learned", "confidence": {"sources": ["llm"], "intercept": 0.1, '
            b'"weights": {}, "threshold": 0.5}}'
        ),
    ]


def ledgers() -> list[bytes]:
    """Lines of an exported ledger."""
    booking = {
        "call_id": "c",
        "run_id": "r",
        "time": "2026-05-01T10:00:00+00:00",
        "calls": 1,
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "cached_tokens": 0,
        "estimated_calls": 0,
        "cost": 0.25,
    }
    line = {
        "id": "a",
        "text": "甲子乙",
        "llm_raw": "{}",
        "occurrence": 0,
        "prompt_digest": "0" * 64,
        "provider": "openai",
        "model": "m",
        "finish_reason": "stop",
        "time": "2026-05-01T10:00:00Z",
        "usage": [booking],
    }
    return [json.dumps(line, ensure_ascii=False).encode() + b"\n"]


def settings() -> list[bytes]:
    """Configuration files."""
    return [
        (
            b'[server]\nport = 5\nhost = "127.0.0.1"\ngrace_seconds = 1.5\n[guidance]\nmodel = "m"\n'
            b'[[guidance.models]]\nname = "a"\nmodel = "b"\nendpoints = [{base_url = \'http://x\'}]\n'
        ),
        (
            b'[auth]\njwt_issuer = "https://a"\njwt_audience = "b"\n[retrieval]\nrrf_k = 3\n'
            b"[evaluation]\nmax_merge_items = 1_000\n[coordinator]\n[extraction]\n[training]\n"
        ),
    ]


def experiments() -> list[bytes]:
    """Experiments."""
    data = (
        b'[data]\ntask = "t"\noriginal = "o"\ndistilled = "d"\ndev = "v"\ntest = "x"\n'
        b'other_domain = "y"\n'
    )
    return [
        data,
        b'model = "span"\nencoder = "random"\nepochs = 2\nbatch_size = 4\nlearning_rate = 1e-5\n'
        b'max_tokens = 128\nseeds = [0, 1]\nschedules = ["sigmoid:8", "all"]\n'
        b'rate_courses = ["decay"]\n' + data,
    ]


def token_files() -> list[bytes]:
    """Files of tokens."""
    return [
        b'[[auth.tokens]]\nname = "a"\ntoken = "0123456789abcdef"\nroles = ["read"]\n'
        b'[[auth.tokens]]\nname = "b"\nsha256 = "' + b"0" * 64 + b'"\nroles = ["write"]\n'
    ]


def manifests() -> list[bytes]:
    """Manifests of model folders."""
    value = {
        "format": 1,
        "graphs": {"spans": "spans.onnx", "relations": "relations.onnx"},
        "max_tokens": 128,
        "max_span_tokens": 4,
        "entity_types": ["P"],
        "relation_types": ["r"],
        "relation_arguments": {"r": {"head": ["P"], "tail": []}},
        "overlapping_entities": False,
        "relation_threshold": 0.5,
        "entity_calibration": {"kind": "temperature", "temperature": 1.5},
        "relation_calibration": {"kind": "platt", "slope": 1.0, "intercept": 0.5},
        "vector_dimension": 8,
        "precision": "fp32",
        "files": dict.fromkeys(
            ("spans.onnx", "relations.onnx", "tokenizer.json", "schema.yaml", "card.json"), "0" * 64
        ),
    }
    return [json.dumps(value).encode()]


def cards() -> list[bytes]:
    """Cards of model folders."""
    return [b'{"dev_scores": {"f1": 0.5}, "precisions": {"bf16": {"passed": true}}}']


def tokenizers() -> list[bytes]:
    """A tokenizer with a few words."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "Peter": 1, "吕": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return [made.to_str().encode()]


def graphs() -> list[bytes]:
    """A graph that adds."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xyz"]
    node = helper.make_node("Add", ["x", "y"], ["z"])
    graph = helper.make_graph([node], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return [model.SerializeToString()]
