"""What training makes of a table before any network: features, labels, bad cells, warnings, splits."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ampedge.config import load_config
from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError, UsageError
from ampedge.table import read_table
from ampedge.training.contents import _table as held_out_csv
from ampedge.training.fitting.scaler import fitted_scaler
from ampedge.training.inspection.checks import check
from ampedge.training.rows.classes import label_column
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.split import split
from ampedge.training.settings import FitSettings, TableSettings, parsed_layers, parsed_names
from tests.support.training import trained

DRAWN = np.random.RandomState(0)
ROWS = 60
SPEED = [f"{value:.3f}" for value in DRAWN.normal(100, 5, ROWS)]
TORQUE = [f"{value:.3f}" for value in DRAWN.normal(8, 1, ROWS)]
STATUS = ["good", "good", "worn"] * (ROWS // 3)
COLUMNS = {"speed": SPEED, "torque": TORQUE, "status": STATUS}


def write(folder: Path, columns: dict[str, list[str]]) -> Path:
    """A CSV of these columns; cells that hold a comma are quoted."""
    path = folder / "data.csv"
    lines = [columns.keys(), *zip(*columns.values(), strict=True)]
    quoted = (",".join(f'"{cell}"' if "," in cell else cell for cell in line) for line in lines)
    path.write_text("\n".join(quoted) + "\n", "utf-8")
    return path


def with_column(name: str, cells: list[str]) -> dict[str, list[str]]:
    return {name: cells, **COLUMNS}


def with_cell(column: str, row: int, cell: str) -> dict[str, list[str]]:
    """The plain table with one cell changed; row 0 is line 2 of the file."""
    return {**COLUMNS, column: [*COLUMNS[column][:row], cell, *COLUMNS[column][row + 1 :]]}


def made(path: Path, **settings: object) -> Dataset:
    return dataset(read_table(path), TableSettings(**settings))


# Which columns are features


COUNTER = [str(5 + 2 * i) for i in range(ROWS)]
EPOCHS = [str(1_700_000_000 + DRAWN.randint(0, 10**6)) for _ in range(ROWS)]
RISING = [f"{3.7 * i**1.1:.2f}" for i in range(ROWS)]
SHUFFLED = [str(i) for i in DRAWN.permutation(ROWS) + 100]
FEW = [str(1 + i // 7) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("Unnamed: 0", COUNTER, "no name"),
        ("timestamp", EPOCHS, "a time"),
        ("Zeit [s]", RISING, "a time"),
        ("time_ms", [f"{float(cell) * 1000:.0f}" for cell in EPOCHS], "a time"),
        ("machine_id", SHUFFLED, "an id"),
        ("UDI", SHUFFLED, "an id"),
        ("batch", FEW, "a group"),
        ("sample", COUNTER, "it counts the rows"),
        ("remark", ["fine"] * ROWS, "text"),
        ("sensor", ["1.5", "n/a", "n/a"] * (ROWS // 3), "text"),
    ],
)
def test_columns_that_measure_nothing_are_left_out_with_a_note(
    tmp_path: Path, name: str, cells: list[str], reason: str
) -> None:
    path = write(tmp_path, with_column(name, cells))
    data = made(path)
    assert data.features == ("speed", "torque")
    assert any(f"{name.removesuffix(' [s]')!r} ({reason})" in note and "--features" in note for note in data.notes)
    if reason != "text":
        assert made(path, features=(name, "speed")).features == (name, "speed")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("ts1_mean", TORQUE),
        ("response_time_ms", SHUFFLED),
        ("run_hours", [str(i * i) for i in range(ROWS)]),
        ("type_lmh", ["0", "1", "2", "1"] * (ROWS // 4)),
        ("cycle_time", SPEED),
        ("batch", TORQUE),
        ("paid", SHUFFLED),
    ],
)
def test_measurements_are_kept_whatever_their_name_reminds_of(tmp_path: Path, name: str, cells: list[str]) -> None:
    data = made(write(tmp_path, with_column(name, cells)))
    assert data.features == (name, "speed", "torque")
    assert data.notes == ()


def test_a_group_column_is_pointed_out(tmp_path: Path) -> None:
    path = write(tmp_path, with_column("batch", FEW))
    assert any(
        "--group batch keeps its rows" in note or "--group batch keeps them" in note for note in made(path).notes
    )
    for settings in ({"group": "batch"}, {"time_order": True}, {"drop": ("batch",)}):
        assert not any("--group" in note for note in made(path, **settings).notes)


def test_a_group_column_is_pointed_out_where_tags_or_options_choose_the_features(tmp_path: Path) -> None:
    path = write(tmp_path, with_column("batch", FEW))
    tags = DataMap((Tag("speed", 0), Tag("torque", 2)))
    for features, datamap in ((("speed", "torque"), None), (None, tags)):
        free = TableSettings(features=features)
        assert any("--group batch" in note for note in dataset(read_table(path), free, datamap).notes)
        grouped = TableSettings(features=features, group="batch")
        assert dataset(read_table(path), grouped, datamap).notes == ()
    assert made(path, features=("batch", "torque")).notes == (), "it was named as a measurement"


def test_drop_and_features_choose_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, COLUMNS)
    assert made(path, drop=("speed",)).features == ("torque",)
    assert made(path, features=("torque", "speed")).features == ("torque", "speed")
    assert made(path, features=("torque", "speed")).values[0].tolist() == [float(TORQUE[0]), float(SPEED[0])]
    for settings in ({"drop": ("sped",)}, {"features": ("sped",)}):
        with pytest.raises(DataError, match=r"no column 'sped'; did you mean 'speed'\?"):
            made(path, **settings)


# Labels


def test_spellings_of_a_label_become_the_commonest_and_are_reported(tmp_path: Path) -> None:
    status = [" good", "Good", "GOOD ", *STATUS[3:]]
    data = made(write(tmp_path, {**COLUMNS, "status": status}))
    assert data.classes == ("good", "worn")
    assert (data.targets == [0, 0, 0, *([0, 0, 1] * (ROWS // 3))[3:]]).all()
    assert "Spaces around 2 labels were taken off, such as ' good'." in data.notes
    assert "Labels read as the commonest spelling: 'GOOD' as 'good' (1), 'Good' as 'good' (1)." in data.notes


def test_the_held_out_rows_hold_no_formula_and_come_back(tmp_path: Path) -> None:
    status = ["=good", "-worn"] * (ROWS // 2)
    data = made(write(tmp_path, {**COLUMNS, "status": status}))
    parts = split(data, TableSettings(), 42)
    held = held_out_csv(SimpleNamespace(data=data, table=TableSettings()), parts.test)
    path = tmp_path / "heldout.csv"
    path.write_bytes(held)
    assert held.count(b",'=good\n") + held.count(b",'-worn\n") == len(parts.test)
    table = read_table(path)
    assert list(table.texts("status")) == data.names(parts.test)
    assert table.numbers("speed").tolist() == data.values[parts.test, 0].tolist()


def test_na_none_and_null_are_labels_like_others(tmp_path: Path) -> None:
    status = ["NA", "None", "null"] * (ROWS // 3)
    assert made(write(tmp_path, {**COLUMNS, "status": status})).classes == ("NA", "None", "null")


def test_classes_stand_in_alphabetical_order(tmp_path: Path) -> None:
    status = ["unstable", "healthy", "overdriven", "failsoon"] * (ROWS // 4)
    data = made(write(tmp_path, {**COLUMNS, "status": status}))
    assert data.classes == ("failsoon", "healthy", "overdriven", "unstable")
    assert data.targets[:4].tolist() == [3, 1, 2, 0]


def test_a_small_class_is_warned_of(tmp_path: Path) -> None:
    data = made(write(tmp_path, {**COLUMNS, "status": ["rare"] * 12 + ["good"] * (ROWS - 12)}))
    assert any(note.startswith("Warning: few rows of 'rare' (12)") for note in data.notes)


# Tables that are refused: nothing is written, the exit code is 3, the remedy is named

CONSTANT = ["7"] * ROWS
GIVEAWAY = [{"good": "0", "worn": "1"}[name] for name in STATUS]
BAD = [
    (with_cell("speed", 3, "abc"), "line 5, column 'speed': 'abc' is not a number.", "--drop-bad-rows"),
    (with_cell("speed", 3, "abc"), "is not a number", "--drop speed"),
    (with_cell("speed", 0, "nan"), "line 2, column 'speed': 'nan' is not a number", "--drop-bad-rows"),
    (with_cell("torque", 0, "inf"), "line 2, column 'torque': 'inf' is not a number", "--drop-bad-rows"),
    (with_cell("torque", 9, "1e999"), "line 11, column 'torque': '1e999' is not a number", "--drop-bad-rows"),
    (with_cell("torque", 9, ""), "line 11, column 'torque': the cell is empty", "--drop-bad-rows"),
    (with_cell("torque", 9, "0x1F"), "'0x1F' is not a number", "--drop-bad-rows"),
    (with_cell("status", 1, " "), "line 3, column 'status': there is no label", "--drop-bad-rows"),
    (with_cell("status", 1, "\uff55nknown"), "is kept for readings", "another label"),
    (with_cell("status", 1, "Unknown"), "line 3, column 'status': the label 'Unknown' is kept for", "another label"),
    (with_cell("status", 1, "x" * 65), "is no name for a class", "at most 64"),
    (with_cell("status", 1, "a\x1bb"), "'a\\x1bb' is no name for a class", "printable"),
    (with_cell("status", 1, "odd"), "too few rows to split of 'odd' (1); a class needs 10", "Collect more"),
    ({**COLUMNS, "status": ["good"] * ROWS}, "every row is labelled 'good'", "another class"),
    ({**COLUMNS, "status": SPEED}, "and 55 more classes; a class needs 10", "--label"),
    ({"speed": SPEED, "state": STATUS}, "no column 'status'; did you mean 'state'?", "--label NAME"),
    ({"remark": ["fine"] * ROWS, "status": STATUS}, "no column of measurements", "--features"),
    (with_column("gain", CONSTANT), "the column 'gain' is 7 in every row", "--drop gain"),
    (with_column("code", GIVEAWAY), "'code' gives the label away: each of its 2 values", "--drop code"),
    (with_column("flow\tl", TORQUE), "'flow\\tl' cannot be the name of a tag", "Rename it in the header"),
    (with_column("v" * 65, TORQUE), "cannot be the name of a tag", "--drop"),
    (with_column("big", [f"{cell}e38" for cell in TORQUE]), "does not fit tag 'big' (float32", "type or scale"),
    (with_column("wild", ["65535", *TORQUE[1:]]), "line 2, column 'wild': 65535 is far from all others", "valid = ["),
    (with_column("huge", [f"{cell}e200" for cell in TORQUE]), "the column 'huge' goes from", "another unit"),
    (with_column("tiny", [f"{cell}e-200" for cell in TORQUE]), "the column 'tiny' goes from", "another unit"),
]


@pytest.mark.parametrize(("columns", "problem", "remedy"), BAD)
def test_a_bad_table_is_refused_before_anything_is_written(
    tmp_path: Path, columns: dict[str, list[str]], problem: str, remedy: str
) -> None:
    path = write(tmp_path, columns)
    with pytest.raises(DataError) as caught:
        trained(path, tmp_path / "model")
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 3
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]


def test_the_remedy_fits_how_the_features_were_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, {**COLUMNS, "torque": ["8"] * ROWS})
    for chosen, datamap, remedy in (
        ({}, None, "Leave it out with --drop torque."),
        ({"features": ("speed", "torque")}, None, "Take it out of --features."),
        ({}, config_with(tmp_path), "Take its tag out of the config."),
    ):
        with pytest.raises(DataError) as caught:
            check(dataset(read_table(path), TableSettings(**chosen), datamap), ())
        assert caught.value.remedy == remedy


def test_a_feature_that_varies_outside_the_training_part_only_is_refused(tmp_path: Path) -> None:
    data = made(write(tmp_path, with_column("valve", ["0"] * (ROWS - 1) + ["1"])))
    with pytest.raises(DataError, match="'valve' is 0 in every row of the training part") as caught:
        fitted_scaler(data, np.arange(40))
    assert "another --seed" in caught.value.remedy


def test_the_unit_of_the_header_is_the_tags_and_another_one_is_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, {"speed (1/min)": SPEED, "torque": TORQUE, "status": STATUS})
    data = made(path)
    assert [(tag.name, tag.unit) for tag in data.datamap.tags] == [("speed", "1/min"), ("torque", "")]
    for unit, warnings in (("1/min", 0), ("", 0), ("1/s", 1)):
        datamap = DataMap((Tag("speed", 0, unit=unit), Tag("torque", 2, unit="Nm")))
        notes = [note for note in dataset(read_table(path), TableSettings(), datamap).notes if note.startswith("Warn")]
        assert len(notes) == warnings
        assert not notes or "has 'speed' in 1/min, the model in 1/s; the numbers were taken as they stand" in notes[0]
    chosen = made(path, features=("speed (1/min)", "torque"))
    assert [(tag.name, tag.unit) for tag in chosen.datamap.tags] == [("speed (1/min)", "1/min"), ("torque", "")]


def test_further_bad_cells_are_counted(tmp_path: Path) -> None:
    columns = {**with_cell("speed", 3, "abc"), "torque": ["", "n/a", *TORQUE[2:]]}
    with pytest.raises(DataError) as caught:
        made(write(tmp_path, columns))
    assert "line 2, column 'torque': the cell is empty. There are 2 more bad cells, 3 bad rows in all." in str(
        caught.value
    )


def test_bad_rows_are_dropped_and_counted_where_asked(tmp_path: Path) -> None:
    columns = {**with_cell("speed", 3, "abc"), "torque": [*TORQUE[:-1], "n/a"], "status": ["", *STATUS[1:]]}
    data = made(write(tmp_path, columns), drop_bad_rows=True)
    assert len(data.values) == ROWS - 3
    assert not np.isnan(data.values).any()
    assert data.values[0].tolist() == [float(SPEED[1]), float(TORQUE[1])]
    assert any(note.startswith("3 of 60 rows dropped") and "status 1, speed 1, torque 1" in note for note in data.notes)


def test_a_table_of_bad_rows_only_is_refused(tmp_path: Path) -> None:
    columns = {**COLUMNS, "torque": ["1", "x"] * (ROWS // 2), "speed": ["x", "1"] * (ROWS // 2)}
    with pytest.raises(DataError, match="All 60 rows have a bad cell"):
        made(write(tmp_path, columns), drop_bad_rows=True)


# The config's tags

TAGS = """
[[tags]]
name = "torque"
address = 10
type = "int16"
scale = 0.01
valid = [5, 12]
unit = "Nm"

[[tags]]
name = "{speed}"
address = 0
"""


def config_with(folder: Path, speed: str = "speed") -> DataMap | None:
    path = folder / "ampedge.toml"
    path.write_text(TAGS.format(speed=speed), "utf-8")
    return load_config(path, environment={}).datamap


def test_the_tags_of_the_config_are_the_features_in_their_order(tmp_path: Path) -> None:
    datamap = config_with(tmp_path)
    columns = with_column("further", SHUFFLED)
    data = dataset(
        read_table(write(tmp_path, {**columns, "torque": ["8"] * 30 + ["9"] * 30})), TableSettings(), datamap
    )
    assert data.features == ("torque", "speed")
    assert [tag.address for tag in data.datamap.tags] == [10, 0]
    chosen = TableSettings(features=("speed", "torque"))
    assert [tag.address for tag in dataset(read_table(data.path), chosen, datamap).datamap.tags] == [0, 10]


def test_a_value_outside_the_valid_range_is_a_bad_cell(tmp_path: Path) -> None:
    path = write(tmp_path, {**with_cell("torque", 4, "32767"), "speed": SPEED})
    datamap = config_with(tmp_path)
    with pytest.raises(DataError, match=r"line 6, column 'torque': 32767 is outside the tag's valid range \[5, 12\]"):
        dataset(read_table(path), TableSettings(), datamap)
    data = dataset(read_table(path), TableSettings(drop_bad_rows=True), datamap)
    assert data.values[:, 0].max() <= 12
    assert any("torque 1" in note for note in data.notes)


@pytest.mark.parametrize(
    ("kind", "scale", "high", "collected"),
    [("float32", 1.0, 12.1, "12.100000381469727"), ("int16", 0.1, 12.1, "12.100000000000001")],
)
def test_what_was_collected_at_the_end_of_the_valid_range_can_be_trained_on(
    tmp_path: Path, kind: str, scale: float, high: float, collected: str
) -> None:
    given = config_with(tmp_path)
    assert given is not None
    torque, speed = given.tags
    datamap = DataMap((replace(torque, type=kind, scale=scale, valid=(5.0, high)), speed))
    path = write(tmp_path, {**with_cell("torque", 4, collected), "speed": SPEED})
    assert dataset(read_table(path), TableSettings(), datamap).values[4, 0] == float(collected)
    path = write(tmp_path, {**with_cell("torque", 4, "12.1001"), "speed": SPEED})
    with pytest.raises(DataError, match=r"line 6, column 'torque': 12\.1001 is outside"):
        dataset(read_table(path), TableSettings(), datamap)


def test_tags_and_table_must_agree(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, COLUMNS))
    with pytest.raises(DataError, match=r"tag 'sped', but .* no column 'sped'; did you mean 'speed'\?"):
        dataset(table, TableSettings(), config_with(tmp_path, "sped"))
    datamap = config_with(tmp_path)
    for settings in ({"features": ("speed",)}, {"drop": ("torque",)}):
        with pytest.raises(UsageError, match="not the tags of the config: they differ in 'torque'"):
            dataset(table, TableSettings(**settings), datamap)


def test_an_encoding_that_blurs_a_column_is_warned_of(tmp_path: Path) -> None:
    fine = [f"{1e9 + float(cell):.3f}" for cell in TORQUE]
    data = made(write(tmp_path, with_column("position", fine)))
    assert any("float32 (scale 1) blurs 'position'" in note for note in check(data, ()))
    assert not any("blurs" in note for note in check(made(write(tmp_path, COLUMNS)), ()))


# Warnings


def test_a_giveaway_that_is_named_is_only_warned_of(tmp_path: Path) -> None:
    data = made(write(tmp_path, with_column("code", GIVEAWAY)), features=("code", "speed"))
    assert [note for note in check(data, ("code", "speed")) if note.startswith("Warning")] == [
        "Warning: the column 'code' gives the label away: each of its 2 values has just one label."
    ]


def test_a_column_that_separates_all_classes_is_warned_of(tmp_path: Path) -> None:
    telling = [f"{float(cell) + 50 * (name == 'worn'):.3f}" for cell, name in zip(TORQUE, STATUS, strict=True)]
    notes = check(made(write(tmp_path, with_column("heat", telling))), ())
    assert [note for note in notes if "tells all classes apart" in note and "'heat'" in note]
    assert not check(made(write(tmp_path, COLUMNS)), ())


def test_rows_that_are_zero_everywhere_are_warned_of(tmp_path: Path) -> None:
    zero = {"speed": "0", "torque": "0", "status": "off"}
    notes = check(made(write(tmp_path, {name: [*cells, *[zero[name]] * 12] for name, cells in COLUMNS.items()})), ())
    assert notes[0] == (
        "Warning: 12 rows are 0 in every column. So is a device that nobody has written to, and serve gives such a "
        "reading no class. All rows of 'off' are so: serve will never say it."
    )


def test_copies_are_pointed_out(tmp_path: Path) -> None:
    copied = {name: [*cells, cells[0], cells[1]] for name, cells in COLUMNS.items()}
    [note] = check(made(write(tmp_path, copied)), ())
    assert note.startswith("2 of 62 rows repeat another")


WILD = {**COLUMNS, "torque": ["-999", *TORQUE[1:40], "-999", *TORQUE[41:]]}


def test_wild_values_are_refused_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, WILD)
    with pytest.raises(DataError, match=r"line 2, column 'torque': -999 is far from all others") as caught:
        made(path)
    assert "So is 1 more" in caught.value.problem
    assert "--drop-bad-rows" in caught.value.remedy
    data = made(path, drop_bad_rows=True)
    assert len(data.values) == ROWS - 2
    assert "2 of 60 rows dropped for a value that is far from all others: torque 2." in data.notes
    assert data.kept is not None and np.flatnonzero(~data.kept).tolist() == [0, 40]


def test_the_lines_of_wild_values_are_right_behind_rows_that_were_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, {**WILD, "speed": ["n/a", "n/a", *SPEED[2:]]})
    data = made(path, drop_bad_rows=True)
    assert data.kept is not None and np.flatnonzero(~data.kept).tolist() == [0, 1, 40]
    assert len(data.values) == ROWS - 3
    with pytest.raises(DataError, match="line 42, column 'torque'"):
        made(write(tmp_path, {**COLUMNS, "torque": [*TORQUE[:40], "-999", *TORQUE[41:]]}))


def test_wild_values_are_kept_for_what_fits_no_scaler(tmp_path: Path) -> None:
    assert len(dataset(read_table(write(tmp_path, WILD)), TableSettings(), keep_wild=True).values) == ROWS


def test_a_stated_range_is_believed(tmp_path: Path) -> None:
    datamap = config_with(tmp_path)
    assert datamap is not None
    torque, speed = datamap.tags
    wide = DataMap((replace(torque, type="float32", valid=(-1000.0, 1000.0)), speed))
    assert len(dataset(read_table(write(tmp_path, WILD)), TableSettings(), wide).values) == ROWS


# Splits


def classed(folder: Path, statuses: list[str], groups: list[str] | None = None) -> Path:
    drawn = np.random.RandomState(1)
    columns = {"a": [f"{value:.4f}" for value in drawn.normal(size=len(statuses))], "status": statuses}
    return write(folder, {**columns, "rig": groups} if groups else columns)


def test_the_stratified_split_gives_each_part_its_share_of_each_class(tmp_path: Path) -> None:
    data = made(classed(tmp_path, (["a"] * 7 + ["b"] * 2 + ["c"]) * 100))
    parts = split(data, TableSettings(), seed=42)
    assert parts.sizes() == {"training": 700, "validation": 150, "test": 150}
    for part in (parts.training, parts.validation, parts.test):
        assert np.bincount(data.targets[part]) / len(part) == pytest.approx([0.7, 0.2, 0.1], abs=0.005)
    assert sorted(np.concatenate([parts.training, parts.validation, parts.test])) == list(range(1000))
    again, other = split(data, TableSettings(), seed=42), split(data, TableSettings(), seed=43)
    assert (again.test == parts.test).all()
    assert (other.test != parts.test).any()


def test_the_smallest_classes_that_are_accepted_can_be_split(tmp_path: Path) -> None:
    data = made(classed(tmp_path, ["a"] * 10 + ["b"] * 10))
    parts = split(data, TableSettings(), seed=0)
    assert all(set(data.targets[part]) == {0, 1} for part in (parts.training, parts.validation, parts.test))


def test_groups_are_kept_apart(tmp_path: Path) -> None:
    groups = [f"run{i // 10}" for i in range(400)]
    settings = TableSettings(group="rig")
    data = dataset(read_table(classed(tmp_path, ["a", "b"] * 200, groups)), settings)
    assert data.features == ("a",)
    assert data.groups is not None
    parts = split(data, settings, seed=42)
    held = [{data.groups[row] for row in part} for part in (parts.training, parts.validation, parts.test)]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert len(parts.test) / 400 == pytest.approx(0.15, abs=0.03)
    assert len(parts.validation) / 400 == pytest.approx(0.15, abs=0.03)
    assert parts.method == "groups of 'rig' kept apart"


def test_groups_that_cannot_be_split_are_refused(tmp_path: Path) -> None:
    settings = TableSettings(group="rig")
    two = dataset(read_table(classed(tmp_path, ["a", "b"] * 20, ["x", "y"] * 20)), settings)
    with pytest.raises(DataError, match="2 groups cannot be split"):
        split(two, settings, seed=42)
    with pytest.raises(DataError, match="no column 'rigg'"):
        made(two.path, group="rigg")
    with pytest.raises(DataError, match="line 2, column 'rig': the cell is empty"):
        made(classed(tmp_path, ["a", "b"] * 20, [" ", *["x", "y", "z"] * 13]), group="rig")


def test_a_class_of_one_group_trains_and_its_absence_from_the_test_is_said(tmp_path: Path) -> None:
    settings = TableSettings(group="rig")
    statuses = ["a", "b"] * 90 + ["c"] * 20
    groups = [f"run{i % 9}" for i in range(180)] + ["only"] * 20
    data = dataset(read_table(classed(tmp_path, statuses, groups)), settings)
    parts = split(data, settings, seed=42)
    assert set(data.targets[parts.training]) == {0, 1, 2}
    assert parts.notes == (
        "Warning: the validation part has no row of 'c'.",
        "Warning: the test part has no row of 'c'.",
    )


def test_classes_that_cannot_all_be_trained_are_refused(tmp_path: Path) -> None:
    settings = TableSettings(group="rig")
    data = dataset(read_table(classed(tmp_path, ["a", "b", "c"] * 20, ["x", "y", "z"] * 20)), settings)
    with pytest.raises(DataError, match="is missing from training") as caught:
        split(data, settings, seed=42)
    assert "Each class must occur in several groups" in caught.value.remedy


def test_the_order_of_time_is_kept(tmp_path: Path) -> None:
    settings = TableSettings(time_order=True)
    data = made(classed(tmp_path, ["a", "b"] * 50))
    parts = split(data, settings, seed=42)
    assert parts.training.tolist() == list(range(70))
    assert parts.validation.tolist() == list(range(70, 85))
    assert parts.test.tolist() == list(range(85, 100))
    late = made(classed(tmp_path, ["a", "b"] * 40 + ["c"] * 20))
    with pytest.raises(DataError, match="'c' first comes after the training part, which is the first 70 rows"):
        split(late, settings, seed=42)
    early = made(classed(tmp_path, ["c"] * 20 + ["a", "b"] * 40))
    assert split(early, settings, seed=42).notes == (
        "Warning: the validation part has no row of 'c'.",
        "Warning: the test part has no row of 'c'.",
    )


# Options


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"patience": -1}, "--patience -1"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**32}, "--seed 4294967296"),
        ({"learning_rate": 0.0}, "--learning-rate 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate nan"),
        ({"class_weight": "auto"}, "--weights auto"),
        ({"l2": -0.1}, "--l2 -0.1"),
        ({"l2": float("nan")}, "--l2 nan"),
        ({"layers": ()}, "--layers"),
        ({"layers": (64, 0)}, "--layers 64,0"),
        ({"layers": (1,) * 9}, "--layers"),
        ({"layers": (1025,)}, "--layers 1025"),
    ],
)
def test_fit_settings_out_of_range_are_refused(option: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        FitSettings(**option)
    assert problem in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"group": "rig", "time_order": True}, "two different ways"),
        ({"features": ("a",), "drop": ("b",)}, "nothing to leave out"),
        ({"features": ("a", "status")}, "'status' is the column of the label"),
        ({"features": ("a", "rig"), "group": "rig"}, "'rig' is the column of the group"),
        ({"features": ("a", "a")}, "twice"),
        ({"group": "status"}, "'status' is the column of the label"),
    ],
)
def test_options_that_do_not_go_together_are_refused(option: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        TableSettings(**option)
    assert problem in caught.value.problem


def test_lists_on_the_command_line() -> None:
    assert parsed_layers("64, 32,16") == (64, 32, 16)
    assert parsed_names("--drop", 'a, b,"c, rms"') == ("a", "b", "c, rms")
    for wrong in ("", "64,", "a", "6.5", "-3"):
        with pytest.raises(UsageError, match="--layers"):
            parsed_layers(wrong)
    for wrong in ("", "a,,b", ","):
        with pytest.raises(UsageError, match="a name is empty"):
            parsed_names("--drop", wrong)


def test_a_label_column_that_differs_in_case_only_is_the_one_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x,Status\n1,a\n")
    table = read_table(path)
    assert label_column(table, "status") == "Status"
    assert label_column(table, "state") == "state"
    path.write_text("x,Status,STATUS\n1,a,b\n")
    assert label_column(read_table(path), "status") == "status"
