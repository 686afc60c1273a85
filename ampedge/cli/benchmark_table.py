"""A benchmark on the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampedge.benchmark.benchmark import Benchmark, Measured

_COLUMNS = (
    "accuracy",
    "macro-F1",
    "rows of\nanother\nclass",
    "one\nrow\nµs",
    "in a\nbatch\nµs",
    "memory\nMB",
    "size\nkB",
    "start\nms",
)
_UNKNOWN = "-"


def show(found: Benchmark, console: Console) -> None:
    """One table, and below it what could not be measured."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("format", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for line in found.measured:
        table.add_row(line.name, *_figures(line))
    console.print(f"Judged on {found.rows} {found.judged_on}.\n", markup=False)
    console.print(table)
    if found.missing:
        console.print("\nNot measured:")
    for name, why in found.missing.items():
        console.print(Text(f"  {name}: {why}"))


def _figures(line: Measured) -> tuple[str, ...]:
    return (
        _UNKNOWN if line.accuracy is None else f"{line.accuracy:.4f}",
        _UNKNOWN if line.macro_f1 is None else f"{line.macro_f1:.4f}",
        str(line.different),
        _short(line.one_us),
        _UNKNOWN if line.batch_us is None else _short(line.batch_us),
        _UNKNOWN if line.memory_bytes is None else f"{line.memory_bytes / 1e6:.1f}",
        f"{line.size_bytes / 1000:.1f}",
        _short(line.start_ms),
    )


def _short(number: float) -> str:
    """Three digits, none of them after a point where there are three before it."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
