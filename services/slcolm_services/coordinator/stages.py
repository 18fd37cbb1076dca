"""The stages of a run: train, predict, index, guide, fit, merge, evaluate, report.

A stage reads what earlier stages left, calls the other services, and returns a `StageResult`. Its
key is the digest of all that shapes its result, so that work done once is not done again, in this
run or in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm.training.v1 import training_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.datasets import Datasets
from slcolm_services.coordinator.keys import stage_key
from slcolm_services.coordinator.peers import Peers
from slcolm_services.coordinator.records import Records, StageResult
from slcolm_services.coordinator.report import build_report, merged_lines, report_bytes
from slcolm_services.errors import AnswerNotRecorded, RemoteError, SlcolmError

_log = structlog.get_logger(__name__)

DEFAULT_DEMONSTRATIONS = 2
_SPLITS = ("train", "dev", "test")
_GUIDED_SPLITS = ("dev", "test")
_BOOTSTRAP_SAMPLES = 1000
Progress = Callable[[int, int, str], None]
"""Called with items done, items in all, and a line for people."""


@dataclass(frozen=True)
class StageContext:
    """All that a stage may use.

    Attributes:
        run_id: The run.
        spec: What the run does.
        values: Values of the stages before this one.
        artifacts: Artifacts of the stages before this one: file name to digest.
        progress: Reports progress; raises `Cancelled` when the run was cancelled.
    """

    run_id: str
    spec: coordinator_pb2.RunSpec
    values: Mapping[str, str]
    artifacts: Mapping[str, str]
    progress: Progress


class Stages:
    """Runs stages by name. Thread-safe: it holds connections, no state of a run."""

    def __init__(
        self, config: CoordinatorConfig, peers: Peers, datasets: Datasets, records: Records
    ) -> None:
        self._config = config
        self._peers = peers
        self._datasets = datasets
        self._records = records
        self._stages: dict[str, Callable[[StageContext], StageResult]] = {
            "train": self._train,
            "predict": self._predict,
            "index": self._index,
            "guide": self._guide,
            "fit": self._fit,
            "merge": self._merge,
            "evaluate": self._evaluate,
            "report": self._report,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Stages in the order they run."""
        return tuple(self._stages)

    def run(self, name: str, context: StageContext) -> StageResult:
        """Run one stage, or take its result from an earlier run.

        Raises:
            SlcolmError: The stage cannot be done.
        """
        key = self._key(name, context)
        found = self._records.find(key)
        if found is not None:
            if name == "train":
                # The record may outlive the model; loading proves that it is there.
                pipeline.load_model(self._peers, found.values["model_revision"])
            return replace(found, reused=True)
        result = self._stages[name](context)
        if result.reusable:
            self._records.save(key, result)
        return result

    def _key(self, name: str, context: StageContext) -> str:
        spec = context.spec
        inputs: dict[str, object] = {
            "train": spec.train_dataset,
            "dev": spec.dev_dataset,
            "schema": spec.schema,
        }
        if name == "train":
            inputs["options"] = spec.training
        else:
            inputs |= {"test": spec.test_dataset, "model": context.values["model_revision"]}
        if name == "guide":
            inputs |= {
                "index": context.values["index_revision"],
                "provider": self._provider_digest(spec.provider),
                "demonstrations": self._demonstration_count(spec),
            }
        elif name in ("fit", "merge", "evaluate", "report"):
            inputs |= {"artifacts": dict(context.artifacts), "values": dict(context.values)}
        if name in ("index", "report"):
            # An index lives in Qdrant, which may have lost it; a report names its run.
            inputs["run"] = context.run_id
        return stage_key(name, **inputs)

    def _train(self, context: StageContext) -> StageResult:
        spec = context.spec
        request = training_pb2.TrainRequest(
            train_dataset=spec.train_dataset,
            dev_dataset=spec.dev_dataset,
            schema=spec.schema,
            options=spec.training,
        )
        for update in self._peers.train(request):
            if update.WhichOneof("update") == "model":
                model = update.model
                pipeline.load_model(self._peers, model.revision)
                scores = ", ".join(f"{name} {value:.3f}" for name, value in _main(model.dev_scores))
                return StageResult(
                    message=f"model {model.revision[:12]}; dev: {scores}",
                    done=1,
                    values={"model_revision": model.revision},
                )
            progress = update.progress
            context.progress(progress.step, progress.steps, _training_line(progress))
        raise RemoteError(
            "training: the stream ended without a model", code="INTERNAL", reason="INTERNAL"
        )

    def _predict(self, context: StageContext) -> StageResult:
        documents = {
            split: self._datasets.load(getattr(context.spec, f"{split}_dataset"))
            for split in _SPLITS
        }
        total = sum(len(part) for part in documents.values())
        done = 0
        artifacts, failed = {}, 0
        for split, part in documents.items():

            def count(finished: int, split: str = split) -> None:
                nonlocal done
                done += finished
                context.progress(done, total, split)

            results = pipeline.extract(
                self._peers,
                part,
                revision=context.values["model_revision"],
                batch_documents=self._config.batch_documents,
                on_done=count,
            )
            failed += sum(result.WhichOneof("outcome") == "error" for result in results)
            response = extraction_pb2.ExtractResponse(results=results)
            artifacts[f"predictions-{split}.binpb"] = self._records.put_file(
                response.SerializeToString(deterministic=True)
            )
        message = f"{total} texts" + (f", {failed} could not be read" if failed else "")
        return StageResult(message=message, done=total, artifacts=artifacts)

    def _index(self, context: StageContext) -> StageResult:
        revision = (
            "i-"
            + stage_key(
                "index",
                train=context.spec.train_dataset,
                dev=context.spec.dev_dataset,
                schema=context.spec.schema,
                model=context.values["model_revision"],
            )[:40]
        )
        values = {"index_revision": revision}
        existing = self._finished_index(revision)
        if existing is not None:
            return StageResult(
                message=_index_line(existing), values=values, reusable=False, reused=True
            )
        sentences = [
            sentence
            for split, role in (
                ("dev", retrieval_pb2.SENTENCE_ROLE_DEMONSTRATION),
                ("train", retrieval_pb2.SENTENCE_ROLE_TRAINING),
            )
            for sentence in self._sentences(context, split, role)
        ]
        done = 0
        for batch in pipeline.batches(sentences, self._config.batch_documents):
            self._add_to_index(context, revision, batch, finish=False)
            done += len(batch)
            context.progress(done, len(sentences), "sentences indexed")
        index = self._add_to_index(context, revision, (), finish=True)
        return StageResult(
            message=_index_line(index), done=len(sentences), values=values, reusable=False
        )

    def _finished_index(self, revision: str) -> retrieval_pb2.Index | None:
        try:
            index = self._peers.invoke(
                "retrieval",
                self._peers.retrieval.GetIndex,
                retrieval_pb2.GetIndexRequest(index_revision=revision),
            ).index
        except RemoteError as error:
            if error.code == "NOT_FOUND":
                return None
            raise
        return index if index.finished else None

    def _sentences(
        self, context: StageContext, split: str, role: retrieval_pb2.SentenceRole
    ) -> list[retrieval_pb2.IndexedSentence]:
        gold = self._datasets.load(getattr(context.spec, f"{split}_dataset"))
        return [
            retrieval_pb2.IndexedSentence(
                gold=document,
                prediction=result.extraction.document,
                vector=result.extraction.vector,
                role=role,
            )
            for document, result in zip(gold, self._predictions(context, split), strict=True)
            if result.WhichOneof("outcome") == "extraction"
        ]

    def _add_to_index(
        self,
        context: StageContext,
        revision: str,
        sentences: Sequence[retrieval_pb2.IndexedSentence],
        *,
        finish: bool,
    ) -> retrieval_pb2.Index:
        request = retrieval_pb2.IndexDemonstrationsRequest(
            index_revision=revision,
            schema=context.spec.schema,
            model_revision=context.values["model_revision"],
            sentences=sentences,
            finish=finish,
        )
        return self._peers.invoke(
            "retrieval", self._peers.retrieval.IndexDemonstrations, request
        ).index

    def _guide(self, context: StageContext) -> StageResult:
        guidance = pipeline.Guidance(
            index_revision=context.values["index_revision"],
            provider=context.spec.provider,
            demonstration_count=self._demonstration_count(context.spec),
            run_id=context.run_id,
        )
        extractions = {
            split: [
                result.extraction
                for result in self._predictions(context, split)
                if result.WhichOneof("outcome") == "extraction"
            ]
            for split in _GUIDED_SPLITS
        }
        total = sum(len(part) for part in extractions.values())
        done = 0
        artifacts, results = {}, []
        for split, part in extractions.items():

            def count(finished: int, split: str = split) -> None:
                nonlocal done
                done += finished
                context.progress(done, total, split)

            answers = pipeline.guide(
                self._peers,
                part,
                context.spec.schema,
                guidance,
                batch_documents=self._config.guide_batch_documents,
                calls_in_flight=self._config.guide_calls_in_flight,
                on_done=count,
            )
            results += answers
            artifacts[f"answers-{split}.binpb"] = self._records.put_file(
                guidance_pb2.GuideResponse(results=answers).SerializeToString(deterministic=True)
            )
        answered = sum(map(pipeline.has_answer, results))
        missing = [item for item in results if item.WhichOneof("outcome") == "error"]
        passing = [item for item in missing if not _is_recorded_absence(item)]
        error = pipeline.first_error(passing)
        if error is not None and answered == 0:
            raise _error_from(error)
        return StageResult(
            message=f"{answered} of {total} texts have a usable answer",
            done=total,
            artifacts=artifacts,
            reusable=not passing,
        )

    def _fit(self, context: StageContext) -> StageResult:
        gold = self._datasets.load(context.spec.dev_dataset)
        items = self._merge_items(context, "dev")
        response = self._peers.invoke(
            "evaluation",
            self._peers.evaluation.FitPolicy,
            evaluation_pb2.FitPolicyRequest(
                gold=gold,
                items=items,
                schema=context.spec.schema,
                training_counts=self._datasets.training_counts(context.spec.train_dataset),
            ),
        )
        policy = response.policy
        return StageResult(
            message=policy.provenance.splitlines()[0] if policy.provenance else "",
            done=sum(item.has_llm_answer for item in items),
            artifacts={
                "fit.binpb": self._records.put_file(response.SerializeToString(deterministic=True))
            },
            values={"policy_digest": policy.digest},
        )

    def _merge(self, context: StageContext) -> StageResult:
        items = self._merge_items(context, "test")
        policies = {
            "merged": self.policy(context.artifacts),
            "llm": evaluation_pb2.Policy(
                mode=evaluation_pb2.MERGE_MODE_LLM,
                entity_filter=self.policy(context.artifacts).entity_filter,
            ),
        }
        artifacts = {}
        done, total = 0, len(items) * len(policies)

        def count(finished: int) -> None:
            nonlocal done
            done += finished
            context.progress(done, total, "texts merged")

        for name, policy in policies.items():
            # What the LLM alone says is scored as said: a text without an answer has no triples.
            chosen = items if name == "merged" else [i for i in items if i.has_llm_answer]
            results = pipeline.merge(
                self._peers,
                chosen,
                context.spec.schema,
                policy,
                batch_documents=self._config.batch_documents,
                on_done=count,
            )
            artifacts[f"{name}.binpb"] = self._records.put_file(
                evaluation_pb2.MergeResponse(results=results).SerializeToString(deterministic=True)
            )
        return StageResult(message=f"{len(items)} texts", done=len(items), artifacts=artifacts)

    def _evaluate(self, context: StageContext) -> StageResult:
        gold = self._datasets.load(context.spec.test_dataset)
        counts = self._datasets.training_counts(context.spec.train_dataset)
        systems = {
            "slm": [_as_system(item.prediction) for item in self._merge_items(context, "test")],
            "llm": self._merged_systems(context, "llm.binpb"),
            "merged": self._merged_systems(context, "merged.binpb"),
        }
        artifacts = {}
        for done, (name, predictions) in enumerate(systems.items()):
            context.progress(done, len(systems) + 1, name)
            response = self._peers.invoke(
                "evaluation",
                self._peers.evaluation.Score,
                evaluation_pb2.ScoreRequest(
                    gold=gold,
                    predictions=predictions,
                    schema=context.spec.schema,
                    training_counts=counts,
                    bootstrap_samples=_BOOTSTRAP_SAMPLES,
                ),
            )
            artifacts[f"scores-{name}.binpb"] = self._records.put_file(
                response.scores.SerializeToString(deterministic=True)
            )
        context.progress(len(systems), len(systems) + 1, "comparison")
        comparison = self._peers.invoke(
            "evaluation",
            self._peers.evaluation.Compare,
            evaluation_pb2.CompareRequest(
                gold=gold,
                baseline=systems["slm"],
                candidate=systems["merged"],
                schema=context.spec.schema,
                training_counts=counts,
                bootstrap_samples=_BOOTSTRAP_SAMPLES,
            ),
        )
        artifacts["comparison.binpb"] = self._records.put_file(
            comparison.SerializeToString(deterministic=True)
        )
        difference = comparison.micro_f1.value, comparison.macro_f1_pr.value
        return StageResult(
            message="merged against SLM: micro F1 {:+.1%}, macro F1 {:+.1%}".format(*difference),
            done=len(gold),
            artifacts=artifacts,
        )

    def _report(self, context: StageContext) -> StageResult:
        def read(name: str) -> bytes:
            return self._records.get_file(context.artifacts[name])

        scores = {
            name: evaluation_pb2.Scores.FromString(read(f"scores-{name}.binpb"))
            for name in ("slm", "llm", "merged")
        }
        answers = {
            split: guidance_pb2.GuideResponse.FromString(read(f"answers-{split}.binpb")).results
            for split in _GUIDED_SPLITS
        }
        fit = evaluation_pb2.FitPolicyResponse.FromString(read("fit.binpb"))
        merged = evaluation_pb2.MergeResponse.FromString(read("merged.binpb")).results
        report = build_report(
            run_id=context.run_id,
            spec=context.spec,
            values=context.values,
            scores=scores,
            comparison=evaluation_pb2.CompareResponse.FromString(read("comparison.binpb")),
            fit=fit,
            answers=answers,
        )
        files = {
            "report.json": report_bytes(report),
            "merged.jsonl": merged_lines(
                self._datasets.load(context.spec.test_dataset),
                self._predictions(context, "test"),
                merged,
                {answer.id: answer for answer in answers["test"]},
            ),
        }
        return StageResult(
            message="report.json, merged.jsonl",
            done=len(files),
            artifacts={name: self._records.put_file(data) for name, data in files.items()},
        )

    def policy(self, artifacts: Mapping[str, str]) -> evaluation_pb2.Policy:
        """The policy that the fit stage chose."""
        data = self._records.get_file(artifacts["fit.binpb"])
        return evaluation_pb2.FitPolicyResponse.FromString(data).policy

    def _predictions(
        self, context: StageContext, split: str
    ) -> Sequence[extraction_pb2.ExtractResult]:
        data = self._records.get_file(context.artifacts[f"predictions-{split}.binpb"])
        return extraction_pb2.ExtractResponse.FromString(data).results

    def _merge_items(self, context: StageContext, split: str) -> list[evaluation_pb2.MergeItem]:
        data = self._records.get_file(context.artifacts[f"answers-{split}.binpb"])
        answers = {
            answer.id: answer for answer in guidance_pb2.GuideResponse.FromString(data).results
        }
        return [
            pipeline.merge_item(result.extraction.document, answers.get(result.id))
            for result in self._predictions(context, split)
            if result.WhichOneof("outcome") == "extraction"
        ]

    def _merged_systems(
        self, context: StageContext, name: str
    ) -> list[evaluation_pb2.ScoredSystem]:
        data = self._records.get_file(context.artifacts[name])
        return [
            evaluation_pb2.ScoredSystem(
                id=result.id, triples=[item.triple for item in result.merged.triples]
            )
            for result in evaluation_pb2.MergeResponse.FromString(data).results
            if result.WhichOneof("outcome") == "merged"
        ]

    def _provider_digest(self, provider: str) -> str:
        response = self._peers.invoke(
            "guidance", self._peers.guidance.ListProviders, guidance_pb2.ListProvidersRequest()
        )
        for candidate in response.providers:
            if candidate.name == provider or (not provider and candidate.default):
                return candidate.digest
        known = ", ".join(candidate.name for candidate in response.providers)
        raise RemoteError(
            f"guidance: no provider {provider!r} is configured; there are: {known}",
            code="NOT_FOUND",
            reason="PROVIDER_NOT_FOUND",
        )

    @staticmethod
    def _demonstration_count(spec: coordinator_pb2.RunSpec) -> int:
        if spec.HasField("demonstration_count"):
            return spec.demonstration_count
        return DEFAULT_DEMONSTRATIONS


def _as_system(document: common_pb2.Document) -> evaluation_pb2.ScoredSystem:
    texts = [entity.text for entity in document.entities]
    return evaluation_pb2.ScoredSystem(
        id=document.id,
        triples=[
            common_pb2.Triple(
                head=texts[relation.head],
                tail=texts[relation.tail],
                type=relation.type,
                probability=relation.probability,
            )
            for relation in document.relations
        ],
    )


def _main(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """The F1 figures of a model, for a line of text."""
    return [(name, value) for name, value in sorted(scores.items()) if name.endswith("f1")]


def _training_line(progress: training_pb2.TrainProgress) -> str:
    if progress.phase != "train":
        return progress.phase
    return (
        f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}, "
        f"dev F1 {progress.dev_f1:.3f} (best {progress.best_dev_f1:.3f}), "
        f"{progress.eta_seconds:.0f} s left"
    )


def _index_line(index: retrieval_pb2.Index) -> str:
    return (
        f"{index.demonstration_count} demonstrations, {index.training_count} training sentences, "
        f"{index.trigger_count} trigger words"
    )


def _is_recorded_absence(item: guidance_pb2.GuideResult) -> bool:
    """Whether an item failed because nothing is recorded for it: that will not pass."""
    return _reason(item.error.details) == AnswerNotRecorded.reason


def _reason(details: Sequence[any_pb2.Any]) -> str:
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""


def _error_from(status: Status) -> SlcolmError:
    code = code_pb2.Code.Name(status.code)
    return RemoteError(
        f"guidance: no text got an answer; the first failed with: {status.message}",
        code=code,
        reason=_reason(status.details) or code,
    )
