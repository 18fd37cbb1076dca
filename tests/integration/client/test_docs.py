"""The examples of docs/clients.md, each run as a program against real servers."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from support.clients import Coordinator, Extractor, on_loop, served

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)

PRINTED = {
    "client.predict(": "甲 T 镇 ('slm',)\n",
    "asyncio.gather": "['甲为太守，镇云泽。'] a note\n",
    "texts.txt": "0 [('T', '甲为太守。')]\nfailed: 1 INVALID_ARGUMENT INVALID_INPUT\n",
    "aclosing": "".join(f"record {number} None\n" for number in range(41)),
    "NotFound": "RUN_NOT_FOUND {'run': '3f2a9c01b7de'}\n",
    "Retries.none": "['0', '1', '2', '3', '4']\n" * 2,
    "ipv4:": "甲为太守。\n",
    "call(stub.Extract": "m\n",
    "example.org": "",
}
"""What an example prints, by words that it alone has."""


def test_every_example_has_its_output() -> None:
    assert len(EXAMPLES) == len(PRINTED)
    for words in PRINTED:
        assert len([example for example in EXAMPLES if words in example]) == 1, words


@pytest.mark.parametrize("words", PRINTED)
@on_loop
async def test_an_example_does_what_it_says(words: str, tmp_path: Path) -> None:
    (example,) = (each for each in EXAMPLES if words in each)
    # The second line is cut in the middle of a character, and read with what Python puts there.
    lines = "甲为太守。\n".encode() + b"\xe4\xb9\n"
    await asyncio.to_thread((tmp_path / "texts.txt").write_bytes, lines)
    example = example.replace('encoding="utf-8"', 'encoding="utf-8", errors="surrogateescape"')
    extractor, coordinator = Extractor(), Coordinator()
    async with served(extractor) as one, served(extractor) as other, served(coordinator) as runs:
        for written, server in (("50050", runs), ("50051", one), ("50061", other)):
            example = example.replace(f"127.0.0.1:{written}", server.address)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", example),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert out.decode() == PRINTED[words]
