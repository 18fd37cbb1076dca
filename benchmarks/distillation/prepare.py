"""The data of the blending experiment on CoNLL-2003, from human and from LLM annotations.

    python benchmarks/distillation/prepare.py CONLL2003 DISTILLED OUT [--seed 0] [--weaken 0.2]

CONLL2003 has `train.iob2` and `testa.iob2`; DISTILLED has recorded answers of an LLM to sentences
of that train (`conll2003_train_1000.jsonl`, the number in an id is the sentence's place) and of
another domain (`bbc_800.jsonl`). Written to OUT:

    task.yaml
    raw.jsonl, raw_other.jsonl   the sentences that the LLM annotated, bare
    gold.jsonl                   the first of them as people annotated them
    original.jsonl               as many other sentences of train, annotated by people
    dev.jsonl                    as many further ones, to choose on
    test.jsonl                   testa
    annotated.jsonl, other_domain.jsonl, and their reports: what `slcolm annotate` makes of the
                                 answers (replayed)
    weakened.jsonl               the first of these with errors put in on purpose: see `weaken`
    paper.toml, small.toml       experiments on these data; weakened.toml, one on the weakened

Draws are seeded. Sentences that the LLM annotated are in none of the other sets.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema import EntityType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema

_TYPES = {
    "PER": "Names of people; titles are no part of them.",
    "LOC": "Countries, cities, regions, rivers, venues named as places.",
    "ORG": "Companies, institutions, parties, sports teams.",
    "MISC": "Other named things: nationalities, languages, events, competitions, works, products.",
}
_SHARES = {"drop": 0.4, "widen": 0.3, "relabel": 0.3}
"""How the errors of `weaken` are shared out."""


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("conll", type=Path)
    parser.add_argument("distilled", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weaken", type=float, default=0.25)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    write_schema(out / "task.yaml", _schema())
    rng = random.Random(arguments.seed)

    train = read_any(arguments.conll / "train.iob2")
    recordings = arguments.distilled / "conll2003_train_1000.jsonl"
    other = arguments.distilled / "bbc_800.jsonl"
    chosen = [int(name.rsplit("-", 1)[1]) for name in _ids(recordings)]
    gold = [
        replace(train[place], id=name) for name, place in zip(_ids(recordings), chosen, strict=True)
    ]
    left = [train[place] for place in sorted(set(range(len(train))) - set(chosen))]
    # The LLM was given sentences of 8 to 60 tokens; so are the others.
    left = [document for document in left if 8 <= len(document.text.split(" ")) <= 60]
    known = {document.text for document in gold}
    left = [document for document in left if document.text not in known]
    rng.shuffle(left)
    write_documents(out / "gold.jsonl", gold)
    write_documents(out / "raw.jsonl", (document.without_annotations() for document in gold))
    write_documents(out / "raw_other.jsonl", _bare(other))
    write_documents(out / "original.jsonl", left[: len(gold)])
    write_documents(out / "dev.jsonl", left[len(gold) : 2 * len(gold)])
    write_documents(out / "test.jsonl", read_any(arguments.conll / "testa.iob2"))

    for raw, answers, name in (
        ("raw.jsonl", recordings, "annotated"),
        ("raw_other.jsonl", other, "other_domain"),
    ):
        report = _annotate(out, out / raw, answers, out / f"{name}.jsonl")
        (out / f"{name}.report.json").write_text(report, encoding="utf-8")
    annotated = read_documents(out / "annotated.jsonl")
    write_documents(out / "weakened.jsonl", weaken(annotated, arguments.weaken, rng))
    for name in ("paper.toml", "small.toml"):
        shutil.copy(Path(__file__).with_name(name), out / name)
    small = (out / "small.toml").read_text(encoding="utf-8")
    weakened = small.replace('"annotated.jsonl"', '"weakened.jsonl"')
    (out / "weakened.toml").write_text(weakened, encoding="utf-8")
    for path in sorted(out.glob("*.jsonl")):
        print(f"{path.name}: {len(read_documents(path))}")


def weaken(documents: Iterable[Document], share: float, rng: random.Random) -> list[Document]:
    """Put errors into a share of the entities: an LLM's work as a weaker LLM might have done it.

    Of the entities with an error 40 % are left out, 30 % take in the token before or after them,
    and 30 % get another type. No entity is made up.
    """
    kinds = list(_TYPES)
    weakened = []
    for document in documents:
        entities: list[Entity] = []
        for entity in document.entities:
            if rng.random() >= share:
                entities.append(entity)
                continue
            error = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
            if error == "widen":
                entities.append(_widened(document, entity, rng))
            elif error == "relabel":
                others = [kind for kind in kinds if kind != entity.type]
                entities.append(replace(entity, type=rng.choice(others)))
        weakened.append(replace(document, entities=tuple(dict.fromkeys(entities))))
    return weakened


def _widened(document: Document, entity: Entity, rng: random.Random) -> Entity:
    text = document.text
    end = text.find(" ", entity.end + 1)
    right = len(text) if end < 0 else end
    left = text.rfind(" ", 0, max(0, entity.start - 1)) + 1
    choices = [(left, entity.end)] if entity.start else []
    choices += [(entity.start, right)] if entity.end < len(text) else []
    start, end = rng.choice(choices or [(entity.start, entity.end)])
    return replace(entity, start=start, end=end)


def _annotate(out: Path, raw: Path, answers: Path, to: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "slcolm_services",
        "annotate",
        "--task",
        str(out / "task.yaml"),
    ]
    command += ["--input", str(raw), "--guide", "replay", "--recordings", str(answers)]
    command += ["--entities-only", "--prompt", "cot", "--out", str(to), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def _ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def _bare(path: Path) -> Sequence[Document]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Document(line["id"], " ".join(line["tokens"])) for line in lines]


def _schema() -> TaskSchema:
    types = tuple(EntityType(name, name, definition) for name, definition in _TYPES.items())
    return TaskSchema("conll2003", "en", types, ())


if __name__ == "__main__":
    main()
