"""Tokens are always places in the text as it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from slcolm_services.errors import InvalidInput, ModelInvalid, ModelNotFound, TextTooLong
from slcolm_services.model.tokenization import TextTokenizer, align, pad

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
CORPUS = ["the mayor of Washington lives in Washington", "王安石為相,封荊國公。"]


def _framed(tokenizer: Tokenizer) -> Tokenizer:
    frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=frame
    )
    return tokenizer


def characters() -> Tokenizer:
    """One token a code point, as the built-in encoder has it."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _framed(tokenizer)


def byte_pieces() -> Tokenizer:
    """Byte-level BPE, as RoBERTa has it: a character may be several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _framed(tokenizer)


def word_pieces() -> Tokenizer:
    """WordPiece with BERT's normaliser: lower case, no accents, no control characters."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _framed(tokenizer)


def compatible() -> Tokenizer:
    """Compatibility normalisation, where one character may become several."""
    tokenizer = characters()
    tokenizer.normalizer = normalizers.NFKC()
    return tokenizer


KINDS = {
    kind.__name__: TextTokenizer(kind())
    for kind in (characters, byte_pieces, word_pieces, compatible)
}
texts = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("王𠀀𪚥é\u0301\u200d \t\u3000㍿ﬁA🏴"),
    ),
    max_size=40,
)


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts)
def test_spans_are_trimmed_pieces_of_the_text_and_align_back(kind: str, text: str) -> None:
    """Every candidate span is a non-empty piece without outer whitespace; no two are the same."""
    encoded = KINDS[kind].encode(text)
    firsts, widths = np.nonzero(encoded.candidates(6))
    seen = set()
    for first, width in zip(firsts.tolist(), widths.tolist(), strict=True):
        start, end = int(encoded.starts[first]), int(encoded.ends[first + width])
        assert 0 <= start < end <= len(text)
        assert text[start:end].strip() == text[start:end]
        assert align(encoded, start, end) == (first, first + width + 1)
        assert (start, end) not in seen
        seen.add((start, end))


@given(text=texts)
def test_a_character_tokenizer_can_name_every_range_that_is_not_whitespace(text: str) -> None:
    encoded = KINDS["characters"].encode(text)
    assert len(encoded) == len(text) + 2
    for position, character in enumerate(text):
        expected = None if character.isspace() else (position + 1, position + 2)
        assert align(encoded, position, position + 1) == expected


def test_a_sub_word_span_is_the_words_without_the_space_before() -> None:
    text = "the mayor of Washington"
    encoded = KINDS["byte_pieces"].encode(text)
    span = align(encoded, 4, 9)
    assert span is not None
    assert text[encoded.starts[span[0]] : encoded.ends[span[1] - 1]] == "mayor"


def test_a_boundary_inside_a_token_aligns_to_nothing() -> None:
    encoded = KINDS["byte_pieces"].encode("in Washington")
    widest = int(np.argmax(encoded.ends - encoded.starts))
    start, end = int(encoded.starts[widest]), int(encoded.ends[widest])
    assert end - start > 1, "the tokenizer was trained to have this word as a piece"
    assert align(encoded, start, end) == (widest, widest + 1)
    assert align(encoded, start + 1, end) is None
    assert align(encoded, start, end - 1) is None


def test_a_character_of_several_tokens_is_one_span() -> None:
    encoded = KINDS["byte_pieces"].encode("a𠀀b")
    span = align(encoded, 1, 2)
    assert span is not None
    assert span[1] - span[0] > 1
    assert encoded.candidates(8).sum() == 6, "a, a𠀀, a𠀀b, 𠀀, 𠀀b, b"


def test_accents_and_case_do_not_move_offsets() -> None:
    text = "É\u0301cole WASHINGTON"
    encoded = KINDS["word_pieces"].encode(text)
    span = align(encoded, 7, 17)
    assert span is not None
    assert text[encoded.starts[span[0]] : encoded.ends[span[1] - 1]] == "WASHINGTON"


def test_text_that_looks_like_a_special_token_is_text() -> None:
    tokenizer = KINDS["characters"]
    encoded = tokenizer.encode("[SEP]")
    assert len(encoded) == 7
    assert encoded.may_start.sum() == 5


def test_a_text_beyond_the_limit_names_both_counts() -> None:
    tokenizer = TextTokenizer(characters(), max_tokens=10)
    assert len(tokenizer.encode("一" * 8)) == 10
    with pytest.raises(TextTooLong, match=r"9 characters in 11 tokens.*at most 10") as caught:
        tokenizer.encode("一" * 9)
    assert caught.value.metadata == {"characters": "9", "tokens": "11", "limit": "10"}


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput, match="code point 2"):
        KINDS["characters"].encode("ab\ud800")


def test_truncation_and_padding_in_the_file_are_off(tmp_path: Path) -> None:
    tokenizer = characters()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["truncation"] is not None
    assert len(TextTokenizer.load(path).encode("一" * 30)) == 32


def test_a_missing_or_broken_file_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ModelNotFound):
        TextTokenizer.load(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ModelInvalid, match=r"tokenizer\.json is not a tokenizer"):
        TextTokenizer.load(path)


def test_padding_fills_the_right_with_the_padding_token() -> None:
    tokenizer = KINDS["byte_pieces"]
    ids, mask = pad([tokenizer.encode("a"), tokenizer.encode("in the")], tokenizer.pad_id)
    assert ids.shape == mask.shape
    assert mask[0].tolist() == [1] * 3 + [0] * (ids.shape[1] - 3)
    assert (ids[0, 3:] == tokenizer.pad_id).all()


@given(st.text(st.sampled_from("the mayor王安石為,。 \n\u0301𠀀é"), max_size=80))
def test_a_text_in_parts_has_the_tokens_of_the_text(text: str) -> None:
    for make in (characters, byte_pieces, word_pieces):
        tokenizer = TextTokenizer(make())
        whole, framed = tokenizer.encode(text), tokenizer.frame(tokenizer.tokens(text))
        for name in ("ids", "starts", "ends"):
            np.testing.assert_array_equal(getattr(framed, name), getattr(whole, name))
        assert tokenizer.frame_tokens == 2


@pytest.mark.parametrize("make", [characters, word_pieces])
def test_a_text_of_many_pieces_has_the_tokens_of_the_text(make: Callable[[], Tokenizer]) -> None:
    text = "王安石為相,the mayor lives。 in Washington\n" * 2000
    tokenizer = TextTokenizer(make())
    whole, framed = tokenizer.encode(text), tokenizer.frame(tokenizer.tokens(text))
    for name in ("ids", "starts", "ends"):
        np.testing.assert_array_equal(getattr(framed, name), getattr(whole, name))
