import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from slcolm.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RevisionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVISION_KIND_UNSPECIFIED: _ClassVar[RevisionKind]
    REVISION_KIND_KEPT: _ClassVar[RevisionKind]
    REVISION_KIND_DROPPED: _ClassVar[RevisionKind]
    REVISION_KIND_RELABELLED: _ClassVar[RevisionKind]
    REVISION_KIND_ADDED: _ClassVar[RevisionKind]

class BatchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_STATE_UNSPECIFIED: _ClassVar[BatchState]
    BATCH_STATE_RUNNING: _ClassVar[BatchState]
    BATCH_STATE_SUCCEEDED: _ClassVar[BatchState]
    BATCH_STATE_FAILED: _ClassVar[BatchState]
    BATCH_STATE_CANCELLED: _ClassVar[BatchState]
REVISION_KIND_UNSPECIFIED: RevisionKind
REVISION_KIND_KEPT: RevisionKind
REVISION_KIND_DROPPED: RevisionKind
REVISION_KIND_RELABELLED: RevisionKind
REVISION_KIND_ADDED: RevisionKind
BATCH_STATE_UNSPECIFIED: BatchState
BATCH_STATE_RUNNING: BatchState
BATCH_STATE_SUCCEEDED: BatchState
BATCH_STATE_FAILED: BatchState
BATCH_STATE_CANCELLED: BatchState

class GuideItem(_message.Message):
    __slots__ = ("prediction", "demonstrations", "candidates")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    DEMONSTRATIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    prediction: _common_pb2.Document
    demonstrations: _containers.RepeatedCompositeFieldContainer[_common_pb2.Demonstration]
    candidates: _containers.RepeatedCompositeFieldContainer[_common_pb2.CandidateRelation]
    def __init__(self, prediction: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., demonstrations: _Optional[_Iterable[_Union[_common_pb2.Demonstration, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[_common_pb2.CandidateRelation, _Mapping]]] = ...) -> None: ...

class PromptOptions(_message.Message):
    __slots__ = ("template", "omit_definitions", "omit_demonstrations", "omit_prediction", "max_demonstrations")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    OMIT_DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    OMIT_DEMONSTRATIONS_FIELD_NUMBER: _ClassVar[int]
    OMIT_PREDICTION_FIELD_NUMBER: _ClassVar[int]
    MAX_DEMONSTRATIONS_FIELD_NUMBER: _ClassVar[int]
    template: str
    omit_definitions: bool
    omit_demonstrations: bool
    omit_prediction: bool
    max_demonstrations: int
    def __init__(self, template: _Optional[str] = ..., omit_definitions: bool = ..., omit_demonstrations: bool = ..., omit_prediction: bool = ..., max_demonstrations: _Optional[int] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("max_calls", "max_tokens", "max_cost")
    MAX_CALLS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_FIELD_NUMBER: _ClassVar[int]
    max_calls: int
    max_tokens: int
    max_cost: float
    def __init__(self, max_calls: _Optional[int] = ..., max_tokens: _Optional[int] = ..., max_cost: _Optional[float] = ...) -> None: ...

class GuideRequest(_message.Message):
    __slots__ = ("items", "schema", "provider", "options", "run_id", "sample", "budget")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GuideItem]
    schema: _common_pb2.TaskSchema
    provider: str
    options: PromptOptions
    run_id: str
    sample: int
    budget: Budget
    def __init__(self, items: _Optional[_Iterable[_Union[GuideItem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., provider: _Optional[str] = ..., options: _Optional[_Union[PromptOptions, _Mapping]] = ..., run_id: _Optional[str] = ..., sample: _Optional[int] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class GuideResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GuideResult]
    def __init__(self, results: _Optional[_Iterable[_Union[GuideResult, _Mapping]]] = ...) -> None: ...

class GuideResult(_message.Message):
    __slots__ = ("id", "guided", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    GUIDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    guided: Guided
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., guided: _Optional[_Union[Guided, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("kind", "triple", "previous_type")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TRIPLE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TYPE_FIELD_NUMBER: _ClassVar[int]
    kind: RevisionKind
    triple: _common_pb2.Triple
    previous_type: str
    def __init__(self, kind: _Optional[_Union[RevisionKind, str]] = ..., triple: _Optional[_Union[_common_pb2.Triple, _Mapping]] = ..., previous_type: _Optional[str] = ...) -> None: ...

class Guided(_message.Message):
    __slots__ = ("triples", "entities", "revisions", "explanation", "usable", "repairs", "dropped", "origin", "offset_unit", "relations", "ungrounded", "discontinuous_entities")
    class RepairsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TRIPLES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    USABLE_FIELD_NUMBER: _ClassVar[int]
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    OFFSET_UNIT_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    UNGROUNDED_FIELD_NUMBER: _ClassVar[int]
    DISCONTINUOUS_ENTITIES_FIELD_NUMBER: _ClassVar[int]
    triples: _containers.RepeatedCompositeFieldContainer[_common_pb2.Triple]
    entities: _containers.RepeatedCompositeFieldContainer[_common_pb2.Entity]
    revisions: _containers.RepeatedCompositeFieldContainer[Revision]
    explanation: str
    usable: bool
    repairs: _containers.ScalarMap[str, int]
    dropped: _containers.ScalarMap[str, int]
    origin: AnswerOrigin
    offset_unit: _common_pb2.OffsetUnit
    relations: _containers.RepeatedCompositeFieldContainer[_common_pb2.Relation]
    ungrounded: _containers.RepeatedCompositeFieldContainer[_common_pb2.Triple]
    discontinuous_entities: _containers.RepeatedCompositeFieldContainer[DiscontinuousEntity]
    def __init__(self, triples: _Optional[_Iterable[_Union[_common_pb2.Triple, _Mapping]]] = ..., entities: _Optional[_Iterable[_Union[_common_pb2.Entity, _Mapping]]] = ..., revisions: _Optional[_Iterable[_Union[Revision, _Mapping]]] = ..., explanation: _Optional[str] = ..., usable: bool = ..., repairs: _Optional[_Mapping[str, int]] = ..., dropped: _Optional[_Mapping[str, int]] = ..., origin: _Optional[_Union[AnswerOrigin, _Mapping]] = ..., offset_unit: _Optional[_Union[_common_pb2.OffsetUnit, str]] = ..., relations: _Optional[_Iterable[_Union[_common_pb2.Relation, _Mapping]]] = ..., ungrounded: _Optional[_Iterable[_Union[_common_pb2.Triple, _Mapping]]] = ..., discontinuous_entities: _Optional[_Iterable[_Union[DiscontinuousEntity, _Mapping]]] = ...) -> None: ...

class DiscontinuousEntity(_message.Message):
    __slots__ = ("type", "pieces")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    type: str
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    def __init__(self, type: _Optional[str] = ..., pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class AnswerOrigin(_message.Message):
    __slots__ = ("provider", "model", "prompt_digest", "offline_rules", "replayed", "usage")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_RULES_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    prompt_digest: str
    offline_rules: bool
    replayed: bool
    usage: Usage
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., prompt_digest: _Optional[str] = ..., offline_rules: bool = ..., replayed: bool = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost", "currency")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost: float
    currency: str
    def __init__(self, calls: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., cost: _Optional[float] = ..., currency: _Optional[str] = ...) -> None: ...

class AnnotateRequest(_message.Message):
    __slots__ = ("documents", "demonstrations", "schema", "provider", "style", "run_id", "sample", "budget", "entities_only")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    DEMONSTRATIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_ONLY_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    demonstrations: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    schema: _common_pb2.TaskSchema
    provider: str
    style: str
    run_id: str
    sample: int
    budget: Budget
    entities_only: bool
    def __init__(self, documents: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., demonstrations: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., provider: _Optional[str] = ..., style: _Optional[str] = ..., run_id: _Optional[str] = ..., sample: _Optional[int] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., entities_only: bool = ...) -> None: ...

class AnnotateResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AnnotateResult]
    def __init__(self, results: _Optional[_Iterable[_Union[AnnotateResult, _Mapping]]] = ...) -> None: ...

class AnnotateResult(_message.Message):
    __slots__ = ("id", "annotation", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    annotation: Guided
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., annotation: _Optional[_Union[Guided, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class RenderPromptRequest(_message.Message):
    __slots__ = ("items", "schema", "provider", "options", "sample")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GuideItem]
    schema: _common_pb2.TaskSchema
    provider: str
    options: PromptOptions
    sample: int
    def __init__(self, items: _Optional[_Iterable[_Union[GuideItem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., provider: _Optional[str] = ..., options: _Optional[_Union[PromptOptions, _Mapping]] = ..., sample: _Optional[int] = ...) -> None: ...

class RenderPromptResponse(_message.Message):
    __slots__ = ("prompts",)
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[RenderedPrompt]
    def __init__(self, prompts: _Optional[_Iterable[_Union[RenderedPrompt, _Mapping]]] = ...) -> None: ...

class RenderedPrompt(_message.Message):
    __slots__ = ("id", "messages", "prompt_digest", "prompt_tokens", "cost", "currency", "shortened", "answered")
    ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    SHORTENED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    id: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    prompt_digest: str
    prompt_tokens: int
    cost: float
    currency: str
    shortened: _containers.RepeatedScalarFieldContainer[str]
    answered: bool
    def __init__(self, id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., prompt_digest: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cost: _Optional[float] = ..., currency: _Optional[str] = ..., shortened: _Optional[_Iterable[str]] = ..., answered: bool = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class ListProvidersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProvidersResponse(_message.Message):
    __slots__ = ("providers", "next_page_token")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[Provider]
    next_page_token: str
    def __init__(self, providers: _Optional[_Iterable[_Union[Provider, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Provider(_message.Message):
    __slots__ = ("name", "kind", "model", "digest", "default", "batch", "answer_form")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FORM_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    model: str
    digest: str
    default: bool
    batch: bool
    answer_form: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., digest: _Optional[str] = ..., default: bool = ..., batch: bool = ..., answer_form: _Optional[str] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("usage", "since_time")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    usage: Usage
    since_time: _timestamp_pb2.Timestamp
    def __init__(self, usage: _Optional[_Union[Usage, _Mapping]] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "provider", "state", "sent", "answered", "failed", "create_time", "end_time", "run_id", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider: str
    state: BatchState
    sent: int
    answered: int
    failed: int
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    run_id: str
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., provider: _Optional[str] = ..., state: _Optional[_Union[BatchState, str]] = ..., sent: _Optional[int] = ..., answered: _Optional[int] = ..., failed: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_id: _Optional[str] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SubmitBatchRequest(_message.Message):
    __slots__ = ("items", "schema", "provider", "options", "run_id", "sample", "budget")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GuideItem]
    schema: _common_pb2.TaskSchema
    provider: str
    options: PromptOptions
    run_id: str
    sample: int
    budget: Budget
    def __init__(self, items: _Optional[_Iterable[_Union[GuideItem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., provider: _Optional[str] = ..., options: _Optional[_Union[PromptOptions, _Mapping]] = ..., run_id: _Optional[str] = ..., sample: _Optional[int] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class SubmitBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    next_page_token: str
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class CancelBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...
