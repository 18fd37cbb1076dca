from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OffsetUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFSET_UNIT_UNSPECIFIED: _ClassVar[OffsetUnit]
    OFFSET_UNIT_UNICODE_CODE_POINTS: _ClassVar[OffsetUnit]
OFFSET_UNIT_UNSPECIFIED: OffsetUnit
OFFSET_UNIT_UNICODE_CODE_POINTS: OffsetUnit

class Entity(_message.Message):
    __slots__ = ("type", "start", "end", "text", "probability")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    type: str
    start: int
    end: int
    text: str
    probability: float
    def __init__(self, type: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., text: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Relation(_message.Message):
    __slots__ = ("type", "head", "tail", "probability")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    type: str
    head: int
    tail: int
    probability: float
    def __init__(self, type: _Optional[str] = ..., head: _Optional[int] = ..., tail: _Optional[int] = ..., probability: _Optional[float] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("id", "text", "entities", "relations", "offset_unit")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_UNIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    relations: _containers.RepeatedCompositeFieldContainer[Relation]
    offset_unit: OffsetUnit
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., relations: _Optional[_Iterable[_Union[Relation, _Mapping]]] = ..., offset_unit: _Optional[_Union[OffsetUnit, str]] = ...) -> None: ...

class Triple(_message.Message):
    __slots__ = ("head", "tail", "type", "probability")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    head: str
    tail: str
    type: str
    probability: float
    def __init__(self, head: _Optional[str] = ..., tail: _Optional[str] = ..., type: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class EntityType(_message.Message):
    __slots__ = ("name", "label", "definition")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    label: str
    definition: str
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., definition: _Optional[str] = ...) -> None: ...

class RelationType(_message.Message):
    __slots__ = ("name", "definition", "head_types", "tail_types", "symmetric", "training_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    HEAD_TYPES_FIELD_NUMBER: _ClassVar[int]
    TAIL_TYPES_FIELD_NUMBER: _ClassVar[int]
    SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    definition: str
    head_types: _containers.RepeatedScalarFieldContainer[str]
    tail_types: _containers.RepeatedScalarFieldContainer[str]
    symmetric: bool
    training_count: int
    def __init__(self, name: _Optional[str] = ..., definition: _Optional[str] = ..., head_types: _Optional[_Iterable[str]] = ..., tail_types: _Optional[_Iterable[str]] = ..., symmetric: bool = ..., training_count: _Optional[int] = ...) -> None: ...

class TaskSchema(_message.Message):
    __slots__ = ("name", "language", "entity_types", "relation_types", "fallback_relation", "script")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    RELATION_TYPES_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_RELATION_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    language: str
    entity_types: _containers.RepeatedCompositeFieldContainer[EntityType]
    relation_types: _containers.RepeatedCompositeFieldContainer[RelationType]
    fallback_relation: str
    script: str
    def __init__(self, name: _Optional[str] = ..., language: _Optional[str] = ..., entity_types: _Optional[_Iterable[_Union[EntityType, _Mapping]]] = ..., relation_types: _Optional[_Iterable[_Union[RelationType, _Mapping]]] = ..., fallback_relation: _Optional[str] = ..., script: _Optional[str] = ...) -> None: ...

class CandidateRelation(_message.Message):
    __slots__ = ("type", "score", "triggers", "from_similar")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    FROM_SIMILAR_FIELD_NUMBER: _ClassVar[int]
    type: str
    score: float
    triggers: _containers.RepeatedScalarFieldContainer[str]
    from_similar: bool
    def __init__(self, type: _Optional[str] = ..., score: _Optional[float] = ..., triggers: _Optional[_Iterable[str]] = ..., from_similar: bool = ...) -> None: ...

class Demonstration(_message.Message):
    __slots__ = ("gold", "prediction", "score")
    GOLD_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    gold: Document
    prediction: Document
    score: float
    def __init__(self, gold: _Optional[_Union[Document, _Mapping]] = ..., prediction: _Optional[_Union[Document, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...
