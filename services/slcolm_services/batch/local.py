"""The engine `local`: one extraction service, asked through the SDK."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_client import (
    Extraction,
    ExtractionClient,
    Retries,
    Security,
    SlcolmClientError,
    call,
    connect,
)
from slcolm_services.batch.answers import Answer, Model
from slcolm_services.batch.job import Job, write_shards
from slcolm_services.batch.manifest import Shard
from slcolm_services.batch.rows import Row, RowError
from slcolm_services.errors import ServiceUnavailable

_TIMEOUT_SECONDS = 900.0
"""As long as a service lets any call run: a text of a million characters takes minutes."""
_SDK_PATIENCE_SECONDS = 20.0
"""How long the SDK tries a batch again by itself; after that its rows are asked about alone."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_MODEL_SECONDS = 60.0


class LocalEngine:
    """Keeps an extraction service busy with a few batches at once.

    The revision is asked for once and then named in every call: a service that comes back with
    another model refuses them, rather than mixing two models in one output.

    Args:
        address: `host:port` of the service.
        batch_size: Most texts a call.
        in_flight: Calls at once.
        patience_seconds: How long a row is asked about again while the service cannot take it.
        security: TLS and token.
        check: Raises where waiting for the service is of no use; called before each pause.

    Raises:
        SlcolmClientError: The service cannot be reached in that time, or has no model.
    """

    def __init__(
        self,
        address: str,
        *,
        batch_size: int,
        in_flight: int,
        patience_seconds: float,
        security: Security | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._batch_size = batch_size
        self._in_flight = in_flight
        self._patience = patience_seconds
        self._check = check
        security = security or Security()
        self._model = _model(address, security, patience_seconds)
        self._client = ExtractionClient(
            address,
            security=security,
            timeout_seconds=_TIMEOUT_SECONDS,
            retries=Retries(patience_seconds=min(_SDK_PATIENCE_SECONDS, patience_seconds)),
        )

    @property
    def model(self) -> Model:
        """The service's default model when the engine was made."""
        return self._model

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        """One shard after the other, each when it is taken; see `Engine`."""
        return write_shards(job, self.answers, numbers, advance)

    def answers(self, rows: Iterator[Row]) -> Generator[Answer, None, None]:
        """Exactly one answer for each row, in order. Rows are read as answers are taken.

        Raises:
            SlcolmError, SlcolmClientError: Rows cannot be asked about now; see `Engine`.
        """
        asked: deque[Row] = deque()

        def texts() -> Iterator[tuple[str, Any]]:
            # Ids of rows may come twice or be empty; their places do neither. What is no text is
            # not sent by the SDK, but takes its place in a batch: so rows cannot pile up here.
            for place, row in enumerate(rows):
                asked.append(row)
                yield str(place), None if row.error else row.text

        with closing(self._stream(texts())) as extractions:
            for extraction in extractions:
                row = asked.popleft()
                yield Answer(row, row.error or self._settled(row, extraction))

    def _stream(self, texts: Iterator[tuple[str, Any]]) -> Generator[Extraction, None, None]:
        return self._client.extract_stream(
            texts,
            model_revision=self._model.revision,
            batch_size=self._batch_size,
            batches_in_flight=self._in_flight,
        )

    def _settled(self, row: Row, extraction: Extraction) -> Extraction | RowError:
        """What came of a row in the end; it is asked about alone until that is known."""
        deadline, pause, alone = time.monotonic() + self._patience, _FIRST_PAUSE_SECONDS, False
        while (error := extraction.error) is not None:
            if _passes(error):
                self._wait(deadline, pause, error)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            elif alone or not error.request_id:
                return RowError(error.code, error.reason or error.code, error.message)
            # Else the call failed as a whole, which may be another row's fault.
            alone = True
            (extraction,) = self._stream(iter([("0", row.text)]))
        return extraction

    def _wait(self, deadline: float, pause: float, error: SlcolmClientError) -> None:
        self._check()
        left = deadline - time.monotonic()
        if left <= 0:
            raise ServiceUnavailable(
                f"the extraction service has taken no calls for {self._patience:g} s: "
                f"{error.message}; the same command goes on after the last finished shard"
            )
        asked_for = min(error.retry_after_seconds or 0.0, _LONGEST_PAUSE_SECONDS)
        time.sleep(min(left, asked_for + random.uniform(pause / 2, pause)))


def _passes(error: SlcolmClientError) -> bool:
    """Whether the service may take the row later."""
    if error.code == "RESOURCE_EXHAUSTED":
        # A text that is too large has the code of an overload, but will not get shorter.
        return error.reason != "MESSAGE_TOO_LARGE"
    return error.code == "UNAVAILABLE" or error.reason == "DEADLINE_TOO_SHORT"


def _model(address: str, security: Security, patience_seconds: float) -> Model:
    with connect(address, security=security) as channel:
        response = call(
            extraction_pb2_grpc.ExtractionServiceStub(channel).GetModel,
            extraction_pb2.GetModelRequest(),
            timeout_seconds=patience_seconds + _MODEL_SECONDS,
            retries=Retries(patience_seconds=patience_seconds),
        )
    return Model(response.model.revision, response.model.precision)
