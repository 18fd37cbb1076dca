"""`slcolm recordings curve`: what a budget buys, from recorded answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.answers import read_answers
from slcolm_services.cli.options import existing_file, price_options
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.selection import Examples
from slcolm_services.coordinator.page_curve import render_curve
from slcolm_services.coordinator.routing import Outlook, route
from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.recordings import Recording
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.evidence import LLM
from slcolm_services.evaluation.fit import describe, fit
from slcolm_services.evaluation.policy import Policy, default_policy
from slcolm_services.evaluation.policy_file import read_policy
from slcolm_services.evaluation.recorded import (
    RecordedSentence,
    dev_sentences,
    evidence_of,
    understand,
)
from slcolm_services.evaluation.spending import Purchase, purchase
from slcolm_services.guidance.items import GuideItem, PromptOptions
from slcolm_services.guidance.prompt import Window, build_guide, estimate_tokens
from slcolm_services.guidance.usage import Prices
from slcolm_services.scoring.counts import FloatArray
from slcolm_services.scoring.strict import DEFAULT_SEED

_DEMONSTRATIONS = 2
_WINDOW = Window(context_tokens=32_000, answer_tokens=2_048)
_SHARES = (0.1, 0.25, 0.5, 0.75)
"""Shares of the sentences that the table tells."""

Series = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class _Priced:
    """A recorded sentence with what asking about it takes.

    Attributes:
        outlook: What is known before it is asked about.
        tokens: Of prompt and answer, estimated.
        cost: In the currency of the prices.
    """

    outlook: Outlook
    tokens: int
    cost: float


@click.command()
@click.argument("recording", type=existing_file)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--train",
    type=existing_file,
    required=True,
    help="Training data: counts of types, trigger words, candidate relation types.",
)
@click.option("--policy", "policy_file", type=existing_file, help="Merge policy to apply.")
@click.option(
    "--dev",
    type=existing_file,
    help="Recording on dev to fit the policy on. Without it and --policy: the default policy.",
)
@click.option(
    "--slm-dev",
    type=existing_file,
    help="Recording on dev of which only the SLM's part is used, to calibrate its probabilities, "
    "where the LLM has not answered dev.",
)
@price_options
@click.option(
    "--orders",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Random orders to compare with.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page to write (HTML, opens without network).",
)
@json_option
def curve(
    *,
    recording: Path,
    task: Path,
    train: Path,
    policy_file: Path | None,
    dev: Path | None,
    slm_dev: Path | None,
    prompt_price: float,
    completion_price: float,
    currency: str,
    orders: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """F1 of RECORDING against the share of sentences asked about: what a budget buys.

    The order of routing is compared with random orders and with an upper bound that knows the
    gold. Sentences that are not asked about keep the SLM's triples.

    \b
    Example:
      slcolm recordings curve recordings/frontier_k2.jsonl --task task.yaml --train train.jsonl \\
        --dev recordings/frontier_k2_dev.jsonl --out curve.html
    """
    if sum(path is not None for path in (policy_file, dev, slm_dev)) > 1:
        problem = "only one of --policy, --dev and --slm-dev can be given"
        raise InvalidInput(problem, violations=[FieldViolation("--policy", problem)])
    schema = read_schema(task)
    documents = read_any(train, schema)
    counts = training_counts(documents, schema)
    chosen = _policy(policy_file, dev, slm_dev, schema, counts)
    sentences = understand({str(recording): read_answers(recording, schema)}).sentences
    if not any(line.gold for line in sentences):
        raise DataInvalid(
            "there is nothing to score by", violations=[FieldViolation(str(recording), "no gold")]
        )
    examples = Examples(documents, schema)
    prices = Prices(prompt_price, prompt_price, completion_price, currency)
    calibration = chosen.calibration or Calibration()
    priced = [_price(line, schema, examples, calibration, prices) for line in sentences]
    bought = purchase(
        {line.id: line.gold or () for line in sentences},
        [evidence_of(line.answers, schema, chosen.entity_filter) for line in sentences],
        chosen,
        schema,
    )
    routed = route([item.outlook for item in priced], counts)
    curves = _orders(bought, routed, priced, orders)
    result = {
        "recording": recording.stem,
        "sentences": len(sentences),
        "policy": {"described": describe(chosen), "digest": chosen.digest},
        "calibration": calibration.method,
        "prompts_recorded": sum(bool(_first(line).prompt) for line in sentences),
        "currency": currency,
        "priced": bool(prompt_price or completion_price),
        "random_orders": orders,
        "orders": curves,
        "table": _rows(curves, len(sentences)),
    }
    if out is not None:
        with replacing(out) as file:
            file.write(render_curve(result))
    if as_json:
        emit_json(result)
        return
    console().print(_table(result))
    if out is not None:
        console().print(f"Written to {escape(str(out))}")


def _policy(
    policy_file: Path | None,
    dev: Path | None,
    slm_dev: Path | None,
    schema: TaskSchema,
    counts: Mapping[str, int],
) -> Policy:
    if policy_file is not None:
        found = read_policy(policy_file).with_training_counts(counts)
        found.check_task(schema)
        return found
    path = dev or slm_dev
    if path is None:
        return default_policy(counts)
    recorded = understand({str(path): read_answers(path, schema, need_gold=True)})
    sentences = dev_sentences(recorded.sentences, schema, ["slm"])
    if slm_dev is not None:
        sentences = [
            replace(
                line,
                evidence={name: replace(one, answers={}) for name, one in line.evidence.items()},
            )
            for line in sentences
        ]
    return fit(sentences, schema, counts).policy


def _first(line: RecordedSentence) -> Recording:
    return line.answers[LLM]


def _price(
    line: RecordedSentence,
    schema: TaskSchema,
    examples: Examples,
    calibration: Calibration,
    prices: Prices,
) -> _Priced:
    recorded = _first(line)
    item = examples.item(_prediction(recorded, schema), _DEMONSTRATIONS)
    if any(triple.prob is None for triple in recorded.slm_triples):
        raise DataInvalid(
            "routing goes by the SLM's probabilities",
            violations=[FieldViolation(f"{line.id}: slm_triples", "one has no probability")],
        )
    given = np.array([triple.prob for triple in recorded.slm_triples], dtype=np.float64)
    calibrated = [
        replace(triple, prob=float(probability))
        for triple, probability in zip(recorded.slm_triples, calibration.apply(given), strict=True)
    ]
    outlook = Outlook.of(
        (entity.text for entity in recorded.slm_entities),
        calibrated,
        {candidate.type: candidate.score for candidate in item.candidates},
    )
    prompt = _prompt_tokens(recorded, item, schema)
    answer = estimate_tokens(recorded.llm_raw or "")
    return _Priced(outlook, prompt + answer, prices.cost(prompt=prompt, completion=answer))


def _prediction(recorded: Recording, schema: TaskSchema) -> Document:
    """The sentence with the SLM's mentions, each at its first place: recordings have no offsets."""
    entities: dict[str, Entity] = {}
    for entity in recorded.slm_entities:
        kind = schema.entities_by_name.get(entity.type) or schema.entities_by_label.get(entity.type)
        start = recorded.text.find(entity.text)
        if kind is not None and start >= 0:
            end = start + len(entity.text)
            entities.setdefault(entity.text, Entity(kind.name, start, end, entity.prob))
    return Document(recorded.id, recorded.text, tuple(entities.values()))


def _prompt_tokens(recorded: Recording, item: GuideItem, schema: TaskSchema) -> int:
    """Of the recorded prompt, or of ours for the same sentence where none was recorded."""
    if recorded.prompt:
        return estimate_tokens(recorded.prompt)
    return build_guide(item, schema, PromptOptions(), _WINDOW).tokens


def _orders(
    bought: Purchase, routed: Sequence[int], priced: Sequence[_Priced], orders: int
) -> dict[str, Series]:
    """Figures after 0, 1, 2, ... sentences, with what they have taken by then."""
    tokens = np.array([item.tokens for item in priced], dtype=np.float64)
    cost = np.array([item.cost for item in priced])
    steps = np.arange(len(priced) + 1)
    routing = {
        "tokens": _sums(tokens[routed]),
        "cost": _sums(cost[routed]),
        **{name: values.tolist() for name, values in bought.along(routed).items()},
    }
    # On average a random part takes its share of everything.
    random = {"tokens": (steps * tokens.mean()).tolist(), "cost": (steps * cost.mean()).tolist()}
    for name, (mean, low, high) in bought.at_random(orders, DEFAULT_SEED).items():
        random |= {
            name: mean.tolist(),
            f"{name}_low": low.tolist(),
            f"{name}_high": high.tolist(),
        }
    bound = {name: values.tolist() for name, values in bought.upper_bound().items()}
    return {"routing": routing, "random": random, "upper_bound": bound}


def _sums(values: FloatArray) -> list[float]:
    return [0.0, *np.cumsum(values).tolist()]


def _rows(orders: Mapping[str, Series], sentences: int) -> list[dict[str, Any]]:
    """What the curves say at a few shares, and on average over all shares."""
    rows = []
    for share in (0.0, *_SHARES, 1.0):
        asked = round(share * sentences)
        rows.append(
            {
                "share": share,
                "asked": asked,
                "tokens": orders["routing"]["tokens"][asked],
                "cost": orders["routing"]["cost"][asked],
                **{
                    f"{order}_{name}": orders[order][name][asked]
                    for order in ("routing", "random", "upper_bound")
                    for name in ("micro", "macro", "tail")
                    if name in orders[order]
                },
            }
        )
    return rows


def _table(result: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"{escape(result['recording'])}: F1 in %, by routing (at random; upper bound)",
        title_justify="left",
        caption=f"policy: {escape(result['policy']['described'])}",
        caption_justify="left",
    )
    for name in ("asked", "tokens", "micro", "macro", "tail"):
        table.add_column(name, justify="right")
    for row in result["table"]:
        table.add_row(
            f"{row['asked']} ({row['share']:.0%})",
            f"{row['tokens']:,.0f}",
            *(_cell(row, name) for name in ("micro", "macro", "tail")),
        )
    return table


def _cell(row: Mapping[str, Any], name: str) -> str:
    bound = f"; {100 * row[key]:.1f}" if (key := f"upper_bound_{name}") in row else ""
    routing, random = (100 * row[f"{order}_{name}"] for order in ("routing", "random"))
    return f"{routing:.1f} ({random:.1f}{bound})"
