"""What Prometheus reads over HTTP from services that have worked."""

from __future__ import annotations

import pytest
from support.observed import Observed

from slcolm_services.coordinator.stages import STAGE_NAMES
from slcolm_services.embedded import PEERS

GUIDE = "/slcolm.guidance.v1.GuidanceService/Guide"


def test_the_coordinator_counts_runs_and_times_stages(observed: Observed) -> None:
    page = observed.metrics("coordinator")

    assert page.value("slcolm_coordinator_runs_ended_total", state="succeeded") == 1
    assert page.value("slcolm_coordinator_runs", state="queued") == 0
    assert page.value("slcolm_coordinator_runs", state="running") == 0
    for stage in STAGE_NAMES:
        labels = {"stage": stage, "outcome": "done"}
        assert page.value("slcolm_coordinator_stages_total", **labels) == 1
        assert page.value("slcolm_coordinator_stage_seconds_count", stage=stage) == 1


def test_training_counts_jobs_and_epochs_and_tells_dev_f1(observed: Observed) -> None:
    page = observed.metrics("training")

    assert page.value("slcolm_training_jobs_total", outcome="trained") == 1
    assert page.value("slcolm_training_jobs_running") == 0
    assert page.value("slcolm_training_job_seconds_count") == 1
    assert page.value("slcolm_training_epochs_total") == observed.run.spec.training.epochs
    best = page.value("slcolm_training_best_dev_f1")
    last = page.value("slcolm_training_dev_f1")
    assert best is not None
    assert last is not None
    assert 0 <= last <= best <= 1


def test_retrieval_counts_what_it_selects_from_and_for(observed: Observed) -> None:
    page = observed.metrics("retrieval")

    texts = sum(len(observed.data.documents[split]) for split in ("dev", "test"))
    assert page.value("slcolm_retrieval_indexes") == 1
    for split, role in (("dev", "demonstration"), ("train", "training")):
        size = len(observed.data.documents[split])
        assert page.value("slcolm_retrieval_index_sentences", role=role) == size
    assert page.value("slcolm_retrieval_queries_total", outcome="OK") == texts + observed.predicted
    assert page.total("slcolm_retrieval_selected_total", kind="demonstration") > 0


def test_guidance_counts_items_and_where_answers_come_from(observed: Observed) -> None:
    page = observed.metrics("guidance")

    guided = page.total("slcolm_guidance_items_total", provider="offline", outcome="OK")
    assert guided >= observed.predicted
    assert page.value("slcolm_guidance_answers_total", provider="offline", source="free") == guided
    assert page.total("slcolm_guidance_tokens_total") == 0


def test_evaluation_counts_sentences_and_policies(observed: Observed) -> None:
    page = observed.metrics("evaluation")

    merged = len(observed.data.documents["test"]) + observed.predicted
    assert page.total("slcolm_evaluation_merged_sentences_total", outcome="OK") >= merged
    assert page.total("slcolm_evaluation_policies_fitted_total") == 1


@pytest.mark.parametrize("role", [*PEERS, "coordinator"])
def test_every_service_counts_its_calls(observed: Observed, role: str) -> None:
    page = observed.metrics(role)

    assert page.total("slcolm_calls_total", code="OK") > 0
    assert page.value("slcolm_calls_in_flight") == 0
