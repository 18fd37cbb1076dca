"""Requests out of arguments, results out of responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm_client import Entity, Internal, InvalidArgument, NotFound, Relation, Triple
from slcolm_client._messages import (
    dataset_bytes,
    read_extractions,
    read_predictions,
    upload_messages,
    whole_file,
)


def test_a_data_set_is_a_path_or_bytes(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"x")
    assert dataset_bytes(tmp_path / "train.jsonl") == dataset_bytes(b"x") == b"x"
    with pytest.raises(InvalidArgument, match=r"pathlib\.Path or bytes, got str"):
        dataset_bytes("train.jsonl")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(FileNotFoundError):
        dataset_bytes(tmp_path / "nowhere")


def test_an_upload_is_cut_and_begins_with_its_name() -> None:
    content = bytes(range(256)) * 10_000
    schema = common_pb2.TaskSchema(name="annals")
    first, *rest = upload_messages("train.jsonl", content, schema)
    assert (first.name, first.schema, first.chunk) == ("train.jsonl", schema, b"")
    assert b"".join(message.chunk for message in rest) == content
    assert len(rest) == 3


def document() -> common_pb2.Document:
    return common_pb2.Document(
        id="x",
        entities=[
            common_pb2.Entity(type="PER", start=0, end=2, text="王甲", probability=0.9),
            common_pb2.Entity(type="OFI", start=3, end=5, text="丞相"),
        ],
        relations=[common_pb2.Relation(type="任职", head=0, tail=1, probability=0.5)],
    )


PERSON = Entity("PER", 0, 2, "王甲", 0.9)
OFFICE = Entity("OFI", 3, 5, "丞相", None)
SENT = [common_pb2.Document(id="x", text="王甲为丞相"), common_pb2.Document(id="y", text="")]


def test_extractions_keep_order_lineage_and_errors_of_single_texts() -> None:
    response = extraction_pb2.ExtractResponse(model_revision="m")
    response.results.add(id="x").extraction.CopyFrom(
        extraction_pb2.Extraction(
            document=document(),
            vector=[0.5, 0.25],
            windows=[extraction_pb2.Window(start=0, end=4), extraction_pb2.Window(start=2, end=5)],
            unseen_pairs=2,
        )
    )
    response.results.add(id="y").error.code = 5
    good, bad = read_extractions(response, SENT)
    assert (good.id, good.text, good.model_revision) == ("x", "王甲为丞相", "m")
    assert good.entities == (PERSON, OFFICE)
    assert good.relations == (Relation("任职", PERSON, OFFICE, 0.5),)
    assert good.vector == (0.5, 0.25)
    assert (good.windows, good.unseen_pairs) == (((0, 4), (2, 5)), 2)
    assert good.error is None
    assert isinstance(bad.error, NotFound)
    assert (bad.id, bad.entities, bad.relations) == ("y", (), ())


def test_predictions_keep_sources_and_why_there_is_no_llm_answer() -> None:
    response = coordinator_pb2.PredictResponse(
        model_revision="m", index_revision="i", policy_digest="p"
    )
    prediction = response.results.add(id="x").prediction
    prediction.document.CopyFrom(document())
    prediction.explanation = "为"
    prediction.offline_rules = True
    prediction.triples.add(
        triple=common_pb2.Triple(head="王甲", tail="丞相", type="任职", probability=0.5),
        sources=["slm", "llm"],
        rule="both",
    )
    response.results.add(id="y").prediction.guidance_error.code = 5
    first, second = read_predictions(response, SENT)
    assert first.triples == (Triple("王甲", "丞相", "任职", 0.5, ("slm", "llm"), "both"),)
    assert first.relations == (Relation("任职", PERSON, OFFICE, 0.5),)
    assert (first.explanation, first.offline_rules, first.guidance_error) == ("为", True, None)
    assert (first.model_revision, first.index_revision, first.policy_digest) == ("m", "i", "p")
    assert isinstance(second.guidance_error, NotFound)
    assert second.error is None


@pytest.mark.parametrize("ids", [[], ["x"], ["y", "x"], ["x", "x"], ["x", "y", "y"]])
def test_results_of_other_texts_are_no_answer(ids: list[str]) -> None:
    extracted = extraction_pb2.ExtractResponse(results=[{"id": name} for name in ids])
    predicted = coordinator_pb2.PredictResponse(results=[{"id": name} for name in ids])
    for read in (
        lambda: list(read_extractions(extracted, SENT)),
        lambda: list(read_predictions(predicted, SENT)),
    ):
        with pytest.raises(Internal) as caught:
            read()
        assert caught.value.reason == "ANSWER_MISMATCHED"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(TypeError), whole_file(path) as file:
        file.writelines([b"half", "no bytes"])  # type: ignore[list-item]  # fails after a half
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as file:
        file.write(b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    assert path.read_bytes() == b"whole"
