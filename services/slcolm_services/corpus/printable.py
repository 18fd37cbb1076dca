"""Text that is not ours, made fit to be shown: it can say anything, and do nothing.

A terminal obeys control characters: some clear the screen, write the clipboard or hide what
follows. Marks of writing direction turn what is read round. Both are shown by their names instead.
"""

from __future__ import annotations

import re

_DIRECTION = "\u202a-\u202e\u2066-\u2069"
_SEPARATORS = "\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
_UNFIT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_SEPARATORS}{_DIRECTION}{_SURROGATES}]")
_UNFIT_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_SEPARATORS}{_DIRECTION}{_SURROGATES}]")
_UNFIT_JSON = re.compile(f"[\x7f-\x9f{_SEPARATORS}{_DIRECTION}{_SURROGATES}]")


def printable(text: str) -> str:
    """A text for a terminal; lines and tabs stay."""
    return _UNFIT.sub(_named, text)


def printable_line(text: str) -> str:
    """A text for one line of a terminal or of a log."""
    return _UNFIT_LINE.sub(_named, text)


def printable_json(written: str) -> str:
    """A JSON document, or a line of one, that says the same.

    JSON has no control characters below U+0020. The others can stand in its strings alone, where
    they may be written as escapes.
    """
    return _UNFIT_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def _named(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  two digits
