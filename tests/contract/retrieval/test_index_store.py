"""What a store of indexes promises, embedded and on a server."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import models

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.errors import ConfigInvalid, HomeInUse, IndexNotFound, Unavailable
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.records import IndexedSentence, Manifest, Role, Vector
from slcolm_services.retrieval.store import IndexStore
from slcolm_services.retrieval.triggers import Trigger, TriggerLexicon
from slcolm_services.runtime.config import Secret

SCHEMA = TaskSchema("t", "lzh", (), (RelationType("父"), RelationType("杀")))
TEXTS = ["甲杀乙于東郊", "丙之子丁立", "戊遂杀己", "庚與辛战于河北", "壬卒，子癸立"]


def vector(text: str) -> Vector:
    """A direction of its own for each text, the same for its variants in script."""
    direction = np.random.default_rng(len(text)).normal(size=4)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


def sentence(text: str, role: Role = Role.TRAINING, name: str = "") -> IndexedSentence:
    gold = Document(
        name or f"{role.value}-{text}",
        text,
        (Entity("PER", 0, 1), Entity("PER", 1, 2, 0.5)),
        (Relation("杀", 0, 1),),
    )
    return IndexedSentence(gold, None, vector(text), role)


def begin(store: IndexStore, revision: str, *sentences: IndexedSentence) -> Manifest:
    manifest = Manifest(revision, "model", 4, SCHEMA)
    store.create(manifest)
    store.add(revision, sentences)
    return manifest


def found(
    store: IndexStore, revision: str, query: Document, role: Role = Role.TRAINING, limit: int = 10
) -> list[str]:
    hits = store.search(revision, query, vector(query.text), role, limit)
    return [hit.gold.text for hit in hits]


def test_the_manifest_and_the_lexicon_come_back(store: IndexStore, revision: str) -> None:
    manifest = begin(store, revision)
    assert store.manifest(revision) == manifest
    finished = Manifest(revision, "model", 4, SCHEMA, True, 1, 2, 1)
    lexicon = TriggerLexicon([Trigger("杀", "杀", 0.5, 2)], max_length=4)
    store.write_manifest(finished, lexicon)
    assert store.manifest(revision) == finished
    assert store.lexicon(revision).triggers == lexicon.triggers


def test_a_missing_index_is_not_found_by_every_method(store: IndexStore) -> None:
    query, missing = Document("q", "甲"), "test-missing"
    for call in (
        lambda: store.manifest(missing),
        lambda: store.lexicon(missing),
        lambda: store.write_manifest(Manifest(missing, "m", 4, SCHEMA), None),
        lambda: store.add(missing, [sentence("甲乙")]),
        lambda: store.holds(missing, [sentence("甲乙")]),
        lambda: store.count(missing, Role.TRAINING),
        lambda: list(store.gold(missing, Role.TRAINING)),
        lambda: store.others(missing, query, Role.TRAINING),
        lambda: store.fetch(missing, [sentence("甲乙").point_id()]),
        lambda: store.search(missing, query, vector("甲"), Role.TRAINING, 1),
        lambda: store.delete(missing),
    ):
        with pytest.raises(IndexNotFound) as caught:
            call()
        assert caught.value.metadata == {"index_revision": missing}


def test_sentences_come_back_as_they_were(store: IndexStore, revision: str) -> None:
    prediction = Document("p", TEXTS[0], (Entity("PER", 2, 3, 0.25),))
    full = IndexedSentence(
        sentence(TEXTS[0]).gold, prediction, vector(TEXTS[0]), Role.DEMONSTRATION
    )
    begin(store, revision, full)
    (hit,) = store.search(revision, Document("q", "x"), vector("x"), Role.DEMONSTRATION, 5)
    assert (hit.gold, hit.prediction) == (full.gold, prediction)
    assert hit.score > 0
    (drawn,) = store.fetch(revision, [full.point_id()])
    assert (drawn.gold, drawn.prediction, drawn.score) == (full.gold, prediction, 0.0)


def test_a_sentence_that_is_added_twice_is_there_once(store: IndexStore, revision: str) -> None:
    begin(store, revision, *[sentence(text) for text in TEXTS])
    store.add(revision, [sentence(TEXTS[0]), sentence(TEXTS[0])])
    assert store.count(revision, Role.TRAINING) == len(TEXTS)
    assert store.holds(revision, [sentence(TEXTS[0]), sentence(TEXTS[1])])
    assert not store.holds(revision, [sentence(TEXTS[0]), sentence("新")])
    assert store.holds(revision, [])


def test_roles_are_kept_apart(store: IndexStore, revision: str) -> None:
    begin(store, revision, sentence(TEXTS[0]), sentence(TEXTS[1], Role.DEMONSTRATION))
    query = Document("q", "甲")
    assert found(store, revision, query, Role.TRAINING) == [TEXTS[0]]
    assert found(store, revision, query, Role.DEMONSTRATION) == [TEXTS[1]]
    assert store.count(revision, Role.DEMONSTRATION) == 1
    assert [document.text for document in store.gold(revision, Role.TRAINING)] == [TEXTS[0]]
    assert store.others(revision, query, Role.TRAINING) == [sentence(TEXTS[0]).point_id()]


@pytest.mark.parametrize("variant", ["甲杀乙于東郊", "甲殺乙于东郊", "「甲殺乙，于東郊。」"])
def test_the_own_sentence_is_never_found(store: IndexStore, revision: str, variant: str) -> None:
    begin(store, revision, *[sentence(text) for text in TEXTS])
    query = Document("q", variant)
    assert set(found(store, revision, query)) == set(TEXTS[1:])
    own = sentence(TEXTS[0]).point_id()
    assert own not in store.others(revision, query, Role.TRAINING)


def test_the_sentence_of_the_same_id_is_never_found(store: IndexStore, revision: str) -> None:
    begin(store, revision, *[sentence(text) for text in TEXTS])
    query = Document(sentence(TEXTS[2]).gold.id, "甲杀乙")
    assert TEXTS[2] not in found(store, revision, query)


def test_own_sentences_take_no_place_in_a_search(revision: str, store: IndexStore) -> None:
    """They are left out before a search is cut, so copies of the query hide nobody."""
    copies = [sentence(TEXTS[0], name=f"copy-{number}") for number in range(150)]
    begin(store, revision, *copies, sentence(TEXTS[3]))
    assert found(store, revision, Document("q", TEXTS[0]), limit=1) == [TEXTS[3]]


def test_the_result_is_checked_again(
    store: IndexStore, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should Qdrant ever leave the filter out, the own sentence still does not come through."""
    begin(store, revision, *[sentence(text) for text in TEXTS])
    monkeypatch.setattr(
        "slcolm_services.retrieval.store.others_filter", lambda _: models.Filter(must_not=[])
    )
    assert set(found(store, revision, Document("q", TEXTS[0]))) == set(TEXTS[1:])


def test_duplicates_are_found_once(store: IndexStore, revision: str) -> None:
    begin(store, revision, sentence("尙書甲"), sentence("尚书甲。"), sentence(TEXTS[0]))
    assert len(found(store, revision, Document("q", "尚書"))) == 2
    assert len(store.others(revision, Document("q", "尚書"), Role.TRAINING)) == 2


def test_both_searches_count(store: IndexStore, revision: str) -> None:
    """The best of both comes before the best of one."""
    near = vector("x")
    both = IndexedSentence(Document("both", "遂杀之"), None, near, Role.TRAINING)
    dense = IndexedSentence(Document("dense", "某"), None, near, Role.TRAINING)
    sparse = IndexedSentence(Document("sparse", "遂杀其人"), None, -near, Role.TRAINING)
    begin(store, revision, dense, sparse, both)
    hits = store.search(revision, Document("q", "遂杀之矣"), near, Role.TRAINING, 3)
    assert hits[0].gold.id == "both"
    assert {hit.gold.id for hit in hits} == {"both", "dense", "sparse"}
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    # With k = 60 two first ranks give 2 / 60; Qdrant's own k of 2 would give 1.
    assert scores[0] == pytest.approx(2 / 60, rel=0.05)


def test_a_text_without_terms_is_found_by_its_vector(store: IndexStore, revision: str) -> None:
    begin(store, revision, sentence(TEXTS[0]), sentence("。。"))
    assert set(found(store, revision, Document("q", "，"))) == {TEXTS[0]}
    assert set(found(store, revision, Document("q", "甲"))) == {TEXTS[0], "。。"}


def test_many_sentences_are_read_in_pages(
    store: IndexStore, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [sentence(f"甲{number}", name=str(number)) for number in range(25)]
    begin(store, revision, *many)
    monkeypatch.setattr("slcolm_services.retrieval.store._PAGE", 10)
    read = [document.id for document in store.gold(revision, Role.TRAINING)]
    assert sorted(read, key=int) == [str(number) for number in range(25)]


def test_an_index_survives_a_restart(config: RetrievalConfig, revision: str) -> None:
    first = IndexStore(config)
    manifest = begin(first, revision, *[sentence(text) for text in TEXTS])
    query = Document("q", "甲杀乙")
    before = found(first, revision, query)
    first.close()
    second = IndexStore(config)
    try:
        assert second.manifest(revision) == manifest
        assert found(second, revision, query) == before
        assert revision in second.revisions()
    finally:
        second.delete(revision)
        second.close()


def test_a_deleted_index_is_gone_and_may_come_again(store: IndexStore, revision: str) -> None:
    begin(store, revision, sentence(TEXTS[0]))
    store.delete(revision)
    assert revision not in store.revisions()
    begin(store, revision)
    assert store.count(revision, Role.TRAINING) == 0


def test_a_creation_that_was_cut_short_can_be_repeated(
    store: IndexStore, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(revision, "model", 4, SCHEMA)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.create(manifest)
    with pytest.raises(IndexNotFound):
        store.manifest(revision)
    store.create(manifest)
    assert store.manifest(revision) == manifest


# The refused qdrant-client leaves its handle of the lock file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder_belongs_to_one_store(tmp_path: Path) -> None:
    config = RetrievalConfig(folder=tmp_path / "index")
    store = IndexStore(config)
    with pytest.raises(HomeInUse, match="open in another process"):
        IndexStore(config)
    gc.collect()
    store.close()
    IndexStore(config).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid) as caught:
        IndexStore(RetrievalConfig(folder=tmp_path / "file"))
    assert [violation.field for violation in caught.value.violations] == ["folder"]


def test_a_server_that_is_not_there_is_unavailable(unused_port: int) -> None:
    store = IndexStore(RetrievalConfig(qdrant_url=Secret(f"http://127.0.0.1:{unused_port}")))
    with pytest.raises(Unavailable):
        store.manifest("any")
    store.close()
