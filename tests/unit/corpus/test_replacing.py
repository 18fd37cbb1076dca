"""Writing a file: whole or not at all, and never over something that is no file."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from slcolm_services.corpus.files import replacing, replacing_folder
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


def test_files_of_a_folder_appear_together_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"

    for content in ("old", "new"):
        with replacing_folder(folder, ("a", "b")) as create:
            for name in ("a", "b"):
                with create(name) as file:
                    file.write(content)
                assert not (folder / name).exists() or content == "new"

    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == {
        "a": "new",
        "b": "new",
    }
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("old", encoding="utf-8")

    with pytest.raises(InvalidInput, match="No space left"):
        _fill_the_disk(folder)

    assert (folder / "a").read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [folder]


def _fill_the_disk(folder: Path) -> None:
    with replacing_folder(folder, ("a", "b")) as create:
        with create("a") as file:
            file.write("new")
        with create("b"):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_is_no_file_and_no_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path, said in ((tmp_path / "file", "a folder is needed"), (tmp_path, "'file', which")):
        with pytest.raises(InvalidInput, match=said), replacing_folder(path, ("a",)):
            pytest.fail("nothing can be written there")
