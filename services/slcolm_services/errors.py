"""Every error that SLCoLM raises on purpose.

    SlcolmError                          INTERNAL             INTERNAL
    ├── InvalidInput                     INVALID_ARGUMENT     INVALID_INPUT
    │   ├── DataInvalid                  INVALID_ARGUMENT     DATA_INVALID
    │   ├── TextTooLong                  INVALID_ARGUMENT     TEXT_TOO_LONG
    │   ├── BatchTooLarge                INVALID_ARGUMENT     BATCH_TOO_LARGE
    │   ├── RequestTooLarge              INVALID_ARGUMENT     REQUEST_TOO_LARGE
    │   ├── PromptTooLong                INVALID_ARGUMENT     PROMPT_TOO_LONG
    │   ├── RequestUnreadable            INVALID_ARGUMENT     REQUEST_UNREADABLE
    │   └── ConfigInvalid                INVALID_ARGUMENT     CONFIG_INVALID
    ├── NotFound                         NOT_FOUND            NOT_FOUND
    │   ├── ModelNotFound                NOT_FOUND            MODEL_NOT_FOUND
    │   ├── IndexNotFound                NOT_FOUND            INDEX_NOT_FOUND
    │   ├── RunNotFound                  NOT_FOUND            RUN_NOT_FOUND
    │   ├── DatasetNotFound              NOT_FOUND            DATASET_NOT_FOUND
    │   ├── ArtifactNotFound             NOT_FOUND            ARTIFACT_NOT_FOUND
    │   ├── ProviderNotFound             NOT_FOUND            PROVIDER_NOT_FOUND
    │   ├── BatchNotFound                NOT_FOUND            BATCH_NOT_FOUND
    │   └── AnswerNotRecorded            NOT_FOUND            ANSWER_NOT_RECORDED
    ├── PreconditionFailed               FAILED_PRECONDITION  PRECONDITION_FAILED
    │   ├── ModelInvalid                 FAILED_PRECONDITION  MODEL_INVALID
    │   ├── ArtifactCorrupt              FAILED_PRECONDITION  ARTIFACT_CORRUPT
    │   ├── IndexNotReady                FAILED_PRECONDITION  INDEX_NOT_READY
    │   ├── IndexFinished                FAILED_PRECONDITION  INDEX_FINISHED
    │   ├── RunNotReady                  FAILED_PRECONDITION  RUN_NOT_READY
    │   ├── RunEnded                     FAILED_PRECONDITION  RUN_ENDED
    │   ├── RunNotEnded                  FAILED_PRECONDITION  RUN_NOT_ENDED
    │   ├── BatchUnsupported             FAILED_PRECONDITION  BATCH_UNSUPPORTED
    │   ├── AnswerPending                FAILED_PRECONDITION  ANSWER_PENDING
    │   ├── StorageRefused               FAILED_PRECONDITION  STORAGE_REFUSED
    │   └── HomeInUse                    FAILED_PRECONDITION  HOME_IN_USE
    ├── Unauthenticated                  UNAUTHENTICATED      UNAUTHENTICATED
    │   ├── TokenMissing                 UNAUTHENTICATED      TOKEN_MISSING
    │   ├── TokenInvalid                 UNAUTHENTICATED      TOKEN_INVALID
    │   └── TokenExpired                 UNAUTHENTICATED      TOKEN_EXPIRED
    ├── PermissionDenied                 PERMISSION_DENIED    PERMISSION_DENIED
    ├── Overloaded                       RESOURCE_EXHAUSTED   OVERLOADED
    ├── BudgetExhausted                  RESOURCE_EXHAUSTED   BUDGET_EXHAUSTED
    ├── Unavailable                      UNAVAILABLE          UNAVAILABLE
    │   ├── ServiceUnavailable           UNAVAILABLE          SERVICE_UNAVAILABLE
    │   ├── KeysUnavailable              UNAVAILABLE          KEYS_UNAVAILABLE
    │   ├── StoreUnavailable             UNAVAILABLE          STORE_UNAVAILABLE
    │   └── ProviderUnavailable          UNAVAILABLE          PROVIDER_UNAVAILABLE
    ├── DeadlineTooShort                 DEADLINE_EXCEEDED    DEADLINE_TOO_SHORT
    ├── Cancelled                        CANCELLED            CANCELLED
    └── RemoteError                      as the other service gave them

Each class owns its gRPC status code and its `ErrorInfo` reason. Codes are names, so that this
file needs no gRPC; the server turns them into statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

DOMAIN = "slcolm"
"""The `ErrorInfo` domain of every error."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing that is wrong with an input.

    Attributes:
        field: Path of the value, for example `documents[3].entities[0].end`, or the place in a
            file, for example `line 12: relations[0].type`.
        problem: What is wrong and what would be right, with the value shown where it is short.
    """

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class SlcolmError(Exception):
    """Root of the tree.

    Args:
        message: One sentence for people, with the variable parts in it.
        violations: What is wrong with which field, for errors of input.
        metadata: The variable parts again, for programs (`ErrorInfo.metadata`).
        retry_after_seconds: When a retry may succeed, where that is known.
    """

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidInput(SlcolmError):
    """A value in the request is not acceptable."""

    code, reason = "INVALID_ARGUMENT", "INVALID_INPUT"


class DataInvalid(InvalidInput):
    """A data file or schema has problems; `violations` names each with its place."""

    reason = "DATA_INVALID"


class TextTooLong(InvalidInput):
    """A text is longer than the service accepts."""

    reason = "TEXT_TOO_LONG"


class BatchTooLarge(InvalidInput):
    """A request holds more items than the service accepts."""

    reason = "BATCH_TOO_LARGE"


class RequestTooLarge(InvalidInput):
    """A request costs more than the service takes at once: it can never fit, and is to be split."""

    reason = "REQUEST_TOO_LARGE"


class PromptTooLong(InvalidInput):
    """A prompt does not fit the model's context window."""

    reason = "PROMPT_TOO_LONG"


class RequestUnreadable(InvalidInput):
    """The bytes of a request are no message of its method, or are nested too deeply."""

    reason = "REQUEST_UNREADABLE"


class ConfigInvalid(InvalidInput):
    """A configuration value cannot be used."""

    reason = "CONFIG_INVALID"


class NotFound(SlcolmError):
    """A named thing does not exist."""

    code, reason = "NOT_FOUND", "NOT_FOUND"


class ModelNotFound(NotFound):
    """No such model revision or model folder."""

    reason = "MODEL_NOT_FOUND"


class IndexNotFound(NotFound):
    """No such index revision."""

    reason = "INDEX_NOT_FOUND"


class RunNotFound(NotFound):
    """No such run."""

    reason = "RUN_NOT_FOUND"


class DatasetNotFound(NotFound):
    """No such data set in the artifact store."""

    reason = "DATASET_NOT_FOUND"


class ArtifactNotFound(NotFound):
    """No such artifact."""

    reason = "ARTIFACT_NOT_FOUND"


class ProviderNotFound(NotFound):
    """No LLM provider of that name is configured."""

    reason = "PROVIDER_NOT_FOUND"


class BatchNotFound(NotFound):
    """No such batch of LLM requests."""

    reason = "BATCH_NOT_FOUND"


class AnswerNotRecorded(NotFound):
    """The replay provider holds no answer for the sentence."""

    reason = "ANSWER_NOT_RECORDED"


class PreconditionFailed(SlcolmError):
    """The thing exists but is not in a state that allows the call."""

    code, reason = "FAILED_PRECONDITION", "PRECONDITION_FAILED"


class ModelInvalid(PreconditionFailed):
    """A model folder is incomplete, damaged or of an unknown format."""

    reason = "MODEL_INVALID"


class ArtifactCorrupt(PreconditionFailed):
    """An artifact does not match its digest."""

    reason = "ARTIFACT_CORRUPT"


class IndexNotReady(PreconditionFailed):
    """The index revision is still being built."""

    reason = "INDEX_NOT_READY"


class IndexFinished(PreconditionFailed):
    """The index revision is finished and cannot change."""

    reason = "INDEX_FINISHED"


class RunNotReady(PreconditionFailed):
    """The run has not produced what the call needs."""

    reason = "RUN_NOT_READY"


class RunEnded(PreconditionFailed):
    """The run has ended."""

    reason = "RUN_ENDED"


class RunNotEnded(PreconditionFailed):
    """A run has not ended: the one that is meant, or one that needs what that one has."""

    reason = "RUN_NOT_ENDED"


class BatchUnsupported(PreconditionFailed):
    """The provider takes no batches."""

    reason = "BATCH_UNSUPPORTED"


class AnswerPending(PreconditionFailed):
    """The request is part of a batch that has not ended: asking now would pay for it twice."""

    reason = "ANSWER_PENDING"


class StorageRefused(PreconditionFailed):
    """A disk or an object store cannot be written: it is read-only, or belongs to others."""

    reason = "STORAGE_REFUSED"


class HomeInUse(PreconditionFailed):
    """Another process tree works in the same home folder."""

    reason = "HOME_IN_USE"


class Unauthenticated(SlcolmError):
    """Nobody knows who calls. The token itself is in no message."""

    code, reason = "UNAUTHENTICATED", "UNAUTHENTICATED"


class TokenMissing(Unauthenticated):
    """The call carries no bearer token."""

    reason = "TOKEN_MISSING"


class TokenInvalid(Unauthenticated):
    """The token is not one that is accepted here."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The token was accepted until it expired."""

    reason = "TOKEN_EXPIRED"


class PermissionDenied(SlcolmError):
    """The caller is known, and may not do this."""

    code, reason = "PERMISSION_DENIED", "PERMISSION_DENIED"


class Overloaded(SlcolmError):
    """The service has as much work as it can hold; retry later."""

    code, reason = "RESOURCE_EXHAUSTED", "OVERLOADED"


class BudgetExhausted(SlcolmError):
    """The spending limit does not allow the call."""

    code, reason = "RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED"


class StorageFull(SlcolmError):
    """There is no space left where something is to be kept; nothing half is kept."""

    code, reason = "RESOURCE_EXHAUSTED", "STORAGE_FULL"


class Unavailable(SlcolmError):
    """Something that is needed cannot be reached."""

    code, reason = "UNAVAILABLE", "UNAVAILABLE"


class ServiceUnavailable(Unavailable):
    """Another SLCoLM service cannot be reached."""

    reason = "SERVICE_UNAVAILABLE"


class KeysUnavailable(Unavailable):
    """The keys that tokens are signed with cannot be fetched."""

    reason = "KEYS_UNAVAILABLE"


class StoreUnavailable(Unavailable):
    """The artifact store does not answer."""

    reason = "STORE_UNAVAILABLE"


class ProviderUnavailable(Unavailable):
    """The LLM endpoint cannot be reached or keeps failing."""

    reason = "PROVIDER_UNAVAILABLE"


class DeadlineTooShort(SlcolmError):
    """The caller's deadline leaves no time for the work."""

    code, reason = "DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT"


class Cancelled(SlcolmError):
    """The caller went away or cancelled."""

    code, reason = "CANCELLED", "CANCELLED"


class RemoteError(SlcolmError):
    """An error that another service answered with; it keeps that service's code and reason.

    Args:
        message: The service's message.
        code: Name of the gRPC status code.
        reason: `ErrorInfo` reason, or the code where there is none.
        violations: What is wrong with which field.
        metadata: `ErrorInfo` metadata.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        reason: str,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, violations=violations, metadata=metadata)
        self._code = code
        self._reason = reason

    @property
    def code(self) -> str:  # type: ignore[override]  # fixed per class everywhere else
        """Name of the gRPC status code."""
        return self._code

    @property
    def reason(self) -> str:  # type: ignore[override]
        """`ErrorInfo` reason."""
        return self._reason
