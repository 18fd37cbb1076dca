"""`slcolm http` in front of `slcolm up`: a run from its data to its predictions, by HTTP alone."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from support.annals import Data, small_data
from support.clients import on_loop
from support.envoy import Fronted, find, free_port, running

from slcolm_services.embedded import Embedded

ENDED = {"RUN_STATE_SUCCEEDED", "RUN_STATE_FAILED", "RUN_STATE_CANCELLED"}


@asynccontextmanager
async def commanded(folder: Path, *arguments: str) -> AsyncIterator[Fronted]:
    """Run `slcolm http`."""
    find()
    port = free_port()
    command = (sys.executable, "-m", "slcolm_services", "http", *arguments, "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    async with running(folder, command, url=url, ready=f"{url}/healthz") as front:
        yield front


async def _upload(front: Fronted, data: Data, split: str) -> str:
    content = await asyncio.to_thread(data.paths[split].read_bytes)
    schema = MessageToDict(data.schema)
    messages: list[dict[str, Any]] = [{"name": f"{split}.jsonl", "schema": schema}]
    for start in range(0, len(content), 10_000):
        chunk = base64.b64encode(content[start : start + 10_000]).decode()
        messages.append({"chunk": chunk})
    stored = await front.call("coordinator", "UploadDataset", messages)
    assert stored.status == 200, stored.text
    return str(stored.json["digest"])


@on_loop
async def test_a_run_from_its_data_to_its_predictions(tmp_path: Path) -> None:
    data = await asyncio.to_thread(small_data, tmp_path)
    home = tmp_path / "home"
    embedded = Embedded(home, coordinator_port=free_port())
    await asyncio.to_thread(embedded.__enter__)
    try:
        async with commanded(tmp_path, "--home", str(home)) as front:
            spec = {
                "schema": MessageToDict(data.schema),
                "training": {"encoder": "random", "epochs": 2, "seed": "1"},
                "provider": "offline",
            }
            for split in ("train", "dev", "test"):
                spec[f"{split}Dataset"] = await _upload(front, data, split)
            created = await front.call("coordinator", "CreateRun", {"spec": spec})
            run_id = created.json["run"]["id"]
            watched = await front.call("coordinator", "WatchRun", {"runId": run_id})
            last = watched.lines[-1]["run"]
            report = await front.call(
                "coordinator", "DownloadArtifact", {"runId": run_id, "name": "report.json"}
            )
            text = {"id": "a", "text": "西门晖好酒，詹虔好弈。"}
            predicted = await front.call(
                "coordinator", "Predict", {"runId": run_id, "documents": [text]}
            )
            listed = await front.call("extraction", "ListModels", {})
            providers = await front.call("guidance", "ListProviders", {})
            indexes = await front.call("retrieval", "ListIndexes", {})
            scored = await front.call("evaluation", "Score", {})
            train = await front.call("training", "Train", {})
            again = await front.call("coordinator", "GetRun", {"runId": run_id})
    finally:
        await asyncio.to_thread(embedded.__exit__, None, None, None)

    states = [line["run"]["state"] for line in watched.lines]
    assert states[-1] == "RUN_STATE_SUCCEEDED"
    assert not ENDED & set(states[:-1])
    assert [stage["name"] for stage in last["stages"]][:1] == ["train"]
    content = b"".join(base64.b64decode(line["chunk"]) for line in report.lines)
    assert json.loads(content)["run_id"] == run_id
    (result,) = predicted.json["results"]
    assert result["prediction"]["document"]["text"] == text["text"]
    assert predicted.json["modelRevision"] == last["modelRevision"]
    assert last["modelRevision"] in [model["revision"] for model in listed.json["models"]]
    assert [each["name"] for each in providers.json["providers"]] == ["offline"]
    assert [each["revision"] for each in indexes.json["indexes"]] == [last["indexRevision"]]
    # Of the last two, what their services say to nothing at all: they were asked.
    assert (scored.status, train.status) == (400, 400)
    assert scored.detail("ErrorInfo")["domain"] == train.detail("ErrorInfo")["domain"] == "slcolm"
    assert again.json["run"]["state"] == "RUN_STATE_SUCCEEDED"


async def _ended(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slcolm_services", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@on_loop
async def test_the_command_tells_where_it_is_and_ends_at_sigterm(tmp_path: Path) -> None:
    arguments = ("--home", str(tmp_path), "--extraction", "127.0.0.1:9", "--json")
    async with commanded(tmp_path, *arguments) as front:
        text = await asyncio.to_thread(front.log.read_text)
        front.process.terminate()
        status = await front.process.wait()

    told, _ = json.JSONDecoder().raw_decode(text)
    assert told["url"] == front.url
    assert told["services"] == {"slcolm.extraction.v1.ExtractionService": "127.0.0.1:9"}
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "no services have been started"),
        (("--extraction", "somewhere"), "--extraction must be HOST:PORT"),
        (("--extraction", "a:70000"), "--extraction must be HOST:PORT"),
        (("--extraction", "a:1", "--host", "0.0.0.0"), "can be reached from other machines"),
        (("--extraction", "a:1", "--allow-origin", "*"), "is no origin"),
    ],
)
@on_loop
async def test_wrong_use_is_told(arguments: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    status, out, err = await _ended("http", "--home", str(tmp_path), *arguments)

    assert (status, out) == (1, "")
    assert problem in err
