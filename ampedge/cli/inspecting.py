"""An inspection on the terminal: how far it is, what was found, what was written."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ampedge.cli.reading import reading_bar
from ampedge.datamap import DataMap
from ampedge.errors import DataError, UsageError
from ampedge.table import read_table
from ampedge.training.detectors.finding import Finding, Severity, listed
from ampedge.training.inspection.fix import Fixed, changes_beside, write_fixed
from ampedge.training.inspection.inspect import Inspection, inspect
from ampedge.training.inspection.page import write_page
from ampedge.training.libraries import INSPECTION, need_libraries
from ampedge.training.settings import TableSettings

_LINES = 5
_COLUMNS = 6
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_INDENT = (0, 0, 0, 9)
_ONE = re.compile(r"s\b")
"""The plural that a kind of change begins with."""


def run(
    path: Path,
    settings: TableSettings,
    datamap: DataMap | None,
    *,
    time: str | None,
    fix: Path | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Inspect a table, write what is asked for, print the report on stdout; gives the number of errors found."""
    need_libraries("Inspecting a table", INSPECTION)
    _check_places(path, fix, html)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    with reading_bar(messages, path) as progress:
        table = read_table(path, sep=settings.sep, decimal=settings.decimal, drop_bad_rows=True, progress=progress)
    with _bar(messages) as told:
        found = inspect(table, settings, datamap, time=time, told=told)
        if html is not None:
            write_page(found, html, told)
        fixed, refusal = None, None
        if fix is not None:
            try:
                fixed = write_fixed(found, fix, lambda done, of: told(f"Writing {fix.name}", done, of))
            except DataError as error:  # the report says why
                refusal = error
    if as_json:
        written = {"fixed": None if fixed is None else fixed.document()}
        print(json.dumps({**found.document(), **written}, ensure_ascii=False))
    else:
        _show(found)
        if fixed is not None:
            _show_fixed(fixed)
    if refusal is not None:
        raise refusal
    if html is not None:
        messages.print(f"Report: {html}", markup=False)
    return found.counts()[Severity.ERROR]


def _check_places(path: Path, fix: Path | None, html: Path | None) -> None:
    """Raise UsageError where a file that is to be written is the table, or another one of them."""
    written: dict[str, str] = {}
    for option, out in (("--fix", fix), ("--html", html)):
        if out is None:
            continue
        for place in (out, changes_beside(out)) if option == "--fix" else (out,):
            if place.exists() and path.exists() and place.samefile(path):
                raise UsageError(f"{option} {out} would overwrite the table itself.", "Give it another name.")
            real = os.path.realpath(place)  # unlike resolve, silent about links in a circle
            if other := written.get(real):
                raise UsageError(f"{option} {out} would overwrite what {other} writes.", "Give it another name.")
            written[real] = f"{option} {out}"


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Looking at the columns", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def _show(found: Inspection) -> None:
    console = Console(highlight=False)
    document = found.document()
    classes = ", ".join(f"{name} {count}" for name, count in document["classes"].items())
    said = (
        f"{document['data']}: {_counted(document['rows'], 'row')}, {_counted(len(document['features']), 'feature')}, "
    )
    _print(console, f"{said}{_counted(len(document['classes']), 'class')} ({classes}).")
    for note in document["notes"]:
        _print(console, note, "dim")
    if found.sheet.left_out:
        left_out = ", ".join(f"{name} ({why})" for name, why in found.sheet.left_out.items())
        _print(console, f"No features: {left_out}.", "dim")
    console.print()
    for (severity, kind), findings in groupby(found.findings, lambda one: (one.severity, one.kind)):
        _group(console, severity, kind.words, list(findings), found.sheet.label)
    counts = found.counts()
    if not found.findings:
        console.print("Nothing to say against it.", style="green")
    else:
        console.print(", ".join(_counted(count, severity) for severity, count in counts.items()) + ".")
    console.print()
    for what, rows in found.steps:
        console.print(f"{rows:>9} {what}")


def _group(console: Console, severity: Severity, kind: str, findings: Sequence[Finding], label: str) -> None:
    """All findings of one kind; what to do is said once."""
    console.print(Text.assemble((f"{severity.value:8} ", _STYLES[severity]), (kind, "bold")))
    findings = sorted(findings, key=lambda one: one.column != label)
    for finding in findings[:_COLUMNS]:
        column = "" if finding.column is None else f"{finding.column}: "
        lines = f" Line{'s' * (len(finding.lines) > 1)} {listed(finding.lines, _LINES)}." if finding.lines else ""
        examples = f" ({', '.join(finding.examples)})" if finding.examples else ""
        _print(console, f"{column}{finding.what}{examples}{lines}", indented=True)
    if len(findings) > _COLUMNS:
        names = ", ".join(str(finding.column) for finding in findings[_COLUMNS:])
        _print(console, f"And in {names}; --json and --html say all.", indented=True)
    for remedy in dict.fromkeys(finding.remedy for finding in findings[:_COLUMNS]):
        _print(console, remedy, "dim", indented=True)
    console.print()


def _show_fixed(fixed: Fixed) -> None:
    console = Console(highlight=False)
    console.print()
    _print(console, f"{fixed.path}: {_counted(fixed.rows, 'row')}. Every change: {fixed.changes_path}")
    for why, count in fixed.changes.items():
        _print(console, f"{count:>9} {_ONE.sub('', why, 1) if count == 1 else why}")


def _print(console: Console, text: str, style: str = "", *, indented: bool = False) -> None:
    """A sentence: wrapped on a terminal, whole in one line elsewhere."""
    if console.is_terminal:
        console.print(Padding(Text(text, style), _INDENT if indented else 0))
    else:
        console.print(" " * (_INDENT[3] if indented else 0) + text, markup=False, soft_wrap=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"
