"""A training on the terminal: notes, progress and result."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from ampedge.cli.results import result_console
from ampedge.cli.sweep_table import heading, in_short, sweep_table
from ampedge.model.verdict import beside_others, cautions
from ampedge.training.fitting.thresholds import in_words

if TYPE_CHECKING:  # the bar is to stand before these have imported what they need
    from ampedge.training.fitting.fit import Epoch
    from ampedge.training.settings import FitSettings
    from ampedge.training.train import Trained

_EPOCHS_A_LINE = 10
_MB = 1e6
_COLUMNS = ("rows", "network", "random\nforest", "logistic\nregression", "commonest\nclass")


@contextmanager
def messages() -> Iterator[Console]:
    """A console on stderr that still shows while the libraries' noise is kept from the file descriptor of stderr."""
    try:
        own = os.dup(sys.stderr.fileno())
    except (UnsupportedOperation, OSError, AttributeError):
        yield Console(stderr=True, highlight=False)
        return
    with os.fdopen(own, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as stream:
        yield Console(file=stream, highlight=False)


class Screen:
    """Watches a training: a bar on a terminal, a line every few epochs otherwise."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not self._is_live,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._stage: TaskID | None = None
        self._epochs: TaskID | None = None
        self._fits: TaskID | None = None

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_stage()
        self._progress.stop()

    def read(self, done: int, size: int) -> None:
        if self._stage is not None:
            figures = f"{done / _MB:,.0f} of {size / _MB:,.0f} MB"
            self._progress.update(self._stage, completed=done, total=size, figures=figures)

    def note(self, text: str) -> None:
        style = "yellow" if text.startswith("Warning:") else "dim"
        self._progress.console.print(text, style=style, markup=False, soft_wrap=not self._is_live)

    def stage(self, text: str) -> None:
        self._end_stage()
        if self._fits is not None:
            self._progress.remove_task(self._fits)
            self._fits = None
        if self._epochs is not None:  # it may have stopped early
            self._progress.update(self._epochs, total=self._progress.tasks[0].completed)
        self._stage = self._progress.add_task(text, total=None, figures="")

    def trying(self, settings: "FitSettings", done: int, of: int) -> None:
        text = f"Sweep {done + 1}/{of}: {in_short(settings.layers, settings.learning_rate, settings.l2)}"
        if self._is_live:
            self._end_stage()
            if self._fits is None:
                self._fits = self._progress.add_task("", total=of, figures="")
            self._progress.update(self._fits, description=text, completed=done)
        else:
            self._console.print(text, markup=False, soft_wrap=True)

    def epoch(self, epoch: "Epoch", of: int) -> None:
        if self._is_live:
            self._end_stage()
            if self._epochs is None:
                self._epochs = self._progress.add_task("", figures="")
            self._progress.update(
                self._epochs,
                description=f"Epoch {epoch.number}/{of}",
                completed=epoch.number,
                total=of,
                figures=_figures(epoch),
            )
        elif epoch.number % _EPOCHS_A_LINE == 0 or epoch.number in (1, of):
            self._console.print(f"Epoch {epoch.number}/{of}: {_figures(epoch)}", markup=False, soft_wrap=True)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._progress.remove_task(self._stage)
            self._stage = None


def show(trained: "Trained", *, as_json: bool) -> None:
    """Print the result on stdout, as a table or as one JSON document."""
    if as_json:
        print(json.dumps(trained.document(), ensure_ascii=False))
        return
    console = result_console()
    manifest = trained.bundle.manifest
    simple = trained.metrics["baselines"]
    for sentence in cautions(trained.metrics["test"], simple["majority_class"]):
        console.print(sentence, style="bold red", markup=False)
    if swept := trained.metrics.get("sweep"):
        console.print(f"\n{heading(swept)}\n", markup=False)
        console.print(sweep_table(swept))
    rows, settings = manifest.training.rows, manifest.training.settings
    if settings["kept_epoch"] < settings["epochs_run"]:
        console.print(
            f"Stopped after epoch {settings['epochs_run']}; the weights are those of epoch {settings['kept_epoch']}."
        )
    console.print(
        f"\nJudged on {rows['test']} rows that training never saw "
        f"({rows['training']} trained it, {rows['validation']} steered it; {settings['split']}).\n",
        markup=False,
    )
    console.print(_comparison(trained))
    console.print()
    for sentence in beside_others(trained.metrics["test"], simple):
        console.print(sentence, markup=False)
    for name, traded in trained.metrics["costs"].items():
        console.print(in_words(name, traded), markup=False)
    console.print(
        f"\nModel {manifest.name!r}, version {manifest.version}, is in {trained.bundle.path}. "
        f"Its normal label is {manifest.normal_label!r}.",
        markup=False,
    )


def _figures(epoch: "Epoch") -> str:
    return (
        f"loss {epoch.loss:.3f} (validation {epoch.validation_loss:.3f})  "
        f"accuracy {epoch.accuracy:.3f} ({epoch.validation_accuracy:.3f})"
    )


def _comparison(trained: "Trained") -> Table:
    """A row for each figure, a column for the network and each baseline."""
    test, simple = trained.metrics["test"], trained.metrics["baselines"]
    judged = (test, *(simple[name] for name in ("random_forest", "logistic_regression", "majority_class")))
    table = Table("", box=None, pad_edge=False)
    for title in _COLUMNS:
        table.add_column(title, justify="right")
    for title, key in (("accuracy", "accuracy"), ("macro-F1", "macro_f1")):
        table.add_row(title, "", *(f"{scores[key]:.3f}" for scores in judged))
    for name, figures in test["per_class"].items():
        if figures["support"]:
            recalls = (f"{scores['per_class'][name]['recall']:.3f}" for scores in judged)
            table.add_row(Text(f"recall of {name}"), str(figures["support"]), *recalls)
    return table
