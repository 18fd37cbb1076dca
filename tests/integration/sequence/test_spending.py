"""Several answers, budgets and batches, against an endpoint on loopback."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.annals import SIZES, Data
from support.batch_server import BatchServer, batch_server
from support.trained import Trained

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_client import Client, FailedPrecondition, InvalidArgument, NotFound
from slcolm_services.embedded import Embedded, Settings

PATIENT = 240.0
TEXTS = SIZES["dev"] + SIZES["test"]
SpecOf = Callable[..., coordinator_pb2.RunSpec]


def _settings(endpoint: BatchServer) -> Settings:
    return {
        "guidance": {
            "provider": "openai",
            "model": "tiny",
            "base_url": endpoint.url,
            "api_key_env": "",
            "batches": True,
        },
        "coordinator": {"batch_poll_seconds": 0.1},
    }


@pytest.fixture(scope="module", autouse=True)
def _no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture(scope="module")
def endpoint() -> Iterator[BatchServer]:
    with batch_server() as server:
        yield server


@pytest.fixture(scope="module")
def paid(
    endpoint: BatchServer, tmp_path_factory: pytest.TempPathFactory, trained: Trained
) -> Iterator[Client]:
    """A client of a system that asks the endpoint."""
    home = tmp_path_factory.mktemp("paid")
    trained.give(home, 1)
    with (
        Embedded(home, settings=_settings(endpoint)) as system,
        Client(system.coordinator) as client,
    ):
        yield client


@pytest.fixture
def spec_of(data: Data, paid: Client) -> SpecOf:
    """A run on the small data, asking the endpoint.

    What one test has paid for is there for the others: each has prompts of its own.
    """

    def make(**fields: Any) -> coordinator_pb2.RunSpec:
        spec = data.spec(paid)
        spec.provider = "openai"
        spec.MergeFrom(coordinator_pb2.RunSpec(**fields))
        return spec

    return make


def _succeed(client: Client, spec: coordinator_pb2.RunSpec) -> coordinator_pb2.Run:
    *_, last = client.watch_run(client.create_run(spec).id, timeout_seconds=PATIENT)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    return last


def _report(client: Client, run: coordinator_pb2.Run) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(client.download(run.id, "report.json"))
    return report


def _lines(client: Client, run: coordinator_pb2.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.download(run.id, "merged.jsonl").splitlines()]


def test_a_budget_is_kept_and_the_rest_stands_on_the_slm(
    paid: Client, endpoint: BatchServer, spec_of: SpecOf
) -> None:
    """A third goes to dev, the rest to test; a further run goes on where this one stopped."""
    before = len(endpoint.chats)
    spec = spec_of(demonstration_count=1, budget=guidance_pb2.Budget(max_calls=12))

    run = _succeed(paid, spec)

    report = _report(paid, run)
    assert len(endpoint.chats) - before == 12
    assert report["spending"]["calls"] == 12
    assert report["spending"]["budget"]["max_calls"] == 12
    assert report["answers"]["dev"]["usable"] == 4
    assert report["answers"]["dev"]["not_asked"] == SIZES["dev"] - 4
    assert report["answers"]["test"]["usable"] == 8
    assert report["answers"]["test"]["failed"] == 0
    left_out = [line for line in _lines(paid, run) if "missing" in line["answer"]]
    assert len(left_out) == SIZES["test"] - 8
    assert all(triple["sources"] == ["slm"] for line in left_out for triple in line["triples"])

    again = _succeed(paid, spec)
    assert len(endpoint.chats) - before == 24
    assert _report(paid, again)["answers"]["test"]["usable"] == 16


def test_every_sample_is_asked_for_and_merged(
    paid: Client, endpoint: BatchServer, spec_of: SpecOf
) -> None:
    """The offline rules are a further source; they say the same every time, so once."""
    run = _succeed(
        paid, spec_of(samples=2, other_providers=["offline"], random_demonstrations=True)
    )

    temperatures = [body["temperature"] for body in endpoint.chats[-2 * TEXTS :]]
    assert sorted(set(temperatures)) == [0.0, 0.7]
    names = ["openai", "openai#2", "offline"]
    sources = _report(paid, run)["answers"]["test"]["sources"]
    assert list(sources) == names
    assert {name: source["usable"] for name, source in sources.items()} == dict.fromkeys(
        names, SIZES["test"]
    )
    (line, *_) = _lines(paid, run)
    assert list(line["answers"]) == names

    asked = len(endpoint.chats)
    (prediction,) = paid.predict(["甲为太守，子乙。"], run_id=run.id)
    assert prediction.error is None
    assert len(endpoint.chats) - asked == 2


def test_parts_of_the_prompt_are_left_out_and_asked_anew(
    paid: Client, endpoint: BatchServer, spec_of: SpecOf
) -> None:
    whole = _succeed(paid, spec_of(demonstration_count=3))
    asked = len(endpoint.chats)
    bare = guidance_pb2.PromptOptions(
        omit_definitions=True, omit_demonstrations=True, omit_prediction=True
    )

    run = _succeed(paid, spec_of(demonstration_count=3, prompt=bare))

    assert not next(stage for stage in run.stages if stage.name == "guide").reused
    assert len(endpoint.chats) - asked == TEXTS
    lengths = [len(json.dumps(body["messages"])) for body in endpoint.chats]
    assert max(lengths[asked:]) < min(lengths[asked - TEXTS : asked])
    # What is allowed to be spent is no part of the work: what is there is taken as it is.
    budget = guidance_pb2.Budget(max_calls=1)
    limited = _succeed(paid, spec_of(demonstration_count=3, budget=budget))
    assert next(stage for stage in limited.stages if stage.name == "guide").reused
    assert _report(paid, limited)["answers"] == _report(paid, whole)["answers"]


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"provider": "offline", "batch": True}, FailedPrecondition, "takes no batches"),
        ({"other_providers": ["nobody"]}, NotFound, "nobody"),
        ({"other_providers": ["openai"]}, InvalidArgument, "named twice"),
        ({"samples": -1}, InvalidArgument, "samples"),
        ({"budget": guidance_pb2.Budget()}, InvalidArgument, "must limit"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_done(
    paid: Client, spec_of: SpecOf, fields: dict[str, Any], error: type[Exception], words: str
) -> None:
    before = len(list(paid.list_runs()))

    with pytest.raises(error, match=words):
        paid.create_run(spec_of(**fields))

    assert len(list(paid.list_runs())) == before


def test_a_batch_run_outlives_a_killed_coordinator(
    data: Data, tmp_path: Path, trained: Trained
) -> None:
    """Kill -9 while the provider works; the next start waits on, and sends nothing again."""
    trained.give(tmp_path, 1)
    with batch_server() as endpoint:
        settings = _settings(endpoint)
        with Embedded(tmp_path, settings=settings) as first, Client(first.coordinator) as client:
            spec = data.spec(client)
            spec.provider, spec.batch = "openai", True
            created = client.create_run(spec)
            for state in client.watch_run(created.id, timeout_seconds=PATIENT):
                guide = next(stage for stage in state.stages if stage.name == "guide")
                if "with the provider" in guide.message:
                    break
            assert guide.total == TEXTS - len(endpoint.chats)
            _kill(first, "coordinator")
        sent = len(endpoint.batches)
        for number in range(sent):
            endpoint.end(number=number)

        with Embedded(tmp_path, settings=settings) as second, Client(second.coordinator) as client:
            *_, last = client.watch_run(created.id, timeout_seconds=PATIENT)
            report = _report(client, last)

    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    assert len(endpoint.batches) == sent
    assert report["answers"]["test"]["usable"] == SIZES["test"]
    assert report["spending"]["calls"] == TEXTS


def _kill(system: Embedded, role: str) -> None:
    """Kill -9 a service, and wait until it is gone."""
    process = psutil.Process(system.pids[role])
    os.kill(process.pid, signal.SIGKILL)
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        pass
