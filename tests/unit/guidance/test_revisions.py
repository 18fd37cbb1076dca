"""Every triple of prediction and answer is in exactly one revision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Triple
from slcolm_services.guidance.revisions import Revision, RevisionKind, compare

_triples = st.lists(st.builds(Triple, *(st.sampled_from("abc"),) * 2, st.sampled_from("xyz")))


def test_names_what_happened() -> None:
    kept, dropped = Triple("a", "b", "x", 0.9), Triple("a", "c", "x", 0.4)
    before, after, added = Triple("b", "c", "x"), Triple("b", "c", "y"), Triple("c", "a", "z")
    assert compare([kept, dropped, before], [added, after, kept]) == (
        Revision(RevisionKind.KEPT, kept),
        Revision(RevisionKind.DROPPED, dropped),
        Revision(RevisionKind.RELABELLED, after, "x"),
        Revision(RevisionKind.ADDED, added),
    )
    assert compare([kept], [Triple("a", "b", "x")])[0].triple.prob == 0.9


def test_the_other_direction_is_another_triple() -> None:
    kinds = [item.kind for item in compare([Triple("a", "b", "x")], [Triple("b", "a", "x")])]
    assert kinds == [RevisionKind.DROPPED, RevisionKind.ADDED]


@given(_triples, _triples)
def test_nothing_is_lost_and_nothing_counted_twice(
    predicted: list[Triple], answered: list[Triple]
) -> None:
    revisions = compare(predicted, answered)
    by_kind = {
        kind: [item.triple for item in revisions if item.kind is kind] for kind in RevisionKind
    }
    new = by_kind[RevisionKind.ADDED] + by_kind[RevisionKind.RELABELLED]
    old = by_kind[RevisionKind.DROPPED] + [
        Triple(item.triple.head, item.triple.tail, item.previous_type or "")
        for item in revisions
        if item.kind is RevisionKind.RELABELLED
    ]
    kept = by_kind[RevisionKind.KEPT]
    assert sorted(kept + new) == sorted(set(answered))
    assert sorted(kept + old) == sorted(set(predicted))
