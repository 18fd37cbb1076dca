"""Every recorded run, mode, protocol and relation type against the reference counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slcolm_services.cli.policy import policy as policy_command
from slcolm_services.cli.recordings import recordings as recordings_command
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.recordings import read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.evaluation.policy import PLAIN_MODES, Mode
from slcolm_services.evaluation.policy_file import read_policy
from slcolm_services.evaluation.recorded import weak_types_of

pytestmark = pytest.mark.shared_data

REPOSITORY = Path(__file__).resolve().parents[3]
DEV = "frontier_k2_dev"


@pytest.fixture(scope="session")
def chisre() -> Path:
    folder = Path(os.environ.get("SLCOLM_SHARED") or REPOSITORY.parent / "shared") / "data/chisre"
    if not (folder / "recordings/expected.json").is_file():
        pytest.skip("no reference data: set SLCOLM_SHARED to the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def expected(chisre: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((chisre / "recordings/expected.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="session")
def schema(chisre: Path) -> TaskSchema:
    return read_schema(chisre / "task.yaml")


@pytest.fixture(scope="session")
def counts(chisre: Path, schema: TaskSchema) -> dict[str, int]:
    return training_counts(read_any(chisre / "train.jsonl", schema), schema)


def scored(chisre: Path, runs: list[str], protocol: str) -> dict[str, Any]:
    """What `slcolm recordings score --json` says."""
    folder = chisre / "recordings"
    arguments = ["score", *(str(folder / f"{run}.jsonl") for run in runs), "--json"]
    arguments += ["--task", str(chisre / "task.yaml"), "--train", str(chisre / "train.jsonl")]
    arguments += ["--dev", str(folder / f"{DEV}.jsonl"), "--protocol", protocol]
    result = CliRunner().invoke(recordings_command, arguments, catch_exceptions=False)
    content: dict[str, Any] = json.loads(result.output)["runs"]
    return content


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_every_figure_of_every_run_is_the_reference(
    chisre: Path, expected: dict[str, Any], protocol: str
) -> None:
    found = scored(chisre, list(expected["runs"]), protocol)
    assert len(found) == 9
    for run, reference in expected["runs"].items():
        assert found[run][protocol].keys() == reference[protocol].keys()
        for mode, figures in reference[protocol].items():
            place = (run, protocol, mode)
            mine = found[run][protocol][mode]
            assert (place, mine["per_relation"]) == (place, figures["per_relation"])
            assert (place, mine["totals"]) == (place, figures["totals"])
            assert mine["micro"] == pytest.approx(figures["micro"]), place
            assert mine["macro"] == pytest.approx(figures["macro"]), place
            assert mine["macro_f_mean"] == pytest.approx(figures["macro_f_mean"]), place


def test_weak_types_come_from_dev(
    chisre: Path, expected: dict[str, Any], schema: TaskSchema, counts: dict[str, int]
) -> None:
    dev = read_recordings(chisre / "recordings" / f"{DEV}.jsonl")
    assert weak_types_of(dev, schema, counts) == set(expected["replace_weak_from_dev"])


def test_training_counts_are_the_reference(
    expected: dict[str, Any], counts: dict[str, int]
) -> None:
    assert counts == expected["train_counts"]


def test_without_dev_the_mode_that_needs_it_is_left_out(chisre: Path) -> None:
    arguments = ["score", str(chisre / "recordings/gpt35_k2.jsonl"), "--json"]
    arguments += ["--task", str(chisre / "task.yaml"), "--train", str(chisre / "train.jsonl")]
    result = CliRunner().invoke(recordings_command, arguments, catch_exceptions=False)
    modes = json.loads(result.output)["runs"]["gpt35_k2"]["strict"]
    assert set(modes) == set(PLAIN_MODES) - {Mode.REPLACE_WEAK}


def test_the_strong_llm_is_chosen_on_its_own_dev_answers_and_beats_every_union_on_test(
    chisre: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    policy, merged = tmp_path / "policy.json", tmp_path / "merged.jsonl"
    task = ["--task", str(chisre / "task.yaml"), "--train", str(chisre / "train.jsonl"), "--json"]
    runner, folder = CliRunner(), chisre / "recordings"
    fit = ["fit", "--dev", str(folder / f"{DEV}.jsonl"), "--out", str(policy), *task]
    runner.invoke(policy_command, fit, catch_exceptions=False)
    assert read_policy(policy).mode is Mode.LLM
    apply = ["apply", "--policy", str(policy), str(folder / "frontier_k2.jsonl")]
    runner.invoke(policy_command, [*apply, "--out", str(merged), *task], catch_exceptions=False)
    lines = [json.loads(line) for line in merged.read_text("utf-8").splitlines()]
    reference = expected["runs"]["frontier_k2"]["strict"]
    assert sum(len(line["triples"]) for line in lines) == reference["llm"]["totals"][1]
    assert all(triple["sources"] for line in lines for triple in line["triples"])
    assert reference["llm"]["micro"][2] > reference["union"]["micro"][2]


def test_the_policy_of_the_strong_llm_is_no_worse_on_dev_than_either_source(
    chisre: Path, tmp_path: Path
) -> None:
    out = tmp_path / "policy.json"
    fit = ["fit", "--dev", str(chisre / "recordings" / f"{DEV}.jsonl"), "--out", str(out)]
    fit += ["--task", str(chisre / "task.yaml"), "--train", str(chisre / "train.jsonl")]
    CliRunner().invoke(policy_command, fit, catch_exceptions=False)
    figures = json.loads(out.read_text("utf-8"))["fit"]
    objective = {best["mode"]: best["objective"] for best in figures["best_of_mode"]}
    assert set(objective) == set(Mode)
    assert figures["chosen"]["objective"] >= max(objective["slm"], objective["llm"])


def test_three_llms_vote_better_than_each_alone(chisre: Path) -> None:
    runs = ["gpt35_k2", "ernie_k2_unedited", "deepseek_icl_slcolm"]
    arguments = ["crossvalidate", *(str(chisre / "recordings" / f"{run}.jsonl") for run in runs)]
    arguments += ["--task", str(chisre / "task.yaml"), "--train", str(chisre / "train.jsonl")]
    arguments += ["--mode", "learned", "--mode", "llm", "--folds", "3", "--json"]
    result = CliRunner().invoke(policy_command, arguments, catch_exceptions=False)
    systems = json.loads(result.output)["systems"]
    for alone in ("llm-1", "llm-2", "llm-3"):
        assert systems[alone]["merged_minus_this"]["micro_f1"]["low"] > 0
