"""`init`: what it writes can be used as it stands, and nothing that exists is lost."""

import json
from pathlib import Path

import pytest

from ampedge.amplifier import datamap
from ampedge.cli.app import app
from ampedge.config import load_config
from ampedge.errors import DataError, InUseError, UsageError
from ampedge.sample_rows import read_samples
from ampedge.samples import DATA, SAMPLES, shipped
from ampedge.starter import ROWS_PER_LABEL, plain_name, write_files
from ampedge.table import read_table
from ampedge.training.rows.dataset import dataset
from ampedge.training.settings import TableSettings
from tests.support.cli import run_cli

TABLE = "time,flow rate,T out,state\n" + "".join(
    f"{1700000000 + i},{i / 10},{-20.5 + i},{('off', 'on', 'worn')[i % 3]}\n" for i in range(60)
)


def init(*arguments: object) -> None:
    app(["init", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pump 7.csv"
    path.write_text(TABLE)
    return path


def test_without_a_table_it_is_the_amplifier(tmp_path, capsys):
    place = tmp_path / "new" / "place"
    init(place)
    assert {path.name for path in place.iterdir()} == {"ampedge.toml", "data.csv", "test_samples.csv"}
    assert load_config(place / "ampedge.toml", environment={}).datamap == datamap()
    for name in (DATA, SAMPLES):
        assert (place / name).read_bytes() == shipped(name).read_bytes()
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"cd {place} && ampedge train data.csv")


def test_a_table_becomes_tags(table, tmp_path, capsys):
    init("site", "--from", table, "--label", "state")
    shown = capsys.readouterr()
    assert "'time' (a time)" in shown.err
    assert f"cd site && ampedge train '{table}' --label state" in shown.out

    config = load_config(tmp_path / "site" / "ampedge.toml", environment={})
    assert config.datamap is not None
    assert [(tag.name, tag.address, tag.type, tag.valid) for tag in config.datamap.tags] == [
        ("flow rate", 0, "float32", None),
        ("T out", 2, "float32", None),
    ]
    assert config.settings.device == "pump-7"
    assert config.mqtt.topic == "pump-7/inference"
    text = (tmp_path / "site" / "ampedge.toml").read_text()
    assert "# seen: -20.5 to 38.5\n# valid = " in text
    assert "amplifier" not in text.partition("[modbus]")[2]


def test_training_takes_the_table_with_the_written_config(table, tmp_path):
    init("--from", table, "--label", "state")
    made = dataset(read_table(table), TableSettings(label="state"), load_config(environment={}).datamap)
    assert made.features == ("flow rate", "T out")
    assert len(made.values) == 60


def test_samples_of_a_table(table, tmp_path):
    init("site", "--from", table, "--label", "state")
    samples = tmp_path / "site" / "test_samples.csv"
    assert samples.read_text().startswith('status,flow rate (float),"flow rate [reg0, reg1]",T out (float),')
    config = load_config(tmp_path / "site" / "ampedge.toml", environment={})
    rows = read_samples(samples, config.datamap)
    assert [row.label for row in rows].count("worn") == ROWS_PER_LABEL
    assert {row.label for row in rows} == {"off", "on", "worn"}
    whole = {tuple(map(float, line.split(",")[1:3])): line.split(",")[3] for line in TABLE.splitlines()[1:]}
    assert all(whole[row.values] == row.label for row in rows)


def test_options_of_the_table_reach_the_reader(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"{i},{100 + i}|{i}|x{i % 2}" for i in range(1, 41)]
    (tmp_path / "odd.csv").write_text("\n".join(["a|b|status", *lines, "n/a|1|x1"]) + "\n")
    with pytest.raises(DataError, match="decimal comma"):
        init("one", "--from", "odd.csv")
    with pytest.raises(DataError, match=r"line 42, column 'a': 'n/a' is not a number"):
        init("one", "--from", "odd.csv", "--decimal", ",")
    with pytest.raises(DataError, match="2 fields under a header of 1 column"):
        init("one", "--from", "odd.csv", "--sep", ",")
    how = ["--sep", "|", "--decimal", ",", "--drop", "b", "--drop-bad-rows"]
    init("one", "--from", "odd.csv", *how)
    assert "1 of 41 rows dropped" in capsys.readouterr().err
    assert load_config(tmp_path / "one" / "ampedge.toml", environment={}).datamap.names == ("a",)
    assert not (tmp_path / "two").exists()
    init("two", "--from", "odd.csv", *how)
    assert "odd.csv --drop b --sep '|' --decimal , --drop-bad-rows" in capsys.readouterr().out


def test_nothing_is_overwritten(table, tmp_path):
    place = tmp_path / "site"
    place.mkdir()
    (place / "test_samples.csv").write_text("mine")
    for arguments in (["site"], ["site", "--from", table, "--label", "state"]):
        with pytest.raises(InUseError, match=r"site already has test_samples.csv; nothing was written"):
            init(*arguments)
    assert [path.name for path in place.iterdir()] == ["test_samples.csv"]
    assert (place / "test_samples.csv").read_text() == "mine"


def test_a_bad_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        init(tmp_path / "file" / "below")


def test_a_full_disk_leaves_no_half_of_the_files(tmp_path, monkeypatch):
    really_open = Path.open

    def on_a_full_disk(path, *how, **more):
        file = really_open(path, *how, **more)
        if path.name != "second":
            return file
        file.close()
        return really_open(Path("/dev/full"), "w", buffering=1)

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    with pytest.raises(UsageError, match=r"second cannot be written: No space left") as caught:
        write_files(tmp_path, {"first": "1\n", "second": "2\n"})
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_is_cut_to_what_a_device_may_have():
    assert plain_name("pump " * 40) == ("pump-" * 13)[:64].strip("-")


@pytest.mark.parametrize("option", [["--label", "x"], ["--drop", "x"], ["--sep", ";"], ["--drop-bad-rows"]])
def test_options_for_a_table_need_one(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="says nothing without --from"):
        init(*option)
    assert list(tmp_path.iterdir()) == []


def test_exit_codes(table, tmp_path):
    done = run_cli("init", "site", "--from", "pump 8.csv", cwd=tmp_path)
    assert done.returncode == 3
    assert "did you mean 'pump 7.csv'?" in done.stderr
    assert not (tmp_path / "site").exists()


def test_names_in_the_config_are_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ['a "b" \\ c', "größe °C"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    (tmp_path / "t.csv").write_text(
        f"{header},status\n" + "".join(f"{i + 0.5},{i * i},{'ab'[i % 2]}\n" for i in range(40)), "utf-8"
    )
    init("--from", "t.csv")
    assert load_config(tmp_path / "ampedge.toml", environment={}).datamap.names == tuple(names)


@pytest.mark.parametrize(
    ("stem", "name"), [("data", "data"), ("pump 7 (new)", "pump-7-new"), ("Größe", "Gr-e"), ("+/#", "device")]
)
def test_device_name(stem, name):
    assert plain_name(stem) == name
    assert json.dumps(name) == f'"{name}"'
