"""Homes of artifacts: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from support.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket, whose server the environment names."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = f"tests-{uuid.uuid4().hex}"
    s3.make_bucket(name)
    # Clients are kept with the environment that they were made in.
    fsspec.filesystem("s3").clear_instance_cache()
    yield f"s3://{name}/slcolm"
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Root of an empty store."""
    if request.param == "folder":
        return str(tmp_path / "store")
    url: str = request.getfixturevalue("bucket")
    return url
