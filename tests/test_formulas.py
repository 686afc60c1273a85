"""Text cells that a spreadsheet would take for a formula."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.formulas import escaped, unescaped
from ampedge.sample_rows import csv_text
from ampedge.table import read_table


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("-", "'-"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("'=x", "''=x"),
        ("''-3 dB", "'''-3 dB"),
        ("-3", "-3"),
        ("-3.5e-7", "-3.5e-7"),
        ("+1,5", "+1,5"),
        ("'-3", "''-3"),
        ("fine", "fine"),
        ("'good'", "'good'"),
        ("a=b", "a=b"),
        ("", ""),
        ("'", "'"),
    ],
)
def test_a_formula_becomes_a_text(text: str, cell: str) -> None:
    assert escaped(text) == cell
    assert unescaped(cell) == text


@given(st.text(st.sampled_from("'=+-@\t\r1.,e x"), max_size=6))
def test_every_text_comes_back_and_none_is_a_formula(text: str) -> None:
    cell = escaped(text)
    assert unescaped(cell) == text
    assert cell == text or cell[0] == "'"
    assert cell[:1] not in ("=", "@")


def test_tables_that_are_written_come_back(tmp_path: Path) -> None:
    rows = [("1.5", "=cmd|' /C calc'!A0"), ("-2.5", "-cold"), ("3.0", "'quoted"), ("4.0", "'=odd")]
    path = tmp_path / "data.csv"
    path.write_text(csv_text(["@a", "status"], rows), encoding="utf-8")
    written = list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))
    assert [row[0] for row in written] == ["'@a", "1.5", "-2.5", "3.0", "4.0"]
    assert all(row[1][0] == "'" for row in written[1:])
    table = read_table(path)
    assert table.columns == ("@a", "status")
    assert table.numbers("@a").tolist() == [1.5, -2.5, 3.0, 4.0]
    assert list(table.texts("status")) == [row[1] for row in rows]
    assert [row.cells for row in table.rows()] == rows
