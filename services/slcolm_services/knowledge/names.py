"""When two mentions have one name. Names are compared in one form and shown as they stand."""

from __future__ import annotations

from slcolm_services.corpus.script import fold

# 汝, 焉 and the like are left out: where they are annotated, they are mostly names (the river 汝).
_CHINESE = (
    "之 其 吾 我 余 予 朕 孤 寡人 尔 彼 此 己 自 你 您 他 她 它 我们 你们 他们 她们 它们 咱们 自己 "
    "这 那 这个 那个 这些 那些"
)
_ENGLISH = (
    "I me my mine you your yours he him his she her hers it its we us our ours they them their "
    "theirs myself yourself himself herself itself ourselves themselves this that these those "
    "one ones which who whom whose what"
)
_PRONOUNS = frozenset(f"{_CHINESE} {_ENGLISH}".split())


def name_key(text: str) -> str:
    """The form in which names are compared: 尙書郎 is 尚书郎, and NEW  YORK is New York.

    Script variants and widths are folded (`corpus.script`), so is case, and whitespace is one
    space; between ideographs, where a line may have been broken, it is nothing.

    Returns:
        The form; empty for a text of whitespace alone.
    """
    key = ""
    for word in fold(text).casefold().split():
        broken = not key or (_is_ideograph(key[-1]) and _is_ideograph(word[0]))
        key += word if broken else f" {word}"
    return key


def is_pronoun(text: str) -> bool:
    """Whether a mention stands for a name and is none. `It` does, `US` and `WHO` are names."""
    written = fold(text)
    return written in _PRONOUNS or written[:1].lower() + written[1:] in _PRONOUNS


def _is_ideograph(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or character >= "\U00020000"
