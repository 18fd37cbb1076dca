"""The scoring rules of the published SLCoLM scripts, quirks included.

It exists to reproduce the printed tables from recorded answers, and nothing else: a repeated line
is scored again, a repeated prediction costs precision once more, some relations match in both
directions whatever the task says. Use the strict protocol for anything new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import RecordedEntity, Recording
from slcolm_services.scoring.counts import Counts

UNDIRECTED = frozenset(
    [
        "别名",
        "地点别名",
        "攻伐",
        "位于",
        "生于地点",
        "政治奥援",
        "交谈",
        "作者",
        "见面",
        "合作",
        "游历",
        "死于地点",
    ]
)
"""Relations whose reversed pair is taken as right."""

WEAK_TYPES = frozenset(
    ["救援", "祖孙", "离开", "隶属于", "母", "归附", "死于时间", "旧臣", "害怕", "死于地点"]
)
"""The fixed list of mode 3: the ten lowest F1 of SpERT on the test set."""

THRESHOLD = 0.6
"""h of mode 2."""

_TYPE_WORDS = ("人物", "时间", "地点", "书籍", "职官", "团体")
_LABEL_DELETIONS = str.maketrans("", "", "（） ")

Pairs = dict[str, list[object]]
"""Relation label to its pairs, in order. A pair of an LLM may have any shape."""


def score_paper(
    recordings: Iterable[Recording], relation_types: Sequence[str]
) -> dict[str, dict[str, Counts]]:
    """Score every line in every mode of the paper.

    Args:
        recordings: All lines in order; a sentence that stands twice is scored twice.
        relation_types: The types that count; other labels cost nothing.

    Returns:
        Mode name to counts by relation type: `mode0` (the LLM with its own entities),
        `mode0_slm_filter` (the LLM with the SLM's entities) and the merges `mode1` to `mode4`.
    """
    lines = list(recordings)
    return {mode: _score(lines, relation_types, predict) for mode, predict in _MODES.items()}


def _score(
    lines: Sequence[Recording],
    relation_types: Sequence[str],
    predict: Callable[[Recording], Pairs],
) -> dict[str, Counts]:
    sums = {name: [0, 0, 0] for name in relation_types}
    for line in lines:
        gold, found = _pairs(line.gold_triples or ()), predict(line)
        for name, counts in sums.items():
            true, predicted = gold.get(name, []), found.get(name, [])
            counts[0] += sum(_is_found(pair, predicted, name) for pair in true)
            counts[1] += len(predicted)
            counts[2] += len(true)
    return {name: Counts(*counts) for name, counts in sums.items()}


def _is_found(pair: object, predicted: Sequence[object], name: str) -> bool:
    if pair in predicted:
        return True
    return name in UNDIRECTED and isinstance(pair, list) and pair[::-1] in predicted


def _pairs(triples: Iterable[Triple]) -> Pairs:
    by_type: Pairs = {}
    for triple in triples:
        by_type.setdefault(triple.type, []).append([triple.head, triple.tail])
    return by_type


# The modes. Merging comes before filtering, as in the scripts.


def _mode0(line: Recording) -> Pairs:
    return _filtered(_llm(line), _llm_entities(line.llm_entities or {}))


def _mode0_slm_filter(line: Recording) -> Pairs:
    return _filtered(_llm(line), _slm_entities(line.slm_entities))


def _mode1(line: Recording) -> Pairs:
    merged = _union(_pairs(line.slm_triples), _llm(line))
    return _filtered(merged, _slm_entities(line.slm_entities))


def _mode2(line: Recording) -> Pairs:
    sure = [triple for triple in line.slm_triples if (triple.prob or 0.0) > THRESHOLD]
    return _filtered(_union(_pairs(sure), _llm(line)), _slm_entities(line.slm_entities))


def _mode3(line: Recording) -> Pairs:
    strong = {kind: p for kind, p in _pairs(line.slm_triples).items() if kind not in WEAK_TYPES}
    return _filtered(_llm(line) | strong, _slm_entities(line.slm_entities))


def _mode4(line: Recording) -> Pairs:
    slm, llm = _pairs(line.slm_triples), _llm(line)
    merged = {kind: slm.get(kind, pairs) for kind, pairs in llm.items()}
    return _filtered(merged, _slm_entities(line.slm_entities))


_MODES: Mapping[str, Callable[[Recording], Pairs]] = {
    "mode0": _mode0,
    "mode0_slm_filter": _mode0_slm_filter,
    "mode1": _mode1,
    "mode2": _mode2,
    "mode3": _mode3,
    "mode4": _mode4,
}


def _union(slm: Pairs, llm: Pairs) -> Pairs:
    """The LLM's lists; an SLM relation that the LLM lacks is copied with its repetitions."""
    merged = {kind: list(pairs) for kind, pairs in llm.items()}
    for kind, pairs in slm.items():
        if kind not in merged:
            merged[kind] = list(pairs)
        else:
            for pair in pairs:
                if pair not in merged[kind]:
                    merged[kind].append(pair)
    return merged


def _llm(line: Recording) -> Pairs:
    """The answer's relations. Only the scripts for answers in JSON mode normalise labels."""
    relations = line.llm_relations or {}
    if not line.answer_is_object:
        return {label: _listed(pairs) for label, pairs in relations.items()}
    found: Pairs = {}
    for label, pairs in relations.items():
        short = _short_label(label)
        # A long form takes what stands under the short one; a later plain label replaces both.
        earlier = found.get(short, []) if "&" in label else []
        found[short] = [*_listed(pairs), *earlier]
    return found


def _short_label(label: str) -> str:
    """The label before the first `&`, without full-width brackets and spaces."""
    short = label.split("&", maxsplit=1)[0].translate(_LABEL_DELETIONS)
    return "其他" if short == "其他关系" else short


def _listed(value: object) -> list[object]:
    """What iterating over a listed value gives: a text gives its characters, an object its keys."""
    return list(value) if isinstance(value, (list, str, dict)) else []


def _llm_entities(entities: Mapping[str, object]) -> list[object]:
    return [mention for mentions in entities.values() for mention in _listed(mentions)]


def _slm_entities(entities: Iterable[RecordedEntity]) -> list[object]:
    """The SLM's mentions. One with a comma is split, and the later parts lose two characters."""
    mentions: list[object] = []
    for entity in entities:
        first, *rest = entity.text.split("，")
        mentions += [first, *(part[2:] for part in rest)]
    return mentions


def _filtered(pairs: Pairs, entities: Sequence[object]) -> Pairs:
    return {
        kind: [pair for raw in listed if (pair := _pair(raw, entities)) is not None]
        for kind, listed in pairs.items()
    }


def _pair(raw: object, entities: Sequence[object]) -> list[str] | None:
    """Two mentions out of a listed value, or None if it is no pair of known, different mentions."""
    if not isinstance(raw, list) or len(raw) < 2:  # noqa: PLR2004  head and tail
        return None
    head, tail = (_without_type_words(mention) for mention in raw[:2])
    if head is None or tail is None or head == tail:
        return None
    return [head, tail] if head in entities and tail in entities else None


def _without_type_words(mention: object) -> str | None:
    if not isinstance(mention, str):
        return None
    for word in _TYPE_WORDS:
        mention = mention.replace(word, "")
    return mention
