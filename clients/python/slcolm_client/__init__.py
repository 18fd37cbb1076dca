"""The SLCoLM client: data sets, runs and predictions over gRPC, synchronous and asyncio.

    from slcolm_client import Client

    with Client("127.0.0.1:50050") as client:
        for prediction in client.predict(["尙書令王甲薨。"], run_id="3f2a9c01b7de"):
            print(prediction.triples)

Every call has a deadline, and every failure is a `SlcolmClientError`.
"""

from slcolm_client._aio import AsyncClient, AsyncExtractionClient
from slcolm_client._call import call
from slcolm_client._channel import connect, connect_aio, wait_until_ready
from slcolm_client._client import Client, ExtractionClient
from slcolm_client._errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    SlcolmClientError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    error_from_rpc,
    error_from_status,
)
from slcolm_client._messages import AsyncTexts, ManyTexts, Texts
from slcolm_client._results import Entity, Extraction, Prediction, Relation, Triple
from slcolm_client._retrying import Retries, RetryBudget
from slcolm_client._security import Security, TokenFile

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncExtractionClient",
    "AsyncTexts",
    "Cancelled",
    "Client",
    "DataLoss",
    "DeadlineExceeded",
    "Entity",
    "Extraction",
    "ExtractionClient",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidArgument",
    "ManyTexts",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "Prediction",
    "Relation",
    "ResourceExhausted",
    "Retries",
    "RetryBudget",
    "Security",
    "SlcolmClientError",
    "Texts",
    "TokenFile",
    "Triple",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "call",
    "connect",
    "connect_aio",
    "error_from_rpc",
    "error_from_status",
    "wait_until_ready",
]
