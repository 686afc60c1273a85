"""How far the reading of a large table has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def reading_bar(console: Console, path: Path) -> Iterator[Callable[[int, int], None]]:
    """What `read_table` tells its progress to: a bar on a terminal, nothing elsewhere or where one batch is all."""
    with Progress(
        TextColumn(f"Reading {path.name}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size, visible=done < size)

        yield show
