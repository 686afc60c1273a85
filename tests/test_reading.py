"""How commands show that a large table is being read."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from ampedge.cli.reading import reading_bar
from ampedge.cli.training_screen import Screen
from ampedge.errors import DataError
from ampedge.table import read_table
from tests.support.training import Recorder, trained


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "big [1].csv"
    path.write_text("a,status\n" + "1.5,fine\n2.5,bad\n" * 20_000)
    return path


def test_the_reader_tells_how_far_it_is(table: Path) -> None:
    told: list[tuple[int, int]] = []
    read_table(table, progress=lambda done, size: told.append((done, size)))
    size = table.stat().st_size
    assert len(told) > 5
    assert told == sorted(told)
    assert told[0][0] < size / 2
    assert told[-1] == (size, size)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_only(table: Path, *, is_terminal: bool) -> None:
    shown = io.StringIO()
    with reading_bar(Console(file=shown, force_terminal=is_terminal, width=100), table) as progress:
        progress(100_000, 400_000)
    assert ("Reading big [1].csv" in shown.getvalue()) == is_terminal
    assert ("100.0/400.0 kB" in shown.getvalue()) == is_terminal


def test_what_is_read_at_once_shows_no_bar(table: Path) -> None:
    shown = io.StringIO()
    with reading_bar(Console(file=shown, force_terminal=True, width=100), table) as progress:
        progress(400_000, 400_000)
    assert "Reading" not in shown.getvalue()


def test_a_training_is_told_and_shows_it(table: Path, tmp_path: Path) -> None:
    watcher = Recorder()
    with pytest.raises(DataError, match="gives the label away"):
        trained(table, tmp_path / "model", watcher=watcher)
    size = table.stat().st_size
    assert watcher.bytes[-1] == (size, size)
    shown = io.StringIO()
    with Screen(Console(file=shown, force_terminal=True, width=100)) as screen:
        screen.stage("Reading big.csv")
        screen.read(400_000_000, 1_003_000_000)
        screen._progress.refresh()  # as its thread does ten times a second
    assert "400 of 1,003 MB" in shown.getvalue()
