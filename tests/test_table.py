"""The table reader: what is recognised, what is refused and with which words, and which line it names."""

import bz2
import csv
import io
import lzma
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge.errors import DataError, UsageError
from ampedge.samples import DATA, shipped
from ampedge.table import number, read_table, shown
from ampedge.table.columns import Column
from ampedge.table.decimals import DecimalSigns

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
    assert [row.cells for row in table.rows()] == CELLS
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
    assert [number(row.cells[0], table.decimal) for row in table.rows()] == [1.5, 3.5]
    assert "The decimal sign is a comma." in table.notes


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,Öltemperatur,status\n1,2,größer\n".encode("cp1252")))
    assert table.columns[1] == "Öltemperatur"
    assert next(table.rows()).cells[2] == "größer"
    assert table.notes == ("The file is not UTF-8 (line 1); it was read as Windows-1252.",)


def test_the_line_of_the_first_byte_that_is_not_utf8_is_named_far_into_the_file(tmp_path: Path) -> None:
    lines = f"1.5,2,{'x' * 60}\n" * 20_000  # more than one chunk of the decoder
    table = read_table(written(tmp_path, b"a,b,status\n" + lines.encode() + "1,2,größer\n".encode("cp1252")))
    assert "(line 20002)" in table.notes[0]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    content = 'a,b,status\n\n1,"two\nlines",x\n\n\n3,4,y\n"5\n\n",6,z\n7,8,x\n'
    assert [row.line for row in read_table(written(tmp_path, content)).rows()] == [3, 7, 8, 11]


def test_ragged_rows_are_dropped_and_counted_where_asked(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN + "5\n5,6,7,8\n9,9,x\n")
    with pytest.raises(DataError, match=r"line 4: 1 field under a header of 3 columns"):
        read_table(path)
    table = read_table(path, drop_bad_rows=True)
    assert [row.line for row in table.rows()] == [2, 3, 6]
    assert table.notes == ("2 rows with too few or too many fields dropped, the first in line 4.",)


@pytest.mark.parametrize("quoted", [False, True])
def test_a_short_row_does_not_turn_decimal_commas_into_separators(tmp_path: Path, quoted: bool) -> None:
    rows = [f"{second};{second},5;3,{second};good" for second in range(10, 40)]
    rows[3] = rows[3].removesuffix(";good")
    if quoted:
        rows[12] = ";".join(f'"{cell}"' for cell in rows[12].split(";"))
    path = tmp_path / "short.csv"
    path.write_text("\n".join(["time;a;b;status", *rows, ""]), "utf-8")
    table = read_table(path, drop_bad_rows=True)
    assert (table.columns, len(table), list(table.left_out.ragged)) == (("time", "a", "b", "status"), 29, [5])


def test_options_override_what_is_recognised(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b,status\n1,5;2\n2,5;2\n")
    assert read_table(path, sep=";", decimal=".").columns == ("a", "b,status")
    assert read_table(path, sep=",", decimal=".").columns == ("a;b", "status")
    path = written(tmp_path, "a\tb\n1.5\t1,5\n")
    for sign, cells in ((",", [None, 1.5]), (".", [1.5, None])):
        table = read_table(path, sep="tab", decimal=sign)
        assert [number(cell, table.decimal) for cell in next(table.rows()).cells] == cells


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
    ("a,b,status\n1,5;2,5;x\n3,5;4,5;y\n", "',' separates the header (line 1), ';' the rows below it", "--sep ','"),
    ("# by hand\na,b,status\n1,234,567.5;2;x\n1,234,568.5;3;y\n".replace("67.5;2", "67;2.5"), "(line 2), ';'", "--sep"),
    ("a,b,c\n1,5\t2,5\t3\n3,5\t4,5\t6\n", "(line 1), tab the rows", "--sep ','"),
    (PLAIN.encode("utf-32"), "is in UTF-32", "Save it as CSV in UTF-8"),
    (PLAIN.encode("utf-32-be"), "is in UTF-32", "Save it as CSV in UTF-8"),
    (bz2.compress(PLAIN.encode()), "is compressed with bzip2", "Save the sheet"),
    (lzma.compress(PLAIN.encode()), "is compressed with xz", "Save the sheet"),
    (b"\x28\xb5\x2f\xfd\x81", "is compressed with zstd", "Save the sheet"),
    (b"a,b\n1,2\n\x81\x8d,\xff\n", "is not text in UTF-8 or Windows-1252 (line 3)", "UTF-8"),
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


@pytest.mark.parametrize(
    "header",
    [
        "b,a,status",
        "a,c,status",
        "a (mV),b,status",
        "a,b (mV),status",
        "\ufeffb,a,status",
    ],
)
def test_another_header_between_the_rows_is_refused_even_where_bad_rows_are_dropped(
    tmp_path: Path, header: str
) -> None:
    path = written(tmp_path, f"a,b,status\n1,2,x\n\n{header}\n3,4,y\n")
    with pytest.raises(DataError, match=r"line 4: another header begins .* not those of line 1") as caught:
        read_table(path, drop_bad_rows=True)
    assert "of its own" in caught.value.remedy


def test_a_file_behind_another_with_its_mark_is_a_header_repeated(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, PLAIN.encode("utf-8-sig") * 2))
    assert table.left_out.repeated == [4]
    assert [row.cells for row in table.rows()] == CELLS * 2


@pytest.mark.parametrize("row", ["a,1,status", "a,c,x", "x (a),b,status2"])
def test_a_row_that_shares_words_with_the_header_is_a_row(tmp_path: Path, row: str) -> None:
    assert len(read_table(written(tmp_path, PLAIN + row + "\n"))) == 3


@pytest.mark.parametrize("content", ["a,b\n1.5,x;y\n2.5,z;x\n", 'a,b\n"1;2",x\n"3;4",y\n'])
def test_lists_within_cells_are_no_columns(tmp_path: Path, content: str) -> None:
    assert read_table(written(tmp_path, content)).columns == ("a", "b")


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
    assert number(next(table.rows()).cells[0], table.decimal) == value


def test_a_doubtful_point_is_settled_by_the_option(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b\n1.500;x\n")
    table = read_table(path, decimal=".")
    assert number(next(table.rows()).cells[0], table.decimal) == 1.5
    table = read_table(path, decimal=",")
    assert number(next(table.rows()).cells[0], table.decimal) is None


@pytest.mark.parametrize("sign", ".,")
@pytest.mark.parametrize("cell", ["1.5\n9.5", "9.5\n", "\n9.5"])
def test_a_line_end_within_a_number_is_no_number_and_shifts_none(tmp_path: Path, sign: str, cell: str) -> None:
    rows = "".join(f"{n}.25;x\n" for n in range(300))  # so many different ones are read at once
    table = read_table(written(tmp_path, f'a;status\n"{cell}";x\n{rows}'.replace(".", sign)))
    assert np.array_equal(table.numbers("a"), [math.nan, *(n + 0.25 for n in range(300))], equal_nan=True)


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
    assert [row.cells for row in read_table(path, sep=sep, decimal=".").rows()] == rows


@pytest.mark.parametrize(
    ("written_name", "name", "unit"),
    [
        ("plate_voltage (V)", "plate_voltage", "V"),
        ("plate_voltage [V]", "plate_voltage", "V"),
        ("Plate voltage[kV]", "Plate voltage", "kV"),
        ("heater ( mA )", "heater", "mA"),
        ("flow (l/min)", "flow", "l/min"),
        ("torque (N·m)", "torque", "N·m"),
        ("acceleration [m/s^2]", "acceleration", "m/s^2"),
        ("temperature (°C)", "temperature", "°C"),
        ("thd (%)", "thd", "%"),
        ("load [Ω]", "load", "Ω"),
        ("speed (1/min)", "speed", "1/min"),
        ("level (dB(A))", "level (dB(A))", ""),
        ("plate_voltage (float)", "plate_voltage", ""),
        ("plate_voltage (Float64)", "plate_voltage", ""),
        ("plate_voltage [reg0, reg1]", "plate_voltage [reg0, reg1]", ""),
        ("anode (left)", "anode (left)", ""),
        ("sensor (1)", "sensor (1)", ""),
        ("pressure (raw)", "pressure (raw)", ""),
        ("(V)", "(V)", ""),
    ],
)
def test_a_unit_behind_a_name_is_the_columns(tmp_path: Path, written_name: str, name: str, unit: str) -> None:
    table = read_table(written(tmp_path, f'"{written_name}",status\n1.5,x\n'))
    assert table.columns == (name, "status")
    assert table.units == ({name: unit} if unit else {})
    for either in (name, written_name):
        assert table.has(either)
        assert table.unit(either) == unit
        assert table.numbers(either).tolist() == [1.5]
    assert bool(table.notes) == (name != written_name)


def test_a_row_of_readings_as_header_is_told_of(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "1.5,2,x\n3.5,4,y\n"))
    assert table.notes == ("Column names that are numbers: 1.5, 2. If they are readings, a header is missing.",)


def test_columns_that_differ_in_their_unit_keep_it_in_their_name(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "heat (°C),heat (°F),gain (V),status\n1,2,3,x\n"))
    assert table.columns == ("heat (°C)", "heat (°F)", "gain", "status")
    assert table.units == {"gain": "V"}
    assert table.notes == ("Units in the header: gain in V.",)


@pytest.mark.parametrize(
    ("content", "lines", "columns"),
    [
        ("# one, two\n\n# three\na,b\n1,2\n", [5], ("a", "b")),
        ("# a,b\n1,2\n3,4\n", [2, 3], ("a", "b")),
        ("#a,b\n# by hand\n1,2\n", [3], ("a", "b")),
        ("#,b\n1,2\n", [2], ("#", "b")),
        ("a,b\n#N/A,2\n# half\n#DIV/0!,2\n", [2, 4], ("a", "b")),
        ("a,b\n#5,2\n", [2], ("a", "b")),
        ('a,b\n1,"two\n# not a comment\n"\n3,4\n', [2, 5], ("a", "b")),
        ("Logger 7\nStart;10:00\n\nx;y;z;b\n1;2;3;4\n", [5], ("x", "y", "z", "b")),
        ("Logger 7\nStart;10:00\n\nx;y;z;b;\n1;2;3;4;\n", [5], ("x", "y", "z", "b")),
        ("x;y;z;b\nLogger;7;1;2\n", [2], ("x", "y", "z", "b")),
    ],
)
def test_lines_that_are_no_rows_are_told_from_rows(
    tmp_path: Path, content: str, lines: list[int], columns: tuple[str, ...]
) -> None:
    table = read_table(written(tmp_path, content))
    assert table.columns == columns
    assert table.lines.tolist() == lines
    assert [table.line(row) for row in range(len(table))] == lines
    assert [row.line for row in table.rows()] == lines


def test_what_was_left_out_is_known_by_its_lines(tmp_path: Path) -> None:
    content = "a,b\n1,2\n\n# cold\na,b\n3\n4,5\n,\n6,7\n1,2,3\n"
    left_out = read_table(written(tmp_path, content), drop_bad_rows=True).left_out
    assert (left_out.ragged, left_out.fields) == ([6, 10], [1, 3])
    assert (left_out.blank, left_out.comments, left_out.repeated) == ([3, 8], [4], [5])


def test_the_cells_of_a_column_and_those_that_hold_no_number(tmp_path: Path) -> None:
    cells = [f"{i / 8}" for i in range(6000)]
    cells[7], cells[4999] = "n/a", "broken"
    content = "a,b,status\n" + "".join(f"{cell},{i % 3},x{i % 2}\n" for i, cell in enumerate(cells))
    table = read_table(written(tmp_path, content))
    rows, odd = table.odd("a")
    assert (rows.tolist(), list(odd)) == ([7, 4999], ["n/a", "broken"])
    assert np.flatnonzero(np.isnan(table.numbers("a"))).tolist() == [7, 4999]
    assert table.odd("b")[0].tolist() == []
    assert list(table.texts("a")) == cells  # read from the file again
    assert table.held("a") is None
    assert table.texts("status").counts() == {"x0": 3000, "x1": 3000}
    assert [*table.texts("status")[2:4], table.cell(4999, "a"), table.cell(5, "b")] == ["x0", "x1", "broken", "2"]
    assert [list(map(len, batch)) for batch in table.batches(["status", "a"])] == [[4096] * 2, [1904] * 2]


def test_a_file_that_changes_while_it_is_used_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    table = read_table(path)
    path.write_text(PLAIN + "5,6,z\n")
    with pytest.raises(DataError, match="has changed since it was read"):
        next(table.rows())


FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**7), 10**7, places=3).map(float),
    st.integers(-(2**40), 2**40).map(float),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.1, 1e-320, 2.0**31, -(2.0**31), 1e22, 255.0, 65536.0]),
)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(FLOATS, min_size=1, max_size=40), holes=st.sets(st.integers(0, 39), max_size=5), few=st.booleans()
)
def test_packed_numbers_come_back_to_the_bit(values: list[float], holes: set[int], few: bool) -> None:
    cells = ["n/a" if at in holes else repr(value) for at, value in enumerate(values)]
    if not few:  # so many different cells that they are not kept as texts
        cells = [*cells, *(repr(i + 0.5) for i in range(300))]
    column = Column("a", ".", DecimalSigns(Path("a.csv")))
    column.add(cells, range(2, 2 + len(cells)))
    column.add(cells, range(2, 2 + len(cells)))
    wanted = np.array([math.nan if cell == "n/a" else float(cell) for cell in cells * 2])
    assert column.numbers().tobytes() == wanted.tobytes()
    assert column.odd()[0].tolist() == np.flatnonzero(np.isnan(wanted)).tolist()
    assert list(column.odd()[1] or ()) == ["n/a"] * int(np.isnan(wanted).sum())
    assert (column.texts() is None) == (not few)


def test_memory_holds_columns_and_never_the_whole_text(tmp_path: Path) -> None:
    """Rows of texts would take more than 200 MB here; a process of its own tells what it took at most."""
    path = tmp_path / "data.csv"
    header, *rows = shipped(DATA).read_text("utf-8").splitlines(keepends=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines([header, *["".join(rows)] * 120])
    code = (
        "import resource, sys; from pathlib import Path; from ampedge.table import read_table\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "begun = peak(); table = read_table(Path(sys.argv[1])); print(len(table), peak() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    rows_read, grown = map(int, done.stdout.split())
    assert rows_read == 480_000
    assert grown < 2 * path.stat().st_size
