"""docs/http.md has every method, where it is, and the limits that are in force."""

from __future__ import annotations

import re
from pathlib import Path

from slcolm_services.http.descriptors import SERVICES, methods
from slcolm_services.http.front import PORT, Front

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
_MIB = 1024 * 1024


def test_the_table_has_every_method() -> None:
    rows = re.findall(r"^\| `/(slcolm\.[\w.]+)/` \| (.+) \|$", DOCUMENT, re.MULTILINE)

    told = {service: set(re.findall(r"`(\w+)`", names)) for service, names in rows}
    assert told == {SERVICES[role]: set(methods(role)) for role in SERVICES}


def test_every_call_is_of_a_method_that_there_is() -> None:
    paths = re.findall(rf"localhost:{PORT}/([\w.]+)/(\w+)", DOCUMENT)
    known = {(SERVICES[role], method) for role in SERVICES for method in methods(role)}

    assert len(paths) > 5
    assert set(paths) <= known


def test_limits_are_those_in_force() -> None:
    rows = dict(re.findall(r"^\| ([a-z][^|]+) \| (\d+) MiB", DOCUMENT, re.MULTILINE))

    assert [int(size) * _MIB for size in rows.values()] == [
        Front.max_request_bytes,
        Front.max_upload_bytes,
        Front.max_response_bytes,
        Front.max_heap_bytes,
    ]
