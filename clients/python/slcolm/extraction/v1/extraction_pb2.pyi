from google.rpc import status_pb2 as _status_pb2
from slcolm.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExtractRequest(_message.Message):
    __slots__ = ("documents", "model_revision", "include_vectors")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    model_revision: str
    include_vectors: bool
    def __init__(self, documents: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., model_revision: _Optional[str] = ..., include_vectors: bool = ...) -> None: ...

class ExtractResponse(_message.Message):
    __slots__ = ("results", "model_revision")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ExtractResult]
    model_revision: str
    def __init__(self, results: _Optional[_Iterable[_Union[ExtractResult, _Mapping]]] = ..., model_revision: _Optional[str] = ...) -> None: ...

class ExtractResult(_message.Message):
    __slots__ = ("id", "extraction", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXTRACTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    extraction: Extraction
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., extraction: _Optional[_Union[Extraction, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Extraction(_message.Message):
    __slots__ = ("document", "vector", "windows", "unseen_pairs")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_PAIRS_FIELD_NUMBER: _ClassVar[int]
    document: _common_pb2.Document
    vector: _containers.RepeatedScalarFieldContainer[float]
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    unseen_pairs: int
    def __init__(self, document: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., vector: _Optional[_Iterable[float]] = ..., windows: _Optional[_Iterable[_Union[Window, _Mapping]]] = ..., unseen_pairs: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("revision", "schema", "vector_dimension", "max_tokens", "precision", "loaded", "default", "dev_scores")
    class DevScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DEV_SCORES_FIELD_NUMBER: _ClassVar[int]
    revision: str
    schema: _common_pb2.TaskSchema
    vector_dimension: int
    max_tokens: int
    precision: str
    loaded: bool
    default: bool
    dev_scores: _containers.ScalarMap[str, float]
    def __init__(self, revision: _Optional[str] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., vector_dimension: _Optional[int] = ..., max_tokens: _Optional[int] = ..., precision: _Optional[str] = ..., loaded: bool = ..., default: bool = ..., dev_scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: str
    def __init__(self, revision: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: str
    def __init__(self, revision: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...
