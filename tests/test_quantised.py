"""`ampedge export --quantize`: smaller LiteRT files, kept only where they judge the held-out rows nearly as well."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ampedge.cli.app import app
from ampedge.errors import DataError, GateError, ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.network import DenseNetwork
from ampedge.quiet import quiet
from ampedge.samples import BUNDLE, shipped
from ampedge.training.export.exporter import export
from ampedge.training.export.quantised import export_quantised, quantised
from ampedge.training.export.quantised_graph import float16_graph, int8_graph
from ampedge.training.export.tflite import running
from ampedge.training.fitting.thresholds import said as decided
from ampedge.training.metrics import confusion, macro_f1, scores
from ampedge.training.registers import through_registers
from tests.support.bundles import make_bundle, random_layers

CLASSES = ["failsoon", "healthy", "overdriven", "unstable"]
MEAN = [420.0, -12.3, 0.3, 1.1, 7.5]
STD = [6.0, 1.7, 0.02, 2.5, 1.0]


def made(place: Path, spread: float = 1.4, **changed: Any) -> Bundle:
    """A bundle whose labels are its own, calibrated on rows of this spread."""
    layers = random_layers([5, 64, 32, 16, 4], seed=3)
    plain = make_bundle(place / "plain", classes=CLASSES, mean=MEAN, std=STD, layers=layers)
    drawn = np.random.RandomState(5).normal(0, 1.4, (600, 5))
    values = drawn * STD + MEAN
    labels = [CLASSES[best] for best in plain.probabilities(values).argmax(axis=1)]
    rows = list(zip(values[:400].tolist(), labels[:400], strict=True))
    calibration = [((row * spread / 1.4 * STD + MEAN).tolist(), "healthy") for row in drawn[400:]]
    given: dict[str, Any] = {"rows": rows, "representative": calibration, **changed}
    return make_bundle(place / "model", classes=CLASSES, mean=MEAN, std=STD, layers=layers, **given)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One whose representative rows are none: what flows through it saturates."""
    return made(tmp_path_factory.mktemp("narrow"), spread=0.05)


def command(bundle: Bundle, *options: object) -> Result:
    arguments = ["export", "--model", bundle.path, "--format", "tflite", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tensors(place: Path) -> list[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        details: list[dict[str, Any]] = Interpreter(str(place)).get_tensor_details()
    return details


class TestInside:
    def test_int8_layers_between_float32_values_and_probabilities(self, bundle: Bundle, tmp_path: Path) -> None:
        found = export_quantised(bundle, "int8", tmp_path / "a.tflite", max_loss=0.05)
        types = {tensor["name"]: tensor["dtype"] for tensor in tensors(tmp_path / "a.tflite")}
        for at in range(1, 5):
            assert types[f"kernel_{at}"] == types[f"layer_{at}"] == np.int8
            assert types[f"bias_{at}"] == np.int32
        assert types["scaled_int8"] == np.int8
        floats = {name for name, kind in types.items() if kind == np.float32}
        scaling = {"centre", "centre_by", "centre_rest", "centre_rest_by", "scale", "scale_by"}
        assert floats == {"values", *scaling, "scores", "probabilities"}
        size = (tmp_path / "a.tflite").stat().st_size
        assert size == found.size_bytes < 0.6 * found.float32_bytes
        assert found.calibrated_on == 200

    def test_float16_weights(self, bundle: Bundle, tmp_path: Path) -> None:
        found = export_quantised(bundle, "float16", tmp_path / "a.tflite", max_loss=0.0)
        types = {tensor["name"]: tensor["dtype"] for tensor in tensors(tmp_path / "a.tflite")}
        assert all(types[f"{part}_{at}_float16"] == np.float16 for part in ("kernel", "bias") for at in range(1, 5))
        assert found.size_bytes < 0.75 * found.float32_bytes
        export(bundle, "tflite", tmp_path / "whole.tflite")
        assert found.float32_bytes == (tmp_path / "whole.tflite").stat().st_size
        assert json.loads(zipfile.ZipFile(tmp_path / "a.tflite").read("ampedge.json"))["classes"] == CLASSES

    def test_scales_worked_by_hand(self, tmp_path: Path) -> None:
        """Scaled rows from -1 to 2: steps of 3/255, and -1 is -128, so 0 is -128 + 85 = -43.

        The kernel's largest number is 2.54: steps of 2.54/127 = 0.02, so 1 is 50; a bias is counted in steps
        of 3/255 x 0.02.
        """
        tiny = make_bundle(
            tmp_path / "model",
            classes=["a", "b"],
            mean=[10.0],
            std=[2.0],
            layers=[(np.array([[2.54, 1.0]], "f4"), np.array([0.3, 0.0], "f4"))],
            representative=[([8.0], "a"), ([14.0], "b")],
        )
        content, rows = quantised(tiny, "int8")
        place = tmp_path / "a.tflite"
        place.write_bytes(content)
        found = {tensor["name"]: tensor for tensor in tensors(place)}
        assert rows == 2
        assert found["scaled_int8"]["quantization"] == (pytest.approx(3 / 255), -43)
        assert found["kernel_1"]["quantization"] == (pytest.approx(0.02), 0)
        assert found["bias_1"]["quantization"] == (pytest.approx(3 / 255 * 0.02), 0)
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            interpreter = Interpreter(str(place))
            interpreter.allocate_tensors()
        assert interpreter.get_tensor(found["kernel_1"]["index"]).tolist() == [[127], [50]]
        assert interpreter.get_tensor(found["bias_1"]["index"]).tolist() == [1275, 0]

    def test_weights_that_are_all_zero_and_rows_that_are_all_the_same(self, tmp_path: Path) -> None:
        """Neither has a range to divide by 255; the biases are what is left."""
        layers = [(np.zeros((1, 2), "f4"), np.array([0.5, -0.5], "f4")), (np.eye(2, dtype="f4"), np.zeros(2, "f4"))]
        network = DenseNetwork([10.0], [2.0], layers)
        with quiet():
            found = running(int8_graph(network, np.array([[10.0], [10.0]])))(np.array([[10.0], [13.0]]))
        assert found == pytest.approx(network.probabilities(np.array([[10.0], [13.0]])), abs=0.01)

    def test_numbers_beyond_float32_and_float16(self) -> None:
        layers = [(np.array([[3e38, 1e30]], "f4"), np.zeros(2, "f4"))]
        network = DenseNetwork([0.0], [1.0], layers)
        with pytest.raises(ModelRefusedError, match="float32 cannot hold"):
            int8_graph(network, np.array([[100.0]]))
        with quiet():
            assert not np.isfinite(running(float16_graph(network))(np.array([[1.0]]))).all()


class TestGate:
    def test_what_passes_is_written_with_the_comparison(self, bundle: Bundle, tmp_path: Path) -> None:
        out = tmp_path / "a.tflite"
        done = command(bundle, "--quantize", "float16", "--out", out)
        assert done.exit_code == 0, done.output
        assert out.is_file()
        assert "macro-F1 1.0000 before, " in done.stdout
        assert "classes differ" in done.stdout
        said = json.loads(command(bundle, "--quantize", "int8", "--max-loss", 0.05, "--out", out, "--json").stdout)
        assert (said["path"], said["bytes"]) == (str(out), out.stat().st_size)
        assert (said["quantized"], said["rows"], said["calibrated_on"]) == ("int8", 400, 200)
        assert (said["passed"], said["max_loss"], said["macro_f1"]["before"]) == (True, 0.05, 1.0)
        assert 0.95 <= said["macro_f1"]["after"] < 1
        assert 0 < said["classes_different"] < 40
        assert 1e-3 < said["largest_difference"] < 1

    def test_a_class_with_a_threshold_is_said_from_there_on(self, tmp_path: Path) -> None:
        """Rows that bear the labels that `serve` gives them are all right before, and counted so after."""
        plain = made(tmp_path / "plain")
        thresholds = {"overdriven": 0.01}
        values = np.random.RandomState(5).normal(0, 1.4, (600, 5))[:400] * STD + MEAN
        places = decided(plain.probabilities(values), {2: 0.01})
        assert (places != plain.probabilities(values).argmax(axis=1)).sum() > 40
        rows = list(zip(values.tolist(), [CLASSES[place] for place in places], strict=True))
        strict = made(tmp_path / "strict", rows=rows, thresholds=thresholds)
        found = export_quantised(strict, "int8", tmp_path / "a.tflite", max_loss=1)
        assert found.before == 1.0
        content, _ = quantised(strict, "int8")
        registers = through_registers(strict.datamap, values.tolist())
        with quiet():
            other = decided(running(content)(registers), {2: 0.01})
        assert found.comparison.different == (other != decided(strict.probabilities(registers), {2: 0.01})).sum() > 0
        facts = json.loads(zipfile.ZipFile(tmp_path / "a.tflite").read("ampedge.json"))
        assert facts["thresholds"] == thresholds

    def test_without_out_it_leaves_the_whole_file_alone(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("tiny.tflite").write_bytes(b"the whole one")
        assert command(bundle, "--quantize", "float16").exit_code == 0
        assert {file.name for file in tmp_path.iterdir()} == {"tiny.tflite", "tiny-float16.tflite"}
        assert Path("tiny.tflite").read_bytes() == b"the whole one"

    def test_what_loses_too_much_leaves_what_was_there(self, narrow: Bundle, tmp_path: Path) -> None:
        out = tmp_path / "a.tflite"
        for before in (None, b"older"):
            if before is not None:
                out.write_bytes(before)
            done = command(narrow, "--quantize", "int8", "--out", out, "--json")
            assert isinstance(done.exception, GateError)
            assert done.exception.exit_code == 6
            said = json.loads(done.stdout)
            assert (said["path"], said["passed"], said["max_loss"]) == (None, False, 0.01)
            assert said["macro_f1"]["before"] - said["macro_f1"]["after"] > 0.01
            assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])

    def test_more_may_be_allowed(self, narrow: Bundle, tmp_path: Path) -> None:
        assert command(narrow, "--quantize", "int8", "--max-loss", 1, "--out", tmp_path / "a.tflite").exit_code == 0
        assert (tmp_path / "a.tflite").is_file()

    def test_rows_that_judge_do_not_calibrate(self, tmp_path: Path) -> None:
        """Without held-out rows nothing is judged; without rows of the training int8 is not calibrated on others."""
        with pytest.raises(DataError, match="no held-out rows"):
            export_quantised(load_bundle(shipped(BUNDLE)), "float16", tmp_path / "a.tflite", max_loss=1)
        old = made(tmp_path, representative=())
        with pytest.raises(DataError, match="no rows of its training") as caught:
            export_quantised(old, "int8", tmp_path / "a.tflite", max_loss=1)
        assert "train it again" in caught.value.remedy
        assert not (tmp_path / "a.tflite").exists()
        assert export_quantised(old, "float16", tmp_path / "a.tflite", max_loss=0).passed

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            (("--format", "onnx", "--quantize", "int8"), "onnx is not quantised"),
            (("--max-loss", "0.1"), "says nothing without --quantize"),
            (("--quantize", "int8", "--out", "a.bin"), r"ends in \.tflite"),
        ],
    )
    def test_options_that_do_not_go_together(self, bundle: Bundle, options: tuple[str, ...], what: str) -> None:
        done = command(bundle, *options)
        assert isinstance(done.exception, UsageError)
        assert done.exception.problem
        with pytest.raises(UsageError, match=what):
            raise done.exception


def test_macro_f1_is_that_of_the_scores() -> None:
    truth, said = list("aabbbc"), ["a", "b", "b", "b", None, "a"]
    assert macro_f1(confusion(truth, said, "abcd")) == pytest.approx(scores(truth, said, "abcd")["macro_f1"])
