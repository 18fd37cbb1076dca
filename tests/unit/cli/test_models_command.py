"""`slcolm models` over an artifact store."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from slcolm_services.cli.models import models
from slcolm_services.errors import NotFound
from slcolm_services.runtime.store import ArtifactStore


def test_a_store_that_is_not_there_is_no_empty_store(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(NotFound, match=str(missing)):
        CliRunner().invoke(
            models, ["list", "--store", str(missing), "--json"], catch_exceptions=False
        )
    assert not missing.exists()


def test_a_store_without_models_lists_none(tmp_path: Path) -> None:
    ArtifactStore(str(tmp_path)).put_bytes("datasets", b"x")
    result = CliRunner().invoke(
        models, ["list", "--store", str(tmp_path), "--json"], catch_exceptions=False
    )
    assert result.output == '{\n  "models": []\n}\n'
