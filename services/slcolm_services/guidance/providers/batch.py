"""What a provider of batches is: it answers many requests in its own time, for less."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from slcolm_services.guidance.providers.base import Completion, Request
from slcolm_services.guidance.usage import Prices, Usage


class BatchState(Enum):
    """How a batch stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the provider tells of it.

    Attributes:
        id: The provider's name for it.
        state: How it stands.
        result_files: What was answered and what was refused, once it has ended.
        problem: Why it failed; empty otherwise.
    """

    id: str
    state: BatchState
    result_files: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one request.

    Attributes:
        digest: Of the request.
        completion: The answer; None where there is none.
        usage: What it cost without an answer.
    """

    digest: str
    completion: Completion | None
    usage: Usage


class Unconfirmed(Exception):
    """It is not known whether a batch was created: the provider's word was lost."""


class BatchProvider(Protocol):
    """Takes batches.

    Every method raises ProviderUnavailable where the provider cannot be reached or refuses, and
    BatchUnsupported where it knows no batches.
    """

    @property
    def prices(self) -> Prices:
        """What it charges for requests in batches."""

    @property
    def is_known(self) -> bool:
        """Whether the provider has answered before, so that it is known how to ask it."""

    async def upload(self, requests: Mapping[str, Request]) -> str:
        """Bring the requests, by digest, to the provider; nothing is asked or paid yet.

        Returns:
            The file's name there.

        Raises:
            BatchTooLarge: They are more than the provider takes at once.
        """

    async def create(self, file_id: str, name: str) -> RemoteBatch:
        """Have the requests of a file answered.

        Args:
            file_id: As `upload` returned it.
            name: Our name for the batch.

        Raises:
            Unconfirmed: Perhaps it was created: `find` tells later.
        """

    async def find(self, file_id: str, since: datetime) -> RemoteBatch | None:
        """The batch of a file, if one was created."""

    async def get(self, remote_id: str) -> RemoteBatch:
        """How a batch stands."""

    async def cancel(self, remote_id: str) -> RemoteBatch:
        """Ask the provider to stop a batch."""

    def results(
        self, file_id: str, prompt_tokens: Mapping[str, int]
    ) -> AsyncIterator[Sequence[BatchResult]]:
        """What a file of results holds, a part at a time.

        Args:
            file_id: One of `RemoteBatch.result_files`.
            prompt_tokens: Estimates by digest, for answers that do not tell.
        """
