"""The command `slcolm`: its commands, and how it speaks of what went wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.metadata import version

import click

from slcolm_client import SlcolmClientError
from slcolm_services.cli.lazy import LazyGroup
from slcolm_services.cli.output import describe, emit_json, print_error
from slcolm_services.corpus.printable import printable
from slcolm_services.errors import FieldViolation, InvalidInput, RemoteError, SlcolmError
from slcolm_services.runtime.logs import configure_logging

_COMMANDS = {
    "demo": ("demo", "Run the whole sequence on the sample data that ships with SLCoLM."),
    "run": ("run", "Train, guide and predict on your own data."),
    "runs": ("runs", "List, show, watch, cancel and resume runs."),
    "predict": ("predict", "Extract entities and relations with a trained model."),
    "batch": ("batch", "Extract from a whole corpus, in shards, to be gone on with."),
    "train": ("train", "Train a small model."),
    "annotate": ("annotate", "Annotate raw text with an LLM, to train on."),
    "label": ("label", "Annotate raw text with small models, to train on."),
    "schedules": ("schedules", "How annotated and human data are blended: numbers and plots."),
    "distil": ("distil", "Train small models on what an LLM annotated, and compare ways to."),
    "pretrain": ("pretrain", "Train the character encoder on raw text."),
    "score": ("score", "Score predictions against gold data."),
    "policy": ("policy", "Fit a merge policy on dev, and apply it."),
    "recordings": ("recordings", "Score recorded LLM answers in every merge mode."),
    "guide": ("guide", "Have predictions revised by an LLM, or see what that would cost."),
    "guidance": ("guidance", "Read LLM answers."),
    "ledger": ("ledger", "Show what LLM answers have cost, and move them between ledgers."),
    "batches": ("batches", "List, show and cancel batches of LLM requests."),
    "data": ("data", "Check, describe and convert data files."),
    "documents": ("documents", "Gather what each document names and says, each once."),
    "graph": ("graph", "Write predictions as a knowledge graph: Neo4j, RDF, GraphML."),
    "capacity": ("capacity", "Tell what a corpus takes: time, replicas, cost."),
    "models": ("models", "Show and list trained models."),
    "up": ("up", "Start every service on this machine."),
    "serve": ("serve", "Start one service."),
    "health": ("health", "Ask a service whether it takes calls."),
    "http": ("http", "Let programs without gRPC call services, by JSON over HTTP."),
    "descriptors": ("descriptors", "Write the contracts as a descriptor set, for other programs."),
}


@click.group(
    cls=LazyGroup, modules=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(version("slcolm"), prog_name="slcolm")
def slcolm() -> None:
    """Relations out of text with few examples per type: a small model guides a large one.

    \b
    Start here:
      slcolm demo                                  the whole sequence on sample data
      slcolm data check my.jsonl --task task.yaml  is my data right?
      slcolm run --task task.yaml --train train.jsonl --dev dev.jsonl \\
        --test test.jsonl --guide offline --out out/
    """


def main() -> None:
    """Run the command line: errors become one message and an exit status, never a stack trace.

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    configure_logging(level="warning", format="console")
    try:
        status = slcolm.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        # It is shown with its usage, which only the exception itself knows.
        error.message = printable(error.message)  # type: ignore[misc]
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except (SlcolmError, SlcolmClientError) as error:
        _report(error if isinstance(error, SlcolmError) else _local(error))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong, and nothing can be said.
        _drop_output()
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _report(InvalidInput(f"{place}{error.strerror or error}"))
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("slcolm"):
            raise
        click.echo(
            f"error: {error.name} is not installed; `pip install 'slcolm[all]'` has everything",
            err=True,
        )
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _drop_output() -> None:
    """Let go of output that cannot be written, so that Python does not try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: SlcolmError) -> None:
    print_error(error)
    if "--json" in sys.argv[1:]:
        # Where the output itself cannot be written, stderr has said so.
        with contextlib.suppress(OSError):
            emit_json(describe(error))


def _local(error: SlcolmClientError) -> RemoteError:
    """The same error in this process's tree, with the code and reason that the service gave."""
    message = error.message
    if error.code == "UNAVAILABLE" and not error.reason:
        message = f"a service cannot be reached: {message}"
    return RemoteError(
        message,
        code=error.code,
        reason=error.reason or error.code,
        violations=[FieldViolation(field, problem) for field, problem in error.violations],
    )
