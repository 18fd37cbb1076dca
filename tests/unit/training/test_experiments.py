"""Experiments: what is compared, which data each training sees, and what the results say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import EntityType, TaskSchema
from slcolm_services.errors import ConfigInvalid
from slcolm_services.scoring.counts import CountMatrix, tally, weighted
from slcolm_services.training.experiments.cells import (
    Cell,
    Condition,
    cells,
    data_of,
    groups,
    options_of,
)
from slcolm_services.training.experiments.config import (
    Experiment,
    ExperimentData,
    read_experiment,
)
from slcolm_services.training.experiments.results import (
    Outcome,
    Result,
    read_result,
    write_result,
)
from slcolm_services.training.experiments.summary import difference, row, summarize
from slcolm_services.training.schedules import Schedule

DATA = """
[data]
task = "task.yaml"
original = "o.jsonl"
distilled = "d.jsonl"
other_domain = "x.jsonl"
dev = "dev.jsonl"
test = "test.jsonl"
"""


def experiment(tmp_path: Path, text: str = "seeds = [0, 1]\n", data: str = DATA) -> Experiment:
    path = tmp_path / "experiment.toml"
    path.write_text(text + data, encoding="utf-8")
    return read_experiment(path)


def test_paths_are_relative_to_the_file_and_the_rest_has_the_papers_defaults(
    tmp_path: Path,
) -> None:
    read = experiment(tmp_path, "")
    assert read.paths["original"] == tmp_path / "o.jsonl"
    assert (read.model, read.epochs, read.max_tokens) == ("tagger", 20, 128)
    assert read.seeds == (0, 1, 2, 3, 4)
    assert read.rate_courses == ("constant", "decay")
    assert {schedule.name for schedule in read.schedules} == {
        *("simple-mix", "sigmoid", "cosine", "power", "all")
    }


def test_the_experiments_of_the_benchmark_are_read() -> None:
    folder = Path(__file__).parents[3] / "benchmarks" / "distillation"
    paper, small = (read_experiment(folder / f"{name}.toml") for name in ("paper", "small"))
    assert (paper.encoder, paper.epochs, paper.batch_size) == ("bert-base-uncased", 20, 4)
    assert (paper.learning_rate, paper.max_tokens, len(paper.seeds)) == (1e-5, 128, 5)
    assert set(small.schedules) <= set(paper.schedules)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("epoch = 3\n", "epoch"),
        ("epochs = 0\n", "epochs"),
        ("learning_rate = true\n", "learning_rate"),
        ("seeds = []\n", "seeds"),
        ("seeds = [-1]\n", "seeds"),
        ('model = "crf"\n', "model"),
        ('schedules = ["linear"]\n', "schedules"),
        ('rate_courses = ["cyclic"]\n', "rate_courses"),
        ("encoder = 3\n", "encoder"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        experiment(tmp_path, text)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_what_is_no_toml_is_refused_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"experiment\.toml cannot be read"):
        experiment(tmp_path, "=")


def test_data_that_are_not_named_are_missed(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        experiment(tmp_path, "", '[data]\ntask = "t"\ntrain = "x"\n')
    assert {violation.field for violation in caught.value.violations} == {
        *("data.original", "data.distilled", "data.dev", "data.test", "data.train")
    }


def test_every_condition_is_trained_once_with_every_seed(tmp_path: Path) -> None:
    read = experiment(tmp_path, 'seeds = [0, 1]\nschedules = ["simple-mix", "all"]\n')
    # Groups A to E, and two schedules with two courses, of which one is group D.
    assert len(cells(read)) == len(set(cells(read))) == 2 * (5 + 4 - 1)
    assert set(groups(read)) == set("ABCDE")
    alone = experiment(tmp_path, "", DATA.replace('other_domain = "x.jsonl"\n', ""))
    assert set(groups(alone)) == set("ABD")


def test_a_training_sees_the_data_of_its_condition_and_no_other(tmp_path: Path) -> None:
    read = experiment(tmp_path)
    sets = {name: [Document(name, "x")] for name in ("original", "distilled", "other_domain")}
    data = ExperimentData(TaskSchema("t", "en", (), ()), **sets, dev=[], test=[])
    seen = {}
    for name, condition in groups(read).items():
        first, second = data_of(condition, data)
        seen[name] = [doc.id for doc in first], [doc.id for doc in second]
        blended = bool(options_of(Cell(condition, 0), read).schedule)
        assert blended == bool(second)
    assert seen == {
        "A": (["original"], []),
        "B": (["distilled"], []),
        "C": (["distilled", "other_domain"], []),
        "D": (["original"], ["distilled"]),
        "E": (["original"], ["distilled", "other_domain"]),
    }


def test_a_cell_is_named_by_what_decides_its_result(tmp_path: Path) -> None:
    read = experiment(tmp_path)
    digests = dict.fromkeys(("task", "original", "distilled", "other_domain", "dev", "test"), "1")
    original = Cell(Condition(Schedule("original"), "constant"), 0)
    mixed = Cell(Condition(Schedule("simple-mix"), "constant"), 0)
    other = digests | {"distilled": "2"}
    assert original.key(read, digests) == original.key(read, other)
    assert mixed.key(read, digests) != mixed.key(read, other)
    assert mixed.key(read, digests) == mixed.key(read, digests | {"other_domain": "2"})
    assert mixed.key(read, digests) != Cell(mixed.condition, 1).key(read, digests)


def counts(*rows: tuple[int, int, int]) -> CountMatrix:
    """One type, a sentence a row: correct, predicted, gold."""
    return CountMatrix(("PER",), np.array(rows, dtype=np.int64)[:, None, :])


def result(*rows: tuple[int, int, int]) -> Result:
    return Result(Outcome(3, 0.5, 1.0), {"entities": counts(*rows)})


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    write_result(tmp_path / "cell", result((1, 2, 2), (0, 0, 1)), {"seed": 0})
    again = read_result(tmp_path / "cell")
    assert again is not None
    assert again.outcome == Outcome(3, 0.5, 1.0)
    assert again.counts["entities"].types == ("PER",)
    assert again.counts["entities"].values.tolist() == [[[1, 2, 2]], [[0, 0, 1]]]


def test_figures_are_means_over_seeds() -> None:
    figures = row({0: result((1, 2, 2)), 1: result((2, 2, 2))}, "entities")
    assert figures.f1.mean == pytest.approx(0.75)
    assert figures.f1.deviation == pytest.approx(np.std([0.5, 1.0], ddof=1))
    assert figures.epoch == 3


def test_conditions_are_compared_seed_by_seed_and_sentence_by_sentence() -> None:
    worse = {seed: result(*[(1, 2, 2)] * 50) for seed in range(3)}
    gains = [(2, 2, 2), (1, 2, 2)]
    better = {
        seed: result(*[gains[place % (2 + seed) > 0] for place in range(50)]) for seed in range(3)
    }
    gap = difference(better, worse, "entities")
    ours, theirs = (
        [1 - (50 - sum(p % (2 + seed) == 0 for p in range(50))) / 100 for seed in range(3)],
        [0.5] * 3,
    )
    assert gap.mean == pytest.approx(np.mean(ours) - 0.5)
    assert gap.p_seeds == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert 0 < gap.low < gap.mean < gap.high
    nothing = difference(worse, worse, "entities")
    assert (nothing.mean, nothing.low, nothing.high, nothing.p_seeds) == (0, 0, 0, None)


def test_the_summary_compares_with_the_groups_and_leaves_out_what_is_not_there(
    tmp_path: Path,
) -> None:
    read = experiment(tmp_path, 'seeds = [0]\nschedules = ["cosine"]\n')
    named = groups(read)
    results = {
        named["A"]: {0: result((1, 2, 2))},
        named["B"]: {0: result((2, 2, 2))},
        Condition(Schedule("cosine"), "constant"): {0: result((1, 2, 2))},
    }
    summary = summarize(read, results)["entities"]
    assert [line["group"] for line in summary["groups"]] == ["A", "B"]
    assert summary["groups"][1]["against"]["A"]["mean"] == pytest.approx(0.5)
    (line,) = summary["schedules"]
    assert (line["schedule"], line["rate_course"]) == ("cosine", "constant")
    assert set(line["against"]) == {"A"}


def test_weighted_averages_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    names = [str(kind) for kind in range(4)]
    matrix = tally(
        [[(names[kind], 0)] for kind in true], [[(names[kind], 0)] for kind in found], names
    )
    ours = weighted(matrix.totals())
    theirs = precision_recall_fscore_support(true, found, average="weighted")
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs[:3])


def test_a_type_without_gold_has_no_weight() -> None:
    schema = TaskSchema("t", "en", (EntityType("A", "A"),), ())
    assert schema.problems() == []
    assert weighted(np.array([[1, 1, 1], [0, 5, 0]])).f1 == 1.0
