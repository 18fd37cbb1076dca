"""Figures of the page that are tables and bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from slcolm_services.coordinator.report import SYSTEMS

_REVISIONS = ("kept", "dropped", "relabelled", "added")
_OFFSETS = {
    "entities": "Entities, exact",
    "boundaries": "Entities, boundaries only",
    "ner_strict": "NER strict",
    "ner_exact": "NER exact boundaries",
    "ner_partial": "NER partial boundaries",
    "ner_type": "NER type",
    "relations": "Relations, boundaries",
    "relations_strict": "Relations, boundaries and entity types",
}


def headline(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the first table: a figure of each system, with its interval where there is one."""
    micro, macro = ("micro",), ("macro",)
    rows: list[tuple[str, tuple[str, ...], str, str]] = [
        ("Micro F1", micro, "f", "f_interval"),
        ("Precision", micro, "p", ""),
        ("Recall", micro, "r", ""),
        ("Macro F1, of macro P and R", macro, "f1_pr", "f1_pr_interval"),
        ("Macro F1, mean over types", macro, "f1_mean", "f1_mean_interval"),
    ]
    rows += [
        (f"{bucket.capitalize()} types, micro F1", ("by_frequency", bucket), "f", "f_interval")
        for bucket in ("head", "medium", "tail")
    ]
    return [
        {
            "name": name,
            "part": key in {"p", "r"},
            "cells": {
                system: _cell(report[system]["strict"], path, key, interval) for system in SYSTEMS
            },
        }
        for name, path, key, interval in rows
    ]


def _cell(
    strict: Mapping[str, Any], path: tuple[str, ...], key: str, interval: str
) -> dict[str, Any] | None:
    """None where there is nothing to measure: no gold of this kind."""
    figures = strict
    for step in path:
        figures = figures[step]
    if path[0] == "by_frequency" and not figures["types"]:
        return None
    return {"value": figures[key], "interval": figures.get(interval)}


def differences(report: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Merged minus SLM and minus LLM: `verdicts` in words, and `rows` with every figure."""
    names = {
        "micro_f1": "Micro F1",
        "macro_f1_pr": "Macro F1, of macro P and R",
        "macro_f1_mean": "Macro F1, mean over types",
    }
    found = {name: report[f"merged_minus_{name}"] for name in ("slm", "llm")}
    return {
        "verdicts": [
            {
                "baseline": labels[name],
                **part["micro_f1"],
                "words": _verdict(part["micro_f1"], labels[name]),
            }
            for name, part in found.items()
        ],
        "rows": [
            {"name": name, "parts": [part[key] for part in found.values()]}
            for key, name in names.items()
        ],
    }


def _verdict(difference: Mapping[str, float], baseline: str) -> str:
    if difference["low"] > 0:
        return f"Merged is better than the {baseline} alone, beyond chance."
    if difference["high"] < 0:
        return f"Merged is worse than the {baseline} alone, beyond chance."
    if not difference["low"] and not difference["high"]:
        return f"Merged is the same as the {baseline} alone."
    return f"No difference from the {baseline} alone is shown: the interval contains zero."


def offsets(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of the span protocol: a row each for SLM and merged."""
    return [
        {"name": name, **{system: report[system]["spans"][key] for system in ("slm", "merged")}}
        for key, name in _OFFSETS.items()
        if all(key in report[system].get("spans", {}) for system in ("slm", "merged"))
    ]


def revisions(sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the LLM did to candidates, by kind: right and wrong, taken over by the policy or not."""
    counts = Counter(
        (item["kind"], item["right"], item["taken"])
        for line in sentences
        for item in line["revisions"]
    )
    rows = []
    for kind in _REVISIONS:
        parts = {
            (right, taken): counts[kind, right, taken]
            for right in (True, False)
            for taken in (True, False)
        }
        rows.append(
            {
                "kind": kind,
                "right": parts[True, True] + parts[True, False],
                "wrong": parts[False, True] + parts[False, False],
                "right_taken": parts[True, True],
                "right_left": parts[True, False],
                "wrong_left": parts[False, False],
                "wrong_taken": parts[False, True],
            }
        )
    return rows


def sources(sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merged triples by the sources that hold them."""
    counts = Counter(
        (tuple(triple["sources"]), triple["verdict"])
        for line in sentences
        for triple in line["triples"]
        if triple["verdict"] != "missed"
    )
    return [
        {"sources": names, "right": counts[names, "right"], "wrong": counts[names, "wrong"]}
        for names in sorted({names for names, _ in counts})
    ]


def changes_by_type(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Errors that merging saves (above zero) or adds, against the SLM alone, by relation type.

    An error is a triple that is wrong or missed. Types without a change are left out.
    """
    slm, merged = (report[name]["strict"]["per_relation"] for name in ("slm", "merged"))
    rows = []
    for name in dict.fromkeys([*merged, *slm]):
        before, after = _errors(slm.get(name)), _errors(merged.get(name))
        saved = sum(before) - sum(after)
        if before != after:
            rows.append(
                {
                    "type": name,
                    "saved": saved,
                    "wrong": [before[0], after[0]],
                    "missed": [before[1], after[1]],
                }
            )
    return sorted(rows, key=lambda row: (-row["saved"], row["type"]))


def _errors(item: Mapping[str, Any] | None) -> tuple[int, int]:
    """Wrong and missed triples of a type."""
    if item is None:
        # Neither predicted nor in gold.
        return 0, 0
    correct, predicted, gold = item["counts"]
    return predicted - correct, gold - correct


def weights(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Weights of the policy's confidence, the strongest first; empty where it has none."""
    confidence = report["policy"].get("confidence")
    if not confidence:
        return []
    strongest = max(map(abs, confidence["weights"].values()), default=0.0) or 1.0
    return [
        {"name": name, "weight": weight, "share": abs(weight) / strongest}
        for name, weight in sorted(confidence["weights"].items(), key=lambda item: -abs(item[1]))
    ]
