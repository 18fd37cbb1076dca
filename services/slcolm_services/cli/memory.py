"""How much memory services take, from stage to stage."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

import psutil

_SAMPLE_SECONDS = 0.2


class PeakMemory:
    """Samples the resident memory of processes.

    Args:
        pids: Process by name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._peaks = dict.fromkeys(pids, 0)
        self._stop = threading.Event()

    def take(self) -> dict[str, int]:
        """The most bytes of each process with its children since the last call."""
        self._sample()
        peaks, self._peaks = self._peaks, dict.fromkeys(self._pids, 0)
        return peaks

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Sample until the block ends."""
        thread = threading.Thread(target=self._run, name="memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        peaks = self._peaks
        for name, pid in self._pids.items():
            peaks[name] = max(peaks[name], _resident_bytes(pid))


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; 0 when it has gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total
