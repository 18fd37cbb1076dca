"""The client programs against real services: what they print, and what they make of failures."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.annals import Data, small_data
from support.clients import Coordinator, Extractor, busy, dropped, on_loop, served
from support.letters import letters, write_model
from support.programs import Ended, Program

from slcolm_client import Client
from slcolm_services.embedded import Embedded

# Building all programs is part of the first test's time.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def test_its_own_tests_find_every_vector_right(program: Program) -> None:
    ended = subprocess.run(program.tests, capture_output=True, text=True, timeout=300, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


@on_loop
async def test_entities_come_with_the_offsets_of_the_language(
    program: Program, model_folder: Path, tmp_path: Path
) -> None:
    text = "😀A为𠀀x"
    async with letters(model_folder, tmp_path) as address:
        ended = await program.run("--address", address, "extract", text, "e\u0301B")

    assert (ended.status, ended.err) == (0, "")
    places = {"utf16": [(2, 3), (6, 7), (2, 3)], "utf8": [(4, 5), (12, 13), (3, 4)]}[program.unit]
    first, second, third = ([str(start), str(end)] for start, end in places)
    assert ended.rows == [
        ["entity", "0", "PER", "1", "2", *first, "A"],
        ["entity", "0", "LOC", "4", "5", *second, "x"],
        ["relation", "0", "lives_in", "A", "x"],
        ["entity", "1", "PER", "2", "3", *third, "B"],
    ]


@on_loop
async def test_a_bad_text_fails_alone_with_its_reason(
    program: Program, model_folder: Path, tmp_path: Path
) -> None:
    async with letters(model_folder, tmp_path) as address:
        ended = await program.run("--address", address, "extract", "A", "A" * 21)

    assert (ended.status, ended.err) == (1, "")
    entity, error = ended.rows
    assert entity[:3] == ["entity", "0", "PER"]
    assert error[:4] == ["error", "1", "INVALID_ARGUMENT", "TEXT_TOO_LONG"]


@on_loop
async def test_a_refused_call_tells_its_reason_and_the_fields(
    program: Program, model_folder: Path, tmp_path: Path
) -> None:
    async with letters(model_folder, tmp_path) as address:
        ended = await program.run("--address", address, "extract", "A", "B", "A", "B")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "INVALID_ARGUMENT: 4 items in documents, at most 3 are taken at once",
        "  reason: BATCH_TOO_LARGE (slcolm)",
        "  field documents: at most 3 items, got 4",
    ]


@on_loop
async def test_a_service_that_is_not_reached_at_once_is_called_again(program: Program) -> None:
    extractor = Extractor(failures=[dropped() for _ in range(4)])
    async with served(extractor) as server:
        ended = await program.run("--address", server.address, "extract", "A")

    assert (ended.status, ended.err) == (0, "")
    assert len(extractor.arrived) == 5


@on_loop
async def test_a_service_that_keeps_failing_is_given_up(program: Program) -> None:
    extractor = Extractor(failures=[dropped() for _ in range(20)])
    async with served(extractor) as server:
        ended = await program.run("--address", server.address, "extract", "A")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "UNAVAILABLE: restarting",
        "  reason: SERVICE_UNAVAILABLE (slcolm)",
        "  retry after 0.01 s",
    ]
    assert len(extractor.arrived) == 5


@on_loop
async def test_what_is_not_unavailable_is_not_called_again(program: Program) -> None:
    extractor = Extractor(failures=[busy(), busy()])
    async with served(extractor) as server:
        ended = await program.run("--address", server.address, "extract", "A")

    assert ended.err.splitlines()[:2] == [
        "RESOURCE_EXHAUSTED: busy",
        "  reason: OVERLOADED (slcolm)",
    ]
    assert len(extractor.arrived) == 1


@on_loop
async def test_a_call_ends_at_its_deadline(program: Program) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with served(extractor) as server:
        ended = await program.run("--address", server.address, "--timeout", "1", "extract", "A")

    assert ended.status == 1
    assert ended.err.startswith("DEADLINE_EXCEEDED: ")
    assert extractor.cancelled == 1


@on_loop
async def test_a_watch_that_breaks_goes_on(program: Program) -> None:
    coordinator = Coordinator(failures=[dropped(), dropped()])
    async with served(coordinator) as server:
        ended = await program.run("--address", server.address, "watch", "r")

    assert (ended.status, ended.err) == (0, "")
    assert ended.rows == [["run", "RUNNING"], ["run", "SUCCEEDED"]]
    assert coordinator.calls == ["WatchRun"] * 3


@on_loop
async def test_wrong_use_is_told(program: Program) -> None:
    for arguments in ((), ("extract",), ("watch",), ("predict", "r"), ("fly", "A"), ("--far", "A")):
        ended = await program.run(*arguments)

        assert (ended.status, ended.out) == (2, "")
        assert "Usage:" in ended.err
    helped = await program.run("--help")
    assert "--address HOST:PORT" in helped.out + helped.err


class System:
    """A whole system, a run, and what every program printed that watched it from its beginning."""

    def __init__(self, embedded: Embedded, data: Data, programs: list[Program]) -> None:
        self.address = embedded.coordinator
        with Client(self.address) as client:
            self.run_id = client.create_run(data.spec(client)).id
        self.watched = dict(
            zip(
                (each.language for each in programs),
                asyncio.run(self._watch(programs)),
                strict=True,
            )
        )

    async def _watch(self, programs: list[Program]) -> list[Ended]:
        arguments = ("--address", self.address, "watch", self.run_id)
        return await asyncio.gather(*(each.run(*arguments) for each in programs))


@pytest.fixture(scope="module")
def system(
    programs: dict[str, Program | str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    data = small_data(tmp_path_factory.mktemp("data"))
    with Embedded(tmp_path_factory.mktemp("home")) as embedded:
        yield System(
            embedded, data, [each for each in programs.values() if isinstance(each, Program)]
        )


def test_a_run_is_followed_from_beginning_to_end(program: Program, system: System) -> None:
    ended = system.watched[program.language]

    assert (ended.status, ended.err) == (0, "")
    stages = list(dict.fromkeys(row[2] for row in ended.rows if len(row) > 2))
    assert [stage for stage in stages if stage in ("train", "guide", "report")] == [
        "train",
        "guide",
        "report",
    ]
    assert ended.rows[-1][:3] == ["run", "SUCCEEDED", "report"]
    assert all(row[1] in ("QUEUED", "RUNNING") for row in ended.rows[:-1])


@on_loop
async def test_a_run_predicts(program: Program, system: System) -> None:
    text = "西门晖好酒，詹虔好弈。"
    with Client(system.address) as client:
        (expected,) = client.predict([text], run_id=system.run_id)
    ended = await program.run("--address", system.address, "predict", system.run_id, text)

    assert (ended.status, ended.err) == (0, "")
    assert [row[2:5] + row[7:] for row in ended.rows if row[0] == "entity"] == [
        [entity.type, str(entity.start), str(entity.end), entity.text]
        for entity in expected.entities
    ]
    assert [row[2:] for row in ended.rows if row[0] == "triple"] == [
        [triple.type, triple.head, triple.tail, "+".join(triple.sources)]
        for triple in expected.triples
    ]


@on_loop
async def test_a_run_that_is_not_there_has_its_reason(program: Program, system: System) -> None:
    for command in (("watch", "nothing"), ("predict", "nothing", "甲")):
        ended = await program.run("--address", system.address, *command)

        assert ended.status == 1
        assert ended.err.startswith("NOT_FOUND: ")
        assert "  reason: RUN_NOT_FOUND (slcolm)" in ended.err.splitlines()
