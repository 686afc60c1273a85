"""`ampedge benchmark`: each format and runtime in processes of its own, and what is not there with its reason."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ampedge.benchmark import candidates, process
from ampedge.benchmark.benchmark import Benchmark, benchmark, chosen
from ampedge.benchmark.candidates import CANDIDATES, Candidate
from ampedge.cli.app import app
from ampedge.cli.benchmark_table import show
from ampedge.errors import AmpedgeError, DataError, UsageError
from ampedge.model.bundle import Bundle
from ampedge.model.runtimes.choice import RUNTIMES
from ampedge.training.export.exporter import export
from ampedge.training.export.formats import FORMATS
from tests.support.bundles import make_bundle, random_layers
from tests.support.cli import run_cli
from tests.support.parts import needed

CLASSES = ["a", "b", "c"]
EDGE = ("ampedge/numpy", "tflite/int8", "onnx", "c")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A third of its held-out rows bear another label than it says."""
    place = tmp_path_factory.mktemp("bundle")
    layers = random_layers([4, 32, 16, 3], seed=2)
    plain = make_bundle(place / "plain", classes=CLASSES, mean=[1.0] * 4, std=[2.0] * 4, layers=layers)
    values = np.random.RandomState(0).normal(1, 2, (300, 4))
    said = plain.probabilities(values).argmax(axis=1)
    labels = [CLASSES[(best + (at % 3 == 0)) % 3] for at, best in enumerate(said.tolist())]
    rows = list(zip(values.tolist(), labels, strict=True))
    return make_bundle(
        place / "model", classes=CLASSES, mean=[1.0] * 4, std=[2.0] * 4, layers=layers, rows=rows, representative=rows
    )


@pytest.fixture(scope="module")
def found(bundle: Bundle) -> dict[str, object]:
    needed("gcc")
    lines = [part for name in EDGE for part in ("--only", name)]
    done = CliRunner().invoke(app, ["benchmark", "--model", str(bundle.path), "--json", *lines])
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_every_format_and_runtime_is_a_line() -> None:
    lines = {candidate.name for candidate in CANDIDATES}
    assert lines == {
        *(f"ampedge/{name}" for name in RUNTIMES),
        *(set(FORMATS) - {"ampedge"}),
        "tflite/float16",
        "tflite/int8",
    }


class TestTable:
    def test_figures_are_those_of_the_held_out_rows(self, found: dict[str, list[dict[str, float]]]) -> None:
        assert (found["judged_on"], found["rows"], found["missing"]) == ("held-out rows", 300, {})
        assert [line["name"] for line in found["measured"]] == list(EDGE)
        for line in found["measured"]:
            if line["name"] != "tflite/int8":
                assert (line["accuracy"], line["different"]) == (pytest.approx(2 / 3), 0)
                assert 0.6 < line["macro_f1"] < 0.7
            else:
                assert 0 < line["different"] < 60

    def test_a_class_with_a_threshold_is_said_from_there_on(self, tmp_path: Path) -> None:
        """At a threshold of 1 % `b` is said of most rows, and all of them are right that bear what is said."""
        layers = random_layers([4, 32, 16, 3], seed=2)
        kept: dict[str, Any] = {"classes": CLASSES, "mean": [1.0] * 4, "std": [2.0] * 4, "layers": layers}
        values = np.random.RandomState(0).normal(1, 2, (50, 4))
        probabilities = make_bundle(tmp_path / "plain", **kept).probabilities(values)
        labels = ["b" if row[1] >= 0.01 else CLASSES[int(row.argmax())] for row in probabilities]
        assert labels != [CLASSES[best] for best in probabilities.argmax(axis=1)]
        rows = list(zip(values.tolist(), labels, strict=True))
        found = benchmark(make_bundle(tmp_path / "m", **kept, rows=rows, thresholds={"b": 0.01}), CANDIDATES[:1])
        assert (found.measured[0].accuracy, found.measured[0].different) == (1.0, 0)

    def test_costs_are_in_their_units(self, found: dict[str, list[dict[str, float]]], bundle: Bundle) -> None:
        by_name = {line["name"]: line for line in found["measured"]}
        for name, line in by_name.items():
            assert 0.05 < line["one_us"] < 10_000
            assert 1 < line["start_ms"] < 30_000 if name != "c" else line["start_ms"] > 0
            assert 1e5 < line["memory_bytes"] < 1e9
            assert (line["batch_us"] is None) == (name == "c")
            assert name == "c" or line["batch_us"] < line["one_us"]
        assert by_name["c"]["one_us"] < by_name["ampedge/numpy"]["one_us"]

    def test_the_size_is_the_files(
        self, found: dict[str, list[dict[str, float]]], bundle: Bundle, tmp_path: Path
    ) -> None:
        sizes = {line["name"]: line["size_bytes"] for line in found["measured"]}
        assert sizes["onnx"] == export(bundle, "onnx", tmp_path / "a.onnx").size_bytes
        assert sizes["ampedge/numpy"] == export(bundle, "ampedge", tmp_path / "a.ampedge").size_bytes

    def test_for_people(self, bundle: Bundle, tmp_path: Path) -> None:
        """Of the `.ampedge` file alone there are no held-out rows."""
        export(bundle, "ampedge", tmp_path / "a.ampedge")
        done = run_cli("benchmark", "--only", "ampedge/numpy", cwd=tmp_path, env={"COLUMNS": "80"})
        assert done.returncode == 0, done.stderr
        assert "Using a.ampedge (found here)." in done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith("ampedge/numpy"))
        name, accuracy, macro_f1, different, *costs = line.split()
        assert (name, accuracy, macro_f1, different) == ("ampedge/numpy", "-", "-", "0")
        assert [float(cost) > 0 for cost in costs] == [True] * 5
        assert "Not measured" not in done.stdout
        assert "golden rows and random rows" in done.stdout

    def test_what_was_not_measured(self, capsys: pytest.CaptureFixture[str]) -> None:
        show(Benchmark({}, "held-out rows", 3, [], {"onnx": "Install it."}), Console())
        assert "Not measured:\n  onnx: Install it.\n" in capsys.readouterr().out


class TestTrouble:
    def test_a_missing_library_is_named_with_its_extra(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(candidates, "find_spec", lambda name: None)
        found = benchmark(bundle, [one for one in CANDIDATES if one.name in ("onnx", "tflite")])
        assert found.missing == {name: f'Install it with: pip install "ampedge[{extra}]"' for name, extra in
                                 (("tflite", "litert"), ("onnx", "onnx"))}  # fmt: skip
        assert found.measured == []

    def test_a_line_that_was_asked_for_needs_its_library(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(candidates, "find_spec", lambda name: None)
        done = CliRunner().invoke(app, ["benchmark", "--model", str(bundle.path), "--only", "c", "--only", "onnx"])
        assert isinstance(done.exception, UsageError)
        assert done.exception.problem.startswith("--only onnx needs a library")
        assert done.exception.remedy == 'Install it with: pip install "ampedge[onnx]"'

    def test_a_line_that_was_asked_for_and_cannot_be_measured(self, bundle: Bundle, tmp_path: Path) -> None:
        """An `.ampedge` file holds no rows to calibrate int8 with."""
        place = export(bundle, "ampedge", tmp_path / "a.ampedge").path
        done = CliRunner().invoke(app, ["benchmark", "--model", str(place), "--only", "tflite/int8"])
        assert isinstance(done.exception, DataError)
        assert "has no rows of its training" in done.exception.problem

    def test_what_does_not_run_says_why_and_the_others_are_measured(self, bundle: Bundle) -> None:
        def make(_: Bundle, directory: Path) -> Path:
            (directory / "bad.onnx").write_text("nothing")
            return directory / "bad.onnx"

        found = benchmark(bundle, [Candidate("bad", make, "onnx_file"), *chosen(["tflite"])])
        assert [line.name for line in found.measured] == ["tflite"]
        assert "INVALID_PROTOBUF" in found.missing["bad"]

    def test_no_compiler(self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "sudo apt install gcc" in benchmark(bundle, chosen(["c"])).missing["c"]

    def test_a_line_that_there_is_not(self) -> None:
        with pytest.raises(UsageError, match="--only onx"):
            chosen(["onx"])

    def test_a_process_that_cannot_be_started(self, tmp_path: Path) -> None:
        with pytest.raises(AmpedgeError, match="cannot be started"):
            process.run([tmp_path / "nothing"])

    def test_a_process_that_ends_early(self) -> None:
        with pytest.raises(AmpedgeError, match="code 3"):
            process.run([sys.executable, "-c", "raise SystemExit(3)"])
