"""`slcolm models`: look at trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.options import default_home
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import NotFound, SlcolmError
from slcolm_services.model.folder import SCHEMA_FILE, read_dev_scores, read_manifest
from slcolm_services.runtime.folders import folder_revision
from slcolm_services.runtime.store import ArtifactStore

_KIND = "models"
_SHOWN_REVISION = 12


@click.group()
def models() -> None:
    """Show and list trained models.

    \b
    Examples:
      slcolm models show model/
      slcolm models list --json
    """


@models.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def show(folder: Path, *, as_json: bool) -> None:
    """Check a model folder against its digests and describe it.

    \b
    Example:
      slcolm models show model/
    """
    description = _describe(folder, verify=True)
    if as_json:
        emit_json(description)
        return
    scores = description.pop("dev_scores")
    facts = Table(show_header=False, title=escape(str(folder)), title_justify="left")
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in description.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        facts.add_row(name.replace("_", " "), escape(shown))
    console().print(facts)
    figures = Table("on dev", "%", title_justify="left")
    for name, value in scores.items():
        figures.add_row(escape(name.replace("_", " ")), f"{100 * value:.1f}")
    console().print(figures)


@models.command("list")
@click.option(
    "--store",
    show_default="store of $SLCOLM_HOME or ~/.slcolm",
    help="Artifact store: a folder or an fsspec URL.",
)
@json_option
def list_models(store: str | None, *, as_json: bool) -> None:
    """List the models of an artifact store.

    \b
    Example:
      slcolm models list --store s3://bucket/slcolm
    """
    root = store or str(default_home() / "store")
    artifacts = ArtifactStore(root)
    if not artifacts.is_there():
        raise NotFound(f"there is no artifact store {root}")
    cache = default_home() / "cache" / _KIND
    descriptions = [
        _describe_stored(artifacts, revision, cache) for revision in artifacts.list(_KIND)
    ]
    if as_json:
        emit_json({"models": descriptions})
        return
    table = Table("revision", "task", "language", "relation types", "relation F1 on dev, %")
    for model in descriptions:
        revision = model["revision"][:_SHOWN_REVISION]
        if "problem" in model:
            table.add_row(revision, f"[red]{escape(model['problem'])}[/]")
            continue
        f1 = model["dev_scores"].get("relation_strict_f1")
        table.add_row(
            revision,
            escape(model["task"]),
            escape(model["language"]),
            str(len(model["relation_types"])),
            "-" if f1 is None else f"{100 * f1:.1f}",
        )
    console().print(table)


def _describe_stored(store: ArtifactStore, revision: str, cache: Path) -> dict[str, Any]:
    """What a stored model is, or what is wrong with it: a damaged one does not hide the others."""
    try:
        return _describe(store.fetch_folder(_KIND, revision, cache), verify=False)
    except SlcolmError as error:
        return {"revision": revision, "problem": error.message}


def _describe(folder: Path, *, verify: bool) -> dict[str, Any]:
    manifest = read_manifest(folder, verify=verify)
    schema = read_schema(folder / SCHEMA_FILE)
    return {
        "revision": folder_revision(folder),
        "task": schema.name,
        "language": schema.language,
        "entity_types": list(manifest.entity_types),
        "relation_types": list(manifest.relation_types),
        "max_tokens": manifest.max_tokens,
        "max_span_tokens": manifest.max_span_tokens,
        "relation_threshold": manifest.relation_threshold,
        "vector_dimension": manifest.vector_dimension,
        "precision": manifest.precision,
        "bytes": sum((folder / name).stat().st_size for name in manifest.files),
        "dev_scores": read_dev_scores(folder),
    }
