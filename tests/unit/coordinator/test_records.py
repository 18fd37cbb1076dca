"""Records of finished stages: found again whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.coordinator.keys import stage_key
from slcolm_services.coordinator.records import Records, StageResult
from slcolm_services.runtime.store import ArtifactStore

KEY = stage_key("predict", data="x")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(ArtifactStore(str(tmp_path)))


def test_a_record_is_found_as_it_was_saved(records: Records) -> None:
    digest = records.put_file(b"predictions")
    result = StageResult("3 texts", done=3, artifacts={"p.binpb": digest}, values={"m": "1"})

    records.save(KEY, result)

    assert records.find(KEY) == result
    assert records.get_file(digest) == b"predictions"


def test_work_that_was_not_done_is_not_found(records: Records) -> None:
    assert records.find(KEY) is None


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_record_whose_files_are_damaged_counts_as_not_done(
    records: Records, tmp_path: Path, damage: str
) -> None:
    digest = records.put_file(b"predictions")
    records.save(KEY, StageResult("3 texts", artifacts={"p.binpb": digest}))
    (path,) = tmp_path.rglob(digest)

    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"other")

    assert records.find(KEY) is None
