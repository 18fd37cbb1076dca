"""`slcolm policy`: choose a merge on dev, apply it to recorded answers, cross-validate both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from slcolm_services.cli.answers import how_read, read_answers
from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.policy_tables import (
    fitted_policies_table,
    print_fit,
    print_systems,
    systems_json,
)
from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.evaluation.fit import figures, trial_figures
from slcolm_services.evaluation.fit import fit as fit_policy
from slcolm_services.evaluation.merge import MergedTriple, merge
from slcolm_services.evaluation.policy import ENTITY_FILTERS, EntityFilter, Mode
from slcolm_services.evaluation.policy_file import policy_json, read_policy, write_policy
from slcolm_services.evaluation.recorded import (
    Recorded,
    RecordedSentence,
    dev_sentences,
    evidence_of,
    understand,
)
from slcolm_services.evaluation.systems import crossvalidate as crossvalidate_policy
from slcolm_services.evaluation.systems import results, score_systems
from slcolm_services.scoring.strict import Sentence

_Command = Callable[..., Any]

_SAMPLES = 1000
"""Resamples of the intervals."""

_task = click.option("--task", type=existing_file, required=True, help="Task schema.")
_train = click.option(
    "--train", type=existing_file, required=True, help="Training data: counts of types."
)
_samples = click.option(
    "--samples",
    "repeats_are_samples",
    is_flag=True,
    help="Several lines of one sentence in a file are samples of one LLM. Else the first counts.",
)
_entity_filter = click.option(
    "--entity-filter",
    "entity_filters",
    type=click.Choice(ENTITY_FILTERS),
    multiple=True,
    default=["slm"],
    show_default=True,
    help="Mentions of an LLM triple must be among the SLM's entities, or stand in the text. "
    "Repeated: chosen on dev, the first preferred.",
)
_modes = click.option(
    "--mode",
    "modes",
    type=click.Choice([mode.value for mode in Mode]),
    multiple=True,
    default=[mode.value for mode in Mode],
    show_default="every mode",
    help="Mode to choose from; may be repeated.",
)


@click.group()
def policy() -> None:
    """Fit a merge policy on dev, and apply it.

    Files of recordings that share no sentence are one LLM's answers in parts; if any share one,
    every file is an LLM of its own, llm-1, llm-2 and so on.
    """


@policy.command()
@click.option(
    "--dev",
    type=existing_file,
    multiple=True,
    required=True,
    help="Recorded answers on dev; may be repeated: an LLM in parts, or several LLMs.",
)
@_task
@_train
@_entity_filter
@_modes
@_samples
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Policy to write.")
@json_option
def fit(
    *,
    dev: Sequence[Path],
    task: Path,
    train: Path,
    entity_filters: Sequence[EntityFilter],
    modes: Sequence[str],
    repeats_are_samples: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Choose mode, quorum and thresholds on dev. Give it no test data.

    \b
    Examples:
      slcolm policy fit --dev recordings/frontier_k2_dev.jsonl --task task.yaml \\
        --train train.jsonl --out policy.json
      slcolm policy fit --dev gpt.jsonl --dev deepseek.jsonl --entity-filter slm \\
        --entity-filter text --task task.yaml --train train.jsonl --out policy.json
    """
    schema = read_schema(task)
    recorded = _read(dev, schema, repeats_are_samples=repeats_are_samples, need_gold=True)
    fitted = fit_policy(
        dev_sentences(recorded.sentences, schema, entity_filters),
        schema,
        training_counts(read_any(train, schema), schema),
        entity_filters=entity_filters,
        modes=[Mode(name) for name in modes],
    )
    told = figures(fitted)
    write_policy(out, fitted.policy, told)
    if as_json:
        emit_json(
            {
                "reading": how_read(recorded),
                "policy": policy_json(fitted.policy, told),
                "trials": [trial_figures(trial) for trial in fitted.trials],
            }
        )
        return
    console().print(f"Read: {escape(how_read(recorded))}")
    print_fit(console(), fitted)
    console().print(f"Written to {escape(str(out))}")


@policy.command()
@click.option("--policy", "policy_file", type=existing_file, required=True, help="Policy to apply.")
@click.argument("recordings", type=existing_file, nargs=-1, required=True)
@_task
@click.option(
    "--train",
    type=existing_file,
    help="Count types in this training data instead of using the policy's own counts.",
)
@_samples
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON lines to write.")
@json_option
def apply(
    *,
    policy_file: Path,
    recordings: Sequence[Path],
    task: Path,
    train: Path | None,
    repeats_are_samples: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Merge recorded answers: a line a sentence with its final triples and their lineage.

    Where the recordings hold gold, the result is scored beside the SLM, the LLM and every mode.

    \b
    Example:
      slcolm policy apply --policy policy.json recordings/frontier_k2.jsonl --task task.yaml \\
        --out merged.jsonl
    """
    schema, chosen = read_schema(task), read_policy(policy_file)
    if train is not None:
        chosen = chosen.with_training_counts(training_counts(read_any(train, schema), schema))
    chosen.check_task(schema)
    recorded = _read(recordings, schema, repeats_are_samples=repeats_are_samples)
    lines = recorded.sentences
    evidence = [evidence_of(line.answers, schema, chosen.entity_filter) for line in lines]
    merged = [merge(known, chosen, schema) for known in evidence]
    with replacing(out) as file:
        for line, triples in zip(lines, merged, strict=True):
            content = {**_line_json(line, triples), "policy_digest": chosen.digest}
            file.write(json.dumps(content, ensure_ascii=False) + "\n")
    systems = {}
    if any(line.gold for line in lines):
        gold = [Sentence(line.id, line.gold or ()) for line in lines]
        found = results(evidence, chosen, schema, recorded.sources)
        systems = score_systems(gold, found, schema, chosen.training_counts, _SAMPLES)
    count = sum(map(len, merged))
    if as_json:
        emit_json(
            {
                "reading": how_read(recorded),
                "sentences": len(lines),
                "triples": count,
                "policy_digest": chosen.digest,
                "out": str(out),
                "systems": systems_json(systems),
            }
        )
        return
    console().print(f"Read: {escape(how_read(recorded))}")
    if systems:
        print_systems(console(), systems)
    console().print(
        f"{number_of(count, 'triple')} in {number_of(len(lines), 'sentence')}"
        f" by [bold]{chosen.mode}[/], "
        f"written to {escape(str(out))}"
    )


@policy.command()
@click.argument("recordings", type=existing_file, nargs=-1, required=True)
@_task
@_train
@_entity_filter
@_modes
@_samples
@click.option("--folds", type=int, default=5, show_default=True, help="Number of folds.")
@json_option
def crossvalidate(
    *,
    recordings: Sequence[Path],
    task: Path,
    train: Path,
    entity_filters: Sequence[EntityFilter],
    modes: Sequence[str],
    repeats_are_samples: bool,
    folds: int,
    as_json: bool,
) -> None:
    """What fitting is worth where an LLM has no dev answers: fit and apply, fold by fold.

    A policy is fitted on all folds but one and applied to that one, in turn. All folds are scored
    together, beside the SLM, the LLM and every mode on the same sentences.

    \b
    Example:
      slcolm policy crossvalidate recordings/gpt35_k2.jsonl --task task.yaml --train train.jsonl
    """
    schema = read_schema(task)
    counts = training_counts(read_any(train, schema), schema)
    recorded = _read(recordings, schema, repeats_are_samples=repeats_are_samples, need_gold=True)
    found = crossvalidate_policy(
        dev_sentences(recorded.sentences, schema, entity_filters),
        schema,
        counts,
        folds=folds,
        entity_filters=entity_filters,
        modes=[Mode(name) for name in modes],
        samples=_SAMPLES,
    )
    if as_json:
        emit_json(
            {
                "reading": how_read(recorded),
                "sentences": len(recorded.sentences),
                "policies": [policy_json(fitted) for fitted in found.policies],
                "systems": systems_json(found.systems),
            }
        )
        return
    console().print(f"Read: {escape(how_read(recorded))}")
    console().print(fitted_policies_table(found.policies))
    print_systems(console(), found.systems)


def _read(
    paths: Sequence[Path], schema: TaskSchema, *, repeats_are_samples: bool, need_gold: bool = False
) -> Recorded:
    files = {str(path): read_answers(path, schema, need_gold=need_gold) for path in paths}
    return understand(files, repeats_are_samples=repeats_are_samples)


def _line_json(line: RecordedSentence, merged: Sequence[MergedTriple]) -> dict[str, Any]:
    return {"id": line.id, "text": line.text, "triples": [_triple_json(item) for item in merged]}


def _triple_json(merged: MergedTriple) -> dict[str, Any]:
    triple = merged.triple
    return {
        "head": triple.head,
        "tail": triple.tail,
        "type": triple.type,
        **({} if triple.prob is None else {"prob": triple.prob}),
        **({} if merged.slm_probability is None else {"slm_prob": merged.slm_probability}),
        "sources": list(merged.sources),
        "rule": merged.rule,
    }
