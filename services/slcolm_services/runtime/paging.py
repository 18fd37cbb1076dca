"""Pages of lists (AIP-158): opaque tokens, a bounded page size."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from slcolm_services.errors import FieldViolation, InvalidInput

_DEFAULT_SIZE = 50
_MAX_SIZE = 1000
ItemT = TypeVar("ItemT")


def page(items: Sequence[ItemT], size: int, token: str) -> tuple[Sequence[ItemT], str]:
    """One page of `items`, and the token of the next.

    Args:
        items: The whole list, in a stable order.
        size: Items per page; 0 means 50, more than 1000 is taken as 1000.
        token: Token of an earlier page; empty for the first.

    Returns:
        The page, and the next token, empty at the end.

    Raises:
        InvalidInput: The size is negative or the token was not made here.
    """
    if size < 0:
        raise InvalidInput(
            "page_size must not be negative",
            violations=[FieldViolation("page_size", f"must be 0 or more, got {size}")],
        )
    start = _decode(token) if token else 0
    end = start + min(size or _DEFAULT_SIZE, _MAX_SIZE)
    return items[start:end], _encode(end) if end < len(items) else ""


def _encode(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _decode(token: str) -> int:
    try:
        offset = int(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        offset = -1
    if offset < 0:
        raise InvalidInput(
            "page_token is not one of ours",
            violations=[FieldViolation("page_token", "must come from the page before")],
        )
    return offset
