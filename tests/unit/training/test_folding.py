"""The tokenizer's folding is that of the corpus room, for every character there is."""

from __future__ import annotations

import sys

import pytest
from tokenizers import Tokenizer, normalizers

from slcolm_services.corpus.script import fold
from slcolm_services.training.folding import character_map, folding_normalizer, variants
from slcolm_services.training.vocabulary import folding_tokenizer


def test_every_character_is_folded_as_texts_are_for_matching() -> None:
    normalizer = folding_normalizer()
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000 and (code > 0x2E80 or code < 0x3000):
            character = chr(code)
            assert normalizer.normalize_str(character) == fold(character), hex(code)


def test_a_text_of_variants_keeps_its_offsets_through_a_saved_tokenizer() -> None:
    characters = [character for character, _ in variants()]
    text = "".join(characters[::7])
    saved = folding_tokenizer(sorted(set(fold(text)))).to_str()
    encoding = Tokenizer.from_str(saved).encode(text)
    assert encoding.tokens[1:-1] == list(fold(text))
    assert encoding.offsets[1:-1] == [(index, index + 1) for index in range(len(text))]


@pytest.mark.parametrize(
    "pairs", [[("a", "b")], [("a", "b"), ("é", "e"), ("漢", "汉"), ("𠀀", "x"), ("ê", "e")]]
)
def test_characters_of_any_number_of_bytes_are_mapped_and_others_left(
    pairs: list[tuple[str, str]],
) -> None:
    normalizer = normalizers.Precompiled(character_map(pairs))
    for character, standard in pairs:
        assert normalizer.normalize_str(f"z{character}字") == f"z{standard}字"
    assert normalizer.normalize_str("zè汗𠀁b") == "zè汗𠀁b"
