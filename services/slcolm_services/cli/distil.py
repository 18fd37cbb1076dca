"""`slcolm distil`: small models out of what an LLM annotated."""

from __future__ import annotations

import click

from slcolm_services.cli.lazy import LazyGroup

_COMMANDS = {
    "agreement": (
        "distil_agreement",
        "Compare annotations with gold: precision, recall and F1 by type.",
    ),
    "experiment": (
        "distil_experiment",
        "Compare ways to blend annotated and human data, over several seeds.",
    ),
    "choose": ("distil_choose", "Choose which raw texts an LLM should annotate next."),
    "loop": (
        "distil_loop",
        "Annotate raw text with both models, and train a better small one on it.",
    ),
}


@click.group(cls=LazyGroup, modules=_COMMANDS)
def distil() -> None:
    """Train small models on what an LLM annotated.

    \b
    From raw text to a model:
      slcolm annotate --task task.yaml --input raw.jsonl --guide openai --llm-model NAME \\
        --out annotated.jsonl
      slcolm distil agreement gold.jsonl annotated.jsonl --task task.yaml
      slcolm train --task task.yaml --train train.jsonl --dev dev.jsonl \\
        --silver annotated.jsonl --schedule sigmoid:8 --out model/
    """
