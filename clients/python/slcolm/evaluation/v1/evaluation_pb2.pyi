from google.rpc import status_pb2 as _status_pb2
from slcolm.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MergeMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_MODE_UNSPECIFIED: _ClassVar[MergeMode]
    MERGE_MODE_SLM: _ClassVar[MergeMode]
    MERGE_MODE_LLM: _ClassVar[MergeMode]
    MERGE_MODE_UNION: _ClassVar[MergeMode]
    MERGE_MODE_THRESHOLD: _ClassVar[MergeMode]
    MERGE_MODE_REPLACE_WEAK: _ClassVar[MergeMode]
    MERGE_MODE_SLM_FIRST: _ClassVar[MergeMode]
    MERGE_MODE_GATE: _ClassVar[MergeMode]
    MERGE_MODE_LEARNED: _ClassVar[MergeMode]
MERGE_MODE_UNSPECIFIED: MergeMode
MERGE_MODE_SLM: MergeMode
MERGE_MODE_LLM: MergeMode
MERGE_MODE_UNION: MergeMode
MERGE_MODE_THRESHOLD: MergeMode
MERGE_MODE_REPLACE_WEAK: MergeMode
MERGE_MODE_SLM_FIRST: MergeMode
MERGE_MODE_GATE: MergeMode
MERGE_MODE_LEARNED: MergeMode

class Policy(_message.Message):
    __slots__ = ("mode", "threshold", "weak_types", "rare_below", "training_counts", "entity_filter", "provenance", "digest", "quorum", "calibration", "confidence", "task")
    class TrainingCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WEAK_TYPES_FIELD_NUMBER: _ClassVar[int]
    RARE_BELOW_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNTS_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FILTER_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    mode: MergeMode
    threshold: float
    weak_types: _containers.RepeatedScalarFieldContainer[str]
    rare_below: int
    training_counts: _containers.ScalarMap[str, int]
    entity_filter: str
    provenance: str
    digest: str
    quorum: float
    calibration: Calibration
    confidence: Confidence
    task: str
    def __init__(self, mode: _Optional[_Union[MergeMode, str]] = ..., threshold: _Optional[float] = ..., weak_types: _Optional[_Iterable[str]] = ..., rare_below: _Optional[int] = ..., training_counts: _Optional[_Mapping[str, int]] = ..., entity_filter: _Optional[str] = ..., provenance: _Optional[str] = ..., digest: _Optional[str] = ..., quorum: _Optional[float] = ..., calibration: _Optional[_Union[Calibration, _Mapping]] = ..., confidence: _Optional[_Union[Confidence, _Mapping]] = ..., task: _Optional[str] = ...) -> None: ...

class Calibration(_message.Message):
    __slots__ = ("method", "temperature", "from_probabilities", "to_probabilities")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    FROM_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    TO_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    method: str
    temperature: float
    from_probabilities: _containers.RepeatedScalarFieldContainer[float]
    to_probabilities: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, method: _Optional[str] = ..., temperature: _Optional[float] = ..., from_probabilities: _Optional[_Iterable[float]] = ..., to_probabilities: _Optional[_Iterable[float]] = ...) -> None: ...

class Confidence(_message.Message):
    __slots__ = ("sources", "intercept", "weights", "threshold")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    INTERCEPT_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedScalarFieldContainer[str]
    intercept: float
    weights: _containers.ScalarMap[str, float]
    threshold: float
    def __init__(self, sources: _Optional[_Iterable[str]] = ..., intercept: _Optional[float] = ..., weights: _Optional[_Mapping[str, float]] = ..., threshold: _Optional[float] = ...) -> None: ...

class LlmAnswer(_message.Message):
    __slots__ = ("source", "triples")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TRIPLES_FIELD_NUMBER: _ClassVar[int]
    source: str
    triples: _containers.RepeatedCompositeFieldContainer[_common_pb2.Triple]
    def __init__(self, source: _Optional[str] = ..., triples: _Optional[_Iterable[_Union[_common_pb2.Triple, _Mapping]]] = ...) -> None: ...

class MergeItem(_message.Message):
    __slots__ = ("prediction", "llm_triples", "has_llm_answer", "answers")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    LLM_TRIPLES_FIELD_NUMBER: _ClassVar[int]
    HAS_LLM_ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    prediction: _common_pb2.Document
    llm_triples: _containers.RepeatedCompositeFieldContainer[_common_pb2.Triple]
    has_llm_answer: bool
    answers: _containers.RepeatedCompositeFieldContainer[LlmAnswer]
    def __init__(self, prediction: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., llm_triples: _Optional[_Iterable[_Union[_common_pb2.Triple, _Mapping]]] = ..., has_llm_answer: bool = ..., answers: _Optional[_Iterable[_Union[LlmAnswer, _Mapping]]] = ...) -> None: ...

class MergeRequest(_message.Message):
    __slots__ = ("items", "schema", "policy")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[MergeItem]
    schema: _common_pb2.TaskSchema
    policy: Policy
    def __init__(self, items: _Optional[_Iterable[_Union[MergeItem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class MergeResponse(_message.Message):
    __slots__ = ("results", "policy_digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[MergeResult]
    policy_digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[MergeResult, _Mapping]]] = ..., policy_digest: _Optional[str] = ...) -> None: ...

class MergeResult(_message.Message):
    __slots__ = ("id", "merged", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    merged: Merged
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., merged: _Optional[_Union[Merged, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Merged(_message.Message):
    __slots__ = ("triples", "document", "dropped")
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TRIPLES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    triples: _containers.RepeatedCompositeFieldContainer[MergedTriple]
    document: _common_pb2.Document
    dropped: _containers.ScalarMap[str, int]
    def __init__(self, triples: _Optional[_Iterable[_Union[MergedTriple, _Mapping]]] = ..., document: _Optional[_Union[_common_pb2.Document, _Mapping]] = ..., dropped: _Optional[_Mapping[str, int]] = ...) -> None: ...

class MergedTriple(_message.Message):
    __slots__ = ("triple", "sources", "slm_probability", "rule")
    TRIPLE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    SLM_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    triple: _common_pb2.Triple
    sources: _containers.RepeatedScalarFieldContainer[str]
    slm_probability: float
    rule: str
    def __init__(self, triple: _Optional[_Union[_common_pb2.Triple, _Mapping]] = ..., sources: _Optional[_Iterable[str]] = ..., slm_probability: _Optional[float] = ..., rule: _Optional[str] = ...) -> None: ...

class FitPolicyRequest(_message.Message):
    __slots__ = ("gold", "items", "schema", "training_counts")
    class TrainingCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    GOLD_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNTS_FIELD_NUMBER: _ClassVar[int]
    gold: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    items: _containers.RepeatedCompositeFieldContainer[MergeItem]
    schema: _common_pb2.TaskSchema
    training_counts: _containers.ScalarMap[str, int]
    def __init__(self, gold: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[MergeItem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., training_counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class FitPolicyResponse(_message.Message):
    __slots__ = ("policy", "trials")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    trials: _containers.RepeatedCompositeFieldContainer[PolicyTrial]
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., trials: _Optional[_Iterable[_Union[PolicyTrial, _Mapping]]] = ...) -> None: ...

class PolicyTrial(_message.Message):
    __slots__ = ("policy", "dev_scores", "objective", "objective_standard_error", "gap", "gap_standard_error")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DEV_SCORES_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    GAP_STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    dev_scores: Scores
    objective: float
    objective_standard_error: float
    gap: float
    gap_standard_error: float
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., dev_scores: _Optional[_Union[Scores, _Mapping]] = ..., objective: _Optional[float] = ..., objective_standard_error: _Optional[float] = ..., gap: _Optional[float] = ..., gap_standard_error: _Optional[float] = ...) -> None: ...

class Prf(_message.Message):
    __slots__ = ("precision", "recall", "f1", "f1_low", "f1_high")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    F1_FIELD_NUMBER: _ClassVar[int]
    F1_LOW_FIELD_NUMBER: _ClassVar[int]
    F1_HIGH_FIELD_NUMBER: _ClassVar[int]
    precision: float
    recall: float
    f1: float
    f1_low: float
    f1_high: float
    def __init__(self, precision: _Optional[float] = ..., recall: _Optional[float] = ..., f1: _Optional[float] = ..., f1_low: _Optional[float] = ..., f1_high: _Optional[float] = ...) -> None: ...

class MacroPrf(_message.Message):
    __slots__ = ("precision", "recall", "f1_pr", "f1_mean", "f1_pr_low", "f1_pr_high", "f1_mean_low", "f1_mean_high")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    F1_PR_FIELD_NUMBER: _ClassVar[int]
    F1_MEAN_FIELD_NUMBER: _ClassVar[int]
    F1_PR_LOW_FIELD_NUMBER: _ClassVar[int]
    F1_PR_HIGH_FIELD_NUMBER: _ClassVar[int]
    F1_MEAN_LOW_FIELD_NUMBER: _ClassVar[int]
    F1_MEAN_HIGH_FIELD_NUMBER: _ClassVar[int]
    precision: float
    recall: float
    f1_pr: float
    f1_mean: float
    f1_pr_low: float
    f1_pr_high: float
    f1_mean_low: float
    f1_mean_high: float
    def __init__(self, precision: _Optional[float] = ..., recall: _Optional[float] = ..., f1_pr: _Optional[float] = ..., f1_mean: _Optional[float] = ..., f1_pr_low: _Optional[float] = ..., f1_pr_high: _Optional[float] = ..., f1_mean_low: _Optional[float] = ..., f1_mean_high: _Optional[float] = ...) -> None: ...

class TypeScore(_message.Message):
    __slots__ = ("type", "counts", "scores", "training_count")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    type: str
    counts: Counts
    scores: Prf
    training_count: int
    def __init__(self, type: _Optional[str] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ..., scores: _Optional[_Union[Prf, _Mapping]] = ..., training_count: _Optional[int] = ...) -> None: ...

class Counts(_message.Message):
    __slots__ = ("correct", "predicted", "gold")
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    GOLD_FIELD_NUMBER: _ClassVar[int]
    correct: int
    predicted: int
    gold: int
    def __init__(self, correct: _Optional[int] = ..., predicted: _Optional[int] = ..., gold: _Optional[int] = ...) -> None: ...

class BucketScore(_message.Message):
    __slots__ = ("bucket", "counts", "micro", "macro", "type_count")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MICRO_FIELD_NUMBER: _ClassVar[int]
    MACRO_FIELD_NUMBER: _ClassVar[int]
    TYPE_COUNT_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    counts: Counts
    micro: Prf
    macro: MacroPrf
    type_count: int
    def __init__(self, bucket: _Optional[str] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ..., micro: _Optional[_Union[Prf, _Mapping]] = ..., macro: _Optional[_Union[MacroPrf, _Mapping]] = ..., type_count: _Optional[int] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("micro", "macro", "counts", "per_type", "by_frequency", "off_schema", "spans", "without_gold", "same_mention", "reliability", "precision_recall", "average_precision")
    class SpansEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Prf
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Prf, _Mapping]] = ...) -> None: ...
    MICRO_FIELD_NUMBER: _ClassVar[int]
    MACRO_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    PER_TYPE_FIELD_NUMBER: _ClassVar[int]
    BY_FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    OFF_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_GOLD_FIELD_NUMBER: _ClassVar[int]
    SAME_MENTION_FIELD_NUMBER: _ClassVar[int]
    RELIABILITY_FIELD_NUMBER: _ClassVar[int]
    PRECISION_RECALL_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRECISION_FIELD_NUMBER: _ClassVar[int]
    micro: Prf
    macro: MacroPrf
    counts: Counts
    per_type: _containers.RepeatedCompositeFieldContainer[TypeScore]
    by_frequency: _containers.RepeatedCompositeFieldContainer[BucketScore]
    off_schema: int
    spans: _containers.MessageMap[str, Prf]
    without_gold: int
    same_mention: int
    reliability: Reliability
    precision_recall: _containers.RepeatedCompositeFieldContainer[PrecisionRecallPoint]
    average_precision: float
    def __init__(self, micro: _Optional[_Union[Prf, _Mapping]] = ..., macro: _Optional[_Union[MacroPrf, _Mapping]] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ..., per_type: _Optional[_Iterable[_Union[TypeScore, _Mapping]]] = ..., by_frequency: _Optional[_Iterable[_Union[BucketScore, _Mapping]]] = ..., off_schema: _Optional[int] = ..., spans: _Optional[_Mapping[str, Prf]] = ..., without_gold: _Optional[int] = ..., same_mention: _Optional[int] = ..., reliability: _Optional[_Union[Reliability, _Mapping]] = ..., precision_recall: _Optional[_Iterable[_Union[PrecisionRecallPoint, _Mapping]]] = ..., average_precision: _Optional[float] = ...) -> None: ...

class Reliability(_message.Message):
    __slots__ = ("count", "expected_calibration_error", "brier_score", "bins")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_CALIBRATION_ERROR_FIELD_NUMBER: _ClassVar[int]
    BRIER_SCORE_FIELD_NUMBER: _ClassVar[int]
    BINS_FIELD_NUMBER: _ClassVar[int]
    count: int
    expected_calibration_error: float
    brier_score: float
    bins: _containers.RepeatedCompositeFieldContainer[ReliabilityBin]
    def __init__(self, count: _Optional[int] = ..., expected_calibration_error: _Optional[float] = ..., brier_score: _Optional[float] = ..., bins: _Optional[_Iterable[_Union[ReliabilityBin, _Mapping]]] = ...) -> None: ...

class ReliabilityBin(_message.Message):
    __slots__ = ("low", "high", "count", "mean_probability", "fraction_right")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FRACTION_RIGHT_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    count: int
    mean_probability: float
    fraction_right: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ..., count: _Optional[int] = ..., mean_probability: _Optional[float] = ..., fraction_right: _Optional[float] = ...) -> None: ...

class PrecisionRecallPoint(_message.Message):
    __slots__ = ("threshold", "precision", "recall")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    precision: float
    recall: float
    def __init__(self, threshold: _Optional[float] = ..., precision: _Optional[float] = ..., recall: _Optional[float] = ...) -> None: ...

class ScoredSystem(_message.Message):
    __slots__ = ("id", "triples", "document")
    ID_FIELD_NUMBER: _ClassVar[int]
    TRIPLES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    triples: _containers.RepeatedCompositeFieldContainer[_common_pb2.Triple]
    document: _common_pb2.Document
    def __init__(self, id: _Optional[str] = ..., triples: _Optional[_Iterable[_Union[_common_pb2.Triple, _Mapping]]] = ..., document: _Optional[_Union[_common_pb2.Document, _Mapping]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("gold", "predictions", "schema", "training_counts", "protocol", "bootstrap_samples")
    class TrainingCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    GOLD_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNTS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    BOOTSTRAP_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    gold: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    predictions: _containers.RepeatedCompositeFieldContainer[ScoredSystem]
    schema: _common_pb2.TaskSchema
    training_counts: _containers.ScalarMap[str, int]
    protocol: str
    bootstrap_samples: int
    def __init__(self, gold: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., predictions: _Optional[_Iterable[_Union[ScoredSystem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., training_counts: _Optional[_Mapping[str, int]] = ..., protocol: _Optional[str] = ..., bootstrap_samples: _Optional[int] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: Scores
    def __init__(self, scores: _Optional[_Union[Scores, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("gold", "baseline", "candidate", "schema", "training_counts", "bootstrap_samples")
    class TrainingCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    GOLD_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNTS_FIELD_NUMBER: _ClassVar[int]
    BOOTSTRAP_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    gold: _containers.RepeatedCompositeFieldContainer[_common_pb2.Document]
    baseline: _containers.RepeatedCompositeFieldContainer[ScoredSystem]
    candidate: _containers.RepeatedCompositeFieldContainer[ScoredSystem]
    schema: _common_pb2.TaskSchema
    training_counts: _containers.ScalarMap[str, int]
    bootstrap_samples: int
    def __init__(self, gold: _Optional[_Iterable[_Union[_common_pb2.Document, _Mapping]]] = ..., baseline: _Optional[_Iterable[_Union[ScoredSystem, _Mapping]]] = ..., candidate: _Optional[_Iterable[_Union[ScoredSystem, _Mapping]]] = ..., schema: _Optional[_Union[_common_pb2.TaskSchema, _Mapping]] = ..., training_counts: _Optional[_Mapping[str, int]] = ..., bootstrap_samples: _Optional[int] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("baseline", "candidate", "micro_f1", "macro_f1_pr", "macro_f1_mean")
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    MICRO_F1_FIELD_NUMBER: _ClassVar[int]
    MACRO_F1_PR_FIELD_NUMBER: _ClassVar[int]
    MACRO_F1_MEAN_FIELD_NUMBER: _ClassVar[int]
    baseline: Scores
    candidate: Scores
    micro_f1: Difference
    macro_f1_pr: Difference
    macro_f1_mean: Difference
    def __init__(self, baseline: _Optional[_Union[Scores, _Mapping]] = ..., candidate: _Optional[_Union[Scores, _Mapping]] = ..., micro_f1: _Optional[_Union[Difference, _Mapping]] = ..., macro_f1_pr: _Optional[_Union[Difference, _Mapping]] = ..., macro_f1_mean: _Optional[_Union[Difference, _Mapping]] = ...) -> None: ...

class Difference(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...
