"""The targets: one for every decoder, each a function of bytes that raises on a broken promise."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fuzz import inputs, wire_targets
from fuzz.promises import (
    check_document,
    check_entities,
    check_probability,
    check_schema,
    check_triple,
    value_or_refusal,
)
from slcolm_services.batch.inputs import inspect, read
from slcolm_services.batch.rows import Fields
from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.formats import Format, check_file, read_any
from slcolm_services.corpus.jsonl import format_line, parse_line
from slcolm_services.corpus.predictions import read_predictions
from slcolm_services.corpus.recordings import read_recordings
from slcolm_services.corpus.schema_file import read_schema, schema_digest, write_schema
from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.policy_file import read_policy, write_policy
from slcolm_services.guidance.grounding import ground
from slcolm_services.guidance.ledger_file import _answers
from slcolm_services.guidance.parse import parse_answer
from slcolm_services.guidance.providers.reading import Unreadable, read_completion
from slcolm_services.guidance.revisions import compare
from slcolm_services.guidance.usage import Prices
from slcolm_services.knowledge.document_lines import format_document
from slcolm_services.knowledge.document_rows import Grouping, read_documents
from slcolm_services.knowledge.things import merge
from slcolm_services.model.folder import passed_precisions, read_dev_scores, read_manifest
from slcolm_services.model.graphs import load_graph
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig, load_section, read_file
from slcolm_services.runtime.tokens import FileTokens
from slcolm_services.training.experiments.config import read_experiment


@dataclass(frozen=True)
class Target:
    """A decoder under test.

    Attributes:
        check: Takes any bytes; raises where a promise is broken.
        seeds: Inputs to begin with.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


@cache
def _folder() -> Path:
    """A folder of this process, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="slcolm-fuzz-", dir=parent))


def file_of(content: bytes, name: str) -> Path:
    """A file with this content; the next one replaces it."""
    path = _folder() / name
    path.write_bytes(content)
    return path


def _data(content: bytes, *, kind: Format, name: str) -> None:
    path = file_of(content, name)
    for schema in (None, inputs.task()):
        report = check_file(path, schema, kind)
        documents = value_or_refusal(lambda: read_any(path, schema))  # noqa: B023  called at once
        # What passes the check can be read, and the other way round.
        assert (documents is not None) == (not report.errors)
        for problem in report.problems:
            str(problem.violation()).encode("utf-8")
        for document in documents or ():
            check_document(document, schema)
            assert parse_line(format_line(document), schema) == document


def _task(content: bytes) -> None:
    schema = value_or_refusal(lambda: read_schema(file_of(content, "task.yaml")))
    if schema is not None:
        check_schema(schema)
        copy = _folder() / "copy.yaml"
        write_schema(copy, schema)
        assert schema_digest(read_schema(copy)) == schema_digest(schema)


_TEXT = "吕范为丹杨太守，Peter Blackburn met 吕范 and PETER blackburn. {{ 7*7 }}"
_PREDICTED = Document(
    "a",
    _TEXT,
    (Entity("PER", 0, 2, 0.9), Entity("PER", 8, 23, 0.2)),
    (),
)


def _answer(content: bytes) -> None:
    # Lone surrogates too: JSON can write them.
    answer = content.decode("utf-8", "surrogateescape")
    schema = inputs.task()
    for document in (_PREDICTED, inputs.documents()[0]):
        for entities_only in (False, True):
            parsed = parse_answer(answer, document.text, schema, entities_only=entities_only)
            for triple in parsed.triples:
                check_triple(triple, schema, document.text)
            for triple in parsed.ungrounded:
                check_triple(triple, schema)
            check_entities(parsed.entities, document.text)
            assert {entity.type for entity in parsed.entities} <= schema.entities_by_name.keys()
            for entity in parsed.discontinuous:
                assert entity.type in schema.entities_by_name
                assert all(0 <= start < end <= len(document.text) for start, end in entity.pieces)
            for name in (*parsed.unknown_types, *parsed.repairs, *parsed.dropped):
                name.encode("utf-8")
            parsed.explanation.encode("utf-8")
            grounded = ground(parsed.triples, parsed.entities, document, schema)
            check_document(Document("a", document.text, grounded.entities, grounded.relations))
            compare(document.triples(), parsed.triples)


def _completion(content: bytes) -> None:
    prices = Prices(1.0, 0.5, 2.0, "EUR")
    try:
        found = read_completion(content, model="m", prompt_tokens=5, prices=prices)
    except Unreadable as error:
        usage = error.usage
    else:
        usage = found.usage
        for written in (found.answer.text, found.answer.model, found.answer.finish_reason):
            written.encode("utf-8")
        assert len(found.answer.model) <= 500
        assert len(found.answer.finish_reason) <= 500
    assert 0 <= usage.tokens <= 10**10
    assert 0 <= usage.cost <= 10**10


def _recording(content: bytes) -> None:
    for line in value_or_refusal(lambda: read_recordings(file_of(content, "a.jsonl"))) or ():
        (line.id + line.text + line.prompt).encode("utf-8")
        for triple in (*line.slm_triples, *(line.gold_triples or ())):
            check_probability(triple.prob)
            triple.type.encode("utf-8")
        for entity in line.slm_entities:
            check_probability(entity.prob)
            entity.type.encode("utf-8")


def _prediction(content: bytes) -> None:
    for item in value_or_refusal(lambda: read_predictions(file_of(content, "p.jsonl"))) or ():
        (item.id + (item.text or "")).encode("utf-8")
        for triple in item.triples:
            (triple.head + triple.tail + triple.type).encode("utf-8")
            check_probability(triple.prob)
        if item.document is not None:
            check_document(item.document)


def _rows(content: bytes, *, kind: str, name: str) -> None:
    path, fields = file_of(content, name), Fields()
    source = value_or_refusal(lambda: inspect(path, kind, fields))
    if source is None:
        return
    try:
        rows = list(read([source], fields))
    except DataInvalid as error:
        # A line that is wrong is a row of its own. A table's pages are not known before.
        assert kind == "parquet"
        error.message.encode("utf-8")
        return
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    # Neither is whether they hold what the footer says; the job counts.
    assert kind == "parquet" or len(rows) == source.rows
    for row in rows:
        assert row.id
        (row.id + row.text).encode("utf-8")
        if row.error is not None:
            assert not row.text
            assert row.error.message
            row.error.message.encode("utf-8")


def _document_rows(content: bytes) -> None:
    path = file_of(content, "rows.jsonl")
    grouping = Grouping("doc", re.compile("(.+)-[0-9]+"))
    documents = value_or_refusal(lambda: list(read_documents([path], grouping)))
    for name, rows in documents or value_or_refusal(lambda: list(read_documents([path]))) or ():
        things, facts = merge(rows, symmetric=["同僚"])
        format_document(name, rows, things, facts).encode("utf-8")
        read_rows = [row.document for row in rows if row.document]
        entities, relations = (
            sum(len(document.entities) for document in read_rows),
            sum(len(document.relations) for document in read_rows),
        )
        assert sum(len(thing.mentions) for thing in things) == entities
        assert sum(len(fact.evidence) for fact in facts) == relations


def _policy(content: bytes) -> None:
    policy = value_or_refusal(lambda: read_policy(file_of(content, "policy.json")))
    if policy is not None:
        copy = _folder() / "copy.json"
        write_policy(copy, policy)
        assert read_policy(copy).digest == policy.digest


def _ledger(content: bytes) -> None:
    path = file_of(content, "ledger.jsonl")
    for settlements in value_or_refusal(lambda: list(_answers(path))) or ():
        for item in settlements:
            assert len(item.digest) == 64
            assert item.create_time is not None
            assert item.usage.cost >= 0
            (item.asked.id + item.asked.text + item.run_id + item.call_id).encode("utf-8")


def _settings(content: bytes) -> None:
    path = file_of(content, "slcolm.toml")
    value_or_refusal(lambda: read_file(path))
    for section, kind in _sections():
        value_or_refusal(partial(load_section, kind, section, path=path, environ={}))


@cache
def _sections() -> tuple[tuple[str, type[object]], ...]:
    roles = ((role, config_type(role)) for role in ROLES)
    return ("server", ServerConfig), ("auth", AuthConfig), *roles


def _experiment(content: bytes) -> None:
    path = file_of(content, "experiment.toml")
    experiment = value_or_refusal(lambda: read_experiment(path))
    if experiment is not None:
        assert experiment.seeds
        assert experiment.epochs > 0
        assert {"task", "dev", "test"} <= experiment.paths.keys()
        for schedule in experiment.schedules:
            for weights in schedule.course(3):
                assert 0 <= weights.distilled <= 1
                assert 0 <= weights.original <= 1


def _tokens(content: bytes) -> None:
    path = file_of(content, "tokens.toml")
    value_or_refusal(lambda: FileTokens(path).find("0123456789abcdef"))


def _manifest(content: bytes) -> None:
    folder = _folder() / "model"
    folder.mkdir(exist_ok=True)
    for name in ("spans.onnx", "relations.onnx", "tokenizer.json", "schema.yaml", "card.json"):
        (folder / name).touch()
    (folder / "manifest.json").write_bytes(content)
    for verify in (False, True):
        manifest = value_or_refusal(partial(read_manifest, folder, verify=verify))
        if manifest is not None:
            assert 0 < manifest.relation_threshold < 1
            assert manifest.entity_calibration.temperature > 0
            heads, _ = manifest.admitted_types
            assert heads.shape == (len(manifest.entity_types), len(manifest.relation_types))


def _card(content: bytes) -> None:
    folder = _folder() / "card"
    folder.mkdir(exist_ok=True)
    (folder / "card.json").write_bytes(content)
    value_or_refusal(partial(read_dev_scores, folder))
    value_or_refusal(partial(passed_precisions, folder))


def _tokenizer(content: bytes) -> None:
    path = file_of(content, "tokenizer.json")
    tokenizer = value_or_refusal(lambda: TextTokenizer.load(path))
    if tokenizer is not None:
        encoded = value_or_refusal(lambda: tokenizer.encode("Peter 吕范"))
        if encoded is not None:
            assert (encoded.starts <= encoded.ends).all()
            assert (encoded.ends <= 8).all()


def _graph(content: bytes) -> None:
    value_or_refusal(lambda: load_graph(file_of(content, "graph.onnx")))


TARGETS: Mapping[str, Target] = {
    "jsonl": Target(partial(_data, kind="jsonl", name="d.jsonl"), inputs.native),
    "spert": Target(partial(_data, kind="spert", name="d.json"), inputs.spert),
    "iob2": Target(partial(_data, kind="iob2", name="d.iob2"), inputs.iob2),
    "task": Target(_task, inputs.tasks),
    "answer": Target(_answer, inputs.answers),
    "completion": Target(_completion, inputs.completions),
    "recording": Target(_recording, inputs.recordings),
    "prediction": Target(_prediction, inputs.predictions),
    "rows-jsonl": Target(partial(_rows, kind="jsonl", name="r.jsonl"), inputs.native),
    "rows-text": Target(partial(_rows, kind="text", name="r.txt"), inputs.native),
    "rows-parquet": Target(partial(_rows, kind="parquet", name="r.parquet"), inputs.tables),
    "document-rows": Target(_document_rows, inputs.document_rows),
    "policy": Target(_policy, inputs.policies),
    "ledger": Target(_ledger, inputs.ledgers),
    "settings": Target(_settings, inputs.settings),
    "experiment": Target(_experiment, inputs.experiments),
    "tokens": Target(_tokens, inputs.token_files),
    "manifest": Target(_manifest, inputs.manifests),
    "card": Target(_card, inputs.cards),
    "tokenizer": Target(_tokenizer, inputs.tokenizers),
    "graph": Target(_graph, inputs.graphs),
    **{name: Target(check, seeds) for name, (check, seeds) in wire_targets.TARGETS.items()},
}
"""By name."""
