"""Recorded answers, found by their sentence."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from pathlib import Path

from slcolm_services.corpus.recordings import iter_recordings
from slcolm_services.corpus.script import fold
from slcolm_services.errors import AnswerNotRecorded
from slcolm_services.guidance.entries import Answer
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import Completion, ProviderInfo, Request


class ReplayProvider:
    """Gives the recorded answers to a sentence, whatever is asked about it.

    Sample k is the sentence's line k in the first file that has an answer there, counted from 0.

    Args:
        name: Name that requests use.
        paths: Files of recordings.
        window: What fits into a prompt.
    """

    def __init__(self, name: str, paths: tuple[Path, ...], window: Window) -> None:
        self._name = name
        self._paths = paths
        self._window = window
        self._answers: dict[tuple[str, int], str] = {}
        self._digest = ""

    @property
    def info(self) -> ProviderInfo:
        """What is told about it."""
        return ProviderInfo(self._name, "replay", "", self._digest, self._window, replayed=True)

    async def open(self) -> None:
        """Read the recordings.

        Raises:
            DatasetNotFound: There is no such file.
            DataInvalid: A line cannot be read; the violation names it.
        """
        self._answers, self._digest = await asyncio.to_thread(_read, self._paths)

    async def close(self) -> None:
        """Let go of the recordings."""
        self._answers = {}

    async def check(self) -> None:
        """See `Provider.check`: it needs nothing."""

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Look the sentence up; see `Provider.complete`."""
        del deadline
        document = request.item.prediction
        text = self._answers.get((fold(document.text), request.sample))
        if text is None:
            which = f" number {request.sample}" if request.sample else ""
            raise AnswerNotRecorded(
                f"there is no recorded answer{which} to {document.id!r}",
                metadata={"id": document.id, "sample": str(request.sample)},
            )
        return Completion(Answer(text, model=""))


def _read(paths: tuple[Path, ...]) -> tuple[dict[tuple[str, int], str], str]:
    answers: dict[tuple[str, int], str] = {}
    digest = hashlib.sha256(b"replay")
    for path in paths:
        seen: Counter[str] = Counter()
        for recording in iter_recordings(path):
            text = fold(recording.text)
            if recording.llm_raw is not None:
                answers.setdefault((text, seen[text]), recording.llm_raw)
            seen[text] += 1
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return answers, digest.hexdigest()
