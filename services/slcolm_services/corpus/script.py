"""Script variants: one character for another, for matching only, never for output.

Traditional and simplified characters, variant characters of old prints and full-width forms are
folded to one standard form. The map takes one character to one character, so that offsets in the
folded text are offsets in the text itself. Phrase rules (`頭髮` to `头发`) would find more and lose
that, hence OpenCC's `t2s` is asked for each character alone.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import opencc

# Printed variants that OpenCC leaves apart. Each is one word with its standard form in names of
# persons, places and offices: 尙書 is 尚书, 隷屬 is 隶属, 鍾繇 is printed 锺繇 and 钟繇.
_VARIANTS = {
    "尙": "尚", "郞": "郎", "隷": "隶", "锺": "钟", "钜": "巨", "馀": "余",
    "坂": "阪", "彊": "强", "戸": "户", "靑": "青", "緖": "绪", "擧": "举",
    "姪": "侄", "甯": "宁", "寗": "宁", "黒": "黑", "曁": "暨", "歴": "历",
    "歳": "岁", "徳": "德", "兎": "兔", "兪": "俞", "揷": "插", "眀": "明",
    "畧": "略", "秊": "年", "葢": "盖", "廵": "巡", "勅": "敕",
    "餙": "饰", "菓": "果", "筭": "算", "寳": "宝", "凖": "准", "㓜": "幼",
    "呉": "吴", "髙": "高", "慿": "凭", "冦": "寇", "㓂": "寇", "恠": "怪",
    "讐": "雠", "帋": "纸", "驩": "欢", "愼": "慎", "淸": "清",
}  # fmt: skip


def fold(text: str) -> str:
    """Fold script variants, character by character.

    Args:
        text: Any text; lone surrogates pass through.

    Returns:
        A text of the same length (code points) in which variants of a character are equal. Folding
        twice changes nothing more.
    """
    return text.translate(_table())


def find_mention(text: str, mention: str) -> list[tuple[int, int]]:
    """Find every occurrence of a mention, whatever the script it is written in.

    Args:
        text: The text to search.
        mention: What to look for; the empty mention occurs nowhere.

    Returns:
        Half-open ranges (code points of `text`) from left to right; they may overlap. Where the
        mention stands in the text exactly as it is written, only those occurrences are given.
    """
    return _occurrences(text, mention) or _occurrences(fold(text), fold(mention))


def _occurrences(text: str, mention: str) -> list[tuple[int, int]]:
    if not mention:
        return []
    found = []
    start = text.find(mention)
    while start >= 0:
        found.append((start, start + len(mention)))
        start = text.find(mention, start + 1)
    return found


@cache
def _table() -> dict[int, int]:
    """The character map, closed: every target stands for itself. Built once, in about 0.1 s."""
    steps = [_compatibility_forms(), _simplified_forms(), _VARIANTS]
    table: dict[int, int] = {}
    for source in sorted(set().union(*steps)):
        target, seen = source, {source}
        while True:
            after = next((step[target] for step in steps if target in step), target)
            if after in seen:
                break
            seen.add(after)
            target = after
        if target != source:
            table[ord(source)] = ord(target)
    return table


def _compatibility_forms() -> dict[str, str]:
    """Full and half width forms and compatibility ideographs: Unicode NFKC, where one to one."""
    forms = {}
    for code in range(0x3000, sys.maxunicode + 1):
        character = chr(code)
        decomposition = unicodedata.decomposition(character)
        if not decomposition:
            continue
        ideograph = unicodedata.category(character) == "Lo" and not decomposition.startswith("<")
        if ideograph or decomposition.startswith(("<wide>", "<narrow>")):
            normal = unicodedata.normalize("NFKC", character)
            if len(normal) == 1 and normal != character:
                forms[character] = normal
    return forms


def _simplified_forms() -> dict[str, str]:
    """OpenCC's traditional to simplified, one character at a time.

    The characters go in on lines of their own: OpenCC's phrases do not reach over a line's end.
    """
    ideographs = [
        chr(code)
        for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x323AF))
        for code in range(first, last + 1)
    ]
    simplified = opencc.OpenCC("t2s").convert("\n".join(ideographs)).split("\n")
    return {
        character: form
        for character, form in zip(ideographs, simplified, strict=True)
        if len(form) == 1 and form != character
    }
