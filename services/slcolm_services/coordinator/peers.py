"""The other services, as the coordinator calls them: synchronous stubs, one error tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slcolm.evaluation.v1 import evaluation_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2_grpc
from slcolm.guidance.v1 import guidance_pb2_grpc
from slcolm.retrieval.v1 import retrieval_pb2_grpc
from slcolm.training.v1 import training_pb2, training_pb2_grpc
from slcolm_client import Security, SlcolmClientError, TokenFile, call, connect, error_from_rpc
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.errors import (
    ConfigInvalid,
    FieldViolation,
    RemoteError,
    ServiceUnavailable,
    SlcolmError,
)
from slcolm_services.runtime.calling import Calling
from slcolm_services.runtime.correlation import request_id

_CHECK_SECONDS = 2.0

ResponseT = TypeVar("ResponseT", bound=Message)


class Peers:
    """Channels and stubs to the five services. Thread-safe; close it when done.

    Args:
        config: Where they are, and how calls to them are secured.

    Raises:
        ConfigInvalid: They cannot be called with it: a file is missing, or a token would go over
            the network in plain text.
    """

    def __init__(self, config: CoordinatorConfig) -> None:
        self._timeout_seconds = config.call_timeout_seconds
        self._train_timeout_seconds = config.train_timeout_seconds
        self._addresses = {
            "extraction": config.extraction_address,
            "retrieval": config.retrieval_address,
            "guidance": config.guidance_address,
            "evaluation": config.evaluation_address,
            "training": config.training_address,
        }
        self.names = tuple(self._addresses)
        try:
            security = _security(config)
            self._channels = {
                name: grpc.intercept_channel(connect(target, security=security), Calling())
                for name, target in self._addresses.items()
            }
        except SlcolmClientError as error:
            raise ConfigInvalid(
                f"[coordinator] the other services cannot be called as configured: {error.message}"
            ) from error
        self.extraction = extraction_pb2_grpc.ExtractionServiceStub(self._channels["extraction"])
        self.retrieval = retrieval_pb2_grpc.RetrievalServiceStub(self._channels["retrieval"])
        self.guidance = guidance_pb2_grpc.GuidanceServiceStub(self._channels["guidance"])
        self.evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self._channels["evaluation"])
        self.training = training_pb2_grpc.TrainingServiceStub(self._channels["training"])

    def invoke(
        self,
        service: str,
        method: Callable[..., ResponseT],
        request: Message,
        *,
        timeout_seconds: float | None = None,
    ) -> ResponseT:
        """Call a service and wait for the answer.

        Args:
            service: Name of the service, for errors.
            method: Stub method. Every method called here is idempotent, so it may be retried.
            request: What is sent.
            timeout_seconds: Deadline; the configured one where none is given.

        Raises:
            ServiceUnavailable: The service cannot be reached.
            RemoteError: The service answered with an error.
        """
        try:
            return call(
                method,
                request,
                timeout_seconds=timeout_seconds or self._timeout_seconds,
                # One id in the logs of all services, where a call is the reason for this one.
                request_id=request_id(),
            )
        except SlcolmClientError as error:
            raise self._translate(service, error) from error

    def check(self, service: str) -> None:
        """Go on where a service says that it takes calls.

        Raises:
            ServiceUnavailable: It cannot be reached, or does not take calls.
        """
        stub: Any = health_pb2_grpc.HealthStub(self._channels[service])
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
        except grpc.RpcError as error:
            raise self._translate(service, error_from_rpc(error)) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ServiceUnavailable(
                f"the {service} service takes no calls", metadata={"service": service}
            )

    def train(self, request: training_pb2.TrainRequest) -> Iterator[training_pb2.TrainResponse]:
        """Train a model, yielding progress; the last message carries the model.

        Closing the iterator cancels the training, which can go on later from its checkpoint.

        Raises:
            ServiceUnavailable: The service cannot be reached or went away.
            RemoteError: The training failed.
        """
        stream: Any = self.training.Train(
            request, timeout=self._train_timeout_seconds, wait_for_ready=False
        )
        try:
            yield from stream
        except grpc.RpcError as error:
            raise self._translate("training", error_from_rpc(error)) from error
        finally:
            stream.cancel()

    def _translate(self, service: str, error: SlcolmClientError) -> SlcolmError:
        if error.code == "UNAVAILABLE" and not error.reason:
            return ServiceUnavailable(
                f"the {service} service at {self._addresses[service]} cannot be reached",
                metadata={"service": service},
            )
        return RemoteError(
            f"{service}: {error.message}",
            code=error.code,
            reason=error.reason or error.code,
            violations=[FieldViolation(field, problem) for field, problem in error.violations],
            metadata={"service": service, **error.metadata},
        )

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()


def _security(config: CoordinatorConfig) -> Security:
    file = config.peer_token_file
    return Security(
        tls=config.peer_tls,
        ca=config.peer_ca,
        certificate=config.peer_certificate,
        key=config.peer_key,
        token=TokenFile(file) if file is not None else config.peer_token,
        token_over_plaintext=config.peer_token_over_plaintext,
    )
