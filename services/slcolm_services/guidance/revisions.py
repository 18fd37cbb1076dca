"""What an answer did to the SLM's prediction, triple by triple."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from slcolm_services.corpus.documents import Triple


class RevisionKind(enum.Enum):
    """What happened to one triple."""

    KEPT = "kept"
    DROPPED = "dropped"
    RELABELLED = "relabelled"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Revision:
    """One change, or none.

    Attributes:
        kind: What happened.
        triple: The triple as the answer has it; for a dropped one, as the SLM had it. The SLM's
            probability is kept where the SLM predicted this very triple.
        previous_type: The SLM's type, for a relabelled triple; else None.
    """

    kind: RevisionKind
    triple: Triple
    previous_type: str | None = None


def compare(predicted: Sequence[Triple], answered: Sequence[Triple]) -> tuple[Revision, ...]:
    """Compare an answer with the SLM's prediction.

    A predicted triple that the answer lacks is relabelled when the answer gives its head and tail,
    in this direction, a type that the SLM did not predict for them; each answered triple stands in
    for one predicted triple at most. Every triple of either side is in exactly one revision.

    Returns:
        The predicted triples in their order, then what was added, in the order of the answer.
    """
    known, kept = set(predicted), set(answered)
    added = dict.fromkeys(triple for triple in answered if triple not in known)
    by_ends: dict[tuple[str, str], list[Triple]] = {}
    for triple in reversed(added):
        by_ends.setdefault((triple.head, triple.tail), []).append(triple)
    revisions = []
    for triple in dict.fromkeys(predicted):
        if triple in kept:
            revisions.append(Revision(RevisionKind.KEPT, triple))
            continue
        others = by_ends.get((triple.head, triple.tail))
        if not others:
            revisions.append(Revision(RevisionKind.DROPPED, triple))
        else:
            other = others.pop()
            del added[other]
            revisions.append(Revision(RevisionKind.RELABELLED, other, triple.type))
    revisions.extend(Revision(RevisionKind.ADDED, triple) for triple in added)
    return tuple(revisions)
