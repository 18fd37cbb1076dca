"""`slcolm demo`: the whole sequence on the sample that ships with SLCoLM."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.sequence import Asking, Sequence, execute
from slcolm_services.cli.tables import example, print_report
from slcolm_services.corpus.jsonl import read_documents

_EXAMPLES = 4


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("slcolm-demo"),
    show_default=True,
    help="Folder for the results; state is kept in its `home`.",
)
@json_option
def demo(*, out: Path, as_json: bool) -> None:
    """Train, guide and predict on a small sample: invented annals in classical Chinese style.

    Takes a few minutes on two cores and needs no key, no server and no network. The guide is the
    offline one: rules, no language model.

    \b
    Example:
      slcolm demo --out slcolm-demo
    """
    with as_file(files("slcolm_services") / "samples" / "annals") as sample:
        sequence = Sequence(
            task=sample / "task.yaml",
            train=sample / "train.jsonl",
            dev=sample / "dev.jsonl",
            test=sample / "test.jsonl",
            asking=Asking(provider="offline"),
            training={},
        )
        report = execute(
            sequence,
            out=out,
            home=out / "home",
            coordinator=None,
            settings={"guidance": {"provider": "offline"}},
        )
        gold = {
            document.id: frozenset((t.head, t.tail, t.type) for t in document.triples())
            for document in read_documents(sample / "test.jsonl")
        }
    if as_json:
        emit_json(report)
        return
    lines = [
        json.loads(line) for line in (out / "merged.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    screen = console()
    screen.rule("What was found")
    for line in _telling(lines, gold):
        screen.print(example(line, gold[line["id"]]))
    screen.rule("How good it is")
    print_report(screen, report)
    screen.print(
        "\nThe rules stand in for an LLM so that all of this runs without one; they add little to "
        "what the small model finds. The gain on the tail is a real LLM's."
    )
    screen.rule("What next")
    screen.print(
        f"""\
Look at {out / "report.html"} in a browser. Beside it are report.json, merged.jsonl and the model.
{_activation()}
Use the model alone on texts of your own, a text a line:
  slcolm predict --model {out / "model"} --input texts.txt --output found.jsonl

Run the sequence on your own data, guided by a real LLM:
  slcolm data check mine.jsonl --task task.yaml
  slcolm run --task task.yaml --train train.jsonl --dev dev.jsonl --test test.jsonl \\
    --guide openai --llm-base-url http://localhost:8000/v1 --llm-model NAME --out results/

Start the services for programs in any language: slcolm up
""",
        soft_wrap=True,
    )


def _activation() -> str:
    """How to bring `slcolm` onto the shell's path, where it is not there."""
    script = Path(sys.executable).parent / "activate"
    if shutil.which("slcolm") or not script.is_file():
        return ""
    return f"\nFirst bring `slcolm` onto this shell's path:\n  source {escape(str(script))}\n"


def _telling(
    lines: list[dict[str, Any]], gold: dict[str, frozenset[tuple[str, str, str]]]
) -> list[dict[str, Any]]:
    """Sentences that show most: guided ones first, right and wrong alike, then the longest."""

    def weight(line: dict[str, Any]) -> tuple[bool, bool, int]:
        added = any(triple["sources"] == ["llm"] for triple in line["triples"])
        found = {(t["head"], t["tail"], t["type"]) for t in line["triples"]}
        imperfect = found != gold[line["id"]]
        return (added, not imperfect, len(line["triples"]))

    return sorted(lines, key=weight, reverse=True)[:_EXAMPLES]
