"""What an inspection finds in a table, what it leaves alone, and the copy that it cleans."""

import csv
import json
import os
import re
from collections import Counter
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.errors import DataError, GateError, UsageError
from ampedge.samples import DATA, shipped
from ampedge.table import read_table
from ampedge.training.detectors.finding import Kind, Severity
from ampedge.training.detectors.frozen import frozen
from ampedge.training.detectors.repeats import contradictory, repeated, row_hashes
from ampedge.training.detectors.telling import same_in_all, separates, stands_for_label, tells_some_apart
from ampedge.training.detectors.times import format_of, order, seconds
from ampedge.training.detectors.wild import wild
from ampedge.training.inspection.checks import check
from ampedge.training.inspection.fix import write_fixed
from ampedge.training.inspection.inspect import Inspection, inspect
from ampedge.training.inspection.labels import is_slip
from ampedge.training.rows.columns import measurements
from ampedge.training.rows.dataset import dataset
from ampedge.training.settings import TableSettings
from tests.support.bases import drawn_base
from tests.support.cli import run_cli
from tests.support.planted import inspected, planted_and_reported
from tests.support.planter import PLANTERS, Base, plant
from tests.support.training import real_data, write_wine

TABLES = 200
DIALECTS = ((",", "."), (";", ","), ("\t", "."), ("|", ","))
NOISE = np.random.RandomState(0).normal(50, 5, 400)
CLASSES = np.random.RandomState(1).randint(0, 3, 400)
ONCE = np.ones(400, bool)


# Planted tables


@pytest.mark.parametrize("part", range(4))
def test_every_planted_defect_is_found_and_nothing_else(tmp_path: Path, part: int) -> None:
    planted: Counter[str] = Counter()
    for seed in range(SEEDS + part, SEEDS + TABLES, 4):
        sep, decimal = DIALECTS[part]
        draw = np.random.default_rng(seed)
        kinds = None if seed % 3 == 0 else [*draw.choice([*PLANTERS], int(draw.integers(1, 6)), replace=False)]
        base = drawn_base(seed, most_rows=200)
        made, missed, extra = planted_and_reported(tmp_path, base, seed, sep=sep, decimal=decimal, kinds=kinds)
        assert not missed, f"seed {seed}"
        assert not extra, f"seed {seed}"
        planted.update(defect.kind for defect in made.truth)
    assert {*planted} == {*PLANTERS}


SEEDS = 5000
"""These tables hold no column that is at the edge of what a test of chance can tell."""


def test_the_planter_plants_the_same_with_the_same_seed() -> None:
    base = drawn_base(3, most_rows=200)
    assert plant(base, 5) == plant(base, 5)
    assert plant(base, 5).text != plant(base, 6).text


@pytest.mark.parametrize("table", ["hydraulic_pump_leak_8.csv", "occupancy.csv"])
def test_defects_are_found_in_real_measurements(tmp_path: Path, table: str) -> None:
    with real_data(table).open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    _, missed, extra = planted_and_reported(tmp_path, Base(tuple(head), rows[:2500]), 7)
    assert (missed, extra) == (set(), set())


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("hydraulic_pump_leak_8.csv", set()),
        ("occupancy.csv", {Kind.DUPLICATES}),
        ("skab_pump_8class.csv", {Kind.DUPLICATES, Kind.CONTRADICTORY, Kind.CLASS_BALANCE}),
        ("ai4i2020_5class.csv", {Kind.CLASS_BALANCE}),
    ],
)
def test_real_measurements_are_not_accused(table: str, found: set[Kind]) -> None:
    inspection = inspect(read_table(real_data(table)), TableSettings())
    assert {finding.kind for finding in inspection.findings} == found
    assert not inspection.counts()[Severity.ERROR]


def test_what_the_project_ships_is_not_accused(tmp_path: Path) -> None:
    wine = write_wine(tmp_path / "wine.csv")
    for path in (shipped(DATA), wine):
        assert inspect(read_table(path), TableSettings()).findings == []


# A spreadsheet's export


MESSY = {
    "empty": "missing_values",
    "text_na": "missing_values",
    "text_dashes": "missing_values",
    "excel_error": "missing_values",
    "label_missing": "missing_values",
    "label_spelling": "label_spellings",
    "duplicate_row": "duplicate_rows",
    "repeated_header": "repeated_headers",
    "header_case": "file",
    "header_trailing_space": "file",
    "header_leading_space": "file",
    "blank_line": "file",
    "comment_line": "file",
}


def test_all_that_is_wrong_with_a_spreadsheets_export_is_found(tmp_path: Path) -> None:
    path = real_data("messy_a_excel_de.csv")
    found = inspect(read_table(path, drop_bad_rows=True), TableSettings())
    lines: dict[tuple[str, str | None], set[int]] = {}
    for finding in found.findings:
        column = finding.column and finding.column.lower()
        lines.setdefault((finding.kind.value, column), set()).update(finding.lines)
    planted: dict[tuple[str, str | None], set[int]] = {}
    with path.with_suffix(".truth.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kind = MESSY[row["kind"]]
            column = None if kind in ("file", "duplicate_rows", "repeated_headers") else row["column"]
            planted.setdefault((kind, column), set()).add(int(row["line"]))
    assert lines == planted

    assert [rows for _, rows in found.steps] == [2285, 2275, 2125, 2045]
    fixed = write_fixed(found, tmp_path / "fixed.csv")
    assert fixed.rows == 2045
    assert fixed.changes["rows left out: cells"] == 150
    table = read_table(fixed.path)
    assert {one.kind for one in inspect(table, TableSettings()).findings} == {Kind.FILE}  # names with capitals
    data = dataset(table, TableSettings(label="Status"))
    assert (len(data.values), check(data, ())) == (2045, [])


# Wild values


def test_a_value_far_from_all_others_is_a_spike_and_a_mark_in_its_place_a_sentinel() -> None:
    values = NOISE.copy()
    values[[7, 100, 250]] = (500, -300, 130)
    values[[3, 90]] = -999
    values[200] = 0
    found = wild(values, CLASSES, ONCE)
    assert np.flatnonzero(found.spikes).tolist() == [7, 100, 250]
    assert np.flatnonzero(found.sentinels).tolist() == [3, 90, 200]


def test_what_lies_far_out_hides_nothing_nearer() -> None:
    draw = np.random.RandomState(0)
    values, planted = draw.exponential(1, 3000) ** 1.5 * 150 + 1200, np.arange(11) * 200 + 7
    values[planted] = (9999, 9999, *[65535] * 4, 140_600, 149_500, 1.37e7, 1.6e7, 1.9e7)
    found = wild(values, draw.randint(0, 3, 3000), np.ones(3000, bool))
    assert np.flatnonzero(found.any).tolist() == planted.tolist()


@pytest.mark.parametrize(
    "values",
    [
        NOISE,
        np.random.RandomState(2).lognormal(0, 1, 400),
        np.random.RandomState(3).standard_t(3, 400),
        np.random.RandomState(4).exponential(1, 400) * (NOISE > 50),
        np.where(NOISE > 60, 1.0, 0.0),
        np.random.RandomState(5).poisson(2, 400).astype(float),
    ],
)
def test_a_tail_is_no_spike(values: np.ndarray) -> None:
    assert not wild(values, CLASSES, ONCE).any.any()


def test_what_a_rare_class_looks_like_is_no_spike() -> None:
    values, targets = NOISE.copy(), CLASSES.copy()
    values[10:16], targets[10:16] = 400 + np.arange(6), 3
    assert not wild(values, targets, ONCE).any.any()
    scattered = np.array([5, 60, 120, 200, 280, 350])
    values[10:16], values[scattered] = NOISE[10:16], 400 + np.arange(6)
    assert np.flatnonzero(wild(values, targets, ONCE).spikes).tolist() == scattered.tolist()


def test_the_heavy_tail_of_a_rare_class_hides_no_spike_in_another() -> None:
    draw = np.random.RandomState(2)
    targets = np.where(draw.uniform(size=800) < 0.06, 1, 0)
    values = np.where(targets == 1, draw.lognormal(2.0, 0.7, 800), draw.normal(7.8, 0.5, 800))
    assert not wild(values, targets, np.ones(800, bool)).any.any()
    normal = int(np.flatnonzero(targets == 0)[99])
    values[normal] = 3 * values.max()
    assert np.flatnonzero(wild(values, targets, np.ones(800, bool)).spikes).tolist() == [normal]
    targets[normal] = 1  # there it may be one more of the tail
    assert not wild(values, targets, np.ones(800, bool)).any.any()


def test_two_far_values_are_what_their_class_looks_like_where_it_is_6_percent_of_the_rows() -> None:
    values, targets = NOISE.copy(), CLASSES.copy()
    rare = np.arange(5, len(values), len(values) // 24)[:24]
    values[rare[[3, 9]]] = 400, 410
    assert np.flatnonzero(wild(values, targets, ONCE).spikes).tolist() == rare[[3, 9]].tolist()
    targets[rare] = 3
    assert not wild(values, targets, ONCE).any.any()


def test_a_class_whose_rows_are_all_alike_is_no_spike() -> None:
    values, targets, once = NOISE.copy(), CLASSES.copy(), ONCE.copy()
    off = np.arange(0, 400, 9)
    values[off], targets[off], once[off[1:]] = 0, 3, False
    assert not wild(values, targets, once).any.any()
    targets[off] = CLASSES[off]
    assert np.flatnonzero(wild(values, targets, once).any).tolist() == off.tolist(), "copies of a single one"


def test_an_excursion_that_lasts_is_no_spike() -> None:
    values = NOISE.copy()
    values[100:108] = np.linspace(300, 330, 8)
    assert not wild(values, CLASSES, ONCE).any.any()


@pytest.mark.parametrize("other_side", [False, True])
def test_one_that_would_sink_the_column_is_believed_only_of_a_whole_class(other_side: bool) -> None:
    values, targets = NOISE.copy(), CLASSES.copy()
    values[100:108] = np.linspace(30_000, 33_000, 8)
    if other_side:
        values[300] = -40_000
    assert np.flatnonzero(wild(values, targets, ONCE).spikes).tolist() == [*range(100, 108), *[300] * other_side]
    targets[100:108] = 3
    assert np.flatnonzero(wild(values, targets, ONCE).spikes).tolist() == [300] * other_side


# Frozen stretches


def test_a_stretch_is_judged_against_the_habit_of_its_column() -> None:
    fine = NOISE.copy()
    fine[50:70] = fine[50]
    assert [(rows[0], rows[-1]) for rows in frozen(fine)] == [(50, 69)]
    slow = np.repeat(np.round(NOISE[:80]), 5)
    assert frozen(slow) == []
    slow[100:240] = slow[100]
    assert [len(rows) for rows in frozen(slow)] == [140]
    nights = np.concatenate([np.append(np.zeros(40), NOISE[at : at + 40]) for at in range(0, 400, 40)])
    assert frozen(nights) == []


# Times


def times(*values: float) -> tuple[list[int], list[int]]:
    """(rows out of order, rows before which others are missing) of times in consecutive lines."""
    found = order(np.array(values, float), np.arange(len(values)) + 2, np.ones(len(values), bool))
    return found.disorder.tolist(), found.gaps.tolist()


@pytest.mark.parametrize(
    ("values", "disorder", "gaps"),
    [
        (range(20), [], []),
        ([*range(10), *range(15, 25)], [], [10]),
        ([0, 1, 2, 7, 4, 5, 6, 3, 8, 9, 10, 11], [3, 7], []),
        ([0, 1, 2, 3, 4, 6, 5, 7, 8, 9, 10, 11], [5, 6], []),
        ([0, 1, 2, 8, 3, 4, 5, 6, 7, 9, 10, 11], [3], []),
        ([*range(12)] * 3, [], []),
        ([0, 1.1, 1.9, 3.2, 4, 4.8, 6.1, 7, 8.2, 9, 9.9, 11], [], []),
    ],
)
def test_rows_out_of_order_and_gaps(values: list[float], disorder: list[int], gaps: list[int]) -> None:
    assert times(*values) == (disorder, gaps)


def test_a_line_that_was_skipped_is_no_gap() -> None:
    found = order(np.array([0, 1, 2, 4, 5, 6.0]), np.array([2, 3, 4, 6, 7, 8]), np.ones(6, bool))
    assert len(found.gaps) == 0


def test_rows_in_no_order_of_time_are_not_listed() -> None:
    found = order(np.random.RandomState(0).permutation(100).astype(float), np.arange(100), np.ones(100, bool))
    assert found.unsorted
    assert len(found.disorder) == 0


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["2026-01-02T03:04:05", "2026-01-02 03:04:06"], 1767323045),
        (["02.01.2026 03:04:05", "13.01.2026 00:00:00"], 1767323045),
        (["03:04:05", "03:04:06"], None),
    ],
)
def test_formats_of_times(texts: list[str], first: int | None) -> None:
    form = format_of(texts)
    assert form is not None
    found = seconds([*texts, "never"], form)
    assert np.isnan(found[-1])
    assert found[1] > found[0]
    assert first is None or found[0] == first
    assert format_of(["good", "worn"]) is None


@pytest.mark.parametrize(
    "form", ["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%m-%Y %H:%M:%S"]
)
@pytest.mark.parametrize(("step_s", "count"), [(20, 5000), (86_400, 11)])
def test_day_and_month_are_told_apart_by_the_steps(tmp_path: Path, form: str, step_s: int, count: int) -> None:
    """The first rows, in which a format is looked for, are all of one day where a step is 20 s."""
    days = datetime(2024, 1, 1), datetime(2024, 2, 3)
    for start in days:
        times = [(start + timedelta(seconds=step_s * at)).strftime(form) for at in range(count)]
        body = [[time, *row[:2], row[4]] for time, row in zip(times, cycle(cells()), strict=False)]
        path = write(tmp_path / "data.csv", body, ["when", "speed", "torque", "status"])
        found = inspect(read_table(path), TableSettings())
        assert found.sheet.time == "when"
        assert not {Kind.TIME_GAPS, Kind.TIME_DISORDER, Kind.UNREADABLE} & {one.kind for one in found.findings}


# Rows and labels


def test_copies_and_contradictions() -> None:
    values, label = np.array([1.5, 2.0, 1.5, 2.0, -0.0, 0.0]), np.array([0, 0, 0, 1, 1, 1])
    hashes = row_hashes([values])
    assert repeated(row_hashes([values, label])).tolist() == [False, False, True, False, False, True]
    assert contradictory(hashes, label).tolist() == [False, True, False, True, False, False]
    assert not contradictory(hashes, np.where(label, -1, 0)).any()


@pytest.mark.parametrize("rare", ["helathy", "heathy", "healthhy", "hea-lthy", "heelthy", "Heal thy"])
def test_a_slip_of_the_hand(rare: str) -> None:
    assert is_slip(rare.lower(), "healthy")
    assert is_slip("nofailure", "no_failure")


@pytest.mark.parametrize(
    ("rare", "common"),
    [
        ("fault_a", "fault_b"),
        ("pump a off", "pump b off"),
        ("stage1", "stage2"),
        ("atypical", "typical"),
        ("on", "off"),
    ],
)
def test_no_slip_of_the_hand(rare: str, common: str) -> None:
    assert not is_slip(rare, common)


@pytest.mark.parametrize(("slips", "right", "found"), [(1, 5, True), (1, 4, False), (2, 25, True), (2, 24, False)])
def test_a_slip_is_much_rarer_than_what_was_meant(tmp_path: Path, slips: int, right: int, found: bool) -> None:
    labels = ["failsoon"] * right + ["falisoon"] * slips
    body = [[*row[:4], label] for row, label in zip(cells(), labels + ["good"] * ROWS, strict=False)]
    findings = inspect(read_table(write(tmp_path / "data.csv", body)), TableSettings()).findings
    assert (Kind.LABEL_SPELLINGS in {one.kind for one in findings}) is found


def test_what_a_column_tells_of_the_label() -> None:
    apart = CLASSES * 100 + NOISE / 10
    code = stands_for_label(CLASSES * 3.0, CLASSES)
    assert code is not None and code.is_exact
    assert stands_for_label(apart, CLASSES) is None
    assert separates(apart, CLASSES)
    assert not separates(NOISE, CLASSES)
    assert same_in_all(NOISE, CLASSES)
    assert not same_in_all(NOISE + CLASSES * 5, CLASSES)
    assert not same_in_all(np.where(CLASSES == 1, 50 + 3 * (NOISE - 50), NOISE), CLASSES), "wider in one class"


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("0011", 2),
        ("0111", 2),
        ("0112", 3),
        ("0123", None),  # the label in other words
        ("0000", None),
    ],
)
def test_a_flag_that_each_class_has_one_value_of(flags: str, found: int | None) -> None:
    targets = np.arange(40) % 4
    codes = np.array([float(flags[target]) for target in targets])
    assert tells_some_apart(codes, targets) == found
    codes[0] = 1 - codes[0]
    assert tells_some_apart(codes, targets) is None, "one row speaks against it"
    assert tells_some_apart(np.repeat([0.0, 0.0, 1.0], (30, 30, 4)), np.repeat([0, 1, 2], (30, 30, 4))) is None, "few"


# The command


ROWS = 60
HEAD = ["speed", "torque", "rig", "logged", "status"]


def cells() -> list[list[str]]:
    draw = np.random.RandomState(0)
    return [
        [f"{draw.normal(100, 5):.3f}", f"{draw.normal(8, 1):.3f}", "ab"[at % 2], f"{at}", ["good", "worn"][at // 3 % 2]]
        for at in range(ROWS)
    ]


def write(path: Path, rows: list[list[str]], head: list[str] = HEAD) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def invoke(folder: Path, *arguments: object) -> Result:
    nothing = folder / "ampedge.toml"
    nothing.touch()
    given = () if "--config" in arguments else ("--config", nothing)
    return CliRunner().invoke(app, ["inspect", *map(str, (*arguments, *given))], env={"COLUMNS": "120"})


def document(folder: Path, *arguments: object) -> dict[str, object]:
    done = invoke(folder, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def kinds(found: dict[str, object]) -> set[tuple[str, str | None]]:
    return {(one["kind"], one["column"]) for one in found["findings"]}  # type: ignore[attr-defined]


def test_each_option_shows(tmp_path: Path) -> None:
    rows = cells()
    rows[4][0], rows[9][1] = "n/a", "abc"
    path = write(tmp_path / "data.csv", rows)
    whole = document(tmp_path, path)
    assert kinds(whole) >= {("missing_values", "speed"), ("unreadable_cells", "torque")}
    assert whole["classes"] == {"good": 30, "worn": 30}
    assert whole["features"] == ["speed", "torque"]
    assert whole["left_out"] == {"rig": "text", "logged": "it counts the rows"}
    assert document(tmp_path, path, "--features", "torque")["features"] == ["torque"]
    assert document(tmp_path, path, "--drop", "torque")["features"] == ["speed"]
    assert document(tmp_path, path, "--label", "rig")["classes"] == {"a": 30, "b": 30}
    rows[11][2], rows[30][3] = "", "99"
    write(path, rows)
    [missing] = [one for one in document(tmp_path, path, "--group", "rig")["findings"] if one["column"] == "rig"]
    assert (missing["severity"], missing["lines"]) == ("error", [13])
    assert ("time_disorder", "logged") in kinds(document(tmp_path, path, "--time", "logged"))
    refused = invoke(tmp_path, path, "--time", "status")
    assert isinstance(refused.exception, DataError)
    assert refused.exception.problem == f"{path}, column 'status': no times are recognised in it."
    config = tmp_path / "site.toml"
    config.write_text(
        '[[tags]]\nname = "speed"\naddress = 0\nvalid = [95, 105]\n[[tags]]\nname = "torque"\naddress = 2\n', "utf-8"
    )
    assert ("out_of_range", "speed") in kinds(document(tmp_path, path, "--config", config))
    odd = tmp_path / "odd.csv"
    odd.write_text(path.read_text("utf-8").replace(".", ";").replace(",", "!").replace(";", ","), "utf-8")
    assert document(tmp_path, odd, "--sep", "!", "--decimal", ",")["features"] == ["speed", "torque"]


@pytest.mark.parametrize("label", ["good", "worn"])
def test_a_flag_of_an_alarm_is_told_of_by_inspect_and_train(tmp_path: Path, label: str) -> None:
    """One that tells one class from several others, also where that class is so rare that it hardly ever varies."""
    draw = np.random.RandomState(1)
    labels = ["good"] * 1500 + ["hot"] * 100 + ["worn"] * 12
    rows = [[f"{draw.normal(100, 5):.6f}", str(int(one == label)), one] for one in labels]
    path = write(tmp_path / "data.csv", rows, ["speed", "alarm", "status"])
    found = document(tmp_path, path)
    assert ("gives_label_away", "alarm") in kinds(found)
    data = dataset(read_table(path), TableSettings())
    assert any(
        "'alarm' alone tells some classes apart: each class has just one of its 2 values" in one
        for one in check(data, [])
    )


def test_a_flag_that_hardly_ever_varies_says_nothing_of_one_class(tmp_path: Path) -> None:
    draw = np.random.RandomState(1)
    labels = ["good"] * 1500 + ["worn"] * 3  # too few to show what the class looks like
    rows = [[f"{draw.normal(100, 5):.6f}", str(int(at < 2)), one] for at, one in enumerate(labels)]
    found = document(tmp_path, write(tmp_path / "data.csv", rows, ["speed", "alarm", "status"]))
    assert ("near_constant_column", "alarm") in kinds(found)
    assert ("gives_label_away", "alarm") not in kinds(found)


def test_rows_that_are_zero_everywhere_are_told_of(tmp_path: Path) -> None:
    rows = [["0", "-0.0", "off"] if at % 5 == 0 else [*row[:2], row[4]] for at, row in enumerate(cells())]
    path = write(tmp_path / "data.csv", rows, ["speed", "torque", "status"])
    found = document(tmp_path, path)
    [one] = [one for one in found["findings"] if one["kind"] == "unwritten_rows"]
    assert (one["severity"], one["count"], one["lines"]) == ("warning", 12, [*range(2, 62, 5)])
    assert "All rows of 'off' are so: serve will never say it." in one["what"]
    [copies] = [one for one in found["findings"] if one["kind"] == "duplicate_rows"]
    assert copies["what"].endswith(" Without them too few rows to split are left of 'off' (1).")
    assert "same_in_all_classes" not in {kind for kind, _ in kinds(found)}
    assert not {"sentinel_values", "spikes"} & {kind for kind, _ in kinds(found)}
    config = tmp_path / "site.toml"
    tag = '[[tags]]\nname = "{}"\naddress = {}\ntype = "int16"\noffset = {}\n'
    config.write_text(tag.format("speed", 0, 0) + tag.format("torque", 1, -5), "utf-8")
    assert ("unwritten_rows", None) not in kinds(document(tmp_path, path, "--config", config))


def test_a_table_without_measurements_is_refused(tmp_path: Path) -> None:
    done = run_cli("inspect", write(tmp_path / "data.csv", [["a", "x"]] * 30, ["rig", "status"]), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no column of measurements beside the label 'status'; left out: 'rig' (text)." in done.stderr


def test_the_word_null_as_a_label_is_told_of(tmp_path: Path) -> None:
    rows = cells()
    for row in rows[:20]:
        row[4] = "NULL"
    found = document(tmp_path, write(tmp_path / "data.csv", rows))
    [one] = [one for one in found["findings"] if one["kind"] == "missing_values"]
    assert (one["severity"], one["count"], one["lines"]) == ("note", 20, [*range(2, 22)])
    assert one["what"] == "20 rows of 'NULL' are taken as a class of that name."


def test_the_report_names_kind_column_lines_and_what_to_do(tmp_path: Path) -> None:
    rows = cells()
    for at in range(8):
        rows[4 * at][0] = "n/a"
    done = invoke(tmp_path, write(tmp_path / "data.csv", rows), "--strict")
    assert done.exit_code == 1  # the runner's; the command line makes it 6, see below
    assert "error    missing values" in done.stdout
    assert "speed: 8 cells are empty or marked as missing. ('n/a') Lines 2, 6, 10, 14, 18 and 3 more." in done.stdout
    assert "--drop-bad-rows" in done.stdout
    assert re.search(r"60 data lines\n +60 after label repair\n +52 after dropping bad cells", done.stdout)


def test_the_command_line_ends_with_its_exit_codes(tmp_path: Path) -> None:
    rows = cells()
    rows[4][0] = "n/a"
    path = write(tmp_path / "data.csv", rows)
    done = run_cli("inspect", path, "--strict", "--json", cwd=tmp_path)
    assert done.returncode == 6
    assert json.loads(done.stdout)["counts"]["error"] == 1
    assert "1 finding of severity error" in done.stderr
    missing = run_cli("inspect", tmp_path / "none.csv", cwd=tmp_path)
    assert missing.returncode == 3


def test_values_that_are_too_large_to_compute_with_are_named(tmp_path: Path) -> None:
    rows = cells()
    rows[5][0], rows[8][0], rows[11][1] = "1.7976931348623157e308", "-1.7e308", "-999"
    found, copy, _ = fixed(tmp_path, rows)
    [one] = [one for one in found.findings if one.kind is Kind.OUT_OF_RANGE]
    assert (one.column, [*one.lines]) == ("speed", [7, 10])
    assert one.what == "2 values too large to compute with."
    assert copy == [HEAD, *(row for at, row in enumerate(rows) if at not in (5, 8, 11))]
    for row in rows[:30]:
        row[0] = f"{row[0]}e200"
    found, copy, _ = fixed(tmp_path, rows)
    assert "cannot be computed with" in next(one.what for one in found.findings if one.kind is Kind.OUT_OF_RANGE)


@pytest.mark.parametrize("count", range(1, 8))
def test_a_table_of_few_rows_is_no_bug(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "data.csv", cells()[:count])
    done = invoke(tmp_path, path, "--html", tmp_path / "page.html", "--fix", tmp_path / "copy.csv")
    assert done.exit_code == 0, done.exception
    assert f": {count} row{'s' * (count > 1)}, " in done.stdout


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("1 {:03d}", "thousands separators"),
        ("1'{:03d}.5", "thousands separators"),
        ('"12,34,{:03d}"', "thousands separators"),
        ("{}.5 V", "a unit"),
        ("{}%", "a unit"),
    ],
)
def test_a_column_of_numbers_in_disguise_is_no_silent_text(tmp_path: Path, cell: str, why: str) -> None:
    rows = "".join(f"{row * 7 % 97}.5,{cell.format(row)},{'good' if row % 2 else 'worn'}\n" for row in range(60))
    path = tmp_path / "t.csv"
    path.write_text("a,b,status\n" + rows)
    assert isinstance(invoke(tmp_path, path, "--strict").exception, GateError)
    (found,) = [one for one in document(tmp_path, path)["findings"] if one["column"] == "b"]
    assert found["kind"] == "unreadable_cells"
    assert found["severity"] == "error"
    assert "line 2: " in found["what"]
    assert why in found["what"]
    (note,) = [one for one in measurements(read_table(path), TableSettings())[1] if "would be numbers" in one]
    assert "'b'" in note
    assert why in note
    assert "b" not in {one["column"] for one in document(tmp_path, path, "--drop", "b")["findings"]}
    path.write_text("b,status\n" + "".join(line.split(",", 1)[1] for line in rows.splitlines(keepends=True)))
    with pytest.raises(DataError, match=why):
        measurements(read_table(path), TableSettings())


def test_a_name_that_is_no_text_is_no_bug(tmp_path: Path) -> None:
    write(tmp_path / "data\udcff.csv", cells())
    done = run_cli("inspect", "data\udcff.csv", "--html", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "data\\udcff.csv" in (tmp_path / "page.html").read_text("utf-8")


# The cleaned copy


def fixed(
    folder: Path, rows: list[list[str]], head: list[str] = HEAD
) -> tuple[Inspection, list[list[str]], list[list[str]]]:
    """(the inspection, the rows of the copy, the changes)."""
    path = write(folder / "data.csv", rows, head)
    found = inspect(read_table(path, drop_bad_rows=True), TableSettings())
    made = write_fixed(found, folder / "fixed.csv")
    copy, changes = ([*csv.reader(one.read_text("utf-8").splitlines())] for one in (made.path, made.changes_path))
    return found, copy, changes


def test_the_copy_lists_every_change_by_its_line(tmp_path: Path) -> None:
    rows = cells()
    rows[1][0] = "--"
    rows[2][4] = " Good"
    rows[3][1] = "-999"
    rows[5][2] = "=cmd|' /C calc'!A0"
    rows[8][4] = ""
    rows.insert(20, [*rows[10]])
    rows.insert(30, [*rows[12][:4], "worn" if rows[12][4] == "good" else "good"])
    rows.insert(40, ["1", "2"])
    found, copy, changes = fixed(tmp_path, rows, [" speed", *HEAD[1:]])
    assert changes == [
        ["line", "column", "was", "now", "why"],
        ["1", "speed", " speed", "speed", "spaces around the name"],
        ["3", "speed", "'--", "", "row left out: '--' is not a number but the mark of a missing value"],
        ["4", "status", " Good", "good", "the commonest spelling"],
        ["5", "torque", "-999", "", "row left out: stands in place of a reading"],
        ["7", "rig", "'=cmd|' /C calc'!A0", "''=cmd|' /C calc'!A0", "a spreadsheet would compute it"],
        ["10", "status", "", "", "row left out: there is no label"],
        ["14", "", "", "", "row left out: another row has the same values and another label"],
        ["22", "", "", "", "row left out: repeats an earlier row"],
        ["32", "", "", "", "row left out: another row has the same values and another label"],
        ["42", "", "", "", "row left out: too few or too many fields"],
    ]
    gone = {1, 3, 8, 12, 20, 30, 40}
    kept = [[*row] for at, row in enumerate(rows) if at not in gone]
    kept[1][4], kept[3][2] = "good", "'=cmd|' /C calc'!A0"
    assert copy == [HEAD, *kept]
    assert found.steps[-1] == ("after dropping duplicates", len(kept))


def test_a_copy_without_rows_is_refused_after_the_report(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", [[*row[:4], ""] for row in cells()])
    done = run_cli("inspect", path, "--fix", tmp_path / "copy.csv", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "copy.csv").exists()) == (3, False)
    assert "60 rows have no label." in done.stdout
    assert "no row would be left in a cleaned copy" in done.stderr


def test_a_copy_of_the_copy_changes_nothing(tmp_path: Path) -> None:
    rows = cells()
    for at, rig in enumerate(("=1+1", "'=1+1", "''=1+1", "'tis", "+49 123")):
        rows[at][HEAD.index("rig")] = rig
    rows[7][4] = f"{rows[7][4]} "
    names = ["=speed", "'@torque", *HEAD[2:]]
    _, copy, changes = fixed(tmp_path, rows, names)
    assert [change[:4] for change in changes[1:]] == [
        ["1", "'=speed", "'=speed", "''=speed"],
        ["2", "rig", "'=1+1", "''=1+1"],
        ["6", "rig", "'+49 123", "''+49 123"],
        ["9", "status", rows[7][4], rows[7][4].strip()],
    ]
    _, again, changes = fixed(tmp_path, copy[1:], copy[0])
    assert again == copy
    assert changes[1:] == []


@pytest.mark.parametrize(("sep", "sign"), [(";", ","), (";", "."), (",", ","), (",", ".")])
def test_the_copy_leaves_no_doubt_about_its_decimal_sign(tmp_path: Path, sep: str, sign: str) -> None:
    rows = [[f"{float(speed) + 100:.3f}", f"{float(torque) + 5:.3f}", *rest] for speed, torque, *rest in cells()]
    rows[2][:2] = ["212.5", "n/a"]  # only this row, which is left out, shows the sign
    path, copy = tmp_path / "data.csv", tmp_path / "copy.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=sep).writerows([HEAD, *([cell.replace(".", sign) for cell in row] for row in rows)])
    done = invoke(tmp_path, path, "--fix", copy)
    assert done.exit_code == 0, done.output
    assert ("1 number made plain" in done.stdout) == ((sep, sign) != (",", "."))
    assert read_table(copy).decimal == sign
    assert read_table(copy).numbers("speed").tolist() == [float(row[0]) for row in rows if row[1] != "n/a"]


def test_a_text_of_several_lines_stays_one_cell_of_the_copy(tmp_path: Path) -> None:
    rows = cells()
    texts = ["a\rb", "a\r\nb", "a\nb"]
    for row, text in zip(rows, texts, strict=False):
        row[3] = text
    path = tmp_path / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])
    for out in (tmp_path / "copy.csv", tmp_path / "again.csv"):
        found = inspect(read_table(path, drop_bad_rows=True), TableSettings())
        assert write_fixed(found, out).rows == ROWS
        path = out
    assert [row.cells[3] for row in read_table(path).rows()][:3] == texts


def test_the_copy_can_be_trained_on(tmp_path: Path) -> None:
    wild_kinds = [kind for kind in PLANTERS if not kind.endswith(("column", "away", "classes", "balance", "range"))]
    for seed in range(6):
        base = drawn_base(seed, most_rows=200)
        path, copy = tmp_path / "planted.csv", tmp_path / "copy.csv"
        path.write_text(plant(base, seed, wild_kinds).text, "utf-8")
        write_fixed(inspected(path, base), copy)
        left = {one.kind for one in inspected(copy, base).findings if one.severity is not Severity.NOTE}
        assert left <= {Kind.FROZEN, Kind.TIME_GAPS, Kind.TIME_DISORDER}, "a person must decide these"
        check(dataset(read_table(copy), TableSettings()), ())


def test_the_copy_takes_the_place_of_nothing_else(tmp_path: Path) -> None:
    rows = cells()
    path = write(tmp_path / "data.csv", rows)
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    before = path.read_bytes()
    for option, out in product(("--fix", "--html"), (path, link)):
        done = invoke(tmp_path, path, option, out)
        assert isinstance(done.exception, UsageError)
        assert f"{option} {out} would overwrite the table itself" in done.exception.problem
    for page in ("new.csv", "new.changes.csv", "./new.csv"):
        done = invoke(tmp_path, path, "--fix", tmp_path / "new.csv", "--html", f"{tmp_path}/{page}")
        assert isinstance(done.exception, UsageError)
        assert not (tmp_path / "new.csv").exists()
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.changes.csv"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for option in ("--fix", "--html"):
        assert "is no regular file" in str(invoke(tmp_path, path, option, pipe).exception)
    assert pipe.is_fifo()
    circle = tmp_path / "circle.csv"
    circle.symlink_to(circle)
    assert invoke(tmp_path, path, "--html", circle).exit_code == 0
    assert "is a directory" in str(invoke(tmp_path, path, "--fix", "/").exception)
    out = document(tmp_path, path, "--fix", tmp_path / "new.csv")["fixed"]
    assert out == {
        "path": str(tmp_path / "new.csv"),
        "changes_path": str(tmp_path / "new.changes.csv"),
        "rows": ROWS,
        "changes": {},
    }
    assert (tmp_path / "new.csv").read_text("utf-8").splitlines() == path.read_text("utf-8").splitlines()


# The page


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_all_and_runs_nothing(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    rows = [[row[0], row[1], row[4].replace("worn", f"{evil}{row[4]}")] for row in cells()]
    rows[4][0] = "<img src=x onerror=alert(1)>"
    path = write(tmp_path / "data.csv", rows, [f"speed {evil}", "torque", "status"])
    done = invoke(tmp_path, path, "--html", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    page = _Tags()
    page.feed((tmp_path / "page.html").read_text("utf-8"))
    assert not {"script", "img", "link", "iframe"} & {*page.seen}
    assert not [name for name in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert page.seen["svg"] == 3  # two distributions, one of the correlations
    assert evil in page.text
    assert "unreadable cells" in page.text


def test_the_page_holds_many_columns_and_classes(tmp_path: Path) -> None:
    draw = np.random.RandomState(0)
    names = [f"sensor_{at}" for at in range(50)]
    rows = [[*(f"{value:.2f}" for value in draw.normal(size=50)), f"class {at % 20}"] for at in range(400)]
    done = invoke(tmp_path, write(tmp_path / "data.csv", rows, [*names, "status"]), "--html", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("<figure>") == 50
    assert "class 19: 20 rows" in text
