"""The manifest of an output folder: what it is made of, and which shards are finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from slcolm_services.batch.answers import Model
from slcolm_services.batch.inputs import Source
from slcolm_services.batch.rows import Fields
from slcolm_services.corpus.files import file_digest, replacing
from slcolm_services.corpus.jsonfields import BrokenJson, load_json_file
from slcolm_services.errors import DataInvalid, FieldViolation, PreconditionFailed

NAME = "manifest.json"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard.

    Attributes:
        name: Its file.
        rows: Its rows.
        size: Its bytes.
        sha256: Their digest, in hexadecimal.
        failed: How many of its rows failed, by reason.
    """

    name: str
    rows: int
    size: int
    sha256: str
    failed: Mapping[str, int]


@dataclass(frozen=True)
class Manifest:
    """All that decides the bytes of an output, and how far it has come.

    Attributes:
        inputs: Files by name, size and digest. Where they lie does not matter.
        settings: What shapes the rows.
        shards: Finished shards, in order.
        complete: Whether these are all.
    """

    inputs: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    complete: bool = False

    @classmethod
    def of(
        cls, sources: Sequence[Source], model: Model, fields: Fields, *, shard_rows: int
    ) -> Self:
        """The manifest of an output that is about to begin."""
        return cls(
            inputs=tuple(
                {
                    "name": source.path.name,
                    "format": source.format,
                    "bytes": source.size,
                    "sha256": source.sha256,
                    "rows": source.rows,
                }
                for source in sources
            ),
            settings={
                "model_revision": model.revision,
                "precision": model.precision,
                "text_field": fields.text,
                "id_field": fields.id,
                "shard_rows": shard_rows,
            },
        )

    def and_shard(self, shard: Shard) -> Self:
        """The manifest of the same output with one more finished shard."""
        # Names of more than five digits are longer, and come later.
        shards = sorted((*self.shards, shard), key=lambda shard: (len(shard.name), shard.name))
        return replace(self, shards=tuple(shards))

    @property
    def rows(self) -> int:
        """Rows of the finished shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def failed(self) -> Counter[str]:
        """Failed rows of the finished shards, by reason."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.failed)
        return total


def load(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises:
        DataInvalid: It is damaged.
    """
    path = folder / NAME
    try:
        value = load_json_file(path.read_bytes())
        if value["version"] != _VERSION:
            raise DataInvalid(f"{path} is of another version of slcolm: {value['version']!r}")
        if not isinstance(value["settings"], dict):
            raise TypeError("its settings are no object")  # noqa: TRY301  the ladder is below
        return Manifest(
            inputs=tuple(value["inputs"]),
            settings=value["settings"],
            shards=tuple(Shard(**shard) for shard in value["shards"]),
            complete=value["complete"] is True,
        )
    except FileNotFoundError:
        return None
    except (BrokenJson, KeyError, TypeError) as error:
        raise DataInvalid(f"{path} is no manifest of an output: {error}") from error


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder; the old one is replaced whole or not at all."""
    with replacing(folder / NAME) as file:
        json.dump({"version": _VERSION} | asdict(manifest), file, ensure_ascii=False, indent=1)
        file.write("\n")


def check_same(folder: Path, old: Manifest, new: Manifest) -> None:
    """Refuse to go on with an output that is made of something else.

    Raises:
        PreconditionFailed: `violations` names each difference.
    """
    violations = [
        FieldViolation(name, f"was {old.settings.get(name)!r}, is now {value!r}")
        for name, value in new.settings.items()
        if old.settings.get(name) != value
    ]
    if old.inputs != new.inputs:
        violations.append(FieldViolation("input", _difference(old.inputs, new.inputs)))
    if violations:
        raise PreconditionFailed(
            f"{folder} holds the output of another input or model; name another --output",
            violations=violations,
        )


def check_shards(folder: Path, manifest: Manifest) -> None:
    """Find out whether the finished shards are there as they were written; reads all of them.

    Raises:
        PreconditionFailed: `violations` names each that is not.
    """
    violations = [
        FieldViolation(shard.name, problem)
        for shard in manifest.shards
        if (problem := _change(folder / shard.name, shard)) is not None
    ]
    if violations:
        raise PreconditionFailed(
            f"finished shards of {folder} have changed; name another --output",
            violations=violations,
        )


def _change(path: Path, shard: Shard) -> str | None:
    try:
        size = path.stat().st_size
        if size != shard.size:
            return f"has {size} bytes, not {shard.size}"
        return None if file_digest(path) == shard.sha256 else "has other bytes than were written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _difference(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    if len(old) != len(new):
        return f"had {len(old)} files, has now {len(new)}"
    before, after = next((b, a) for b, a in zip(old, new, strict=True) if b != a)
    changed = ", ".join(name for name in after if before.get(name) != after[name])
    return f"{after['name']} is not what it was: {changed}"
