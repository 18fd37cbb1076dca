"""The folder of an SQLite file is there before it is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.database import make_folder_of


def test_the_folder_is_made_and_left_alone_where_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder_of(f"sqlite:///{tmp_path / 'a' / 'b' / 'x.sqlite'}")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://host/name"])
def test_other_databases_have_no_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder_of(url)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigInvalid, match=str(tmp_path / "file" / "sub")):
        make_folder_of(f"sqlite:///{tmp_path / 'file' / 'sub' / 'x.sqlite'}")
