"""`report.html`: the report of a run as one page that opens without network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from slcolm_services.coordinator.page_charts import curves, long_tail, reliability
from slcolm_services.coordinator.page_figures import (
    changes_by_type,
    differences,
    headline,
    offsets,
    revisions,
    sources,
    weights,
)
from slcolm_services.coordinator.page_sentences import sentence_views
from slcolm_services.corpus.documents import Document


def render_page(
    report: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    gold: Sequence[Document],
    *,
    symmetric: Collection[str] = (),
    seconds: Mapping[str, float],
) -> str:
    """The page of a run.

    Every text, label and explanation is escaped, in the markup and in the embedded data.

    Args:
        report: What `build_report` returned.
        lines: Lines of `merged.jsonl`, in the order of the data set.
        gold: Gold documents; a line that has none among them has no gold triples.
        symmetric: Relation types that hold in both directions.
        seconds: Wall time of the finished stages, in seconds.

    Returns:
        HTML that refers to nothing outside itself.
    """
    guide = "rules" if report["answers"]["test"]["offline_rules"] else "LLM"
    labels = {"slm": "SLM", "llm": guide, "merged": "Merged"}
    sentences = sentence_views(lines, gold, frozenset(symmetric))
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            guide=guide,
            labels=labels,
            headline=headline(report),
            differences=differences(report, labels),
            offsets=offsets(report),
            long_tail=long_tail(report, labels),
            reliability=reliability(report),
            curves=curves(report),
            revisions=revisions(sentences),
            sources=sources(sentences),
            changes=changes_by_type(report),
            weights=weights(report),
            sentences=sentences,
            seconds=seconds,
        )
    )


def environment() -> Environment:
    """Templates of the pages: everything is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("slcolm_services.coordinator"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The filter `tojson` escapes <, >, & and ' so that no value can close the script element.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["points"] = lambda value: f"{100 * value:+.1f}".replace("-", "−")
    environment.filters["count"] = lambda value: f"{value:,}".replace(",", "\N{THIN SPACE}")
    return environment
