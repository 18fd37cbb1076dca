"""`report.html`: the report of a run as one page that opens without network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

GoldTriple = tuple[str, str, str]
"""Head text, tail text, relation type."""

_SYSTEMS = ("slm", "llm", "merged")
_REVISIONS = ("kept", "dropped", "relabelled", "added")


def render_page(
    report: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    gold: Mapping[str, Iterable[GoldTriple]],
    *,
    seconds: Mapping[str, float],
) -> str:
    """The page of a run.

    Every text, label and explanation is escaped, in the markup and in the embedded data.

    Args:
        report: What `build_report` returned.
        lines: Lines of `merged.jsonl`, in the order of the data set.
        gold: Gold triples by document id; an id that is missing has none.
        seconds: Wall time of the finished stages, in seconds.

    Returns:
        HTML that refers to nothing outside itself.
    """
    answers = {name: frozenset(triples) for name, triples in gold.items()}
    guide = "rules" if report["answers"]["test"]["offline_rules"] else "LLM"
    sentences = [_sentence(line, answers.get(line["id"], frozenset())) for line in lines]
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            guide=guide,
            labels={"slm": "SLM", "llm": guide, "merged": "Merged"},
            relations=_relations(report),
            differences=_differences(report["merged_minus_slm"]),
            revisions=_revisions(sentences),
            sources=_sources(sentences),
            sentences=sentences,
            seconds=seconds,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("slcolm_services.coordinator"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The filter `tojson` escapes <, >, & and ' so that no value can close the script element.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["points"] = lambda value: f"{100 * value:+.1f}"
    return environment


def _relations(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each relation type, the most frequent in training first."""
    scores = {name: report[name]["strict"]["per_relation"] for name in _SYSTEMS}
    rows: dict[str, dict[str, Any]] = {}
    for name in _SYSTEMS:
        for relation, item in scores[name].items():
            row = rows.setdefault(
                relation,
                {
                    "type": relation,
                    "training": item["training_count"],
                    "gold": item["counts"][2],
                    **dict.fromkeys(_SYSTEMS, 0.0),
                },
            )
            row[name] = item["f"]
    return sorted(rows.values(), key=lambda row: (-row["training"], row["type"]))


def _differences(differences: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    names = {"micro_f1": "Micro F1", "macro_f1_pr": "Macro F1"}
    return [
        {"name": name, **differences[key], "verdict": _verdict(differences[key])}
        for key, name in names.items()
    ]


def _verdict(difference: Mapping[str, float]) -> str:
    if difference["low"] > 0:
        return "Merged is better than the SLM alone, beyond chance."
    if difference["high"] < 0:
        return "Merged is worse than the SLM alone, beyond chance."
    return "Within chance: the interval contains zero, so no difference is shown."


def _sentence(line: Mapping[str, Any], gold: frozenset[GoldTriple]) -> dict[str, Any]:
    """A line with every triple and revision judged against gold, as the page's script reads it."""
    found = {_key(triple) for triple in line["triples"]}
    return {
        "id": line["id"],
        "text": line["text"],
        "entities": line["entities"],
        "triples": [
            {**triple, "verdict": "right" if _key(triple) in gold else "wrong"}
            for triple in line["triples"]
        ]
        + [
            {"head": head, "tail": tail, "type": relation, "sources": [], "verdict": "missed"}
            for head, tail, relation in sorted(gold - found)
        ],
        "revisions": [
            # To drop a triple is right when gold does not have it.
            {**item, "right": (_key(item) in gold) != (item["kind"] == "dropped")}
            for item in line.get("revisions", ())
        ],
        "explanation": line.get("explanation", ""),
        "problem": line.get("error") or line.get("answer", {}).get("missing", ""),
    }


def _key(triple: Mapping[str, Any]) -> GoldTriple:
    return triple["head"], triple["tail"], triple["type"]


def _revisions(sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter(
        (item["kind"], item["right"]) for line in sentences for item in line["revisions"]
    )
    return [
        {"kind": kind, "right": counts[kind, True], "wrong": counts[kind, False]}
        for kind in _REVISIONS
    ]


def _sources(sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter(
        (tuple(triple["sources"]), triple["verdict"])
        for line in sentences
        for triple in line["triples"]
        if triple["verdict"] != "missed"
    )
    return [
        {
            "sources": sources,
            "right": counts[sources, "right"],
            "wrong": counts[sources, "wrong"],
        }
        for sources in sorted({sources for sources, _ in counts})
    ]
