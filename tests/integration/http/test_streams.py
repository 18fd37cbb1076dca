"""Streams over HTTP: lines as they come, how they end, and bytes both ways."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

from support.clients import Coordinator, dropped, on_loop, served
from support.envoy import fronted


@on_loop
async def test_progress_comes_line_by_line(tmp_path: Path) -> None:
    coordinator = Coordinator()
    async with (
        served(coordinator) as server,
        fronted(tmp_path, {"coordinator": server.address}) as front,
        front.http.stream(
            "POST",
            front.path("coordinator", "WatchRun"),
            content='{"runId": "never"}',
            headers={"content-type": "application/json"},
        ) as answer,
    ):
        # The next message never comes: what is there is not held back for it.
        line = await anext(answer.aiter_lines())

    assert json.loads(line)["run"]["state"] == "RUN_STATE_RUNNING"


@on_loop
async def test_a_stream_says_in_its_trailers_how_it_ended(tmp_path: Path) -> None:
    """The status was sent before; nothing else tells one that broke from one that is complete."""
    coordinator = Coordinator(failures=[dropped()])
    async with (
        served(coordinator) as server,
        fronted(tmp_path, {"coordinator": server.address}) as front,
    ):
        broken, complete = [
            await _chunked(front.path("coordinator", "WatchRun"), '{"runId": "r"}') for _ in "12"
        ]

    states = [
        [json.loads(line)["run"]["state"] for line in text.splitlines()]
        for text, _ in (broken, complete)
    ]
    assert states == [["RUN_STATE_RUNNING"], ["RUN_STATE_RUNNING", "RUN_STATE_SUCCEEDED"]]
    assert (broken[1]["grpc-status"], broken[1]["grpc-message"]) == ("14", "restarting")
    assert complete[1]["grpc-status"] == "0"


async def _chunked(url: str, body: str) -> tuple[str, dict[str, str]]:
    """What is answered to a call, and the trailers, which clients of HTTP keep to themselves."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST {where.path} HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body).encode())
    await reader.readuntil(b"\r\n\r\n")
    data = b""
    while size := int(await reader.readline(), 16):
        data += (await reader.readexactly(size + 2))[:-2]
    trailers = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    writer.close()
    pairs = (line.partition(": ") for line in trailers)
    return data.decode(), {name: value for name, _, value in pairs}


@on_loop
async def test_streams_of_bytes_go_both_ways(tmp_path: Path) -> None:
    coordinator = Coordinator()
    chunks = [base64.b64encode(part).decode() for part in (b"one", b"three")]
    async with (
        served(coordinator) as server,
        fronted(
            tmp_path,
            {"coordinator": server.address},
            max_request_bytes=1000,
            max_upload_bytes=10_000,
        ) as front,
    ):
        stored = await front.call(
            "coordinator",
            "UploadDataset",
            [{"name": "train.jsonl"}, *({"chunk": chunk} for chunk in chunks)],
        )
        # More than other requests may have, and more than may be uploaded.
        many, too_many = [
            await front.call(
                "coordinator", "UploadDataset", [{"name": "n"}, *([{"chunk": chunks[0]}] * count)]
            )
            for count in (100, 1000)
        ]
        loaded = await front.call("coordinator", "DownloadArtifact", {"runId": "r", "name": "f"})

    assert stored.json == {"digest": "train.jsonl", "documentCount": 8}
    assert many.json == {"digest": "n", "documentCount": 300}
    assert (too_many.status, too_many.json["code"]) == (413, 8)
    assert coordinator.calls == ["UploadDataset", "UploadDataset", "DownloadArtifact"]
    parts = [base64.b64decode(line["chunk"]) for line in loaded.lines]
    assert [len(part) for part in parts] == [1000, 24600]
