"""Which encoder a training run takes where nobody names one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from tokenizers import Tokenizer

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training import built_in

BUILT_IN = "built-in"
"""Name of the pre-trained encoder that ships with SLCoLM."""
RANDOM = "random"
"""Name of a character encoder that starts from random weights."""
CHARACTER_MODEL = "slcolm-character"
"""Model type of both, as `config.json` of an encoder's folder has it."""

_LEAST_HAN = 0.5
"""Share of letters that are Chinese characters, from which on texts are mostly Chinese."""
_LEAST_KNOWN = 0.95
"""Share of Chinese characters that the vocabulary must hold for its encoder to be of use."""


class Kind(Enum):
    """Kinds of encoders that are trained differently."""

    SCRATCH = "scratch"
    CHARACTER = "character"
    TRANSFORMERS = "transformers"


def choose_encoder(name: str, texts: Iterable[str]) -> str:
    """The encoder that is meant: `name`, or where it is empty what suits the texts.

    Raises:
        ConfigInvalid: The built-in encoder is asked for and did not come with this installation.
    """
    if name == BUILT_IN and not built_in.is_installed():
        problem = "did not come with this installation"
        raise ConfigInvalid(
            f"the built-in encoder {problem}",
            violations=[FieldViolation("options.encoder", problem)],
        )
    if name:
        return name
    if not built_in.is_installed():
        return RANDOM
    tokenizer = Tokenizer.from_file(str(built_in.FOLDER / "tokenizer.json"))
    return BUILT_IN if suits(tokenizer, texts) else RANDOM


def kind_of(encoder: str) -> Kind:
    """The kind of an encoder by its name or path; no name is that of random weights."""
    if encoder in ("", RANDOM):
        return Kind.SCRATCH
    if encoder == BUILT_IN:
        return Kind.CHARACTER
    try:
        model_type = json.loads((Path(encoder) / "config.json").read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        # A name of the hub, or a folder that cannot be loaded: loading it says what is wrong.
        return Kind.TRANSFORMERS
    return Kind.CHARACTER if model_type == CHARACTER_MODEL else Kind.TRANSFORMERS


def suits(tokenizer: Tokenizer, texts: Iterable[str]) -> bool:
    """Whether texts are mostly Chinese characters, nearly all of which the vocabulary holds.

    Variants count as the standard forms that the tokenizer folds them to.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for character in text:
            counts[character] = counts.get(character, 0) + 1
    letters = {c: count for c, count in counts.items() if unicodedata.category(c)[0] == "L"}
    chinese = {c: count for c, count in letters.items() if _is_chinese(c)}
    known = sum(
        count
        for c, count in chinese.items()
        if tokenizer.token_to_id(standard_form(tokenizer, c)) is not None
    )
    total = sum(chinese.values())
    return total > _LEAST_HAN * sum(letters.values()) and known > _LEAST_KNOWN * total


def standard_form(tokenizer: Tokenizer, character: str) -> str:
    """A character as the tokenizer's vocabulary would have it."""
    normalizer = tokenizer.normalizer
    return str(normalizer.normalize_str(character)) if normalizer is not None else character


def _is_chinese(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK ")
