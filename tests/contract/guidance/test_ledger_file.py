"""Answers leave a ledger as recordings, and come back into any with all that is known of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from slcolm_services.corpus.recordings import read_recordings
from slcolm_services.errors import DataInvalid, InvalidInput
from slcolm_services.guidance.entries import Answer, Asked, Settlement
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.ledger_file import Imported, export_answers, import_answers
from slcolm_services.guidance.usage import Usage

_T = TypeVar("_T")


def using(url: str, work: Callable[[Ledger], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        ledger = Ledger(url)
        await ledger.open()
        try:
            return await work(ledger)
        finally:
            await ledger.close()

    return asyncio.run(run())


def digest(number: int) -> str:
    return f"{number:064x}"


async def fill(ledger: Ledger, count: int = 3) -> None:
    settlements = [
        Settlement(
            digest(n),
            Answer(f'{{"关系": {n}}}\n\u2028', "m", "length"),
            Usage(1, 10 + n, 2, 5, 0.1, n % 2),
            "openai" if n else "other",
            f"r{n % 2}",
            Asked(f"s{n}", f"文本\u2028{n}", n),
        )
        for n in range(count)
    ]
    await ledger.settle_all(settlements)
    await ledger.settle(Settlement(digest(1), Answer("late", "m"), Usage(1, 7), "openai", "r9"))


def test_a_ledger_can_be_moved(ledger_url: str, tmp_path: Path) -> None:
    """Also one with more answers than go into one statement; twice is as good as once."""
    source, path, again = f"sqlite:///{tmp_path / 'a.sqlite'}", tmp_path / "x.jsonl", tmp_path / "y"
    using(source, lambda ledger: fill(ledger, 1100))
    assert using(source, lambda ledger: export_answers(ledger, path)) == 1100
    assert using(ledger_url, lambda ledger: import_answers(ledger, [path])) == Imported(1100, 0)
    assert using(ledger_url, lambda ledger: import_answers(ledger, [path, path])) == Imported(
        0, 2200
    )
    for run_id in ("", "r0", "r1", "r9"):
        here = using(source, lambda ledger, run_id=run_id: ledger.spending(run_id))  # type: ignore[misc]
        there = using(ledger_url, lambda ledger, run_id=run_id: ledger.spending(run_id))  # type: ignore[misc]
        assert there.since == here.since
        assert there.usage.cost == pytest.approx(here.usage.cost)
        assert there.usage.tokens == here.usage.tokens
        assert there.usage.estimated_calls == here.usage.estimated_calls
    using(ledger_url, lambda ledger: export_answers(ledger, again))
    assert again.read_bytes() == path.read_bytes()


def test_an_export_is_a_file_of_recordings(ledger_url: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    using(ledger_url, fill)
    using(ledger_url, lambda ledger: export_answers(ledger, path))
    recordings = read_recordings(path)
    assert [(each.id, each.text, each.occurrence) for each in recordings] == [
        (f"s{n}", f"文本\u2028{n}", n) for n in range(3)
    ]
    assert recordings[1].llm_raw == '{"关系": 1}\n\u2028'


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ({"run_id": "r0"}, ["s0", "s2"]),
        ({"run_id": "r9"}, ["s1"]),
        ({"provider": "other"}, ["s0"]),
        ({"run_id": "r1", "provider": "other"}, []),
    ],
)
def test_a_part_of_the_answers_can_be_exported(
    ledger_url: str, tmp_path: Path, chosen: dict[str, str], ids: list[str]
) -> None:
    path = tmp_path / "x.jsonl"
    using(ledger_url, fill)
    assert using(ledger_url, lambda ledger: export_answers(ledger, path, **chosen)) == len(ids)
    assert [json.loads(line)["id"] for line in path.read_text("utf-8").split("\n") if line] == ids


GOOD: dict[str, Any] = {
    "id": "s",
    "text": "t",
    "llm_raw": "a",
    "occurrence": 0,
    "prompt_digest": digest(1),
    "provider": "p",
    "model": "m",
    "finish_reason": "stop",
    "time": "2026-05-01T10:00:00Z",
    "usage": [],
}

BOOKED: dict[str, Any] = {
    "call_id": "c",
    "run_id": "r",
    "time": "2026-05-01T10:00:00Z",
    "calls": 1,
    "prompt_tokens": 5,
    "completion_tokens": 5,
    "cached_tokens": 0,
    "estimated_calls": 0,
    "cost": 0.5,
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt_digest": None}, "line 2: prompt_digest"),
        ({"prompt_digest": "ab"}, "line 2: prompt_digest"),
        ({"llm_raw": 3}, "line 2: llm_raw"),
        ({"time": "now"}, "line 2: time"),
        ({"usage": [{}]}, "line 2: usage[0].cost"),
        ({"usage": 1}, "line 2: usage"),
        ({"occurrence": 10**30}, "line 2: occurrence"),
        ({"usage": [BOOKED | {"prompt_tokens": 10**30}]}, "line 2: usage[0].prompt_tokens"),
        ({"usage": [BOOKED | {"calls": -1}]}, "line 2: usage[0].calls"),
        ({"usage": [BOOKED | {"cost": 1e308}]}, "line 2: usage[0].cost"),
    ],
)
def test_a_file_that_no_ledger_wrote_is_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path, url = tmp_path / "x.jsonl", f"sqlite:///{tmp_path / 'l.sqlite'}"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n", encoding="utf-8")
    with pytest.raises(DataInvalid) as caught:
        using(url, lambda ledger: import_answers(ledger, [path]))
    assert field in [violation.field for violation in caught.value.violations]
    assert using(url, lambda ledger: ledger.find(digest(1))) is None


def test_recordings_of_others_are_told_their_way(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "s", "text": "t", "llm_raw": "a"}\n', encoding="utf-8")
    with pytest.raises(DataInvalid) as caught:
        using("sqlite://", lambda ledger: import_answers(ledger, [path]))
    assert "--guide replay --recordings" in caught.value.violations[0].problem


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        using("sqlite://", lambda ledger: export_answers(ledger, tmp_path))
    assert list(tmp_path.iterdir()) == []
