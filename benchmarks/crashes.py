"""Whether a run survives kill -9 at any moment: a matrix of what is killed and when.

    python benchmarks/crashes.py [--kills 36] [--database URL] [--seed 0] [--out FILE]

The whole sequence on a small part of the sample, with all services in processes of their own and an
LLM endpoint on this machine that counts its answers. Each trial is a new home in which one process
is killed once: in a stage, after a random share of the time that the stage takes, and in `guide`
after a random number of answers. What died is started again after a second; a run that failed is
resumed. Killed are, in turn, the coordinator, the service that the stage depends on, and all
services at once. Then must hold:

- the run succeeds, and its report and merged triples equal those of a run that was not disturbed;
- no stage that was finished is done again;
- no answer is paid twice but those that were in flight when the guidance service was killed.

URL is that of a PostgreSQL database for the runs (SQLAlchemy); SQLite where none is given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reliability.endpoint import Endpoint, endpoint
from reliability.sample import await_ready, short_run
from reliability.system import ROLES, System

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client, SlcolmClientError

_NEEDED = {
    "train": "training",
    "predict": "extraction",
    "index": "retrieval",
    "select": "retrieval",
    "guide": "guidance",
    "fit": "evaluation",
    "merge": "evaluation",
    "evaluate": "evaluation",
    "report": "coordinator",
}
"""Stage to the service that works in it."""
_RUN_SECONDS = 300.0
_POLL_SECONDS = 0.01
_PACKAGES = ("dbos", "sqlalchemy", "psycopg", "grpcio")
_VARYING = frozenset({"run_id", "created", "create_time", "seconds", "stages", "revisions"})
"""Parts of a report that two runs do not share: a model's card tells how long its training took."""


@dataclass(frozen=True)
class Outcome:
    """What a run left.

    Attributes:
        report: `report.json` without what differs from run to run.
        merged: The lines of `merged.jsonl`.
        seconds: Time of each stage.
        done: How often each stage was done, not counting results that were taken over.
        resumed: How often it had to be resumed.
        answers: Answers of the endpoint.
        answered_again: Those to a prompt that had been answered before.
    """

    report: Any
    merged: list[Any]
    seconds: Mapping[str, float]
    done: Counter[str]
    resumed: int
    answers: int
    answered_again: int


@dataclass(frozen=True)
class Kill:
    """What is killed and when.

    Attributes:
        stage: The stage in which it happens.
        victim: A service, or `all`.
        share: Share of the stage's time, or in `guide` of its answers, that has passed.
    """

    stage: str
    victim: str
    share: float


def plan(kills: int, seed: int) -> list[Kill]:
    """Kills over all stages; every second one is in `guide`."""
    draw = random.Random(seed)
    victims = itertools.cycle(("coordinator", "needed", "all"))
    others = itertools.cycle(stage for stage in _NEEDED if stage != "guide")
    planned = []
    for number, victim in zip(range(kills), victims, strict=False):
        stage = "guide" if number % 2 else next(others)
        chosen = _NEEDED[stage] if victim == "needed" else victim
        planned.append(Kill(stage, chosen, draw.random()))
    return planned


def trial(llm: Endpoint, database_url: str, kill: Kill | None, calm: Outcome | None) -> Outcome:
    """A run in a home of its own, disturbed by one kill or by none."""
    llm.forget()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        with (
            System(home, llm.url, database_url=database_url) as system,
            Client(system.address("coordinator")) as client,
        ):
            await_ready(client)
            run_id = client.create_run(short_run(client)).id
            if kill is not None and calm is not None:
                _await_moment(system, llm, run_id, kill, calm)
                for role in ROLES if kill.victim == "all" else (kill.victim,):
                    system.kill(role)
            run, resumed = _finish(client, run_id)
            report = json.loads(client.download(run_id, "report.json"))
            lines = client.download(run_id, "merged.jsonl").splitlines()
            done = Counter(
                line["stage"]
                for line in _lines(system, run_id)
                if line["event"] == "stage done" and not line["reused"]
            )
    figures = llm.figures()
    return Outcome(
        _without_varying(report),
        [_without_varying(json.loads(line)) for line in lines],
        {stage.name: _seconds(stage) for stage in run.stages},
        done,
        resumed,
        figures["answers"],
        figures["answered_again"],
    )


def _await_moment(system: System, llm: Endpoint, run_id: str, kill: Kill, calm: Outcome) -> None:
    """Wait for the moment of the kill; at the latest until the stage has ended."""
    deadline = time.monotonic() + _RUN_SECONDS
    while not any(
        line["event"] == "stage started" and line["stage"] == kill.stage
        for line in _lines(system, run_id)
    ):
        if time.monotonic() > deadline:
            raise SystemExit(f"the stage {kill.stage} never began")
        time.sleep(_POLL_SECONDS)
    if kill.stage != "guide":
        time.sleep(kill.share * calm.seconds[kill.stage])
        return
    while llm.figures()["answers"] < kill.share * calm.answers and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _finish(client: Client, run_id: str) -> tuple[coordinator_pb2.Run, int]:
    """Follow a run to its success; resume it where it fails."""
    resumed = 0
    deadline = time.monotonic() + _RUN_SECONDS
    while time.monotonic() < deadline:
        try:
            *_, run = client.watch_run(run_id, timeout_seconds=_RUN_SECONDS)
            if run.state == coordinator_pb2.RUN_STATE_SUCCEEDED:
                return run, resumed
            client.resume_run(run_id)
            resumed += 1
        except SlcolmClientError:
            time.sleep(1.0)
    raise SystemExit(f"the run has not succeeded within {_RUN_SECONDS:.0f} s")


def _lines(system: System, run_id: str) -> list[dict[str, Any]]:
    """Log lines of the coordinator about the stages of a run."""
    lines = []
    for text in system.log_of("coordinator").read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line.get("run_id") == run_id and "stage" in line:
            lines.append(line)
    return lines


def _seconds(stage: coordinator_pb2.Stage) -> float:
    return (stage.end_time.ToNanoseconds() - stage.start_time.ToNanoseconds()) / 1e9


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [d for n in names for d in differences(one.get(n), other.get(n), f"{place}.{n}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{i}]")]
    return [] if one == other else [place]


def _without_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_varying(v) for key, v in value.items() if key not in _VARYING}
    if isinstance(value, list):
        return [_without_varying(one) for one in value]
    return value


def judge(kill: Kill, found: Outcome, calm: Outcome) -> dict[str, Any]:
    """A row of the matrix."""
    may_pay_twice = kill.victim in ("all", "guidance")
    row = {
        **asdict(kill),
        "report_differs_in": differences(found.report, calm.report),
        "merged_differs_in": differences(found.merged, calm.merged),
        "stages_done_twice": sorted(name for name, count in found.done.items() if count > 1),
        "resumed": found.resumed,
        "answered_again": found.answered_again,
    }
    row["good"] = (
        not row["report_differs_in"]
        and not row["merged_differs_in"]
        and not row["stages_done_twice"]
        and (may_pay_twice or not found.answered_again)
    )
    return row


def show(row: Mapping[str, Any]) -> None:
    """A row as a line."""
    places = row["report_differs_in"] + row["merged_differs_in"]
    equal = "DIFFERENT" if places else "equal"
    twice = ", ".join(row["stages_done_twice"]) or "-"
    print(
        f"{row['stage']:10}{row['victim']:13}{row['share']:6.2f}  {equal:10}"
        f"{row['resumed']:8}{row['answered_again']:7}  {twice:10}{'ok' if row['good'] else 'BAD'}",
        *places[:5],
        flush=True,
    )


def main() -> None:
    """Kill, print, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=36)
    parser.add_argument("--database", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    rows = []
    with endpoint() as llm:
        calm = trial(llm, options.database, None, None)
        print(
            f"{'stage':10}{'killed':13}{'when':>6}  {'report':10}{'resumed':>8}{'again':>7}  twice"
        )
        for kill in plan(options.kills, options.seed):
            rows.append(judge(kill, trial(llm, options.database, kill, calm), calm))
            show(rows[-1])
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {name: version(name) for name in _PACKAGES},
        "database": "PostgreSQL" if options.database else "SQLite",
        "answers_of_a_run": calm.answers,
        "kills": len(rows),
        "good": sum(row["good"] for row in rows),
        "median_answered_again": statistics.median(row["answered_again"] for row in rows),
        "rows": rows,
    }
    print(f"{report['good']} of {len(rows)} kills did no harm")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
