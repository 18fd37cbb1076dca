"""Build the data set `annals` from its source, or check that the committed files are up to date.

Usage: python scripts/build_sample.py [--check]

The source says how a line is written (see its head). A line without slots is one sentence; a line
with slots makes up to three, each with other names. Names are drawn by a generator seeded with the
line itself, so an edited line leaves the others as they are, unless their sentences meet.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.duplicates import dedup_key, shared_runs
from slcolm_services.corpus.jsonl import format_line
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import frequency_bucket, training_counts
from slcolm_services.errors import DataInvalid, FieldViolation

ROOT = Path(__file__).resolve().parent.parent
ANNALS = ROOT / "services" / "slcolm_services" / "samples" / "annals"
SPLITS = ("train", "dev", "test")

MAX_SENTENCES = 3
"""Sentences that one line with slots may make: more would be near-copies."""
MIN_LENGTH, MAX_LENGTH = 8, 45
"""Bounds of a sentence in characters."""
RUN = 12
"""Characters in a row that no two splits may share."""
RECURRING = 0.35
"""Share of names in dev and test that are drawn from the names of train."""
_DRAWS = 200

_ENTITY_TYPES = {"P": "PER", "L": "LOC", "O": "OFI", "T": "TIME", "B": "BOOK", "G": "GPE"}
_MENTION = re.compile(r"\[([PLOTBG])(\d) ([^\[\]]+)\]")
_RELATION = re.compile(r"(\d)(\D+)(\d)")
_SLOT = re.compile(r"\{(?:(?P<sign>[=~])(?P<number>\d)|(?P<pool>[^=~].*))\}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the source that makes sentences.

    Attributes:
        number: Its place in the source, from 1.
        counts: Sentences that it makes in train, dev and test.
        text: Text with its mentions marked up.
        relations: Type, head and tail, by the numbers of the mentions.
    """

    number: int
    counts: tuple[int, ...]
    text: str
    relations: tuple[tuple[str, int, int], ...]

    @property
    def has_slots(self) -> bool:
        """Whether names are drawn for it."""
        return "{" in self.text


@dataclass(frozen=True, slots=True)
class Pool:
    """Names for a slot; a slash parts the family name from the given name.

    Attributes:
        train: Names for train.
        held_out: Names kept for dev and test; the same as `train` where none are kept.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def draw(self, split: str, rng: random.Random) -> str:
        """A name for a sentence of `split`."""
        recurring = split == "train" or rng.random() < RECURRING
        return rng.choice(self.train if recurring else self.held_out)


@dataclass
class Source:
    """The source, parsed."""

    pools: dict[str, Pool] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


def parse(text: str) -> Source:
    """Parse the source.

    Raises:
        DataInvalid: A line cannot be read; the line and what is wrong with it are named.
    """
    source = Source()
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.startswith("@"):
            name, *names = raw[1:].split()
            bar = names.index("|") if "|" in names else len(names)
            train = tuple(names[:bar])
            source.pools[name] = Pool(train, tuple(names[bar + 1 :]) or train)
        elif raw and not raw.startswith("#"):
            source.lines.append(_line(number, raw))
    return source


def _line(number: int, raw: str) -> Line:
    parts = [part.strip() for part in raw.split("|")]
    if len(parts) != 3 or not re.fullmatch(r"\d{3}", parts[0]):  # noqa: PLR2004 - counts, text, relations
        raise _invalid(number, "must be `NNN | text | relations`")
    counts = tuple(int(digit) for digit in parts[0])
    relations = []
    for item in parts[2].split():
        match = _RELATION.fullmatch(item)
        if match is None:
            raise _invalid(number, f"{item!r} is not a relation such as 1任职2")
        relations.append((match[2], int(match[1]), int(match[3])))
    line = Line(number, counts, parts[1], tuple(relations))
    allowed = MAX_SENTENCES if line.has_slots else 1
    if not 1 <= sum(counts) <= allowed:
        raise _invalid(number, f"makes {sum(counts)} sentences; 1 to {allowed} are allowed")
    return line


def _invalid(number: int, problem: str) -> DataInvalid:
    return DataInvalid(
        f"the source is wrong at line {number}: {problem}",
        violations=[FieldViolation(f"line {number}", problem)],
    )


def build(source: Source, schema: TaskSchema) -> dict[str, list[Document]]:
    """Make the sentences of each split, in an order that mixes the sections of the source.

    Raises:
        DataInvalid: A line does not fit the schema, repeats a sentence, or finds no names that keep
            it apart from the other splits.
    """
    builder = _Builder(source.pools, schema)
    # Written-out sentences first: names can be drawn around them, they cannot give way.
    for line in sorted(source.lines, key=lambda line: line.has_slots):
        builder.add(line)
    for split, docs in builder.built.items():
        random.Random(split).shuffle(docs)
        docs[:] = [replace(doc, id=f"{split}-{index:04d}") for index, doc in enumerate(docs)]
    return builder.built


class _Builder:
    """The splits while they grow."""

    def __init__(self, pools: Mapping[str, Pool], schema: TaskSchema) -> None:
        self.built: dict[str, list[Document]] = {split: [] for split in SPLITS}
        self._pools = pools
        self._schema = schema

    def add(self, line: Line) -> None:
        """Make the sentences of a line."""
        rng = random.Random(line.text)
        for split, count in zip(SPLITS, line.counts, strict=True):
            for _ in range(count):
                self.built[split].append(self._sentence(line, split, rng))

    def _sentence(self, line: Line, split: str, rng: random.Random) -> Document:
        """A sentence that stands apart from all that was built."""
        problem = ""
        for _ in range(_DRAWS if line.has_slots else 1):
            doc = self._fill(line, split, rng)
            problem = self._clash(doc.text, split)
            if not problem:
                return doc
        raise _invalid(line.number, problem)

    def _clash(self, text: str, split: str) -> str:
        """Why `text` may not join `split`; empty where it may."""
        if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
            return f"has {len(text)} characters; {MIN_LENGTH} to {MAX_LENGTH} are allowed"
        if dedup_key(text) in {dedup_key(doc.text) for doc in self.built[split]}:
            return "repeats a sentence"
        others = [doc.text for other in SPLITS if other != split for doc in self.built[other]]
        for shared in shared_runs([text], others, RUN):
            return f"shares {shared.run!r} with another split"
        return ""

    def _fill(self, line: Line, split: str, rng: random.Random) -> Document:
        """The sentence with names in its slots and its annotations in place."""
        names: list[str] = []
        entities: list[Entity] = []
        text = ""
        end = 0
        for match in _MENTION.finditer(line.text):
            if int(match[2]) != len(entities) + 1:
                raise _invalid(line.number, f"mention {match[2]} must be {len(entities) + 1}")
            text += line.text[end : match.start()]
            end = match.end()
            name = self._name(match[3], names, split, rng)
            if name is None:
                raise _invalid(
                    line.number, f"{match[3]} names neither a pool nor an earlier mention"
                )
            names.append(name)
            mention = name.replace("/", "")
            entities.append(Entity(_ENTITY_TYPES[match[1]], len(text), len(text) + len(mention)))
            text += mention
        text += line.text[end:]
        if set("[]{}") & set(text):
            raise _invalid(line.number, f"markup is left over: {text}")
        return Document("", text, tuple(entities), tuple(self._relations(line, entities)))

    def _name(
        self, content: str, names: Sequence[str], split: str, rng: random.Random
    ) -> str | None:
        """What a mention says: its own words, an earlier mention's, or a name that is not yet used.

        None where the slot refers to nothing.
        """
        slot = _SLOT.fullmatch(content)
        if slot is None:
            return content
        if slot["sign"]:
            number = int(slot["number"])
            if not 1 <= number <= len(names):
                return None
            earlier = names[number - 1]
            return earlier if slot["sign"] == "=" else earlier.rpartition("/")[2]
        if slot["pool"] not in self._pools:
            return None
        while True:
            name = self._pools[slot["pool"]].draw(split, rng)
            if name not in names:
                return name

    def _relations(self, line: Line, entities: Sequence[Entity]) -> Iterator[Relation]:
        for kind, head, tail in line.relations:
            relation_type = self._schema.relations_by_name.get(kind)
            if relation_type is None:
                raise _invalid(line.number, f"{kind!r} is not a relation type of the task")
            if not (1 <= head <= len(entities) and 1 <= tail <= len(entities)):
                raise _invalid(line.number, f"{head}{kind}{tail} names a mention that is not there")
            head_type, tail_type = entities[head - 1].type, entities[tail - 1].type
            if head == tail or not relation_type.admits(head_type, tail_type):
                raise _invalid(
                    line.number,
                    f"{kind} may not hold from mention {head}, {head_type}, "
                    f"to mention {tail}, {tail_type}",
                )
            yield Relation(kind, head - 1, tail - 1)


def counts_table(built: Mapping[str, Sequence[Document]], schema: TaskSchema) -> str:
    """What the data set holds, as Markdown."""
    train, dev, test = (training_counts(built[split], schema) for split in SPLITS)
    rows = ["| | train | dev | test | bucket |", "|---|---:|---:|---:|---|"]
    for label, size in (
        ("sentences", len),
        ("without relations", lambda docs: sum(not doc.relations for doc in docs)),
        ("characters", lambda docs: sum(len(doc.text) for doc in docs)),
        ("entities", lambda docs: sum(len(doc.entities) for doc in docs)),
        ("relations", lambda docs: sum(len(doc.relations) for doc in docs)),
    ):
        rows.append(f"| {label} | {' | '.join(str(size(built[split])) for split in SPLITS)} | |")
    rows.extend(
        f"| {name} | {train[name]} | {dev[name]} | {test[name]} | {frequency_bucket(train[name])} |"
        for name in sorted(train, key=lambda name: -train[name])
    )
    return "\n".join(rows)


def outputs(folder: Path) -> dict[Path, str]:
    """The built files and what is to stand in them, made from the source in `folder`."""
    schema = read_schema(folder / "task.yaml")
    built = build(parse((folder / "source.txt").read_text(encoding="utf-8")), schema)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition("<!-- counts -->\n")
    after = rest.partition("<!-- /counts -->")[2]
    table = counts_table(built, schema)
    return {
        **{folder / f"{split}.jsonl": _jsonl(built[split]) for split in SPLITS},
        folder / "README.md": f"{before}<!-- counts -->\n{table}\n<!-- /counts -->{after}",
    }


def _jsonl(docs: Iterable[Document]) -> str:
    return "".join(format_line(doc) + "\n" for doc in docs)


def main() -> int:
    """Write the built files, or compare them. Returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    stale = 0
    for path, content in outputs(ANNALS).items():
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        if check:
            print(f"{path.relative_to(ROOT)} is not what the source makes", file=sys.stderr)
            stale += 1
        else:
            path.write_text(content, encoding="utf-8", newline="\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
