"""Samples files: the published form and plain CSV give the same rows, and a wrong cell is named."""

from pathlib import Path

import pytest

from ampedge.amplifier import datamap
from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError
from ampedge.sample_rows import SampleRow, csv_text, published_form, read_samples

MAP = DataMap((Tag("volts", 0), Tag("amps", 2)))
PUBLISHED = """\
status,volts (float),"volts [reg0, reg1]",amps (float),"amps [reg2, reg3]"
healthy,427.335513967164,"(17365, 43762)",-12.072760045821497,"(49473, 10758)"
failsoon,1.0,"(16256, 0)",0,"(0,0)"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "samples.csv"
    path.write_text(text, "utf-8")
    return path


def test_published_form(tmp_path):
    assert read_samples(write(tmp_path, PUBLISHED), MAP) == [
        SampleRow(1, 2, (427.335513967164, -12.072760045821497), "healthy"),
        SampleRow(2, 3, (1.0, 0.0), "failsoon"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "amps,note,volts,status\n0.5,x,1,healthy\n",
        "volts;amps;status\n1,0;0,5; healthy \n",
        'status,volts,"volts [reg0, reg1]",amps (float)\nhealthy,1,"[16256, 0]",0.5\n',
    ],
)
def test_columns_are_matched_by_name(tmp_path, text):
    (row,) = read_samples(write(tmp_path, text), MAP)
    assert row.values == (1.0, 0.5)
    assert row.label == "healthy"


def test_label_column(tmp_path):
    path = write(tmp_path, "volts,amps,state,status\n1,2,a,b\n1,2,,\n")
    assert [row.label for row in read_samples(path, MAP)] == ["b", None]
    assert [row.label for row in read_samples(path, MAP, label="state")] == ["a", None]
    with pytest.raises(DataError, match=r"no column 'stat'; did you mean 'stat"):
        read_samples(path, MAP, label="stat")
    bare = write(tmp_path, "volts,amps\n1,2\n")
    assert [row.label for row in read_samples(bare, MAP)] == [None]


def test_separator_and_decimal_sign_can_be_given(tmp_path):
    path = write(tmp_path, "volts|amps\n1,250|2,500\n")
    with pytest.raises(DataError, match="decimal comma"):
        read_samples(path, MAP)
    (row,) = read_samples(path, MAP, sep="|", decimal=",")
    assert row.values == (1.25, 2.5)


def test_a_site_with_another_encoding_reads_the_published_registers(tmp_path):
    swapped = DataMap((Tag("volts", 10, word_order="CDAB"), Tag("amps", 2, type="int16", scale=0.1)))
    text = PUBLISHED.replace("(16256, 0)", "(0, 16256)")  # the site's own word order is as good as the published one
    first, second = read_samples(write(tmp_path, text), swapped)
    assert first.values == (427.335513967164, -12.072760045821497)
    assert second.values == (1.0, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("1.0,", "1.5,", r"line 3, column 'volts \[reg0, reg1\]' is '\(16256, 0\)'.*1.5, is \(16320, 0\)"),
        ('"(16256, 0)"', '"(16256, 1)"', r"line 3, column 'volts \[reg0, reg1\]' is '\(16256, 1\)'"),
        ('"(16256, 0)"', "", r"line 3, column 'volts \[reg0, reg1\]' is ''"),
        ('"(16256, 0)"', "16256", r"line 3, column 'volts \[reg0, reg1\]' is '16256'"),
        ("1.0,", "n/a,", r"line 3, column 'volts': 'n/a' is not a number"),
        ("1.0,", "nan,", r"line 3, column 'volts': 'nan' is not a number"),
        ("1.0,", "1e999,", r"line 3, column 'volts': '1e999' is not a number"),
        ("1.0,", "1e39,", r"line 3: 1e\+39 does not fit tag 'volts'"),
        ("amps (float)", "ampere", r"no column 'amps'"),
        ("amps (float)", "volts", r"both a column 'volts' and a column 'volts \(float\)'"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path, old, new, problem):
    assert old in PUBLISHED
    with pytest.raises(DataError, match=problem) as refused:
        read_samples(write(tmp_path, PUBLISHED.replace(old, new)), MAP)
    assert str(tmp_path) in refused.value.problem


def test_written_form_reads_back(tmp_path):
    wide = DataMap((Tag("volts", 4, type="float64"), Tag("count", 0, type="uint16")))
    header, rows = published_form(wide, [["0.1", "7", "fine"], ["-2", "65535", "a, b"]], label="state")
    path = tmp_path / "samples.csv"
    path.write_text(csv_text(header, rows))
    assert path.read_text().splitlines()[:2] == [
        'state,volts (float),"volts [reg4, reg5, reg6, reg7]",count (float),count [reg0]',
        'fine,0.1,"(16313, 39321, 39321, 39322)",7,(7)',
    ]
    assert [(row.values, row.label) for row in read_samples(path, wide, label="state")] == [
        ((0.1, 7.0), "fine"),
        ((-2.0, 65535.0), "a, b"),
    ]


def test_shipped_samples_are_read_whole():
    rows = read_samples(Path(__file__).parent.parent / "examples" / "test_samples.csv", datamap())
    assert [row.number for row in rows] == list(range(1, 61))
    assert rows[0].label == "healthy"
