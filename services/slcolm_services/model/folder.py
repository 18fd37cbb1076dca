"""The model folder: two graphs, a tokenizer, the task schema, the card and a manifest.

A folder is a model's only form between training and use. The manifest names every other file with
its SHA-256, and everything a reader needs to turn logits into entities and relations.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.files import file_digest
from slcolm_services.corpus.jsonfields import BrokenJson, load_json_file
from slcolm_services.corpus.records import shown
from slcolm_services.errors import FieldViolation, ModelInvalid, ModelNotFound
from slcolm_services.model.calibration import PlattScaling, TemperatureScaling

FORMAT = 1
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
SCHEMA_FILE = "schema.yaml"
CARD_FILE = "card.json"
README_FILE = "README.md"

# Bounds that no sound model reaches: a damaged or hostile manifest must not size our arrays.
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_CARD_BYTES = 64 * 1024 * 1024
_MAX_TOKENS = 65_536
_MAX_SPAN_TOKENS = 256
_MAX_TYPES = 10_000
_MAX_NAME_CHARACTERS = 500
_MAX_VECTOR_DIMENSION = 65_536
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_KEYS = frozenset(
    {
        "format",
        "graphs",
        "max_tokens",
        "max_span_tokens",
        "entity_types",
        "relation_types",
        "relation_arguments",
        "overlapping_entities",
        "relation_threshold",
        "entity_calibration",
        "relation_calibration",
        "vector_dimension",
        "precision",
        "files",
    }
)


@dataclass(frozen=True)
class Arguments:
    """Entity types that a relation may join; none for any.

    Attributes:
        head: Of its head.
        tail: Of its tail.
    """

    head: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelManifest:
    """What a model folder holds.

    Attributes:
        entity_types: Names; class 0 of the span logits is "no entity", class i+1 is name i.
        relation_types: Names, in the order of the relation logits.
        relation_arguments: By relation type the entity types that its head and its tail may have;
            none for any. A type that is not there takes any.
        overlapping_entities: Whether two entities of a text may share tokens.
        max_tokens: Longest text in tokens, special tokens included.
        max_span_tokens: Longest entity in tokens (W of the span logits).
        relation_threshold: Least sigmoid, in (0, 1), of a relation that holds.
        vector_dimension: Length of the sentence vector.
        entity_calibration: From span logits to probabilities.
        relation_calibration: From a relation logit to a probability.
        precision: Numeric precision of the graphs, for example `fp32`.
        spans_graph: File of the first graph.
        relations_graph: File of the second graph.
        files: SHA-256 in hexadecimal of every other file, by name.
    """

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    max_tokens: int
    max_span_tokens: int
    relation_threshold: float
    vector_dimension: int
    entity_calibration: TemperatureScaling = field(default_factory=TemperatureScaling)
    relation_calibration: PlattScaling = field(default_factory=PlattScaling)
    relation_arguments: Mapping[str, Arguments] = field(default_factory=dict)
    overlapping_entities: bool = True
    precision: str = "fp32"
    spans_graph: str = "spans.onnx"
    relations_graph: str = "relations.onnx"
    files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def admitted_types(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """bool[E, R] each: whether an entity type may be the head, and the tail, of a relation."""
        anything = Arguments()
        arguments = [self.relation_arguments.get(name, anything) for name in self.relation_types]
        heads, tails = (
            np.array(
                [[not side or kind in side for side in sides] for kind in self.entity_types],
                dtype=np.bool_,
            )
            for sides in ([one.head for one in arguments], [one.tail for one in arguments])
        )
        return heads, tails

    @property
    def required_files(self) -> tuple[str, ...]:
        """Files without which the folder is no model."""
        return (self.spans_graph, self.relations_graph, TOKENIZER_FILE, SCHEMA_FILE, CARD_FILE)


def read_manifest(folder: Path, *, verify: bool = True) -> ModelManifest:
    """Read and check a model folder's manifest.

    Args:
        folder: The model folder.
        verify: Whether to compare every file with its digest, which reads them all.

    Raises:
        ModelNotFound: There is no such folder, or no manifest in it.
        ModelInvalid: The manifest is not of a known format or has wrong values (`violations` names
            each), a file is missing or leads out of the folder, or a digest does not match.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        what = f"no {MANIFEST_FILE} in" if folder.is_dir() else "no folder"
        raise ModelNotFound(f"there is no model: {what} {folder}", metadata={"path": str(folder)})
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise ModelInvalid(f"{path} is larger than {_MAX_MANIFEST_BYTES} bytes")
    try:
        raw = load_json_file(path.read_bytes())
    except BrokenJson as error:
        raise ModelInvalid(f"{path} {error}") from error
    if not isinstance(raw, dict):
        raise ModelInvalid(f"{path} is not a JSON object")
    if raw.get("format") != FORMAT:
        raise ModelInvalid(
            f"{path} is of format {shown(repr(raw.get('format')))}; "
            f"this version reads format {FORMAT}",
            violations=[FieldViolation("format", f"must be {FORMAT}")],
        )
    problems: list[FieldViolation] = []
    manifest = _parse(raw, problems)
    if not problems:
        _check_files(folder, manifest, problems, verify=verify)
    if problems:
        raise ModelInvalid(f"{folder} is not a valid model folder", violations=problems)
    return manifest


def write_manifest(folder: Path, manifest: ModelManifest) -> ModelManifest:
    """Write the manifest of a folder whose other files are complete; the last step of an export.

    Digests are taken from the files as they stand. The manifest appears whole or not at all.

    Returns:
        The manifest with its `files`.

    Raises:
        ModelInvalid: A required file is missing or a value is out of bounds; nothing is written.
    """
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name != MANIFEST_FILE
    )
    complete = replace(manifest, files={name: file_digest(folder / name) for name in names})
    raw = _to_json(complete)
    problems: list[FieldViolation] = []
    _parse(raw, problems)
    if not problems:
        _check_files(folder, complete, problems, verify=False)
    if problems:
        raise ModelInvalid(f"{folder} cannot become a model folder", violations=problems)
    unfinished = folder / f".{MANIFEST_FILE}.tmp"
    unfinished.write_text(json.dumps(raw, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(folder / MANIFEST_FILE)
    return complete


def read_dev_scores(folder: Path) -> dict[str, float]:
    """Scores on dev from a model folder's card: metric name to value.

    Raises:
        ModelInvalid: The card is missing or not JSON, or its scores are not numbers by name.
    """
    try:
        scores = _card(folder)["dev_scores"]
        return {str(name): float(value) for name, value in scores.items()}
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise ModelInvalid(f"{folder / CARD_FILE} has no readable dev_scores: {error!r}") from error


def passed_precisions(folder: Path) -> frozenset[str]:
    """Precisions beside fp32 in which the model is as good on dev, by its card."""
    try:
        checks = _card(folder).get("precisions", {})
        return frozenset(name for name, check in checks.items() if check["passed"] is True)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ModelInvalid(f"{folder / CARD_FILE} has no readable precisions: {error!r}") from error


def _card(folder: Path) -> Any:
    path = folder / CARD_FILE
    if path.stat().st_size > _MAX_CARD_BYTES:
        raise ValueError(f"it is larger than {_MAX_CARD_BYTES} bytes")
    return load_json_file(path.read_bytes())


def _to_json(manifest: ModelManifest) -> dict[str, object]:
    return {
        "format": FORMAT,
        "graphs": {"spans": manifest.spans_graph, "relations": manifest.relations_graph},
        "max_tokens": manifest.max_tokens,
        "max_span_tokens": manifest.max_span_tokens,
        "entity_types": list(manifest.entity_types),
        "relation_types": list(manifest.relation_types),
        "relation_arguments": {
            name: {"head": list(arguments.head), "tail": list(arguments.tail)}
            for name, arguments in manifest.relation_arguments.items()
        },
        "overlapping_entities": manifest.overlapping_entities,
        "relation_threshold": manifest.relation_threshold,
        "entity_calibration": {
            "kind": "temperature",
            "temperature": manifest.entity_calibration.temperature,
        },
        "relation_calibration": {
            "kind": "platt",
            "slope": manifest.relation_calibration.slope,
            "intercept": manifest.relation_calibration.intercept,
        },
        "vector_dimension": manifest.vector_dimension,
        "precision": manifest.precision,
        "files": dict(manifest.files),
    }


def _parse(raw: Mapping[str, object], problems: list[FieldViolation]) -> ModelManifest:
    """Read every field; what is wrong goes to `problems`, and the result then means nothing."""
    problems.extend(
        FieldViolation(key, "is not a field of format 1") for key in sorted(raw.keys() - _KEYS)
    )
    top = _Fields(raw, "", problems)
    graphs = top.object("graphs")
    entities = top.object("entity_calibration", kind="temperature")
    relations = top.object("relation_calibration", kind="platt")
    entity_types = top.names("entity_types")
    relation_types = top.names("relation_types", least=0)
    return ModelManifest(
        entity_types=entity_types,
        relation_types=relation_types,
        relation_arguments=_arguments(top, entity_types, relation_types),
        overlapping_entities=top.flag("overlapping_entities", default=True),
        max_tokens=top.integer("max_tokens", _MAX_TOKENS),
        max_span_tokens=top.integer("max_span_tokens", _MAX_SPAN_TOKENS),
        relation_threshold=top.number("relation_threshold", above=0.0, below=1.0),
        vector_dimension=top.integer("vector_dimension", _MAX_VECTOR_DIMENSION),
        entity_calibration=TemperatureScaling(entities.number("temperature", above=0.0)),
        relation_calibration=PlattScaling(relations.number("slope"), relations.number("intercept")),
        precision=top.text("precision"),
        spans_graph=graphs.text("spans"),
        relations_graph=graphs.text("relations"),
        files=top.digests("files"),
    )


def _arguments(
    top: _Fields, entity_types: Sequence[str], relation_types: Sequence[str]
) -> dict[str, Arguments]:
    """What relations may join; models of earlier versions do not say it."""
    by_type = top.object("relation_arguments", required=False)
    found = {}
    for name in by_type.keys(relation_types):
        sides = by_type.object(name)
        found[name] = Arguments(
            sides.names("head", among=entity_types), sides.names("tail", among=entity_types)
        )
    return found


def _check_files(
    folder: Path, manifest: ModelManifest, problems: list[FieldViolation], *, verify: bool
) -> None:
    problems.extend(
        FieldViolation(f"files[{name!r}]", "is missing from the list")
        for name in manifest.required_files
        if name not in manifest.files
    )
    root = folder.resolve()
    for name, digest in manifest.files.items():
        place, path = f"files[{name!r}]", folder / name
        # A plain name cannot leave the folder, but the file behind it may be a link.
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST_FILE:
            problems.append(
                FieldViolation(place, "must be a plain file name of letters, digits and ._-")
            )
        elif not path.is_file():
            problems.append(FieldViolation(place, "the file is missing"))
        elif path.resolve().parent != root:
            problems.append(FieldViolation(place, "the file is a link that leaves the folder"))
        elif verify and file_digest(path) != digest:
            problems.append(FieldViolation(place, "the file does not match its digest"))


class _Fields:
    """Reads the fields of one JSON object and notes what is wrong with them."""

    def __init__(
        self, raw: Mapping[str, object], prefix: str, problems: list[FieldViolation]
    ) -> None:
        self._raw = raw
        self._prefix = prefix
        self._problems = problems

    def _wrong(self, name: str, problem: str) -> None:
        shown = repr(self._raw[name])[:80] if name in self._raw else "nothing"
        self._problems.append(FieldViolation(self._prefix + name, f"{problem}, got {shown}"))

    def keys(self, among: Collection[str]) -> list[str]:
        """The names of all fields; those that are not among the known ones are wrong."""
        for name in self._raw:
            if name not in among:
                self._wrong(name, "is not known")
        return [name for name in self._raw if name in among]

    def object(self, name: str, *, kind: str | None = None, required: bool = True) -> _Fields:
        value = self._raw.get(name, None if required else {})
        if not isinstance(value, dict):
            self._wrong(name, "must be an object")
            value = {}
        elif kind is not None and value.get("kind") != kind:
            self._wrong(name, f"must be of kind {kind!r}")
        return _Fields(value, f"{self._prefix}{name}.", self._problems)

    def integer(self, name: str, most: int) -> int:
        value = self._raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self._wrong(name, f"must be a whole number from 1 to {most}")
        return 1

    def number(self, name: str, *, above: float = -math.inf, below: float = math.inf) -> float:
        value = self._raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and above < value < below:
            # A whole number may be greater than any float.
            with contextlib.suppress(OverflowError):
                return float(value)
        self._wrong(name, f"must be a number above {above:g} and below {below:g}")
        return 1.0

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._raw.get(name, default)
        if isinstance(value, bool):
            return value
        self._wrong(name, "must be true or false")
        return default

    def text(self, name: str) -> str:
        value = self._raw.get(name)
        if isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARACTERS:
            return value
        self._wrong(name, f"must be a string of 1 to {_MAX_NAME_CHARACTERS} characters")
        return ""

    def names(self, name: str, *, among: Collection[str] = (), least: int = 1) -> tuple[str, ...]:
        """Different names; where others are given, some of them or none."""
        value = self._raw.get(name)
        if (
            isinstance(value, list)
            and (among or len(value) >= least)
            and len(value) <= _MAX_TYPES
            and all(
                isinstance(item, str) and 0 < len(item) <= _MAX_NAME_CHARACTERS for item in value
            )
            and len(set(value)) == len(value)
            and (not among or set(value).issubset(among))
        ):
            return tuple(value)
        some = f"{least} to {_MAX_TYPES} different names"
        some = "different names of entity types" if among else some
        self._wrong(name, f"must be {some}")
        return ()

    def digests(self, name: str) -> dict[str, str]:
        value = self._raw.get(name)
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
        self._wrong(name, "must name files with their SHA-256")
        return {}
