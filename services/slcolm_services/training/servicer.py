"""Training on the wire: requests in, a stream of progress and the model out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

import grpc

from slcolm.training.v1 import training_pb2, training_pb2_grpc
from slcolm_services.errors import ConfigInvalid, FieldViolation, InvalidInput
from slcolm_services.runtime.wire import schema_from_wire
from slcolm_services.training.choice import BUILT_IN, RANDOM
from slcolm_services.training.config import TrainingConfig
from slcolm_services.training.job import Finished, Job
from slcolm_services.training.options import TrainOptions
from slcolm_services.training.progress import Progress
from slcolm_services.training.runner import JobRunner


class TrainingServicer(training_pb2_grpc.TrainingServiceServicer):
    """Serves `slcolm.training.v1.TrainingService`."""

    def __init__(self, config: TrainingConfig, runner: JobRunner) -> None:
        self._config = config
        self._runner = runner

    async def Train(
        self,
        request: training_pb2.TrainRequest,
        context: grpc.aio.ServicerContext[training_pb2.TrainRequest, training_pb2.TrainResponse],
    ) -> AsyncGenerator[training_pb2.TrainResponse]:
        """Train a model; the call's end, however it comes, is the end of the job's process."""
        del context
        job = _job(request)
        check_encoder(job.options.encoder, self._config)
        finished = await self._runner.find_finished(job)
        if finished is not None:
            yield _model(finished, reused=True)
            return
        async with aclosing(self._runner.run(job)) as updates:
            async for update in updates:
                if isinstance(update, Progress):
                    progress = training_pb2.TrainProgress(**asdict(update))
                    yield training_pb2.TrainResponse(progress=progress)
                else:
                    yield _model(update, reused=False)


def _job(request: training_pb2.TrainRequest) -> Job:
    """Read a request; zeros of the wire leave the choice to the trainer."""
    violations = [
        FieldViolation(field, "must name a data set of the artifact store")
        for field in ("train_dataset", "dev_dataset")
        if not getattr(request, field)
    ]
    if violations:
        raise InvalidInput("a data set is missing", violations=violations)
    options = request.options
    return Job(
        request.train_dataset,
        request.dev_dataset,
        schema_from_wire(request.schema),
        TrainOptions(
            encoder=options.encoder,
            epochs=options.epochs or None,
            batch_size=options.batch_size or None,
            learning_rate=options.learning_rate or None,
            seed=options.seed,
            patience=options.patience or None,
        ),
    )


def check_encoder(name: str, config: TrainingConfig) -> None:
    """Refuse encoders that the configuration does not open to callers.

    Raises:
        ConfigInvalid: A path outside `encoder_dirs`, or a name of the hub where these are closed.
    """
    if name in ("", BUILT_IN, RANDOM):
        return
    path = Path(name)
    try:
        # transformers takes any name that is also a folder here for that folder.
        if path.exists() or path.is_absolute() or name.startswith((".", "~")):
            allowed = [Path(folder).resolve() for folder in config.encoder_dirs]
            if any(path.resolve().is_relative_to(folder) for folder in allowed):
                return
            problem = "is a path outside the folders that this service reads encoders from"
        elif config.hub_encoders:
            return
        else:
            problem = "names an encoder of the hub, which this service does not download from"
    except (OSError, ValueError) as error:
        problem = f"can be no name and no path: {getattr(error, 'strerror', None) or error}"
    raise ConfigInvalid(
        f"encoder {name[:200]!r} {problem}",
        violations=[FieldViolation("options.encoder", problem)],
    )


def _model(finished: Finished, *, reused: bool) -> training_pb2.TrainResponse:
    return training_pb2.TrainResponse(
        model=training_pb2.TrainedModel(
            revision=finished.revision,
            dev_scores=finished.dev_scores,
            train_seconds=finished.train_seconds,
            reused=reused,
        )
    )
