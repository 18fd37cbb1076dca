from slcolm.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainRequest(_message.Message):
    __slots__ = ("train_dataset", "dev_dataset", "schema", "options")
    TRAIN_DATASET_FIELD_NUMBER: _ClassVar[int]
    DEV_DATASET_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    train_dataset: str
    dev_dataset: str
    schema: _common_pb2.TaskSchema
    options: TrainOptions
    def __init__(self, train_dataset: _Optional[str] = ..., dev_dataset: _Optional[str] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., options: _Optional[_Union[TrainOptions, _Mapping]] = ...) -> None: ...

class TrainOptions(_message.Message):
    __slots__ = ("encoder", "epochs", "batch_size", "learning_rate", "seed", "patience")
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    patience: int
    def __init__(self, encoder: _Optional[str] = ..., epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., seed: _Optional[int] = ..., patience: _Optional[int] = ...) -> None: ...

class TrainResponse(_message.Message):
    __slots__ = ("progress", "model")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    progress: TrainProgress
    model: TrainedModel
    def __init__(self, progress: _Optional[_Union[TrainProgress, _Mapping]] = ..., model: _Optional[_Union[TrainedModel, _Mapping]] = ...) -> None: ...

class TrainProgress(_message.Message):
    __slots__ = ("phase", "epoch", "epochs", "step", "steps", "loss", "dev_f1", "best_dev_f1", "eta_seconds")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    DEV_F1_FIELD_NUMBER: _ClassVar[int]
    BEST_DEV_F1_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    dev_f1: float
    best_dev_f1: float
    eta_seconds: float
    def __init__(self, phase: _Optional[str] = ..., epoch: _Optional[int] = ..., epochs: _Optional[int] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., loss: _Optional[float] = ..., dev_f1: _Optional[float] = ..., best_dev_f1: _Optional[float] = ..., eta_seconds: _Optional[float] = ...) -> None: ...

class TrainedModel(_message.Message):
    __slots__ = ("revision", "dev_scores", "train_seconds", "reused")
    class DevScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DEV_SCORES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    revision: str
    dev_scores: _containers.ScalarMap[str, float]
    train_seconds: float
    reused: bool
    def __init__(self, revision: _Optional[str] = ..., dev_scores: _Optional[_Mapping[str, float]] = ..., train_seconds: _Optional[float] = ..., reused: bool = ...) -> None: ...
