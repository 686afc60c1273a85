"""Tables as spreadsheets, loggers and accidents leave them, through the commands: read exactly, or refused by name.

Every table here is the one of `ROWS` in another guise, or that table spoiled in one place.
`ampedge init --from` shows what was read: its samples are rows of the table, its tags are the columns.
"""

import csv
import gzip
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge.cli.app import main
from ampedge.errors import DataError
from ampedge.formulas import unescaped
from ampedge.samples import DATA, shipped
from ampedge.table import number, read_table
from tests.support.bundles import make_bundle, random_layers

HEADER = ("plate", "bias", "status")
ROWS = [(f"{420 + i * 0.37:.2f}", f"{-12 + i % 5 * 0.125:.3f}", "worn" if i % 2 else "good") for i in range(24)]
Lines = Sequence[Sequence[str]]


def joined(rows: Lines = ROWS, *, header: Sequence[str] = HEADER, sep: str = ",", end: str = "\n") -> str:
    return "".join(sep.join(cells) + end for cells in [header, *rows])


def changed(row: int, column: int, cell: str, rows: Lines = ROWS) -> Lines:
    """The rows with one cell changed; row 0 is line 2 of a plain file."""
    spoiled = [list(cells) for cells in rows]
    spoiled[row][column] = cell
    return spoiled


def commas() -> Lines:
    return [[cell.replace(".", ",") for cell in cells] for cells in ROWS]


def labelled(*names: str) -> Lines:
    """The rows with these labels in place of theirs, in turn."""
    return [(plate, bias, names[i % len(names)]) for i, (plate, bias, _) in enumerate(ROWS)]


def with_rows(text: str, *lines: str, at: int = 1) -> str:
    """The text with further lines in front of its line `at`, counted from 0."""
    whole = text.splitlines(keepends=True)
    return "".join([*whole[:at], *(line + "\n" for line in lines), *whole[at:]])


@dataclass(frozen=True, slots=True)
class Guise:
    """A file from which the rows come out: `rows` where they are not all of `ROWS`, `said` in the messages."""

    name: str
    content: str | bytes
    said: str = ""
    options: tuple[str, ...] = ()
    rows: Lines = field(default_factory=lambda: ROWS)
    units: tuple[str, ...] = ()


PLAIN = joined()
GUISES = [
    Guise("plain", PLAIN),
    Guise("no last line end", PLAIN.rstrip("\n")),
    Guise("line ends of Windows", PLAIN.replace("\n", "\r\n")),
    Guise("line ends of an old Mac", PLAIN.replace("\n", "\r")),
    Guise("UTF-8 with a mark", PLAIN.encode("utf-8-sig")),
    Guise("UTF-16", PLAIN.encode("utf-16"), "The file is in UTF-16."),
    Guise("UTF-16 with the high byte first", b"\xfe\xff" + PLAIN.encode("utf-16-be"), "The file is in UTF-16."),
    Guise("UTF-16 without a mark", PLAIN.encode("utf-16-le"), "UTF-16 without a mark"),
    Guise(
        "Windows-1252",
        joined(labelled("groß", "klein")).encode("cp1252"),
        "not UTF-8 (line 2); it was read as Windows-1252",
        rows=labelled("groß", "klein"),
    ),
    Guise("semicolons", joined(sep=";"), "separated by ';'"),
    Guise("a German spreadsheet", "\ufeff" + joined(commas(), sep=";", end="\r\n"), "The decimal sign is a comma."),
    Guise("tabs and decimal commas", joined(commas(), sep="\t"), "separated by tab"),
    Guise("bars", joined(sep="|"), "separated by '|'"),
    Guise("numbers in quotes", joined([[f'"{cell}"' for cell in cells] for cells in ROWS])),
    Guise(
        "decimal commas in quotes", joined([[f'"{cell}"' for cell in cells] for cells in commas()]), "sign is a comma"
    ),
    Guise("Excel's first line", "sep=;\n" + joined(sep=";"), "separated by ';'"),
    Guise("blank lines", with_rows(PLAIN, "", "  ", at=5) + "\n\n"),
    Guise("lines of separators", with_rows(PLAIN, ",,", " , ,", at=9)),
    Guise("a header in the middle", with_rows(PLAIN, "plate,bias,status", at=9), "1 repetition of the header skipped."),
    Guise("spaces around names", PLAIN.replace("plate,bias,", " plate,bias ,"), "Outer spaces were taken off"),
    Guise("spaces around numbers", PLAIN.replace(",-", " , -")),
    Guise("spaces that do not break", PLAIN.replace(",-", "\u00a0,\u202f-")),
    Guise("exponents and plus signs", joined([(f"+{a[0]}.{a[1:].replace('.', '')}e2", b, c) for a, b, c in ROWS])),
    Guise("units in brackets", joined(header=("plate (V)", "bias [mV]", "status")), "plate in V", units=("V", "mV")),
    Guise("a unit with a power", joined(header=("plate (m/s²)", "bias", "status")), "plate in m/s²", units=("m/s²",)),
    Guise(
        "types in brackets", joined(header=("plate (float)", "bias (float32)", "status")), "Types behind column names"
    ),
    Guise("comments before the header", "# logger 7\n# plate, in V, of tube 3\n" + PLAIN, "before the header"),
    Guise("comments with two slashes", "// logger 7\n" + PLAIN, "before the header"),
    Guise("comments between rows", with_rows(PLAIN, "# restarted", "# cold", at=7), "2 comments between the rows"),
    Guise("a comment with a quotation mark", with_rows(PLAIN, '#,"5 inch', at=7), "1 comment between the rows"),
    Guise("the header behind a mark", "# " + PLAIN, "The header in line 1 stands behind a '#'."),
    Guise("a logger's lines", "Logger: T7\nStart: 2024-05-01 10:00\n\n" + PLAIN, "Lines 1 to 3 before the header"),
    Guise(
        "a logger's names and values",
        'Serial number;"77;1"\nNote;the 5" tube\n'
        + joined([(*cells[:2], "1", *cells[2:]) for cells in ROWS], sep=";", header=("plate", "bias", "run", "status")),
        "Lines 1 to 2 before the header",
        options=("--drop", "run"),
    ),
    Guise("a logger's lines from a spreadsheet", "Logger T7,,\n,,\n" + PLAIN, "before the header"),
    Guise("a separator at the end of every line", PLAIN.replace("\n", ",\n"), "The empty column behind the last"),
    Guise(
        "an unnumbered column of numbers",
        joined([(str(7 + i), *row) for i, row in enumerate(ROWS)], header=("#", *HEADER)),
        "'#' (it counts the rows)",
    ),
    Guise("a text over two lines", joined([(*cells, '"two\nlines"') for cells in ROWS], header=(*HEADER, "note"))),
    Guise("labels in several spellings", joined(changed(2, 2, " GOOD ")), "Labels read as the commonest spelling"),
    Guise(
        "labels that look like marks",
        joined(labelled("NA", "None")),
        "not as a missing label: 'NA' (12), 'None' (12)",
        rows=labelled("NA", "None"),
    ),
    Guise("labels that are numbers", joined(labelled("1", "01")), rows=labelled("1", "01")),
    Guise("labels that would be formulas", joined(labelled("'=1+1", "'-x")), rows=labelled("=1+1", "-x")),
    Guise("apostrophes that are no protection", joined(labelled("'good", "'''t")), rows=labelled("'good", "'''t")),
    Guise(
        "doubtful numbers, settled",
        joined([("1,500", *cells[1:]) for cells in commas()], sep=";"),
        options=("--decimal", ","),
        rows=[("1.500", *cells[1:]) for cells in ROWS],
    ),
    Guise(
        "marks of missing values",
        joined(changed(0, 0, "#DIV/0!", changed(1, 1, "n/a", changed(2, 1, "--")))),
        "3 of 24 rows dropped",
        ("--drop-bad-rows",),
        ROWS[3:],
    ),
    Guise(
        "short and long rows",
        with_rows(PLAIN, "1,2", "1,2,good,4", at=3),
        "2 rows with too few or too many fields",
        ("--drop-bad-rows",),
    ),
]


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line."""
    monkeypatch.setattr(sys, "argv", ["ampedge", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main()
    printed = capsys.readouterr()
    code = done.value.code
    return (code if isinstance(code, int) else 0), printed.out, printed.err


@pytest.mark.parametrize("guise", GUISES, ids=lambda guise: guise.name.replace(" ", "-"))
def test_a_guise_is_seen_through(
    guise: Guise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = guise.content if isinstance(guise.content, bytes) else guise.content.encode()
    Path("data.csv").write_bytes(content)
    code, _, said = run(monkeypatch, capsys, "init", "site", "--from", "data.csv", *guise.options)
    assert code == 0, said
    assert guise.said in said
    with Path("site/test_samples.csv").open(encoding="utf-8", newline="") as file:
        samples = list(csv.reader(file))
    assert [name for name in samples[0] if "[reg" not in name] == ["status", "plate (float)", "bias (float)"]
    assert len(samples) == 1 + 2 * 5
    read = {(float(row[1]), float(row[3]), unescaped(row[0])) for row in samples[1:]}
    assert read <= {(float(plate), float(bias), label) for plate, bias, label in guise.rows}
    config = Path("site/ampedge.toml").read_text("utf-8")
    units = [line for line in config.splitlines() if line.startswith("unit =")]
    assert units == [f'unit = "{unit}"' for unit in guise.units]
    table = read_table(
        Path("data.csv"),
        decimal="," if "," in guise.options else None,
        drop_bad_rows="--drop-bad-rows" in guise.options,
    )
    values = np.column_stack([table.numbers("plate"), table.numbers("bias")])
    assert values[~np.isnan(values).any(axis=1)].tolist() == [
        [float(plate), float(bias)] for plate, bias, _ in guise.rows
    ]


def workbook() -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<sheet/>")
    return whole.getvalue()


def as_dicts() -> list[dict[str, str]]:
    return [dict(zip(HEADER, cells, strict=True)) for cells in ROWS]


HAS_NO_COLUMN = "data.csv has no column 'status'; did you mean"
REFUSED: list[tuple[str, str | bytes, str, str]] = [
    # (name, content, what the message says, a part of the remedy)
    ("a missing label column", joined(header=("plate", "bias", "state")), f"{HAS_NO_COLUMN} 'state'?", "--label"),
    ("an empty file", "", "data.csv is empty", "header line"),
    ("only line ends", "\n\r\n\n", "data.csv is empty", "header line"),
    ("only a byte order mark", b"\xff\xfe", "data.csv is empty", "header line"),
    ("only comments", "# a\n# b\n", "no rows, only comments", "header line"),
    ("only a header", "plate,bias,status\n", "has a header but no rows", "at least one row"),
    (
        "a name given twice",
        joined(header=("plate", "plate", "status")),
        "line 1: two columns are named 'plate'",
        "Rename",
    ),
    ("a name left out", joined(header=("plate", "", "status")), "line 1: column 2 of 3 has no name", "Name it"),
    (
        "an index without a name",
        joined([("0", *row) for row in ROWS], header=("", *HEADER)),
        "column 1 of 4",
        "Name it",
    ),
    ("a name that cannot be seen", PLAIN.replace("bias", "bi\u200bas"), "(U+200B)", "Type the name anew"),
    ("two byte order marks", "\ufeff\ufeff" + PLAIN, "(U+FEFF)", "Type the name anew"),
    (
        "an extra field in every row",
        joined([(*row, "1") for row in ROWS]),
        "line 2: 4 fields under a header of 3",
        "a column name is missing",
    ),
    (
        "an extra separator in every row",
        PLAIN.replace("good\n", "good,\n").replace("worn\n", "worn,\n"),
        "line 2: 4 fields under a header of 3",
        "a column name is missing",
    ),
    (
        "something behind the last separator",
        PLAIN.replace("\n", ",\n").replace("worn,\n", "worn,x\n"),
        "line 1: column 4 of 4 has no name",
        "Name it",
    ),
    ("decimal commas between commas", joined(commas()), "line 2: 5 fields under a header of 3", "';' between"),
    ("a short row", with_rows(PLAIN, "421.5,-12", at=4), "line 5: 2 fields", "--drop-bad-rows"),
    ("a row cut off at the end", PLAIN[:-12], "line 25: ", "--drop-bad-rows"),
    ("a NUL byte", joined(changed(3, 1, "-12\0")), "line 5: there is a NUL byte", "save it anew"),
    ("a NUL byte in UTF-16", joined(changed(3, 1, "-12\0")).encode("utf-16"), "line 5: there is a NUL byte", "save it"),
    ("only NUL bytes", bytes(5000), "nothing but NUL bytes", "save it anew"),
    (
        "thousands with a comma",
        joined(changed(3, 0, '"1,421.50"')),
        "line 5, column 'plate': '1,421.50' is not a number",
        "Mend",
    ),
    (
        "thousands with a point",
        joined(changed(3, 0, "1.421,50", commas()), sep=";"),
        "'1.421,50' is not a number",
        "Mend",
    ),
    ("thousands with a space", joined(changed(3, 0, "1 421.50")), "thousands separators must be taken out", "Mend"),
    ("thousands with an apostrophe", joined(changed(3, 0, "1'421.50")), "thousands separators must be", "Mend"),
    (
        "a point that may mean thousands",
        joined([("1.500", "2", row[2]) for row in ROWS], sep=";"),
        "line 2, column 'plate'",
        "--decimal '.'",
    ),
    (
        "a comma that may mean thousands",
        joined([("1,500", "2", row[2]) for row in ROWS], sep=";"),
        "line 2, column 'plate'",
        "--decimal ','",
    ),
    (
        "both decimal signs",
        joined(changed(3, 0, "421,50"), sep=";"),
        "decimal commas (line 5, column 'plate'",
        "--decimal",
    ),
    ("two separators", joined([("1", "2;3", "4")] * 24, header=("a", "b;c", "status")), "equally well", "--sep"),
    (
        "text among numbers",
        joined(changed(3, 0, "broken")),
        "line 5, column 'plate': 'broken' is not a number",
        "--drop",
    ),
    (
        "a number with its unit",
        joined(changed(3, 0, "421.5 V")),
        "line 5, column 'plate': '421.5 V' is not a number but one",
        "Mend",
    ),
    ("an empty cell", joined(changed(3, 0, "")), "line 5, column 'plate': the cell is empty", "--drop-bad-rows"),
    (
        "a spreadsheet's error in the first cell",
        joined(changed(0, 0, "#DIV/0!")),
        "line 2, column 'plate': '#DIV/0!'",
        "--drop-bad-rows",
    ),
    ("a spreadsheet's error in a short row", with_rows(PLAIN, "#REF!,1", at=3), "line 4: 2 fields", "Mend"),
    (
        "a mark of a missing value",
        joined(changed(3, 1, "n/a")),
        "line 5, column 'bias': 'n/a' is not a number but the mark",
        "--drop-bad-rows",
    ),
    ("NaN", joined(changed(3, 1, "NaN")), "line 5, column 'bias': 'NaN' is not a number", "--drop-bad-rows"),
    ("infinity", joined(changed(3, 1, "-inf")), "line 5, column 'bias': '-inf' is not a number", "--drop-bad-rows"),
    ("more than a number can be", joined(changed(3, 1, "1e999")), "line 5, column 'bias': '1e999' is not", "Mend"),
    ("a number of a program", joined(changed(3, 1, "1_000")), "'1_000' is not a number", "Mend"),
    ("digits of another script", joined(changed(3, 1, "\u0663")), "is not a number", "Mend"),
    (
        "a formula among numbers",
        joined(changed(3, 1, "=A1+1")),
        "line 5, column 'bias': '=A1+1' is not a number",
        "Mend",
    ),
    ("a minus sign from a text", joined(changed(3, 1, "\u221212.5")), "is not a number", "Mend"),
    (
        "a row without a label",
        joined(changed(3, 2, " ")),
        "line 5, column 'status': there is no label",
        "--drop-bad-rows",
    ),
    (
        "a mark in place of a label",
        joined(changed(3, 2, "--")),
        "line 5, column 'status': '--' says that there is no label",
        "--drop-bad-rows",
    ),
    (
        "a spreadsheet's error in place of a label",
        joined(changed(3, 2, "#N/A")),
        "'#N/A' says that there is no label",
        "--drop-bad-rows",
    ),
    (
        "the label that is kept",
        joined(changed(3, 2, "unknown")),
        "line 5, column 'status': the label 'unknown'",
        "another",
    ),
    ("one class only", joined(labelled("good")), "every row is labelled 'good'", "another class"),
    ("a class of one row", joined(changed(3, 2, "odd")), "too few rows to split of 'odd' (1)", "Collect more"),
    (
        "a column that gives the label away",
        joined([(row[0], "1" if row[2] == "worn" else "0", row[2]) for row in ROWS]),
        "'bias' gives the label away",
        "--drop bias",
    ),
    (
        "a column that never changes",
        joined([(row[0], "7", row[2]) for row in ROWS]),
        "'bias' is 7 in every row",
        "--drop",
    ),
    (
        "a quotation mark that is not closed",
        joined(changed(3, 2, '"good')),
        "the row that begins in line 5",
        "quotation",
    ),
    ("a quotation mark inside a cell", joined(changed(3, 2, '"go"od')), "the row that begins in line 5", "quotation"),
    ("a quotation mark that opens the file", '"' + PLAIN, "the row that begins in line 1", "quotation"),
    (
        "a line without an end",
        "plate,bias,status\n" + "1" * (5 << 20),
        "line 2: it is longer than a line",
        "Give a CSV",
    ),
    ("a cell without an end", with_rows(PLAIN, "1,2," + "x" * 200_000, at=3), "line 4: field larger than", "quotation"),
    ("a workbook", workbook(), "is a workbook or an archive", "Save the sheet as CSV"),
    ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(900), "is a workbook of an old kind", "as CSV"),
    ("a compressed table", gzip.compress(PLAIN.encode()), "is compressed with gzip", "CSV"),
    ("a PDF", b"%PDF-1.7\n%\xe2\xe3\n", "is a PDF", "CSV"),
    ("JSON", json.dumps(as_dicts()), "is JSON, not a table", "as CSV"),
    ("JSON in lines", "\n".join(map(json.dumps, as_dicts())), "is JSON, not a table", "as CSV"),
    ("a page of a login", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n", "is HTML or XML", "as CSV"),
    (
        "UTF-8 with a line of Windows-1252",
        joined([*changed(3, 2, "größer"), ROWS[0]]).encode() + b"1,2,gr\xf6\xdfer\n",
        "mixes UTF-8 and another encoding (line 27",
        "Save it anew in UTF-8",
    ),
    ("half a character of UTF-16", PLAIN.encode("utf-16") + b"x", "is not text in utf-16", "UTF-8"),
    ("bytes of no alphabet", PLAIN.encode() + b"1,2,\x81\x8d\n", "is not text in", "UTF-8"),
    ("a separator that is none", "sep=x\n" + PLAIN, "line 1: 'sep=x' names no separator", "--sep"),
    (
        "names for half of the columns",
        joined([(*row, "4", "5") for row in ROWS]),
        "line 2: 5 fields under a header of 3",
        "a column name is missing",
    ),
]


@pytest.mark.parametrize(("name", "content", "problem", "remedy"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_spoiled_table_is_refused_by_name(
    name: str,
    content: str | bytes,
    problem: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, said = run(monkeypatch, capsys, "train", "data.csv")
    assert (code, out) == (3, ""), said
    *_, error, advice = said.strip().splitlines()
    assert error.startswith("Error: data.csv")
    assert problem in error
    assert remedy in advice
    assert "Traceback" not in said
    assert [file.name for file in Path().iterdir()] == ["data.csv"]


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        (lambda path: path.mkdir(), "data.csv cannot be read: Is a directory", "Give the path of a CSV file"),
        (os.mkfifo, "data.csv is no file but a pipe or a device", "Save the table in a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is no file but a pipe or a device", "Save the table in a file"),
        (
            lambda path: path.with_name("date.csv").touch(),
            "data.csv cannot be read: No such file",
            "did you mean 'date",
        ),
    ],
)
def test_what_is_no_file_is_said(
    make: Callable[[Path], None],
    problem: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("data.csv"))
    code, _, said = run(monkeypatch, capsys, "train", "data.csv")
    assert code == 3
    assert problem in said
    assert remedy in said


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = [([float(plate), float(bias)], label) for plate, bias, label in ROWS[:2]]
    layers = random_layers([2, 4, 2])
    path = tmp_path_factory.mktemp("bundle") / "model"
    make_bundle(
        path, classes=["good", "worn"], mean=[424, -12], std=[2, 1], layers=layers, rows=values, names=["plate", "bias"]
    )
    return path


@pytest.mark.parametrize("command", ["evaluate", "simulate"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "data.csv is empty"),
        (joined(commas()), "data.csv, line 2: 5 fields under a header of 3 columns"),
        (joined(changed(3, 0, "broken")), "data.csv, line 5, column 'plate': 'broken' is not a number"),
        (joined(changed(3, 0, "1 421.50")), "thousands separators must be taken out"),
        (joined(changed(0, 1, "#DIV/0!")), "data.csv, line 2, column 'bias': '#DIV/0!' is not a number but the mark"),
        (joined(changed(3, 1, "-12\0")), "data.csv, line 5: there is a NUL byte"),
        (joined(changed(3, 2, '"go"od')), "data.csv, the row that begins in line 5"),
        (workbook(), "data.csv is a workbook"),
        (joined(header=("plates", "bias", "status")), "'plate'"),
    ],
)
def test_other_commands_read_with_the_same_eyes(
    command: str,
    content: str | bytes,
    problem: str,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, said = run(monkeypatch, capsys, command, "data.csv", "--model", bundle)
    assert (code, out) == (3, "")
    assert problem in said
    assert "Traceback" not in said


def test_labels_that_would_be_formulas_come_through_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    values = [([float(plate), float(bias)], label) for plate, bias, label in labelled("=good", "+worn")[:2]]
    make_bundle(
        tmp_path / "model",
        classes=["+worn", "=good"],
        mean=[424, -12],
        std=[2, 1],
        layers=random_layers([2, 4, 2]),
        rows=values,
        names=["plate", "bias"],
    )
    for names in (("=good", "+worn"), ("'=good", "'+worn")):
        Path("data.csv").write_text(joined(labelled(*names)))
        code, out, said = run(monkeypatch, capsys, "evaluate", "data.csv", "--json")
        assert code == 0, said
        assert {name: scores["support"] for name, scores in json.loads(out)["per_class"].items()} == {
            "=good": 12,
            "+worn": 12,
        }


@pytest.mark.parametrize(("unit", "is_warned_of"), [("mV", True), ("V", False)])
def test_another_unit_than_the_models_is_warned_of(
    unit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_warned_of: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    header, *rows = shipped(DATA).read_text("utf-8").splitlines()[:31]
    Path("data.csv").write_text("\n".join([header.replace("plate_voltage", f"plate_voltage ({unit})"), *rows]))
    code, out, said = run(monkeypatch, capsys, "evaluate", "data.csv", "--json")
    assert code == 0, said
    assert json.loads(out)["rows"] == 30
    warned = [note for note in json.loads(out)["notes"] if note.startswith("Warning: the header")]
    assert bool(warned) == is_warned_of
    assert not warned or "has 'plate_voltage' in mV, the model in V" in warned[0]


DAMAGE = [
    b"#",
    b"//",
    b'"',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"n/a",
    b"\0",
    b"'=",
    b"1,5",
    b"1.500",
    b"\xef\xbb\xbf",
    b"\xf6",
]


@settings(max_examples=150, deadline=None)
@given(
    guise=st.sampled_from(GUISES),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.sampled_from(DAMAGE)), min_size=1, max_size=4),
    drop_bad_rows=st.booleans(),
)
def test_a_damaged_table_is_refused_or_its_numbers_are_those_of_its_cells(
    *,
    guise: Guise,
    damage: list[tuple[float, int, bytes]],
    drop_bad_rows: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytearray(guise.content if isinstance(guise.content, bytes) else guise.content.encode())
    for place, taken, put in damage:
        at = int(place * len(content))
        content[at : at + taken] = put
    path = tmp_path_factory.mktemp("damaged") / "data.csv"
    path.write_bytes(content)
    try:
        table = read_table(path, drop_bad_rows=drop_bad_rows)
    except DataError as error:
        assert str(path) in error.problem
        assert error.remedy
        return
    rows = list(table.rows())
    assert [row.line for row in rows] == table.lines.tolist()
    for place, name in enumerate(table.columns):
        cells = [row.cells[place] for row in rows]
        values = [number(cell, table.decimal) for cell in cells]
        assert np.array_equal(table.numbers(name), np.array(values, dtype=np.float64), equal_nan=True)
        assert list(table.texts(name)) == cells
        bad = [(row, cells[row]) for row, value in enumerate(values) if value is None]
        assert [*zip(table.odd(name)[0].tolist(), table.odd(name)[1], strict=True)] == bad
