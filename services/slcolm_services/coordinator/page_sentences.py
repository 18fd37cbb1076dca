"""Test sentences as the page's script reads them: every triple and revision judged against gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slcolm_services.corpus.documents import Document

TripleKey = tuple[str, str, str]
"""Head text, tail text, relation type; the texts of a symmetric relation in one order."""


def sentence_views(
    lines: Sequence[Mapping[str, Any]], gold: Sequence[Document], symmetric: frozenset[str]
) -> list[dict[str, Any]]:
    """Judge the lines of `merged.jsonl` by the strict protocol.

    Args:
        lines: In the order of the data set.
        gold: Gold documents by whatever order; one that is missing has no triples.
        symmetric: Relation types that hold in both directions.

    Returns:
        A JSON object a line. A triple's `verdict` is `right`, `wrong` or `missed`; its `mentions`
        are indices of its head and tail in `entities`, where they are known. A revision is
        `right` when gold agrees, and `taken` when the merged triples follow it.
    """
    documents = {document.id: document for document in gold}
    return [_Sentence(line, documents.get(line["id"]), symmetric).view() for line in lines]


class _Sentence:
    def __init__(
        self, line: Mapping[str, Any], gold: Document | None, symmetric: frozenset[str]
    ) -> None:
        self._line = line
        self._gold = gold or Document(id=line["id"], text=line["text"])
        self._symmetric = symmetric
        self._entities = [dict(entity) for entity in line["entities"]]
        self._merged = {self._key(triple) for triple in line["triples"]}
        self._true = {
            self._key({"head": triple.head, "tail": triple.tail, "type": triple.type})
            for triple in self._gold.triples()
            if triple.head != triple.tail
        }

    def view(self) -> dict[str, Any]:
        line = self._line
        # Mentions of missed triples are appended to the entities, so triples come first.
        triples = self._found() + self._missed()
        return {
            "id": line["id"],
            "text": line["text"],
            "entities": self._entities,
            "triples": triples,
            "revisions": [self._revision(item) for item in line.get("revisions", ())],
            "explanation": line.get("explanation", ""),
            "problem": line.get("error") or line.get("answer", {}).get("missing", ""),
        }

    def _key(self, item: Mapping[str, Any]) -> TripleKey:
        pair = item["head"], item["tail"]
        head, tail = sorted(pair) if item["type"] in self._symmetric else pair
        return head, tail, item["type"]

    def _found(self) -> list[dict[str, Any]]:
        text = self._line["text"]
        spans = [text[entity["start"] : entity["end"]] for entity in self._entities]
        mentions = {
            (spans[relation["head"]], spans[relation["tail"]], relation["type"]): [
                relation["head"],
                relation["tail"],
            ]
            for relation in self._line["relations"]
        }
        return [
            {
                **triple,
                "verdict": "right" if self._key(triple) in self._true else "wrong",
                "mentions": mentions.get((triple["head"], triple["tail"], triple["type"]), []),
            }
            for triple in self._line["triples"]
        ]

    def _missed(self) -> list[dict[str, Any]]:
        missed: dict[TripleKey, dict[str, Any]] = {}
        for relation in self._gold.relations:
            item = {
                "head": self._gold.mention(relation.head),
                "tail": self._gold.mention(relation.tail),
                "type": relation.type,
            }
            key = self._key(item)
            if key in self._true - self._merged and key not in missed:
                missed[key] = {
                    **item,
                    "sources": [],
                    "verdict": "missed",
                    "mentions": [self._place(relation.head), self._place(relation.tail)],
                }
        return list(missed.values())

    def _place(self, index: int) -> int:
        """Index of a gold mention among the entities; one that was not found is added."""
        entity = self._gold.entities[index]
        span = entity.start, entity.end
        for place, found in enumerate(self._entities):
            if (found["start"], found["end"]) == span:
                return place
        self._entities.append(
            {"type": entity.type, "start": entity.start, "end": entity.end, "missed": True}
        )
        return len(self._entities) - 1

    def _revision(self, item: Mapping[str, Any]) -> dict[str, Any]:
        key, dropped = self._key(item), item["kind"] == "dropped"
        return {
            **item,
            # To drop a triple is right when gold does not have it.
            "right": (key in self._true) != dropped,
            "taken": (key in self._merged) != dropped,
        }
