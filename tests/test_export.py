"""`ampedge export`: every format says what the bundle says, in the order of training, or is not left behind."""

import json
import re
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyModbusTCP.client import ModbusClient
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.datamap import DataMap, Tag
from ampedge.errors import InUseError, ModelRefusedError, UsageError
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.quiet import quiet
from ampedge.table import read_table
from ampedge.training.export import exporter, keras_file
from ampedge.training.export.comparison import Comparison, compare
from ampedge.training.export.exporter import comparison_rows, default_place, export
from ampedge.training.export.formats import FORMATS, Format
from ampedge.training.registers import through_registers
from tests.support.bundles import Layers, make_bundle, random_layers
from tests.support.c_program import say
from tests.support.cli import environment, python_path, run_cli
from tests.support.parts import needed

Matrix = np.ndarray
CLASSES = ["failsoon", "healthy", "overdriven", "unstable"]
NAMES = ["plate_voltage", "bias_voltage", "heater_current", "output_thd", "counter"]
MEAN = [420.0, -12.3, 0.3, 1.1, 1_000_000.0371]
STD = [6.0, 1.7, 0.02, 2.5, 1.0]
"""The last column leaves float32 about four digits behind its mean: scaling must not lose them."""


@pytest.fixture(scope="module")
def layers() -> Layers:
    return random_layers([5, 64, 32, 16, 4], seed=3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, layers: Layers) -> Bundle:
    drawn = np.random.RandomState(5)
    values = drawn.normal(0, 1.4, (400, 5)) * STD + MEAN
    rows = [(row, CLASSES[at % 4]) for at, row in enumerate(values.tolist())]
    place = tmp_path_factory.mktemp("bundle") / "model"
    return make_bundle(
        place, classes=CLASSES, mean=MEAN, std=STD, layers=layers, rows=rows, names=NAMES, name="my amplifier/2"
    )


@pytest.fixture(scope="module")
def truth(bundle: Bundle, layers: Layers) -> tuple[Matrix, list[str]]:
    """The held-out values as registers bring them, and their classes by Keras in the order of training."""
    from sklearn.preprocessing import StandardScaler

    table = read_table(bundle.path / "heldout.csv")
    values = through_registers(bundle.datamap, [[float(cell) for cell in row.cells[:-1]] for row in table.rows()])
    keras = import_keras("A test")
    network = keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(n, "relu") for n in (64, 32, 16))])
    network.add(keras.layers.Dense(4, "softmax"))
    network.set_weights([part for layer in layers for part in layer])
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = np.array(MEAN), np.array(STD)
    found = np.asarray(network(scaler.transform(values)))
    return values, [CLASSES[best] for best in found.argmax(axis=1)]


def open_ampedge(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    bundle = load_bundle(place)
    return bundle.probabilities, list(bundle.classes)


def open_keras(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    model = import_keras("A test").models.load_model(place)
    facts = json.loads(zipfile.ZipFile(place).read("ampedge.json"))
    return lambda values: model.predict(values.astype(np.float32), verbose=0), facts["classes"]


def open_h5(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    import joblib

    model = import_keras("A test").models.load_model(place / "amp_model.h5")
    scaler = joblib.load(place / "scaler.save")
    assert list(scaler.feature_names_in_) == NAMES
    scaler = scaler.set_output(transform="default")
    with (place / "labels.json").open() as file:
        return lambda values: np.asarray(model((values - scaler.mean_) / scaler.scale_)), json.load(file)


def open_tflite(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(place)).get_signature_runner()

    def one_by_one(values: Matrix) -> Matrix:
        rows = [run(values=row[None].astype(np.float32)) for row in values]
        return np.concatenate([next(iter(row.values())) for row in rows])

    return one_by_one, json.loads(zipfile.ZipFile(place).read("ampedge.json"))["classes"]


def open_onnx(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(place)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["ampedge.json"])
    assert [feature["name"] for feature in facts["features"]] == NAMES
    return lambda values: session.run(["probabilities"], {"values": values.astype(np.float32)})[0], facts["classes"]


def open_saved_model(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    import tensorflow

    model = tensorflow.saved_model.load(str(place))
    facts = json.loads((place / "assets.extra" / "ampedge.json").read_text())
    return lambda values: model.serve(values.astype(np.float32)).numpy(), facts["classes"]


def open_c(place: Path) -> tuple[Callable[[Matrix], Matrix], list[str]]:
    names = say(place, np.empty((0, 5)), directory=place.parent).names
    return lambda values: say(place, values, directory=place.parent).probabilities, names


OPENERS: dict[str, Callable[[Path], Any]] = {
    "ampedge": open_ampedge,
    "keras": open_keras,
    "h5": open_h5,
    "tflite": open_tflite,
    "onnx": open_onnx,
    "saved-model": open_saved_model,
    "c": open_c,
}


class TestEveryFormat:
    @pytest.mark.parametrize("name", FORMATS)
    def test_classes_are_those_of_keras_in_training_order(
        self, bundle: Bundle, truth: tuple[Matrix, list[str]], tmp_path: Path, name: str
    ) -> None:
        """Loaded with the format's own library, and with class names that come from the export alone."""
        if name == "c":
            needed("gcc")
        out = tmp_path / default_place(bundle, name)
        made = export(bundle, name, out)
        assert [entry.name for entry in tmp_path.iterdir()] == [out.name]
        assert (made.compared_on, made.comparison.rows) == ("held-out rows", 400)
        assert (made.comparison.different, made.path, made.format) == (0, out, name)
        assert made.comparison.largest <= 1e-5
        values, expected = truth
        with quiet():
            run, classes = OPENERS[name](out)
            found = run(values)
        assert [classes[best] for best in found.argmax(axis=1)] == expected
        assert len(set(expected)) == 4

    def test_default_places_are_named_after_the_model(self, bundle: Bundle) -> None:
        assert [str(default_place(bundle, name)) for name in FORMATS] == [
            "my-amplifier-2.ampedge",
            "my-amplifier-2.keras",
            "my-amplifier-2-h5",
            "my-amplifier-2.tflite",
            "my-amplifier-2.onnx",
            "my-amplifier-2-saved-model",
            "my-amplifier-2.h",
        ]

    def test_the_edge_file_is_small(self, bundle: Bundle, tmp_path: Path) -> None:
        """For five features, four classes and the default network."""
        made = export(bundle, "ampedge", tmp_path / "a.ampedge")
        assert made.size_bytes == (tmp_path / "a.ampedge").stat().st_size < 60_000

    def test_a_bundle_without_held_out_rows_is_compared_on_rows_of_its_ranges(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        export(bundle, "ampedge", tmp_path / "a.ampedge")
        edge = load_bundle(tmp_path / "a.ampedge")
        values, what = comparison_rows(edge)
        assert len(values) == len(edge.manifest.golden) + 1000
        assert "random" in what
        for feature, column in zip(edge.manifest.features, values[-1000:].T, strict=True):
            assert feature.minimum - 0.1 < column.min() < feature.mean < column.max() < feature.maximum + 0.1
        assert np.array_equal(values, comparison_rows(edge)[0])
        assert export(edge, "ampedge", tmp_path / "b.ampedge").comparison.rows == len(values)

    def test_comparison_rows_come_through_the_registers(self, bundle: Bundle) -> None:
        values, _ = comparison_rows(bundle)
        assert np.array_equal(values, values.astype(np.float32))  # float32 tags


class TestRefusal:
    """A wrong export ends with exit code 5 and leaves what was there."""

    @pytest.mark.parametrize("name", FORMATS)
    def test_no_format_leaves_a_file_that_says_something_else(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        right = FORMATS[name]
        monkeypatch.setitem(
            FORMATS, name, replace(right, load=lambda _: lambda values: bundle.probabilities(values)[:, [1, 0, 2, 3]])
        )
        with pytest.raises(ModelRefusedError, match="another class"):
            export(bundle, name, tmp_path / default_place(bundle, name))
        assert list(tmp_path.iterdir()) == []

    @pytest.fixture
    def wrong(self, monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
        """Two labels changed places, as in the published service."""
        swap = [1, 0, 2, 3]

        def write_file(bundle: Bundle, place: Path) -> None:
            place.write_text("new")

        def write_directory(bundle: Bundle, place: Path) -> None:
            (place / "part").write_text("new")

        def load(place: Path) -> Callable[[Matrix], Matrix]:
            return lambda values: bundle.probabilities(values)[:, swap]

        monkeypatch.setitem(FORMATS, "onnx", Format(".onnx", write_file, load))
        monkeypatch.setitem(FORMATS, "h5", Format("-h5", write_directory, load, frozenset({"part"})))

    def test_a_swapped_label_leaves_no_file(self, wrong: None, bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(ModelRefusedError, match=r"another class on \d+ of 400 rows"):
            export(bundle, "onnx", tmp_path / "a.onnx")
        with pytest.raises(ModelRefusedError):
            export(bundle, "h5", tmp_path / "a-h5")
        assert list(tmp_path.iterdir()) == []

    def test_an_older_export_stays(self, wrong: None, bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "a.onnx").write_text("old")
        (tmp_path / "a-h5").mkdir()
        (tmp_path / "a-h5" / "part").write_text("old")
        for name, place in (("onnx", "a.onnx"), ("h5", "a-h5")):
            with pytest.raises(ModelRefusedError):
                export(bundle, name, tmp_path / place)
        assert (tmp_path / "a.onnx").read_text() == (tmp_path / "a-h5" / "part").read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_network_of_other_weights_is_found_by_loading_it(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right = keras_file.whole_network

        def wrong(bundle: Bundle) -> Any:
            model = right(bundle)
            weights = model.get_weights()
            weights[-1] = weights[-1] + np.array([3e-4, 0, 0, 0], dtype=np.float32)
            model.set_weights(weights)
            return model

        monkeypatch.setattr(keras_file, "whole_network", wrong)
        with pytest.raises(ModelRefusedError, match=r"differ by up to \d(\.\d)?e-05 \(at most 1e-05\)"):
            export(bundle, "keras", tmp_path / "a.keras")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "run",
        [
            lambda values: np.full((len(values), 4), np.nan),
            lambda values: np.full((len(values), 3), 0.25),
            lambda values: np.full((len(values), 4), 0.25),
        ],
    )
    def test_what_is_no_answer_never_passes(self, bundle: Bundle, run: Callable[[Matrix], Matrix]) -> None:
        assert not compare(bundle, run, np.array([MEAN])).passed

    def test_the_limits_of_a_comparison(self) -> None:
        assert Comparison(10, 0, 1e-5).passed
        assert not Comparison(10, 0, 1.01e-5).passed
        assert not Comparison(10, 1, 0.0).passed

    def test_values_with_more_digits_than_float32_are_refused_with_the_reason(self, tmp_path: Path) -> None:
        """A float64 counter about 1e9 whose class turns on its last digits."""
        made = make_bundle(
            tmp_path / "model",
            classes=["a", "b"],
            mean=[1e9],
            std=[1e-2],
            layers=[(np.array([[-1.0, 1.0]], "f4"), np.zeros(2, "f4"))],
            rows=[([1e9 + 0.004], "b")],
            datamap=DataMap((Tag("x0", 0, type="float64"),)),
        )
        with pytest.raises(ModelRefusedError) as caught:
            export(made, "keras", tmp_path / "a.keras")
        assert "--format ampedge" in caught.value.remedy
        assert "digits" in caught.value.remedy
        assert export(made, "ampedge", tmp_path / "a.ampedge").comparison.passed


class TestPlaces:
    @pytest.mark.parametrize("name", ["h5", "saved-model"])
    def test_a_directory_that_is_something_else_stays(self, bundle: Bundle, tmp_path: Path, name: str) -> None:
        (tmp_path / "thesis.txt").write_text("years")
        with pytest.raises(InUseError, match=r"thesis\.txt"):
            export(bundle, name, tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_directory_of_an_older_export_is_replaced(self, bundle: Bundle, tmp_path: Path) -> None:
        export(bundle, "h5", tmp_path / "out")
        (tmp_path / "out" / "labels.json").write_text("[]")
        export(bundle, "h5", tmp_path / "out")
        assert json.loads((tmp_path / "out" / "labels.json").read_text()) == CLASSES

    def test_a_file_has_the_ending_of_its_format(self, bundle: Bundle, tmp_path: Path) -> None:
        for out, better in ((tmp_path / "data.c", tmp_path / "data.tflite"), (Path(), Path("NAME.tflite"))):
            with pytest.raises(UsageError, match=r"ends in \.tflite") as caught:
                export(bundle, "tflite", out)
            assert caught.value.remedy == f"Give --out {better}"

    def test_a_file_does_not_replace_a_directory(self, bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is a directory"):
            (tmp_path / "a.ampedge").mkdir()
            export(bundle, "ampedge", tmp_path / "a.ampedge")

    @pytest.mark.parametrize("name", ["h5", "saved-model"])
    def test_a_network_that_the_disk_has_no_room_for(self, bundle: Bundle, tmp_path: Path, name: str) -> None:
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
        try:
            with pytest.raises(UsageError, match="cannot be written"):
                export(bundle, name, tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_be_written(self, bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be written"):
            export(bundle, "ampedge", tmp_path / "file" / "a.ampedge")

    @pytest.mark.parametrize(
        ("name", "module", "extra"),
        [
            ("keras", "keras", "train"),
            ("h5", "joblib", "train"),
            ("tflite", "ai_edge_litert.interpreter", "litert"),
            ("onnx", "onnx", "onnx"),
            ("onnx", "onnxruntime", "onnx"),
        ],
    )
    def test_a_missing_library_is_named_with_its_extra(
        self, bundle: Bundle, tmp_path: Path, name: str, module: str, extra: str
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(UsageError) as caught:
                export(bundle, name, tmp_path / default_place(bundle, name))
        assert f'pip install "ampedge[{extra}]"' in caught.value.remedy
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_the_edge_file_needs_nothing_of_training(self, bundle: Bundle, tmp_path: Path) -> None:
        heavy = "tensorflow", "keras", "sklearn", "joblib", "pandas", "matplotlib", "onnx", "onnxruntime"
        (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {heavy}: sys.modules[name] = None\n")
        done = run_cli("export", "--model", bundle.path, cwd=tmp_path, env=python_path(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"Using {bundle.path} (as given).\n"
        assert re.fullmatch(
            r"my-amplifier-2\.ampedge \(\d+\.\d kB\)\nCompared with the bundle on 400 held-out rows: "
            r"0 classes differ, probabilities by at most 0\.0e\+00\.\n",
            done.stdout,
        )
        refused = run_cli("export", "--model", bundle.path, "--format", "onnx", cwd=tmp_path, env=python_path(tmp_path))
        assert refused.returncode == 2
        assert 'pip install "ampedge[onnx]"' in refused.stderr

    @pytest.mark.parametrize("name", ["tflite", "onnx"])
    def test_no_tensorflow_is_needed_and_the_file_loads_unaided(
        self, bundle: Bundle, tmp_path: Path, name: str
    ) -> None:
        """Written where TensorFlow, Keras and their converters are not; read where ampedge is not either."""
        heavy = "tensorflow", "keras", "sklearn", "joblib", "pandas", "matplotlib", "tf2onnx"
        (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {heavy}: sys.modules[name] = None\n")
        done = run_cli(
            "export", "--model", bundle.path, "-f", name, "-o", f"a.{name}", cwd=tmp_path, env=python_path(tmp_path)
        )
        assert done.returncode == 0, done.stderr
        row = bundle.manifest.golden[0]
        (tmp_path / "read.py").write_text(textwrap.dedent(READERS[name]))
        values = [str(value) for value in through_registers(bundle.datamap, [row.values])[0]]
        read = subprocess.run(
            [sys.executable, "read.py", *values], cwd=tmp_path, env=environment(), capture_output=True, check=False
        )
        assert read.returncode == 0, read.stderr
        assert json.loads(read.stdout) == [[pytest.approx(row.probabilities, abs=1e-5)] * rows for rows in (1, 7)]

    def test_tensorflow_is_not_heard(self, bundle: Bundle, tmp_path: Path) -> None:
        done = run_cli("export", "--model", bundle.path, "-f", "tflite", "-o", "a.tflite", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"Using {bundle.path} (as given).\n"
        document = json.loads(done.stdout)
        assert (document["path"], document["format"], document["rows"]) == ("a.tflite", "tflite", 400)
        assert document["bytes"] == (tmp_path / "a.tflite").stat().st_size
        assert document["classes_different"] == 0
        assert document["compared_on"] == "held-out rows"
        assert 0 < document["largest_difference"] <= 1e-5

    def test_the_model_of_the_config_is_exported(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "site.toml").write_text(f'model = "{bundle.path}"\n')
        done = CliRunner().invoke(app, ["export", "--config", "site.toml", "--out", "here/a.ampedge"])
        assert done.exit_code == 0, done.output
        assert load_bundle(tmp_path / "here" / "a.ampedge").manifest.name == "my amplifier/2"

    def test_every_format_can_be_named(self) -> None:
        done = CliRunner().invoke(app, ["export", "--format", "pickle"], env={"COLUMNS": "200"})
        assert done.exit_code == 2
        assert all(f"'{name}'" in done.output for name in exporter.FORMATS)


READERS = {
    "onnx": """
        import json, sys
        sys.modules["ampedge"] = sys.modules["onnx"] = None
        import numpy as np
        import onnxruntime
        session = onnxruntime.InferenceSession("a.onnx")
        (source,), (target,) = session.get_inputs(), session.get_outputs()
        assert (source.name, source.type, source.shape) == ("values", "tensor(float)", ["rows", 5])
        assert (target.name, target.type, target.shape) == ("probabilities", "tensor(float)", ["rows", 4])
        row = np.array([sys.argv[1:]], dtype=np.float32)
        print(json.dumps([session.run(None, {"values": np.tile(row, (n, 1))})[0].tolist() for n in (1, 7)]))
    """,
    "tflite": """
        import json, sys
        sys.modules["ampedge"] = None
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter
        model = Interpreter("a.tflite")
        (source,), (target,) = model.get_input_details(), model.get_output_details()
        assert (source["name"], source["dtype"], source["shape_signature"].tolist()) == ("values", np.float32, [-1, 5])
        assert (target["dtype"], target["shape_signature"].tolist()) == (np.float32, [-1, 4])
        row = np.array([sys.argv[1:]], dtype=np.float32)
        found = []
        for n in (1, 7):
            model.resize_tensor_input(source["index"], [n, 5])
            model.allocate_tensors()
            model.set_tensor(source["index"], np.tile(row, (n, 1)))
            model.invoke()
            found.append(model.get_tensor(target["index"]).tolist())
        print(json.dumps(found))
    """,
}
"""Programs of their own libraries alone, that run a row once and seven times."""


PUBLISHED_SERVICE = """
    import json, struct, sys
    import joblib
    import numpy as np
    from pyModbusTCP.client import ModbusClient
    from tensorflow.keras.models import load_model

    model = load_model("amp_model.h5")
    scaler = joblib.load("scaler.save")
    labels = json.load(open("labels.json"))  # was: ["healthy", "unstable", "overdriven", "failsoon"]
    client = ModbusClient(host="127.0.0.1", port=int(sys.argv[1]), unit_id=1, auto_open=True)

    def read_float(address):
        registers = client.read_holding_registers(address, 2)
        return struct.unpack(">f", struct.pack(">HH", registers[0], registers[1]))[0]

    for _ in sys.stdin:
        plate_voltage = read_float(0)
        bias_voltage = read_float(2)
        heater_current = read_float(4)
        output_thd = read_float(6)
        impedance = read_float(8)
        row = np.array([[plate_voltage, bias_voltage, heater_current, output_thd, impedance]])
        prediction = model.predict(scaler.transform(row), verbose=0)
        print(labels[int(np.argmax(prediction))], flush=True)
"""
"""The published service written anew: five reads, scale, predict; it prints where it published."""


def test_the_published_service_runs_on_the_h5_export(
    bundle: Bundle, truth: tuple[Matrix, list[str]], tmp_path: Path
) -> None:
    rows = [truth[1].index(name) for name in CLASSES]
    export(bundle, "h5", tmp_path / "h5")
    (tmp_path / "h5" / "service.py").write_text(textwrap.dedent(PUBLISHED_SERVICE))
    slave = EmbeddedSlave("127.0.0.1", 0, bundle.datamap)
    slave.start()
    try:
        master = ModbusClient(host="127.0.0.1", port=slave.port, auto_open=True)
        with subprocess.Popen(
            [sys.executable, "service.py", str(slave.port)],
            cwd=tmp_path / "h5",
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as service:
            assert service.stdin is not None
            assert service.stdout is not None
            for row, expected in zip(rows, CLASSES, strict=True):
                words = struct.unpack(">10H", struct.pack(">5f", *truth[0][row]))
                assert master.write_multiple_registers(0, list(words))
                service.stdin.write("\n")
                service.stdin.flush()
                assert service.stdout.readline().strip() == expected
            service.stdin.close()
        master.close()
    finally:
        slave.stop()
