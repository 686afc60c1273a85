"""`ampedge import`: what the published scripts made becomes a bundle, or it is said what is wrong with it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from typer.testing import CliRunner, Result

from ampedge.cli.app import app
from ampedge.config import load_config
from ampedge.errors import AmpedgeError, ConfigError, ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.card import card
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.quiet import quiet
from ampedge.samples import DATA, shipped
from ampedge.training.importing.h5_network import read_network
from ampedge.training.importing.label_order import encoded_order
from ampedge.training.importing.saved_scaler import read_scaler
from tests.support.cli import python_path, run_cli
from tests.support.mosquitto import Mosquitto
from tests.support.published_training import published_files, read
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

ALPHABET = "failsoon,healthy,overdriven,unstable"
PUBLISHED = "healthy,unstable,overdriven,failsoon"
FEATURES = "plate_voltage,bias_voltage,heater_current,output_thd,impedance"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The directory in which the published training has left its files, and its network."""
    place = tmp_path_factory.mktemp("published")
    values, labels, _ = read(shipped(DATA))
    model = published_files(place, values, labels)
    return place, model


@pytest.fixture(scope="module")
def imported(made: tuple[Path, Any]) -> tuple[Path, str]:
    """The bundle of these files and their table, and what was told of it as JSON."""
    out = made[0] / "model"
    files = ["amp_model.h5", "--scaler", "scaler.save", "--trust", "--data", str(shipped(DATA))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made[0])
        done = CliRunner().invoke(app, ["import", *files, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    return out, done.stdout


@pytest.fixture
def here(made: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of one's own with those files."""
    shutil.copy(made[0] / "amp_model.h5", tmp_path)
    shutil.copy(made[0] / "scaler.save", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*options: object, trust: bool = True) -> Result:
    arguments = ["import", "amp_model.h5", "--scaler", "scaler.save", *(["--trust"] if trust else []), *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(kind: type[AmpedgeError], *options: object) -> AmpedgeError:
    """The error, which has left nothing behind."""
    done = command(*options)
    assert isinstance(done.exception, kind), done.output
    assert not Path("model").exists()
    return done.exception


class TestTrust:
    def test_nothing_is_opened_without_it(self, here: Path) -> None:
        """Neither file: one that is no file at all is not noticed."""

        class Canary:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
                return os.mkdir, ("ran",)

        joblib.dump(Canary(), here / "scaler.save")
        (here / "amp_model.h5").unlink()
        done = command("--labels", ALPHABET, trust=False)
        assert isinstance(done.exception, UsageError)
        assert "pickle" in done.exception.problem
        assert "Nothing was opened" in done.exception.problem
        assert "--trust" in done.exception.remedy
        assert not (here / "ran").exists()

    def test_the_network_is_read_as_data(self, here: Path) -> None:
        """Not even a trusted file's lambda is run, nor is TensorFlow needed."""
        (here / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n")
        done = run_cli(
            *("import", "amp_model.h5", "--scaler", "scaler.save", "--trust"),
            *("--labels", ALPHABET, "--features", FEATURES),
            cwd=here,
            env=python_path(here),
        )
        assert done.returncode == 0, done.stderr
        assert "scaler.save: a pickle, which can run code" in done.stderr
        assert "drawn within them" in done.stderr


class TestWithTheTable:
    @pytest.fixture
    def found(self, here: Path, imported: tuple[Path, str]) -> dict[str, Any]:
        """What was told of the bundle that is now in ./model."""
        shutil.copytree(imported[0], "model")
        document: dict[str, Any] = json.loads(imported[1])
        return document

    def test_the_order_is_that_of_the_encoder(self, found: dict[str, Any], made: tuple[Path, Any]) -> None:
        assert ",".join(found["classes"]) == ALPHABET
        assert ",".join(found["features"]) == FEATURES
        assert (found["normal_label"], found["right"] > 0.9) == ("healthy", True)
        bundle = load_bundle(Path("model"))
        values, labels, _ = read(shipped(DATA))
        scaler = joblib.load(made[0] / "scaler.save")
        by_keras = np.asarray(made[1](scaler.transform(values)))
        assert np.abs(bundle.probabilities(values) - by_keras).max() < 1e-5
        said = [bundle.classes[best] for best in by_keras.argmax(axis=1)]
        right = np.mean(np.array(said) == np.array(labels))
        assert found["right"] == pytest.approx(right)

    def test_golden_rows_show_what_the_published_service_would_have_said(self, found: dict[str, Any]) -> None:
        rows = {row["class"]: row for row in found["golden"]}
        assert set(rows) == set(ALPHABET.split(","))
        assert {name: row["otherwise"]["published list"] for name, row in rows.items()} == {
            "failsoon": "healthy",
            "healthy": "unstable",
            "overdriven": "overdriven",
            "unstable": "failsoon",
        }
        values = np.array([row["values"] for row in found["golden"]])
        network = read_network(Path("amp_model.h5"))
        flow = values
        for kernel, bias in network.layers[:-1]:
            flow = np.maximum(flow @ kernel + bias, 0)
        bare = (flow @ network.layers[-1][0] + network.layers[-1][1]).argmax(axis=1)
        names = ALPHABET.split(",")
        assert [row["otherwise"]["no scaler"] for row in found["golden"]] == [names[best] for best in bare]

    def test_the_table_is_for_people(self, here: Path) -> None:
        """The right order of the labels may be given as well."""
        done = command("--data", shipped(DATA), "--labels", ALPHABET)
        header, *rows = (line.split() for line in done.stdout.splitlines()[2:])
        assert " ".join(header) == "right published list order of the table no scaler values"
        assert {tuple(row[:2]) for row in rows} >= {("failsoon", "healthy"), ("healthy", "unstable")}
        assert "is right on" in done.stderr
        assert "It was trained on most of them" in done.stderr

    def test_what_is_known_and_what_is_not_stands_in_the_manifest(self, found: dict[str, Any]) -> None:
        manifest = load_bundle(Path("model")).manifest
        values, _, _ = read(shipped(DATA))
        feature = manifest.features[0]
        assert (feature.minimum, feature.maximum) == (values[:, 0].min(), values[:, 0].max())
        assert feature.quantiles["0.5"] == pytest.approx(np.median(values[:, 0]))
        assert feature.normal is not None
        assert feature.normal.low < 427 < feature.normal.high
        assert manifest.joint is not None
        training = manifest.training
        assert (training.data, training.rows, manifest.metrics) == ("data.csv", {}, {})
        assert training.settings["split"] == "not known"
        assert set(training.settings["imported"]) == {"amp_model.h5", "scaler.save"}
        assert training.libraries["scikit-learn"] != "unknown"
        assert training.libraries["keras"].startswith("3.")
        card = CliRunner().invoke(app, ["card", "--model", "model"]).stdout
        assert "holds no figures of held-out rows" in card

    def test_it_evaluates_exports_and_serves(self, found: dict[str, Any], here: Path, mosquitto: Mosquitto) -> None:
        done = CliRunner().invoke(app, ["evaluate", str(shipped(DATA)), "--json", "--out", "report"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["accuracy"] == pytest.approx(found["right"], abs=0.005)
        assert CliRunner().invoke(app, ["export", "--out", "site.ampedge"]).exit_code == 0
        with Serve(here, model=here / "site.ampedge", broker=mosquitto.port) as serve:
            serve.write(*GOLDEN)
            wait_until(lambda: "device: healthy" in serve.log, what="the label")

    @pytest.mark.parametrize("order", [PUBLISHED, "healthy,failsoon,overdriven,unstable"])
    def test_an_order_that_the_rows_contradict_is_refused(self, here: Path, order: str) -> None:
        error = refused(ModelRefusedError, "--data", shipped(DATA), "--labels", order)
        assert f"--labels {ALPHABET}" in error.remedy
        assert "%" in error.problem

    def test_columns_in_another_order_are_refused(self, here: Path) -> None:
        swapped = "bias_voltage,plate_voltage,heater_current,output_thd,impedance"
        error = refused(ModelRefusedError, "--data", shipped(DATA), "--features", swapped)
        assert "scaled by it, bias_voltage has the mean" in error.problem
        assert "was not fitted on bias_voltage" in error.problem

    def test_other_columns_and_labels_are_refused(self, here: Path) -> None:
        error = refused(ModelRefusedError, "--data", shipped(DATA), "--features", "plate_voltage,impedance")
        assert "takes 5 features" in error.problem
        error = refused(UsageError, "--data", shipped(DATA), "--labels", "a,b,c,d")
        assert "are not the labels" in error.problem

    def test_a_table_that_the_network_does_not_know(self, here: Path, made: tuple[Path, Any]) -> None:
        """Labels drawn at random: no order is better than another, and the user is warned."""
        values, labels, names = read(shipped(DATA))
        drawn = np.random.RandomState(0).permutation(labels)
        lines = [",".join([*map(repr, row), label]) for row, label in zip(values[:400].tolist(), drawn, strict=False)]
        Path("other.csv").write_text("\n".join([",".join([*names, "state"]), *lines]) + "\n")
        done = command("--data", "other.csv", "--label", "state", "--name", "doubtful")
        assert done.exit_code == 0, done.output
        assert "Warning: The network is right on" in done.stderr.replace("\n", " ")
        assert load_bundle(Path("model")).manifest.name == "doubtful"


class TestWithoutTheTable:
    def test_labels_and_features_are_given(self, here: Path) -> None:
        done = command("--labels", ALPHABET, "--features", FEATURES, "--out", "m", "--json")
        assert done.exit_code == 0, done.output
        found, bundle = json.loads(done.stdout), load_bundle(here / "m")
        assert (found["right"], found["normal_label"]) == (None, "healthy")
        scaler = read_scaler(here / "scaler.save")
        feature = bundle.manifest.features[3]
        assert feature.minimum == pytest.approx(scaler.mean[3] - 3 * scaler.std[3])
        assert (feature.quantiles, feature.normal, bundle.manifest.joint) == ({}, None, None)
        ranges = bundle.manifest.training.settings["ranges"]
        assert ranges == "not known: taken to be 3 deviations to either side of the scaler's mean"
        page = card(bundle)
        assert f"The ranges in training are `{ranges}`." in page
        assert "To classify readings of the tags below into the classes below." in page
        assert any("nothing shows whether labels" in note for note in found["notes"])
        assert any("'healthy' is taken for the healthy state" in note for note in found["notes"])
        assert not any(note.startswith("Warning") for note in found["notes"])
        assert [tag.address for tag in bundle.datamap.tags] == [0, 2, 4, 6, 8]

    def test_another_order_than_the_encoders_is_warned_of(self, here: Path) -> None:
        done = command("--labels", PUBLISHED, "--features", FEATURES)
        assert done.exit_code == 0
        assert f"Warning: the published training puts labels in the order {ALPHABET}" in done.stderr

    def test_tags_and_healthy_state_of_the_config(self, here: Path) -> None:
        tags = "".join(
            f'[[tags]]\nname = "{name}"\naddress = {100 + 2 * at}\n' for at, name in enumerate(FEATURES.split(","))
        )
        Path("ampedge.toml").write_text(f'[decision]\nnormal_label = "unstable"\n{tags}')
        assert command("--labels", ALPHABET).exit_code == 0
        bundle = load_bundle(Path("model"))
        assert bundle.manifest.normal_label == "unstable"
        assert bundle.datamap.tags[0].address == 100
        shutil.rmtree("model")
        assert "are not the tags" in refused(UsageError, "--labels", ALPHABET, "--features", "a,b,c,d,e").problem
        assert "normal_label" in refused(ConfigError, "--labels", "a,b,c,d").problem

    @pytest.mark.parametrize(
        ("options", "kind", "said"),
        [
            (("--features", FEATURES), UsageError, "Nothing says which output"),
            (("--labels", ALPHABET), UsageError, "5 features, and none are named"),
            (("--labels", "a,b,c", "--features", FEATURES), ModelRefusedError, "4 outputs, --labels has 3 labels"),
            (("--labels", "a,b,c,C ", "--features", FEATURES), UsageError, "names a label twice"),
            (("--labels", ALPHABET, "--features", "a,b"), UsageError, "5 features, and 2 are named"),
            (("--labels", "a,b,c,Unknown", "--features", FEATURES), UsageError, "'Unknown' is no name for a class"),
            (("--labels", "a,b,c,\x01", "--features", FEATURES), UsageError, "is no name for a class"),
            (("--labels", ALPHABET, "--features", "a\x02,b,c,d,e"), UsageError, "cannot be the name of a tag"),
            (("--labels", ALPHABET, "--features", FEATURES, "--name", ""), UsageError, "cannot be the name of a model"),
        ],
    )
    def test_what_is_missing_is_asked_for(
        self, here: Path, options: tuple[str, ...], kind: type[AmpedgeError], said: str
    ) -> None:
        assert said in refused(kind, *options).problem

    def test_numbers_as_labels_are_in_the_order_of_numbers(self) -> None:
        assert encoded_order(["10", "9", "1"]) == ("1", "9", "10")
        assert encoded_order(["b", "B", "a"]) == ("B", "a", "b")


def broken() -> StandardScaler:
    scaler = StandardScaler().fit([[1.0] * 5, [2.0] * 5])
    scaler.mean_[0] = np.nan
    return scaler


def edited(**fields: object) -> StandardScaler:
    """A fitted one in which somebody has put something else."""
    scaler = StandardScaler().fit([[1.0] * 5, [2.0] * 5])
    vars(scaler).update(fields)
    return scaler


class Exits:
    """A pickle that ends the program that opens it, as if all were well."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _exit, ()


def _exit() -> None:
    raise SystemExit(0)


class TestScaler:
    def test_min_and_max_are_a_mean_and_a_deviation(self, tmp_path: Path) -> None:
        """(x - min) / (max - min) x 2 - 1 for 10 to 30: 20 is the mean, 10 the deviation."""
        joblib.dump(MinMaxScaler((-1, 1)).fit([[10.0], [30.0]]), tmp_path / "s")
        found = read_scaler(tmp_path / "s")
        assert (found.mean.tolist(), found.std.tolist()) == ([20.0], [10.0])
        assert (found.low.tolist(), found.high.tolist()) == ([10.0], [30.0])
        assert found.ranges == "of the rows that the scaler was fitted on"

    def test_without_mean_or_deviation(self, tmp_path: Path) -> None:
        joblib.dump(StandardScaler(with_mean=False, with_std=False).fit([[1.0], [3.0]]), tmp_path / "s")
        found = read_scaler(tmp_path / "s")
        assert (found.mean.tolist(), found.std.tolist()) == ([0.0], [1.0])

    def test_the_version_that_saved_it_is_told(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scaler = joblib.load("scaler.save")
        with monkeypatch.context() as patch:
            patch.setattr("sklearn.base.__version__", "1.0.2")
            joblib.dump(scaler, "scaler.save")
        done = command("--labels", ALPHABET, "--features", FEATURES)
        assert done.exit_code == 0, done.output
        assert "The scaler was saved by scikit-learn 1.0.2 and read by" in done.stderr
        assert load_bundle(Path("model")).manifest.training.libraries["scikit-learn"] == "1.0.2"

    def test_names_of_a_data_frame(self, here: Path) -> None:
        import pandas as pd

        values, _, names = read(shipped(DATA))
        joblib.dump(StandardScaler().fit(pd.DataFrame(values, columns=names)), "scaler.save")
        assert command("--labels", ALPHABET).exit_code == 0
        assert load_bundle(Path("model")).manifest.feature_names == names
        shutil.rmtree("model")
        error = refused(ModelRefusedError, "--labels", ALPHABET, "--features", ",".join(reversed(names)))
        assert "in this order" in error.problem

    @pytest.mark.parametrize(
        ("thing", "said"),
        [
            (lambda: RobustScaler().fit([[1.0] * 5, [2.0] * 5]), "holds a RobustScaler"),
            (lambda: {"mean": 1}, "holds a dict"),
            (StandardScaler, "never fitted"),
            (lambda: MinMaxScaler(clip=True).fit([[1.0] * 5, [2.0] * 5]), "clips"),
            (lambda: StandardScaler().fit([[1.0] * 4, [2.0] * 4]), "takes 5 features"),
            (broken, "not those of a fitted scaler"),
            (lambda: edited(mean_=np.array(["a"] * 5)), "not those of a fitted scaler"),
            (lambda: edited(mean_=[1.0, 2.0]), "not those of a fitted scaler"),
            (lambda: edited(scale_=object()), "not those of a fitted scaler"),
            (lambda: edited(n_features_in_="five"), "not those of a fitted scaler"),
            (lambda: edited(feature_names_in_=3), "not those of a fitted scaler"),
            (Exits, "nothing that joblib can read"),
        ],
    )
    def test_others_are_refused(self, here: Path, thing: Callable[[], object], said: str) -> None:
        joblib.dump(thing(), "scaler.save")
        assert said in refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES).problem

    @pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x04\x95", b"cnowhere\nnothing\n."])
    def test_what_is_no_pickle_is_refused(self, here: Path, content: bytes) -> None:
        Path("scaler.save").write_bytes(content)
        error = refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES)
        assert "nothing that joblib can read" in error.problem


def networks(keras: Any) -> dict[str, Any]:
    """Networks that a bundle cannot hold, each with what is said of it."""
    dense, source, last = keras.layers.Dense, keras.Input((5,)), keras.layers.Dense(4, "softmax")
    lines = {
        "of the kind Lambda": [keras.layers.Lambda(lambda flow: flow * 2), last],
        "of the kind BatchNormalization": [keras.layers.BatchNormalization(), last],
        "Dense with the activation 'tanh'": [dense(5, "tanh"), last],
        "Dense with the activation 'sigmoid'": [dense(1, "sigmoid")],
        "a single output": [dense(1, "softmax")],
    }
    first = dense(5, "relu")(source)
    branched = keras.Model(source, last(keras.layers.Add()([first, dense(5, "relu")(first)])))
    return {said: keras.Sequential([source, *layers]) for said, layers in lines.items()} | {"one line": branched}


class TestNetwork:
    def test_others_are_refused(self, here: Path) -> None:
        with quiet():
            others = networks(import_keras("A test"))
        for said, network in others.items():
            with quiet():
                network.save("amp_model.h5")
            assert said in refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES).problem

    def test_dropout_and_a_missing_bias_change_nothing(self, tmp_path: Path) -> None:
        keras = import_keras("A test")
        with quiet():
            source = keras.Input((3,))
            flow = keras.layers.Dropout(0.5)(keras.layers.Dense(6, "relu", use_bias=False)(source))
            model = keras.Model(source, keras.layers.Dense(2, "softmax")(flow))
            model.save(tmp_path / "a.h5")
        found = read_network(tmp_path / "a.h5")
        assert [kernel.shape for kernel, _ in found.layers] == [(3, 6), (6, 2)]
        assert np.array_equal(found.layers[0][0], model.layers[1].kernel.numpy())
        assert not found.layers[0][1].any()

    def test_a_file_of_keras_2(self, tmp_path: Path) -> None:
        """Which wrote bytes where Keras 3 writes text, and other names for weights and shapes."""
        dense = {"name": "dense", "units": 2, "activation": "softmax", "use_bias": True}
        layers = [
            {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "dense_input"}},
            {"class_name": "Dense", "config": dense},
        ]
        config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        with h5py.File(tmp_path / "old.h5", "w") as file:
            file.attrs["model_config"] = np.bytes_(json.dumps(config))
            file.attrs["keras_version"] = np.bytes_("2.15.0")
            group = file.create_group("model_weights").create_group("dense")
            group.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
            group["dense/kernel:0"] = np.arange(6, dtype="f4").reshape(3, 2)
            group["dense/bias:0"] = np.array([1, 2], "f4")
        found = read_network(tmp_path / "old.h5")
        assert found.keras_version == "2.15.0"
        assert [part.tolist() for part in found.layers[0]] == [[[0, 1], [2, 3], [4, 5]], [1, 2]]

    def test_the_h5_export_comes_back(self, here: Path, imported: tuple[Path, str]) -> None:
        before: Bundle = load_bundle(imported[0])
        assert (
            CliRunner().invoke(app, ["export", "--model", str(imported[0]), "--format", "h5", "--out", "h5"]).exit_code
            == 0
        )
        arguments = ["import", "h5/amp_model.h5", "--scaler", "h5/scaler.save", "--trust", "--labels", ALPHABET]
        done = CliRunner().invoke(app, [*arguments, "--out", "again"])
        assert done.exit_code == 0, done.output
        again = load_bundle(Path("again"))
        values, _, _ = read(shipped(DATA))
        assert np.array_equal(again.probabilities(values), before.probabilities(values))

    @pytest.mark.parametrize(
        ("content", "said"), [(b"", "no HDF5 file"), (b"PK\x03\x04", "no HDF5 file"), (b"\x89HDF\r\n\x1a\n", "")]
    )
    def test_what_is_no_h5_file(self, here: Path, content: bytes, said: str) -> None:
        Path("amp_model.h5").write_bytes(content)
        assert said in refused(AmpedgeError, "--labels", ALPHABET, "--features", FEATURES).problem

    def test_damaged_files_are_refused_or_read(self, here: Path) -> None:
        """Cut short, or with a changed byte: never a traceback, never a bundle that cannot be loaded."""
        content = Path("amp_model.h5").read_bytes()
        drawn = np.random.RandomState(0)
        for at in drawn.randint(0, len(content), 24):
            changed = bytearray(content)
            changed[at] ^= 1 << drawn.randint(8)
            Path("amp_model.h5").write_bytes(bytes(changed) if at % 2 else content[:at])
            done = command("--labels", ALPHABET, "--features", FEATURES)
            assert done.exit_code == 0 or isinstance(done.exception, AmpedgeError), done.exception
            if done.exit_code == 0:
                load_bundle(Path("model"))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda weights, name: weights.create_dataset(name, (10**6, 10**7), "f4", chunks=(9, 9)), "too large"),
            (lambda weights, name: weights.__setitem__(name, h5py.SoftLink(f"/model_weights/{name}")), "no network"),
        ],
    )
    def test_weights_that_cannot_be_read(self, here: Path, change: Callable[[Any, str], object], said: str) -> None:
        """Of a size that no machine has, though the file is small, or a link to itself."""
        with h5py.File("amp_model.h5", "r+") as file:
            weights = file["model_weights"]
            group = next(name for name in weights if len(weights[name].attrs["weight_names"]))
            kernel = f"{group}/{weights[group].attrs['weight_names'][0]}"
            del weights[kernel]
            change(weights, kernel)
        assert said in refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES).problem

    def test_units_that_nothing_bears_out(self, here: Path) -> None:
        with h5py.File("amp_model.h5", "r+") as file:
            config = json.loads(file.attrs["model_config"])
            layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
            layer["config"] |= {"units": 10**11, "use_bias": False}
            file.attrs["model_config"] = json.dumps(config)
            group = file["model_weights"][layer["config"]["name"]]
            group.attrs["weight_names"] = group.attrs["weight_names"][:1]
        assert "its shape" in refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES).problem

    def test_weights_alone(self, here: Path, made: tuple[Path, Any]) -> None:
        with h5py.File("amp_model.h5", "r+") as file:
            del file.attrs["model_config"]
        assert "only weights" in refused(ModelRefusedError, "--labels", ALPHABET, "--features", FEATURES).problem

    def test_files_that_are_not_there(self, here: Path) -> None:
        Path("scaler.save").unlink()
        assert "scaler.save" in refused(UsageError, "--labels", ALPHABET).problem
        Path("amp_model.h5").unlink()
        assert "amp_model.h5" in refused(UsageError, "--labels", ALPHABET).problem

    def test_a_place_that_is_something_else(self, here: Path) -> None:
        Path("thesis").mkdir()
        Path("thesis/years.txt").write_text("years")
        done = command("--labels", ALPHABET, "--features", FEATURES, "--out", "thesis")
        assert isinstance(done.exception, AmpedgeError)
        assert done.exception.exit_code == 7
        assert [file.name for file in Path("thesis").iterdir()] == ["years.txt"]


def test_rows_with_bad_cells_can_be_left_out(here: Path) -> None:
    lines = shipped(DATA).read_text().splitlines()
    lines.insert(1, lines[1].replace(lines[1].split(",")[0], "n/a", 1))
    Path("messy.csv").write_text("\n".join(lines).replace(",", ";") + "\n")
    assert refused(AmpedgeError, "--data", "messy.csv", "--sep", ";").exit_code == 3
    done = command("--data", "messy.csv", "--sep", ";", "--decimal", ".", "--drop-bad-rows")
    assert done.exit_code == 0, done.output
    assert "1 of 4" in done.stderr
    assert load_config(None, environment={}).model is None
