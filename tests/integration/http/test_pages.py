"""Web pages in a real browser: those of an origin that is named call, and others do not."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.browser import CHROMIUM, Tab, browser
from support.clients import Extractor, on_loop, served
from support.envoy import fronted

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
EXAMPLE = "".join(re.findall(r"^```javascript\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the base
        """Nothing."""


@contextmanager
def _pages(folder: Path) -> Iterator[int]:
    """Serve a page; gives the port."""
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>page</title>", encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _tried(tab: Tab, page: str, script: str) -> Any:
    """What a script gives in a page; `refused` where the browser does not let it."""
    tab.open(page)
    body = f"(async () => {{ try {{ {script} }} catch (error) {{ return 'refused'; }} }})()"
    return tab.evaluate(body)


@on_loop
async def test_a_page_calls_where_its_origin_is_named(tmp_path: Path) -> None:
    extractor = Extractor()
    with _pages(tmp_path / "pages") as port, browser(tmp_path / "profile") as tab:
        async with (
            served(extractor) as server,
            fronted(
                tmp_path,
                {"extraction": server.address},
                origins=[f"http://localhost:{port}"],
            ) as front,
        ):
            example = EXAMPLE.replace("http://localhost:50080", front.url)
            example += "return results[0].extraction.document.text;"
            path = front.path("extraction", "Extract")
            # Without leave a page may send plain text, and never see the answer.
            form = f"await fetch('{path}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}});"
            named, other = f"http://localhost:{port}/", f"http://127.0.0.1:{port}/"
            allowed = await asyncio.to_thread(_tried, tab, named, example)
            arrived = len(extractor.arrived)
            refused = await asyncio.to_thread(_tried, tab, other, example)
            await asyncio.to_thread(_tried, tab, other, form)

    assert allowed == "茅淇以茜原叛，入于芜羌。"
    assert arrived == 1
    assert refused == "refused"
    assert len(extractor.arrived) == 1
