"""The encoder of a run as a folder that transformers loads, with a card."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training.encoder import without_progress_bars
from slcolm_services.training.pretraining.blocks import read_vocabulary
from slcolm_services.training.pretraining.checkpoints import PretrainingCheckpoints, RunState
from slcolm_services.training.pretraining.history import History, Record
from slcolm_services.training.pretraining.objective import MaskedCharacters
from slcolm_services.training.pretraining.options import Recipe
from slcolm_services.training.pretraining.run import CORPUS_FOLDER, RUN_FILE
from slcolm_services.training.versions import versions
from slcolm_services.training.vocabulary import (
    PAD_ID,
    SPECIAL_TOKENS,
    folding_tokenizer,
)

_LONGEST = 512
"""Tokens of a text: rotary positions have no end, but the encoder has seen shorter texts only."""
_CURVE_LINES = 20


def export_encoder(run: Path, target: Path, *, data: str = "") -> RunState:
    """Write the encoder of a run's last checkpoint.

    The weights are stored in float16 and loaded in whatever is asked for.

    Args:
        run: Folder of the run, finished or not.
        target: Folder; files of an earlier export are replaced, others stay.
        data: For the card: what the corpus is, and what is known of its licence.

    Returns:
        How far the run was.

    Raises:
        ConfigInvalid: `run` is no run with a checkpoint, or `target` cannot be written.
    """
    try:
        content = json.loads((run / RUN_FILE).read_bytes())
        vocabulary = read_vocabulary(run / CORPUS_FOLDER)
    except OSError as error:
        raise ConfigInvalid(
            f"{run} is no folder of a pre-training run: {error.strerror or error}",
            violations=[FieldViolation("out", "must be the folder of a run")],
        ) from error
    recipe = Recipe(**content["recipe"])
    model = MaskedCharacters(recipe, len(vocabulary))
    state = PretrainingCheckpoints(run).load_weights(model)
    records = [r for r in History(run / "history.jsonl").records() if r.step <= state.step]
    card = {
        "data": {"description": data, "digest": content["corpus"]},
        "objective": "masked characters, in runs of one to four",
        "recipe": recipe.as_dict(),
        "vocabulary": len(vocabulary),
        "parameters": sum(weight.numel() for weight in model.encoder.parameters()),
        "tokens": state.tokens,
        "seconds": round(state.seconds),
        "budget_spent": round(min(1.0, state.spent), 4),
        "history": [asdict(record) for record in records],
        "versions": versions(),
    }
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with without_progress_bars():
            _write_encoder(model, vocabulary.characters, partial)
        text = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
        (partial / "card.json").write_text(text, encoding="utf-8")
        (partial / "README.md").write_text(_as_markdown(card, records), encoding="utf-8")
        target.mkdir(exist_ok=True)
        for path in partial.iterdir():
            path.replace(target / path.name)
    except OSError as error:
        problem = error.strerror or str(error)
        raise ConfigInvalid(
            f"{target} cannot be written: {problem}",
            violations=[FieldViolation("export", problem)],
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return state


def _write_encoder(model: MaskedCharacters, characters: Sequence[str], folder: Path) -> None:
    low = model.encoder.half()  # type: ignore[no-untyped-call]
    low.save_pretrained(folder)
    # The library makes it readable for its owner alone.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer = folding_tokenizer(characters)
    fast: Any = PreTrainedTokenizerFast  # the library gives it no types
    padding, unknown, first, last = SPECIAL_TOKENS
    fast(
        tokenizer_object=tokenizer,
        pad_token=padding,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        model_max_length=_LONGEST,
        padding_side="right",
    ).save_pretrained(folder)
    assert tokenizer.token_to_id(padding) == PAD_ID  # noqa: S101  the blocks say so too


def _as_markdown(card: dict[str, Any], records: Sequence[Record]) -> str:
    recipe = card["recipe"]
    every = max(1, -(-len(records) // _CURVE_LINES))
    shown = [
        record for index, record in enumerate(records) if (len(records) - 1 - index) % every == 0
    ]
    lines = [
        "# Character encoder for classical Chinese",
        "",
        (
            f"{recipe['layers']} layers of {recipe['hidden_size']}, {card['vocabulary']} ids, "
            f"{card['parameters'] / 1e6:.1f} million weights in float16. Pre-trained with "
            f"{card['objective']}, on {card['tokens'] / 1e6:.1f} million tokens of text in "
            f"{card['seconds'] / 60:.0f} minutes."
        ),
        "",
        "## Data",
        "",
        card["data"]["description"] or "Not described.",
        "",
        f"SHA-256 of the files: `{card['data']['digest']}`.",
        "",
        "## Loss",
        "",
        (
            "Mean cross-entropy of masked characters, in nats. The last column is of passages that "
            "were held out, always the same ones with the same masks."
        ),
        "",
        "| million tokens | minutes | training | held out |",
        "|---:|---:|---:|---:|",
        *(
            f"| {record.tokens / 1e6:.2f} | {record.seconds / 60:.1f} | {record.loss:.3f} | "
            f"{record.validation_loss or math.nan:.3f} |"
            for record in shown
        ),
        "",
        "## Limits",
        "",
        "- What it has read is all it knows: other periods and kinds of text are strange to it.",
        (
            "- One token a character. Traditional and variant characters are folded to simplified "
            "ones by the tokenizer, which keeps offsets; different characters that fold to one "
            "(後 and 后) are one to it."
        ),
        (
            "- Characters outside the vocabulary are one unknown token. Training a model on texts "
            "with such characters gives them embeddings of their own."
        ),
        f"- It has seen texts of up to {recipe['block_tokens']} tokens, and takes {_LONGEST}.",
        "- It has its texts' view of people and peoples: it is for finding what a text says.",
        "",
        "Settings, versions and the whole curve are in `card.json`.",
    ]
    return "\n".join(lines) + "\n"
