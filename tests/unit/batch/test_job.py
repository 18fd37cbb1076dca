"""The same bytes come out however often the work is broken off."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slcolm_client import Entity, Extraction, Relation
from slcolm_services.batch.answers import Answer, Model
from slcolm_services.batch.inputs import inspect
from slcolm_services.batch.job import Job, held, run, write_shards
from slcolm_services.batch.lines import format_answer
from slcolm_services.batch.manifest import Manifest, Shard, load
from slcolm_services.batch.rows import Fields, Row, RowError
from slcolm_services.corpus.jsonl import parse_line
from slcolm_services.errors import DataInvalid, PreconditionFailed, ServiceUnavailable

MODEL = Model("m", "fp32")


def extraction(text: str, **more: object) -> Extraction:
    head, tail = Entity("P", 0, 1, text[:1], 0.25), Entity("P", 1, 2, text[1:2], 1 / 3)
    found = {"entities": (head, tail), "relations": (Relation("r", tail, head, 0.5),)}
    fields = {"id": "0", "text": text, "vector": (), "model_revision": "m", "error": None}
    return Extraction(**(fields | found | more))  # type: ignore[arg-type]


class Dictated:
    """An engine that finds the same in every text, and breaks off after some rows."""

    def __init__(self, rows: int | None = None, model: Model = MODEL) -> None:
        self.model = model
        self._left = rows

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        return write_shards(job, self.answers, numbers, advance)

    def answers(self, rows: Iterator[Row]) -> Generator[Answer, None, None]:
        for row in rows:
            if self._left == 0:
                raise ServiceUnavailable("broken off")
            if self._left is not None:
                self._left -= 1
            yield Answer(row, row.error or extraction(row.text))


def work(job: Job, engine: Dictated | None = None) -> Manifest:
    with held(job.folder):
        return run(job, engine or Dictated(), lambda _: None, lambda _: None)


def job_of(folder: Path, content: str, shard_rows: int = 3, out: str = "out") -> Job:
    path = folder / "c.jsonl"
    path.write_text(content, encoding="utf-8")
    return Job([inspect(path, "jsonl", Fields())], Fields(), folder / out, shard_rows)


def lines(count: int) -> str:
    """Rows, each fifth of which is wrong."""
    return "".join(
        json.dumps({"id": f"r{n}", "text": f"甲乙{n}" if n % 5 else None}) + "\n"
        for n in range(count)
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(1, 8), st.lists(st.integers(0, 20), max_size=4))
def test_an_output_does_not_tell_where_it_was_broken_off(
    count: int, shard_rows: int, breaks: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = work(job_of(folder, lines(count), shard_rows, "whole"))
        job = job_of(folder, lines(count), shard_rows)
        for rows in breaks:
            try:
                work(job, Dictated(rows))
            except ServiceUnavailable:
                manifest = load(job.folder)
                assert manifest is not None
                assert not manifest.complete
                assert manifest.rows % shard_rows == 0
        assert work(job) == whole
        assert files_of(job.folder) == files_of(folder / "whole")

    assert whole.complete
    assert whole.rows == count
    assert whole.failed.total() == len(range(0, count, 5))


def test_each_row_has_its_line_in_order(tmp_path: Path) -> None:
    manifest = work(job_of(tmp_path, lines(8)))
    shards = [tmp_path / "out" / shard.name for shard in manifest.shards]
    written = [
        json.loads(line)
        for shard in shards
        for line in shard.read_text(encoding="utf-8").splitlines()
    ]

    assert [shard.name for shard in shards] == [f"part-0000{n}.jsonl" for n in range(3)]
    assert [value["id"] for value in written] == [f"r{n}" for n in range(8)]
    assert [value["origin"]["row"] for value in written] == list(range(1, 9))
    assert [("error" in value, "entities" in value) for value in written] == [
        (n % 5 == 0, n % 5 != 0) for n in range(8)
    ]


def test_a_line_is_a_native_document() -> None:
    found = extraction("甲乙", windows=((0, 1), (1, 2)), unseen_pairs=3)
    line = format_answer(Answer(Row("f.txt", 4, "a", "甲乙"), found))
    document = parse_line(line)

    assert (document.id, document.text) == ("a", "甲乙")
    assert [(e.start, e.end, e.prob) for e in document.entities] == [(0, 1, 0.25), (1, 2, 0.333333)]
    assert [(r.head, r.tail, r.prob) for r in document.relations] == [(1, 0, 0.5)]
    assert json.loads(line)["origin"] == {
        "file": "f.txt",
        "row": 4,
        "windows": 2,
        "unseen_pairs": 3,
    }


def test_a_failed_row_says_why() -> None:
    error = RowError("INVALID_ARGUMENT", "TEXT_TOO_LONG", "too long")
    line = format_answer(Answer(Row("f.txt", 4, "a", "甲" * 9), error))
    assert json.loads(line) == {
        "id": "a",
        "error": {"code": "INVALID_ARGUMENT", "reason": "TEXT_TOO_LONG", "message": "too long"},
        "origin": {"file": "f.txt", "row": 4},
    }


def test_another_input_or_model_is_refused_by_name(tmp_path: Path) -> None:
    work(job_of(tmp_path, lines(8)))
    before = files_of(tmp_path / "out")

    for job, engine, field in (
        (job_of(tmp_path, lines(8), shard_rows=4), Dictated(), "shard_rows"),
        (job_of(tmp_path, lines(8)), Dictated(model=Model("n", "fp32")), "model_revision"),
        (job_of(tmp_path, lines(8)), Dictated(model=Model("m", "bf16")), "precision"),
        (job_of(tmp_path, lines(8).replace("r7", "r8")), Dictated(), "input"),
    ):
        with pytest.raises(PreconditionFailed, match="another input or model") as caught:
            work(job, engine)
        assert [violation.field for violation in caught.value.violations] == [field]
    assert files_of(tmp_path / "out") == before


def test_the_input_may_lie_elsewhere(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    with pytest.raises(ServiceUnavailable):
        work(job, Dictated(4))
    (tmp_path / "moved").mkdir()
    moved = job_of(tmp_path / "moved", lines(8))
    assert work(Job(moved.sources, moved.fields, job.folder, 3)).complete


def test_a_finished_shard_that_was_changed_is_not_passed_over(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    work(job)
    first = job.folder / "part-00000.jsonl"
    # One digit of a probability: as many bytes as before.
    first.write_text(first.read_text(encoding="utf-8").replace("0.25", "0.26", 1), encoding="utf-8")
    (job.folder / "part-00001.jsonl").write_text("", encoding="utf-8")
    (job.folder / "part-00002.jsonl").unlink()
    with pytest.raises(PreconditionFailed) as caught:
        work(job)
    assert [v.field for v in caught.value.violations] == [f"part-0000{n}.jsonl" for n in range(3)]


def test_an_input_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    for content in (lines(7), lines(9)):
        job.sources[0].path.write_text(content, encoding="utf-8")
        with pytest.raises(DataInvalid, match="has changed"):
            work(job)
        manifest = load(job.folder)
        assert manifest is not None
        assert not manifest.complete


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    job.folder.mkdir()
    (job.folder / "part-00000.jsonl").write_text("mine", encoding="utf-8")
    with pytest.raises(PreconditionFailed, match=r"holds 'part-00000\.jsonl'"):
        work(job)
    assert files_of(job.folder) == {"part-00000.jsonl": b"mine"}


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    with pytest.raises(ServiceUnavailable):
        work(job, Dictated(4))
    (job.folder / ".part-00001.jsonl.0a1b2c3d.part").write_text("half", encoding="utf-8")
    work(job)
    assert [name for name in files_of(job.folder) if name.startswith(".")] == []


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    job = job_of(tmp_path, lines(8))
    with held(job.folder), pytest.raises(PreconditionFailed, match="another process"):
        work(job)
    work(job)


@given(
    st.binary(max_size=60)
    | st.sampled_from(["[]", '{"version": 1}', '{"version": 2}', "1", "null"]).map(str.encode)
    | st.builds(
        lambda inputs, settings, shards: json.dumps(
            {"version": 2, "inputs": inputs, "settings": settings, "shards": shards}
        ).encode(),
        st.none() | st.lists(st.integers()),
        st.none() | st.lists(st.integers()) | st.just({}),
        st.none() | st.lists(st.dictionaries(st.text(), st.integers())),
    )
)
def test_a_damaged_manifest_is_an_error_of_its_own(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(content)
        with pytest.raises(DataInvalid, match="manifest"):
            load(Path(folder))


class Backwards(Dictated):
    """Writes the last shard first, and breaks off in between."""

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        for number in reversed(numbers):
            yield from super().shards(job, [number], advance)


def test_shards_may_be_finished_in_any_order_by_one_engine_after_another(tmp_path: Path) -> None:
    whole = work(job_of(tmp_path, lines(20), out="whole"))
    job = job_of(tmp_path, lines(20))
    for engine in (Backwards(4), Dictated(4), Backwards(4), Dictated(2)):
        with pytest.raises(ServiceUnavailable):
            work(job, engine)
    manifest = load(job.folder)
    assert manifest is not None
    assert [shard.name[7:10] for shard in manifest.shards] == ["000", "005", "006"]

    assert work(job) == whole
    assert files_of(job.folder) == files_of(tmp_path / "whole")
