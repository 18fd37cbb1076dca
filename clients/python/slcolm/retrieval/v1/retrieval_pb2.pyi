from google.rpc import status_pb2 as _status_pb2
from slcolm.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SentenceRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SENTENCE_ROLE_UNSPECIFIED: _ClassVar[SentenceRole]
    SENTENCE_ROLE_DEMONSTRATION: _ClassVar[SentenceRole]
    SENTENCE_ROLE_TRAINING: _ClassVar[SentenceRole]
SENTENCE_ROLE_UNSPECIFIED: SentenceRole
SENTENCE_ROLE_DEMONSTRATION: SentenceRole
SENTENCE_ROLE_TRAINING: SentenceRole

class IndexedSentence(_message.Message):
    __slots__ = ("gold", "prediction", "vector", "role")
    GOLD_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    gold: _common_pb2.Document
    prediction: _common_pb2.Document
    vector: _containers.RepeatedScalarFieldContainer[float]
    role: SentenceRole
    def __init__(self, gold: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., prediction: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., vector: _Optional[_Iterable[float]] = ..., role: _Optional[_Union[SentenceRole, str]] = ...) -> None: ...

class IndexDemonstrationsRequest(_message.Message):
    __slots__ = ("index_revision", "schema", "model_revision", "sentences", "finish")
    INDEX_REVISION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    index_revision: str
    schema: _common_pb2.TaskSchema
    model_revision: str
    sentences: _containers.RepeatedCompositeFieldContainer[IndexedSentence]
    finish: bool
    def __init__(self, index_revision: _Optional[str] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., model_revision: _Optional[str] = ..., sentences: _Optional[_Iterable[_Union[IndexedSentence, _Mapping]]] = ..., finish: bool = ...) -> None: ...

class IndexDemonstrationsResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: Index
    def __init__(self, index: _Optional[_Union[Index, _Mapping]] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("revision", "model_revision", "demonstration_count", "training_count", "trigger_count", "finished", "vector_dimension")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    DEMONSTRATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    VECTOR_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    revision: str
    model_revision: str
    demonstration_count: int
    training_count: int
    trigger_count: int
    finished: bool
    vector_dimension: int
    def __init__(self, revision: _Optional[str] = ..., model_revision: _Optional[str] = ..., demonstration_count: _Optional[int] = ..., training_count: _Optional[int] = ..., trigger_count: _Optional[int] = ..., finished: bool = ..., vector_dimension: _Optional[int] = ...) -> None: ...

class SelectQuery(_message.Message):
    __slots__ = ("document", "vector")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    document: _common_pb2.Document
    vector: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, document: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., vector: _Optional[_Iterable[float]] = ...) -> None: ...

class SelectRequest(_message.Message):
    __slots__ = ("index_revision", "queries", "demonstration_count", "neighbour_count", "max_candidates", "random")
    INDEX_REVISION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    DEMONSTRATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOUR_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FIELD_NUMBER: _ClassVar[int]
    index_revision: str
    queries: _containers.RepeatedCompositeFieldContainer[SelectQuery]
    demonstration_count: int
    neighbour_count: int
    max_candidates: int
    random: bool
    def __init__(self, index_revision: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[SelectQuery, _Mapping]]] = ..., demonstration_count: _Optional[int] = ..., neighbour_count: _Optional[int] = ..., max_candidates: _Optional[int] = ..., random: bool = ...) -> None: ...

class SelectResponse(_message.Message):
    __slots__ = ("results", "index_revision")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    INDEX_REVISION_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SelectResult]
    index_revision: str
    def __init__(self, results: _Optional[_Iterable[_Union[SelectResult, _Mapping]]] = ..., index_revision: _Optional[str] = ...) -> None: ...

class SelectResult(_message.Message):
    __slots__ = ("id", "selection", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    selection: Selection
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("demonstrations", "candidates")
    DEMONSTRATIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    demonstrations: _containers.RepeatedCompositeFieldContainer[_common_pb2.Demonstration]
    candidates: _containers.RepeatedCompositeFieldContainer[_common_pb2.CandidateRelation]
    def __init__(self, demonstrations: _Optional[_Iterable[_Union[_common_pb2.Demonstration, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[_common_pb2.CandidateRelation, _Mapping]]] = ...) -> None: ...

class GetIndexRequest(_message.Message):
    __slots__ = ("index_revision",)
    INDEX_REVISION_FIELD_NUMBER: _ClassVar[int]
    index_revision: str
    def __init__(self, index_revision: _Optional[str] = ...) -> None: ...

class GetIndexResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: Index
    def __init__(self, index: _Optional[_Union[Index, _Mapping]] = ...) -> None: ...

class ListIndexesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListIndexesResponse(_message.Message):
    __slots__ = ("indexes", "next_page_token")
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    indexes: _containers.RepeatedCompositeFieldContainer[Index]
    next_page_token: str
    def __init__(self, indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteIndexRequest(_message.Message):
    __slots__ = ("index_revision",)
    INDEX_REVISION_FIELD_NUMBER: _ClassVar[int]
    index_revision: str
    def __init__(self, index_revision: _Optional[str] = ...) -> None: ...

class DeleteIndexResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
