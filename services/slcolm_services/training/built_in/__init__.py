"""The pre-trained built-in encoder that ships with SLCoLM, where it does.

The folder holds `config.json`, `model.safetensors`, the tokenizer, and a card that says what it
was made of. `slcolm pretrain --export` writes it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
"""As `AutoModel.from_pretrained` takes it."""

_WEIGHTS = "model.safetensors"


def is_installed() -> bool:
    """Whether the weights are there: a source tree may come without them."""
    return (FOLDER / _WEIGHTS).is_file()


@cache
def weights_digest() -> str:
    """SHA-256 of the weights in hexadecimal; empty where there are none."""
    if not is_installed():
        return ""
    return hashlib.sha256((FOLDER / _WEIGHTS).read_bytes()).hexdigest()
