"""The table reader: what is recognised, what is refused and with which words, and which line it names."""

import csv
import io
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge.errors import DataError, UsageError
from ampedge.table import number, read_table, shown

PLAIN = "a,b,status\n1.5,2,x\n3.5,4,y\n"
COLUMNS = ("a", "b", "status")
CELLS = [("1.5", "2", "x"), ("3.5", "4", "y")]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, ""),
        (PLAIN.replace("\n", "\r\n"), ""),
        (PLAIN.replace("\n", "\r"), ""),
        (PLAIN.rstrip("\n"), ""),
        (PLAIN.encode("utf-8-sig"), ""),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "UTF-16"),
        (PLAIN.encode("utf-16-le"), "UTF-16 without a mark"),
        (PLAIN.encode("utf-16-be"), "UTF-16 without a mark"),
        (PLAIN.replace(",", ";"), "separated by ';'"),
        (PLAIN.replace(",", "\t"), "separated by tab"),
        (PLAIN.replace(",", "|"), "separated by '|'"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "separated by ';'"),
        (PLAIN.replace("\n", "\n\n"), ""),
        (PLAIN + ",,\n , ,\n", ""),
        (PLAIN.replace("a,b,", " a,b ,"), "Outer spaces were taken off the column names a, b."),
        (PLAIN.replace("3.5", "a,b,status\n3.5"), "1 repetition of the header skipped."),
        (PLAIN.replace("1.5", '"1.5"').replace("a,", '"a",'), ""),
    ],
)
def test_the_same_table_in_every_guise(tmp_path: Path, content: str | bytes, note: str) -> None:
    table = read_table(written(tmp_path, content))
    assert table.columns == COLUMNS
    assert [row.cells for row in table.rows] == CELLS
    assert table.decimal == "."
    assert note in " ".join(table.notes)
    assert bool(table.notes) == bool(note)


@pytest.mark.parametrize(
    "content",
    [
        "a;b;status\n1,5;2;x\n3,5;4;y\n",
        "a\tb\tstatus\n1,5\t2\tx\n3,5\t4\ty\n",
        'a,b,status\n"1,5",2,x\n"3,5",4,y\n',
        'a,b,status\n"1,500",2,x\n"3,5",4,y\n',
    ],
)
def test_a_decimal_comma_is_recognised(tmp_path: Path, content: str) -> None:
    table = read_table(written(tmp_path, content))
    assert table.decimal == ","
    assert [number(row.cells[0], table.decimal) for row in table.rows] == [1.5, 3.5]
    assert "The decimal sign is a comma." in table.notes


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,Öltemperatur,status\n1,2,größer\n".encode("cp1252")))
    assert table.columns[1] == "Öltemperatur"
    assert table.rows[0].cells[2] == "größer"
    assert table.notes == ("The file is not UTF-8 (line 1); it was read as Windows-1252.",)


def test_the_line_of_the_first_byte_that_is_not_utf8_is_named_far_into_the_file(tmp_path: Path) -> None:
    lines = f"1.5,2,{'x' * 60}\n" * 20_000  # more than one chunk of the decoder
    table = read_table(written(tmp_path, b"a,b,status\n" + lines.encode() + "1,2,größer\n".encode("cp1252")))
    assert "(line 20002)" in table.notes[0]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    content = 'a,b,status\n\n1,"two\nlines",x\n\n\n3,4,y\n"5\n\n",6,z\n7,8,x\n'
    assert [row.line for row in read_table(written(tmp_path, content)).rows] == [3, 7, 8, 11]


def test_ragged_rows_are_dropped_and_counted_where_asked(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN + "5\n5,6,7,8\n9,9,x\n")
    with pytest.raises(DataError, match=r"line 4: 1 field under a header of 3 columns"):
        read_table(path)
    table = read_table(path, drop_bad_rows=True)
    assert [row.line for row in table.rows] == [2, 3, 6]
    assert table.notes == ("2 rows with too few or too many fields dropped, the first in line 4.",)


def test_options_override_what_is_recognised(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b,status\n1,5;2\n2,5;2\n")
    assert read_table(path, sep=";", decimal=".").columns == ("a", "b,status")
    assert read_table(path, sep=",", decimal=".").columns == ("a;b", "status")
    path = written(tmp_path, "a\tb\n1.5\t1,5\n")
    for sign, cells in ((",", [None, 1.5]), (".", [1.5, None])):
        table = read_table(path, sep="tab", decimal=sign)
        assert [number(cell, table.decimal) for cell in table.rows[0].cells] == cells


BAD = [
    ("", "is empty", "header line"),
    ("\ufeff\n\n", "is empty", "header line"),
    ("a,b,status\n", "has a header but no rows", "at least one row"),
    ("a,b,a\n1,2,x\n", "line 1: two columns are named 'a'", "Rename"),
    ("a, a,status\n1,2,x\n", "two columns are named 'a'", "Rename"),
    ("a,,status\n1,2,x\n", "column 2 of 3 has no name", "Name it"),
    ("a,b,status\n1,2,x,\n3,4,y,\n", "line 2: 4 fields under a header of 3", "a column name is missing"),
    ("a,b,status\n1,5,2,x\n3,5,4,y\n", "line 2: 4 fields", "';' between the columns"),
    ("a,b,status\n1,2,x\n3,4\n", "line 3: 2 fields", "--drop-bad-rows"),
    ('a,b,status\n1,2,x\n3,"4,y\n5,6,z\n', "begins in line 3", "quotation mark"),
    ('a,b,status\n1,"2"3,x\n', "begins in line 2", "quotation mark"),
    ("a,b,status\n1,2\0,x\n", "line 2: there is a NUL byte", "save it anew"),
    (b"PK\x03\x04 workbook", "is a workbook or an archive", "Save the sheet as CSV"),
    (b"\xff\xfea\x00,", "is not text in", "UTF-8"),
    (b"a,b\n\x81\x8d,\xff\n", "is not text in", "UTF-8"),
    ("a,b;c,d\n1,2;3,4\n", "',' and ';' separate its columns equally well", "--sep ',' or --sep ';'"),
    ("a;b\n1,5;1.5\n", "decimal commas (line 2, column 'a': '1,5') and decimal points", "--decimal ',' or"),
    ("a;b\n1,500;x\n2,125;y\n", "line 2, column 'a': '1,500'", "--decimal ','"),
    ('a,b\n"1,500",1.5\n', "decimal commas", "--decimal"),
    ("a;b\n1,5;1.500\n", "decimal points (line 2, column 'b': '1.500')", "--decimal"),
    ("a;b\n1.500;x\n760;y\n", "line 2, column 'a': '1.500': the point may be", "--decimal '.'"),
    ("a\tb\n12.345\tx\n", "a thousands separator", "--decimal '.'"),
    ("sep=x\n" + PLAIN, "line 1: 'sep=x' names no separator", "--sep"),
    (
        "\ufeff\ufeff" + PLAIN,
        "the name of column 1, '\\ufeffa', holds a character that cannot be seen (U+FEFF)",
        "anew",
    ),
    (PLAIN.replace("b,", "b\u200b,", 1), "the name of column 2", "Type the name anew"),
    (PLAIN.replace("b,", "\x1b[31mb,", 1), "(U+001B)", "Type the name anew"),
    (b"\0" * 3000, "nothing but NUL bytes", "no text"),
    ("a,b" + "x" * (1 << 22), "line 1: it is longer than a line", "CSV"),
]


@pytest.mark.parametrize(("content", "problem", "remedy"), BAD)
def test_bad_files_are_refused_with_a_remedy(tmp_path: Path, content: str | bytes, problem: str, remedy: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert problem in caught.value.problem
    assert str(path) in caught.value.problem
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 3


def test_an_extra_field_on_every_row_is_refused_even_where_bad_rows_are_dropped(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,status\n1,2,x,\n3,4,y,\n")
    with pytest.raises(DataError, match="line 2: 4 fields"):
        read_table(path, drop_bad_rows=True)


def test_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    written(tmp_path, PLAIN)
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_table(tmp_path / "dta.csv")
    assert "did you mean 'data.csv'?" in caught.value.remedy
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "nowhere" / "data.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)


@pytest.mark.parametrize("option", [{"sep": ""}, {"sep": "::"}, {"sep": "a"}, {"sep": '"'}, {"decimal": ";"}])
def test_options_without_sense_are_usage_errors(tmp_path: Path, option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"--sep|--decimal"):
        read_table(written(tmp_path, PLAIN), **option)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("a,b\n1.500,x\n", 1.5),
        ("a;b\n1.500;x\n0.250;y\n", 1.5),
        ("a;b\n1.500;x\n2.25;y\n", 1.5),
        ("a;b\n1.500\u0020;x\n-2.5;y\n", 1.5),
    ],
)
def test_three_digits_behind_a_point_are_decimals_where_nothing_speaks_against_it(
    tmp_path: Path, content: str, value: float
) -> None:
    table = read_table(written(tmp_path, content))
    assert number(table.rows[0].cells[0], table.decimal) == value


def test_a_doubtful_point_is_settled_by_the_option(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b\n1.500;x\n")
    table = read_table(path, decimal=".")
    assert number(table.rows[0].cells[0], table.decimal) == 1.5
    table = read_table(path, decimal=",")
    assert number(table.rows[0].cells[0], table.decimal) is None


def test_long_cells_are_cut_in_messages() -> None:
    assert shown("5 V") == "'5 V'"
    assert shown("1" * 5000) == repr("1" * 60) + "..."


def test_a_spreadsheets_hint_without_sense_is_not_followed(tmp_path: Path) -> None:
    path = written(tmp_path, 'sep="\n' + PLAIN)
    with pytest.raises(DataError, match="names no separator"):
        read_table(path)
    assert read_table(path, sep=",").columns == COLUMNS


@pytest.mark.parametrize("name", ["Status", "statu", "STATUS"])
def test_a_missing_column_names_the_nearest(tmp_path: Path, name: str) -> None:
    table = read_table(written(tmp_path, PLAIN))
    assert table.column("status") == 2
    with pytest.raises(DataError, match=r"did you mean 'status'\?") as caught:
        table.column(name)
    assert caught.value.remedy == "Its columns are: a, b, status."


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("-1.5", -1.5), ("+2.", 2.0), (".5", 0.5), (" 7 ", 7.0), ("1e3", 1000.0), ("1.5E-3", 0.0015)],
)
def test_numbers(text: str, value: float) -> None:
    assert number(text) == value
    assert number(text.replace(".", ","), ",") == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "nan", "NaN", "inf", "-Infinity", "1e999", "0x10", "1_000", "1,5", "1.5.2", "1 000", "--", "n/a", "e5",
     ".", "+", "1e", "٣", "1\n", "#DIV/0!", "true", "5 V"],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


def test_a_decimal_point_is_no_number_among_decimal_commas() -> None:
    assert number("1.5", ",") is None
    assert number("1.234,5", ",") is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back(value: float) -> None:
    assert number(repr(value)) == value
    assert math.copysign(1, number(repr(value)) or 0.0) == math.copysign(1, value) or value == 0


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8).filter(lambda text: text.strip())


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8),
    sep=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    sep: str,
    encoding: str,
    line_end: str,
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=sep, lineterminator=line_end).writerows([("first", "second", "third"), *rows])
    path = tmp_path_factory.mktemp("table") / "data.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert [row.cells for row in read_table(path, sep=sep, decimal=".").rows] == rows


def test_the_file_is_never_held_twice(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,status\n" + "1.5,2.25,healthy\n" * 30_000)
    tracemalloc.start()
    try:
        table = read_table(path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table.rows) == 30_000
    assert peak - held < path.stat().st_size * 3  # the first chunk, and the list while it grows
