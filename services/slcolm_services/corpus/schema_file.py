"""Task schemas on disk.

The native form is YAML:

    name: chisre
    language: lzh
    script: simplified
    fallback_relation: 其他
    entity_types:
      - {name: PER, label: 人物, definition: 人名}
    relation_types:
      - {name: 父, head: [PER], tail: [PER], symmetric: false, count: 147, definition: 一个…}

SpERT's `*_types.json` is read too: `{"entities": {name: {"short", "verbose"}}, "relations": {name:
{"short", "verbose", "symmetric"}}}`.

YAML is read as a tree of nodes, for a node knows its line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from slcolm_services.corpus.files import read_bytes, replacing
from slcolm_services.corpus.labels import HAN, short_label
from slcolm_services.corpus.records import Problem, data_invalid
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.yamlfields import YamlFields, tree_problem
from slcolm_services.errors import DataInvalid, FieldViolation

SCRIPTS = ("", "simplified", "traditional")


def read_schema(path: str | os.PathLike[str]) -> TaskSchema:
    """Read a task schema, native YAML or SpERT's types file.

    A types file says neither name nor language: the name is the file's without `_types`, or
    the folder's for a plain `types.json`; the language is `zh` where a label has Chinese characters
    and `en` elsewhere; labels are brought to their short form.

    Raises:
        DataInvalid: Anything is wrong; `violations` names each problem by line and field.
    """
    content = read_bytes(path)
    problems: list[Problem] = []
    fields = _parse(path, content, problems)
    if fields.has("entities") or fields.has("relations"):
        schema = _from_types_file(fields, _task_name(Path(path)))
    else:
        schema = _from_native(fields)
    if not problems:
        problems.extend(
            Problem(fields.line_of(violation.field), violation.field, violation.problem)
            for violation in schema.problems()
        )
    if problems:
        raise data_invalid(path, problems)
    return schema


def write_schema(path: str | os.PathLike[str], schema: TaskSchema) -> None:
    """Write a task schema as YAML, whole or not at all; `read_schema` reads the same one back."""
    with replacing(path) as file:
        yaml.safe_dump(_as_dict(schema), file, allow_unicode=True, sort_keys=False, width=100)


def schema_digest(schema: TaskSchema) -> str:
    """SHA-256 (hexadecimal) of everything that the schema says, training counts left out.

    Counts are information about one training set; a task is the same task without them.
    """
    value = _as_dict(schema)
    for relation in value.get("relation_types", ()):
        relation.pop("count", None)
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _parse(path: str | os.PathLike[str], content: bytes, problems: list[Problem]) -> YamlFields:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(path, f"is not UTF-8: {error.reason} at byte offset {error.start}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _broken(path, f"is not YAML: {error.problem or error.context}{place}") from error
    except yaml.YAMLError as error:
        raise _broken(path, f"is not YAML: {error}") from error
    except RecursionError as error:
        raise _broken(path, "is nested too deeply") from error
    if not isinstance(node, yaml.MappingNode):
        raise _broken(path, "must be a mapping with name, entity_types and relation_types")
    problem = tree_problem(node)
    if problem is not None:
        raise data_invalid(path, [problem])
    return YamlFields(node, "", problems)


def _broken(path: str | os.PathLike[str], problem: str) -> DataInvalid:
    return DataInvalid(f"{path} is no task schema", violations=[FieldViolation("file", problem)])


def _from_native(fields: YamlFields) -> TaskSchema:
    fields.only(
        "name",
        "language",
        "script",
        "fallback_relation",
        "entity_types",
        "relation_types",
    )
    script = fields.string("script") or ""
    if script not in SCRIPTS:
        fields.error("script", f"{script!r} must be simplified or traditional, or be left out")
    return TaskSchema(
        name=fields.string("name", required=True) or "",
        language=fields.string("language", required=True) or "",
        script=script,
        fallback_relation=fields.string("fallback_relation"),
        entity_types=tuple(_entity_type(item) for item in fields.mappings("entity_types")),
        relation_types=tuple(_relation_type(item) for item in fields.mappings("relation_types")),
    )


def _entity_type(fields: YamlFields) -> EntityType:
    fields.only("name", "label", "definition")
    name = fields.string("name", required=True) or ""
    return EntityType(name, fields.string("label") or name, fields.string("definition") or "")


def _relation_type(fields: YamlFields) -> RelationType:
    fields.only("name", "definition", "head", "tail", "symmetric", "count")
    return RelationType(
        name=fields.string("name", required=True) or "",
        definition=fields.string("definition") or "",
        head_types=fields.strings("head"),
        tail_types=fields.strings("tail"),
        symmetric=fields.boolean("symmetric"),
        count=fields.count("count"),
    )


def _from_types_file(fields: YamlFields, name: str) -> TaskSchema:
    fields.only("entities", "relations")
    entities = []
    for key, item in _named(fields, "entities"):
        item.only("short", "verbose")
        entities.append(EntityType(key, short_label(item.string("verbose") or key)))
    relations = []
    for key, item in _named(fields, "relations"):
        item.only("short", "verbose", "symmetric")
        relations.append(RelationType(short_label(key), symmetric=item.boolean("symmetric")))
    labels = "".join(relation.name for relation in relations)
    return TaskSchema(
        name=name,
        language="zh" if HAN.search(labels) else "en",
        entity_types=tuple(entities),
        relation_types=tuple(relations),
    )


def _task_name(path: Path) -> str:
    return path.resolve().parent.name if path.stem == "types" else path.stem.removesuffix("_types")


def _named(fields: YamlFields, key: str) -> Iterator[tuple[str, YamlFields]]:
    entries = fields.mapping(key)
    return iter(()) if entries is None else entries.named_mappings()


def _as_dict(schema: TaskSchema) -> dict[str, Any]:
    """The native form; what is empty is left out."""
    value = {
        "name": schema.name,
        "language": schema.language,
        "script": schema.script,
        "fallback_relation": schema.fallback_relation,
        "entity_types": [
            _compact({"name": kind.name, "label": kind.label, "definition": kind.definition})
            for kind in schema.entity_types
        ],
        "relation_types": [
            _compact(
                {
                    "name": kind.name,
                    "count": kind.count,
                    "head": list(kind.head_types),
                    "tail": list(kind.tail_types),
                    "symmetric": kind.symmetric,
                    "definition": kind.definition,
                }
            )
            for kind in schema.relation_types
        ],
    }
    return _compact(value)


def _compact(value: dict[str, Any]) -> dict[str, Any]:
    """Without what is absent, empty or false; a count of 0 stays."""
    return {
        key: item for key, item in value.items() if item is not False and item not in (None, "", [])
    }
