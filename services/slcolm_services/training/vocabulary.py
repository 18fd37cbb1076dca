"""Vocabularies of encoders that are made here, and the tokenizers that read them.

A text is read by code points where its language puts no spaces between words, as Chinese does.
Where there are spaces a code point says little and names are many code points long: there the
tokens are parts of words, learnt from the training texts by byte pair encoding (Sennrich et al.
2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers

from slcolm_services.training.folding import folding_normalizer

_PAD, _UNKNOWN, _CLS, _SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL_TOKENS = (_PAD, _UNKNOWN, _CLS, _SEP)
"""Tokens that stand for no text, in the order of their ids."""
PAD_ID, UNKNOWN_ID, CLS_ID, SEP_ID = range(len(SPECIAL_TOKENS))

_LEAST_SPACES = 0.05
"""Share of the code points that are white space, from which on it parts words.

English has about 0.17, Vietnamese and Korean more, Finnish 0.12; Chinese and Japanese next to none.
"""
_SUB_WORDS = 2000
_LEAST_COUNT = 2


def has_spaces(texts: Iterable[str]) -> bool:
    """Whether white space parts the words of texts."""
    length = spaces = 0
    for text in texts:
        length += len(text)
        spaces += sum(map(str.isspace, text))
    return spaces > _LEAST_SPACES * length


def character_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer with one token a code point; its vocabulary is the characters of `texts`."""
    return _tokenizer_of(sorted(set().union(*texts)))


def folding_tokenizer(characters: Sequence[str]) -> Tokenizer:
    """A tokenizer that folds script variants; the characters have their ids in this order."""
    tokenizer = _tokenizer_of(characters)
    tokenizer.normalizer = folding_normalizer()
    return tokenizer


def sub_word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer of parts of words and single punctuation marks, learnt from `texts`.

    The same texts give the same tokenizer, on which going on from a checkpoint relies. Case is
    kept: it tells names from other words.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    # Bytes, so that no character is unknown. A name may end at any punctuation mark.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=_SUB_WORDS,
        min_frequency=_LEAST_COUNT,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _framed(tokenizer)


def _tokenizer_of(characters: Sequence[str]) -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return _framed(tokenizer)


def _framed(tokenizer: Tokenizer) -> Tokenizer:
    """The same with special tokens around every text."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_CLS} $A {_SEP}", special_tokens=[(_CLS, CLS_ID), (_SEP, SEP_ID)]
    )
    return tokenizer
