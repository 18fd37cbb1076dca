"""Pictures of schedules and experiments, in the format that the file's name asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from slcolm_services.errors import InvalidInput
from slcolm_services.training.schedules import KINDS, Schedule

_WIDTH, _HEIGHT = 4.2, 3.0
"""Inches of one drawing."""
FORMATS = ("svg", "png", "pdf")
"""Formats by the ending of the file's name."""


def check_plot_path(path: Path) -> None:
    """Refuse a file whose format is not known.

    Raises:
        InvalidInput: Its name ends otherwise.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise InvalidInput(f"{path}: a picture's name ends in .{', .'.join(FORMATS)}")


def plot_schedules(schedules: Sequence[Schedule], epochs: int, path: Path) -> None:
    """Draw w0 over the epochs, a drawing for each family.

    Raises:
        InvalidInput: The file cannot be written.
    """
    names = [name for name in KINDS if any(schedule.name == name for schedule in schedules)]
    figure = Figure(figsize=(_WIDTH * len(names), _HEIGHT), layout="constrained")
    for axes, name in zip(_row(figure, len(names)), names, strict=True):
        for schedule in schedules:
            if schedule.name == name:
                weights = [share.distilled for share in schedule.course(epochs)]
                label = (
                    f"{KINDS[name].parameter} = {schedule.parameter:g}"
                    if (schedule.parameter is not None)
                    else ""
                )
                axes.plot(range(1, epochs + 1), weights, marker=".", label=label)
        axes.set(title=name, xlabel="epoch", ylim=(-0.03, 1.03))
        if KINDS[name].parameter:
            axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("w0: share of the distilled data")
    _save(figure, path)


def plot_experiment(summary: Mapping[str, Any], path: Path) -> None:
    """Draw micro F1 on test: groups and schedules, mean and deviation over seeds.

    Args:
        summary: What `summarize` returns.
        path: Of the picture.

    Raises:
        InvalidInput: The file cannot be written.
    """
    figure = Figure(figsize=(2 * _WIDTH, 1.6 * _HEIGHT * len(summary)), layout="constrained")
    axes = figure.subplots(len(summary), 2, squeeze=False, sharex="row")
    for (kind, part), (left, right) in zip(summary.items(), axes, strict=True):
        bars = [(f"{line['group']}: {line['data']}", line) for line in part["groups"]]
        _bars(left, bars, f"{kind}: groups")
        courses = list(dict.fromkeys(line["rate_course"] for line in part["schedules"]))
        _bars(
            right,
            [
                (f"{line['schedule']}, {line['rate_course']}", line)
                for course in courses
                for line in part["schedules"]
                if line["rate_course"] == course
            ],
            f"{kind}: schedules",
        )
    _save(figure, path)


def _bars(axes: Axes, lines: Sequence[tuple[str, Mapping[str, Any]]], title: str) -> None:
    """Points with error bars, a line each, the first on top."""
    places = range(len(lines), 0, -1)
    axes.errorbar(
        [100 * line["f1"]["mean"] for _, line in lines],
        list(places),
        xerr=[100 * line["f1"]["deviation"] for _, line in lines],
        fmt="o",
        capsize=3,
    )
    axes.set_yticks(list(places), [name for name, _ in lines], fontsize="small")
    axes.set(title=title, xlabel="micro F1 on test")
    axes.grid(axis="x", alpha=0.4)


def _row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False, sharey=True)[0])


def _save(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all; the same picture gives the same bytes."""
    check_plot_path(path)
    FigureCanvasAgg(figure)
    partial = path.with_name(f".{path.name}.partial")
    kind = path.suffix.lower().lstrip(".")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "slcolm", "svg.fonttype": "none"}):
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(partial, format=kind, metadata=metadata)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
