"""Writing a file: whole or not at all, and never over something that is no file."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from slcolm_services.corpus.files import replacing
from slcolm_services.errors import InvalidInput


def test_a_link_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")

    with replacing(link) as file:
        file.write("new")

    assert link.is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("path", ["/", ".", "/dev/null"])
def test_what_is_no_file_is_refused_and_left(path: str) -> None:
    before = Path(path).stat().st_mode

    with pytest.raises(InvalidInput, match="not a file"), replacing(path):
        pytest.fail("nothing can be written there")

    assert Path(path).stat().st_mode == before


def test_a_disk_that_fills_up_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("old", encoding="utf-8")

    with pytest.raises(InvalidInput, match="No space left"):
        _write_to_a_full_disk(path)

    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def _write_to_a_full_disk(path: Path) -> None:
    with replacing(path) as file:
        file.write("new")
        raise OSError(errno.ENOSPC, "No space left on device")
