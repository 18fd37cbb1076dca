"""Texts as token ids, and tokens as code points of the text.

The tokenizer only looks at the text. Where it normalises (lower case, accents, control characters)
it keeps track of where each token came from, so every offset here counts code points of the text
as the caller sent it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from slcolm_services.corpus.windows import windows
from slcolm_services.errors import InvalidInput, ModelInvalid, ModelNotFound, TextTooLong

_MAX_FILE_BYTES = 256 * 1024 * 1024
_CANNOT_READ = "the model's tokenizer cannot read a text"
_PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")
_PIECE_CHARACTERS = 16_384
"""Code points that are tokenized at once: Python objects for every token then exist."""


@dataclass(frozen=True)
class Encoded:
    """A text of L tokens, special tokens included.

    Surrounding whitespace belongs to no token: a token that a sub-word model writes as ` word`
    starts at the `w`. Special tokens and tokens of nothing but whitespace are empty
    (`starts == ends`).

    Attributes:
        ids: int64[L], vocabulary ids.
        starts: int64[L], first code point of each token; 0 for special tokens.
        ends: int64[L], one past the last code point; 0 for special tokens.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def may_start(self) -> NDArray[np.bool_]:
        """bool[L]: tokens that a span may start with.

        A token that shares its first code point with the token before it (the bytes of one
        character, the letters of a ligature) starts no span: the text cannot be cut there.
        """
        previous = np.concatenate(([0], self.ends[:-1]))
        return (self.starts < self.ends) & (self.starts >= previous)

    @cached_property
    def may_end(self) -> NDArray[np.bool_]:
        """bool[L]: tokens that a span may end with; the mirror image of `may_start`."""
        following = np.concatenate((self.starts[1:], [0]))
        last = np.concatenate((self.ends[1:] == 0, [True]))
        return (self.starts < self.ends) & (last | (self.ends <= following))

    def candidates(self, max_span_tokens: int) -> NDArray[np.bool_]:
        """bool[L, W]: whether the span of w+1 tokens from token i may be an entity.

        W is `max_span_tokens`. Never true where a span holds a special token or leaves the text.
        """
        length = len(self)
        last = np.arange(length)[:, None] + np.arange(max_span_tokens)[None, :]
        ends = self.may_end[np.minimum(last, length - 1)]
        return np.asarray(self.may_start[:, None] & ends & (last < length))


class TextTokenizer:
    """A `tokenizers` file as the model reads texts. Safe to use from many threads.

    Truncation and padding that the file may ask for are off. Text that looks like a special token
    (`[SEP]`) is text.

    Attributes:
        pad_id: Vocabulary id that `pad` fills with; 0 where the vocabulary has no padding token.
        max_tokens: Longest text in tokens, special tokens included; None for no limit.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int | None = None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        ids = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
        self.pad_id = next((found for found in ids if found is not None), 0)

    @classmethod
    def load(cls, path: Path, *, max_tokens: int | None = None) -> TextTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            ModelNotFound: There is no such file.
            ModelInvalid: It is not a tokenizer, or too large for one.
        """
        if not path.is_file():
            raise ModelNotFound(f"there is no tokenizer at {path}", metadata={"path": str(path)})
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ModelInvalid(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
        with _as_invalid(f"{path} is not a tokenizer"):
            tokenizer = Tokenizer.from_file(str(path))
        return cls(tokenizer, max_tokens=max_tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added tokens included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> Encoded:
        """Tokens of a text between the special tokens that the model expects.

        Raises:
            TextTooLong: More tokens than `max_tokens`.
            InvalidInput: The text holds half a surrogate pair and thus is no Unicode text.
            ModelInvalid: The file is a tokenizer that cannot read the text.
        """
        _check_unicode(text)
        with _as_invalid(_CANNOT_READ):
            encoding = self._tokenizer.encode(text)
        count = len(encoding)
        if self.max_tokens is not None and count > self.max_tokens:
            raise TextTooLong(
                f"the text has {len(text)} characters in {count} tokens, "
                f"the model reads at most {self.max_tokens} tokens",
                metadata={
                    "characters": str(len(text)),
                    "tokens": str(count),
                    "limit": str(self.max_tokens),
                },
            )
        return _encoded(encoding, text)

    def tokens(self, text: str) -> Encoded:
        """Tokens of a text of any length, without special tokens; see `frame`.

        A long text is read in pieces that end where sentences end, so that memory grows by a few
        bytes a character only. Where a tokenizer joins spaces to the words after them, the first
        word of a piece lacks its own.

        Raises:
            InvalidInput: The text holds half a surrogate pair and thus is no Unicode text.
            ModelInvalid: The file is a tokenizer that cannot read the text.
        """
        _check_unicode(text)
        ids, starts, ends = [], [], []
        for piece in windows(text, _PIECE_CHARACTERS, 0):
            part = text[piece.start : piece.end]
            with _as_invalid(_CANNOT_READ):
                encoding = self._tokenizer.encode(part, add_special_tokens=False)
            encoded = _encoded(encoding, part)
            ids.append(encoded.ids)
            starts.append(encoded.starts + piece.start)
            ends.append(encoded.ends + piece.start)
        nothing = np.empty(0, dtype=np.int64)
        return Encoded(*(np.concatenate([nothing, *parts]) for parts in (ids, starts, ends)))

    def frame(self, tokens: Encoded) -> Encoded:
        """Tokens between the special tokens that the model expects, whatever their number."""
        before, after = self._frame
        first, last = np.zeros_like(before), np.zeros_like(after)
        return Encoded(
            np.concatenate([before, tokens.ids, after]),
            np.concatenate([first, tokens.starts, last]),
            np.concatenate([first, tokens.ends, last]),
        )

    @cached_property
    def frame_tokens(self) -> int:
        """Number of special tokens around a text."""
        return sum(len(part) for part in self._frame)

    @cached_property
    def _frame(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids of the special tokens before and after a text."""
        encoding = self._tokenizer.encode("a")
        text = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        first, end = (text[0], text[-1] + 1) if len(text) else (len(encoding), len(encoding))
        ids = np.array(encoding.ids, dtype=np.int64)
        return ids[:first], ids[end:]


@contextmanager
def _as_invalid(problem: str) -> Iterator[None]:
    """Turn whatever the Rust side raises into an error of ours; it raises bare exceptions."""
    try:
        yield
    except Exception as error:
        raise ModelInvalid(f"{problem}: {error}") from error
    except BaseException as error:
        # A panic of Rust's, by a class that cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise ModelInvalid(f"{problem}: {error}") from error


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"code point {error.start} of the text is half a surrogate pair",
            metadata={"position": str(error.start)},
        ) from error


def _encoded(encoding: Encoding, text: str) -> Encoded:
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    offsets[np.array(encoding.special_tokens_mask, dtype=bool)] = 0
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    spaces = np.array([character.isspace() for character in text], dtype=bool)
    if spaces.any():
        # next_text[i]: first position >= i that is no space; last_text[i]: one past the last < i.
        positions = np.arange(len(text) + 1)
        is_space = np.append(spaces, False)
        next_text = np.minimum.accumulate(np.where(is_space, len(text), positions)[::-1])[::-1]
        is_space = np.insert(spaces, 0, False)
        last_text = np.maximum.accumulate(np.where(is_space, 0, positions))
        real = starts < ends
        starts[real] = np.minimum(next_text[starts[real]], ends[real])
        ends[real] = np.maximum(last_text[ends[real]], starts[real])
    return Encoded(np.array(encoding.ids, dtype=np.int64), starts, ends)


def align(encoded: Encoded, start: int, end: int) -> tuple[int, int] | None:
    """Token range of a range of code points.

    Args:
        encoded: A text's tokens.
        start: First code point.
        end: One past the last code point.

    Returns:
        First token and one past the last, or None where a boundary falls inside a token: the model
        can neither learn nor predict such a span.
    """
    first = np.flatnonzero(encoded.may_start & (encoded.starts == start))
    last = np.flatnonzero(encoded.may_end & (encoded.ends == end))
    if not len(first) or not len(last) or first[0] > last[0]:
        return None
    return int(first[0]), int(last[0]) + 1


def pad(
    encodings: Sequence[Encoded], pad_id: int, *, multiple: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Texts as one batch, padded on the right to the longest.

    Args:
        encodings: At least one text.
        pad_id: What to pad with.
        multiple: Pad on to a multiple of so many tokens.

    Returns:
        Input ids int64[B, L] and attention mask int64[B, L], which is 1 at tokens.
    """
    longest = max(len(encoded) for encoded in encodings)
    length = -(-longest // multiple) * multiple
    ids = np.full((len(encodings), length), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoded in enumerate(encodings):
        ids[row, : len(encoded)] = encoded.ids
        mask[row, : len(encoded)] = 1
    return ids, mask
