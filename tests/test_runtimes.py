"""One bundle, four runtimes: the same labels in all of them, chosen by `runtime`, and named where one is missing."""

import re
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.config import load_config
from ampedge.datamap import DataMap, Tag
from ampedge.doctor.finding import State
from ampedge.doctor.model import look
from ampedge.errors import ModelRefusedError, UsageError
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import WEIGHTS, Bundle, load_bundle, pack_bundle, save_bundle
from ampedge.model.keeper import Keeper
from ampedge.model.network import DenseNetwork
from ampedge.model.runtimes import choice
from ampedge.model.runtimes.choice import ENGINES, RUNTIMES, runtime
from ampedge.model.runtimes.engine import EngineRuntime
from ampedge.pipeline import Pipeline
from ampedge.records import Frame, Record
from ampedge.samples import BUNDLE, shipped
from ampedge.service.status import read_status
from ampedge.settings import Settings
from tests.support.bundles import make_bundle, random_layers, tiny_bundle, tiny_row
from tests.support.cli import python_path, run_cli
from tests.support.mosquitto import Mosquitto
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

Matrix = np.ndarray
ROWS = 10_000
OTHERS = tuple(ENGINES)
MEAN = [420.0, -12.3, 1e9 + 0.0371]
STD = [6.0, 1.7, 0.02]
"""The last column leaves float32 no digit behind its mean: what scales in float32 sees one value."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """The shipped one, and one of random weights for values with more digits than float32 has."""
    place = tmp_path_factory.mktemp("bundle") / "model"
    tags = tuple(Tag(name, 4 * at, type="float64") for at, name in enumerate(("a", "b", "counter")))
    layers = random_layers([3, 32, 16, 5], seed=3)
    made = make_bundle(
        place, classes=list("vwxyz"), mean=MEAN, std=STD, layers=layers, names=["a", "b", "counter"],
        datamap=DataMap(tags),
    )  # fmt: skip
    return [load_bundle(shipped(BUNDLE)), made]


@pytest.fixture(scope="module")
def runs(bundles: list[Bundle]) -> dict[str, list[EngineRuntime]]:
    """What runs each bundle, by the name of the runtime."""
    return {name: [runtime(name, bundle.network) for bundle in bundles] for name in OTHERS}  # type: ignore[misc]


@pytest.fixture(scope="module")
def by_numpy(bundles: list[Bundle]) -> list[Record]:
    """What the pipeline says of ten thousand rows."""
    pipeline = Pipeline(bundles[0])
    tags = bundles[0].datamap.tags
    return [pipeline.run(Frame("amp", 0.0, encode_row(tags, row))) for row in rows(bundles[0]).tolist()]


def rows(bundle: Bundle) -> Matrix:
    """Within and around the training ranges; a third of them closer and closer to where two classes are equal."""
    features = bundle.manifest.features
    mean, std = (np.array([getattr(feature, name) for feature in features]) for name in ("mean", "std"))
    drawn = np.random.RandomState(7).normal(0, 2.5, (ROWS, len(features))) * std + mean
    one, other = drawn[: ROWS // 6].copy(), drawn[ROWS // 6 : 2 * (ROWS // 6)].copy()
    first = bundle.network.probabilities(one).argmax(axis=1)
    differ = first != bundle.network.probabilities(other).argmax(axis=1)
    steps = np.random.RandomState(8).randint(5, 50, len(one))
    for step in range(50):
        middle = (one + other) / 2
        is_first = bundle.network.probabilities(middle).argmax(axis=1) == first
        moves = differ & (step < steps)
        one[moves & is_first] = middle[moves & is_first]
        other[moves & ~is_first] = middle[moves & ~is_first]
    drawn[: 2 * len(one)] = np.concatenate([one, other])
    return drawn


class TestAgreement:
    @pytest.mark.parametrize("name", OTHERS)
    def test_ten_thousand_rows_get_the_same_labels_and_probabilities(
        self, bundles: list[Bundle], runs: dict[str, list[EngineRuntime]], name: str
    ) -> None:
        for bundle, found in zip(bundles, runs[name], strict=True):
            values = rows(bundle)
            expected = bundle.network.probabilities(values)
            said = found.probabilities(values)
            lead = np.diff(np.sort(expected, axis=1)[:, -2:], axis=1)
            assert np.count_nonzero(lead < 1e-6) > 300  # so there are rows that rounding alone could turn
            assert len(np.unique(expected.argmax(axis=1))) == len(bundle.classes)
            assert np.count_nonzero(said.argmax(axis=1) != expected.argmax(axis=1)) == 0
            assert np.abs(said - expected).max() <= 1e-5
            assert np.allclose(said.sum(axis=1), 1, atol=1e-6)

    @pytest.mark.parametrize(("name", "every"), [("litert", 1), ("onnx", 1), ("keras", 10)])
    def test_the_pipeline_says_the_same(
        self, by_numpy: list[Record], runs: dict[str, list[EngineRuntime]], name: str, every: int
    ) -> None:
        """Row by row, as serve asks."""
        pipeline = Pipeline(replace(load_bundle(shipped(BUNDLE)), runtime=runs[name][0]))
        for expected in by_numpy[::every]:
            found = pipeline.run(expected.frame)
            assert (found.label, found.class_name) == (expected.label, expected.class_name)
            if expected.probabilities is not None:
                assert found.probabilities is not None
                assert max(map(abs, map(float.__sub__, found.probabilities, expected.probabilities))) <= 1e-5

    @pytest.mark.parametrize("name", OTHERS)
    def test_values_beyond_all_arithmetic_are_numbers_where_numpy_has_them(
        self, bundles: list[Bundle], runs: dict[str, list[EngineRuntime]], name: str
    ) -> None:
        bundle, found = bundles[0], runs[name][0]
        values = np.array([f.mean for f in bundle.manifest.features]) * np.array([[1], [1e5], [1e30], [-1e38], [1e300]])
        expected = bundle.network.probabilities(values)
        assert np.isnan(expected[-1]).all()
        assert np.allclose(found.probabilities(values), expected, atol=1e-5, rtol=0, equal_nan=True)

    def test_one_exact_tie_goes_to_the_class_that_numpy_says(self) -> None:
        """Equal weights: every library is free to round the two sums apart."""
        network = DenseNetwork([0.0], [1.0], [(np.array([[1, 1]], "f4"), np.array([0, 0], "f4"))])
        apart = EngineRuntime("apart", network, lambda scaled: np.tile(np.float32([0.5, 0.5000001]), (len(scaled), 1)))
        assert apart.probabilities(np.array([[3.0]])).tolist() == [[0.5, 0.5]]

    @pytest.mark.parametrize("name", OTHERS)
    def test_devices_in_several_threads_share_one(
        self, bundles: list[Bundle], runs: dict[str, list[EngineRuntime]], name: str
    ) -> None:
        """With batches of several sizes, which an interpreter of one state would mix up."""
        bundle, found = bundles[0], runs[name][0]
        values = np.array([GOLDEN]) * np.random.RandomState(1).normal(1, 0.02, (400, 1))
        parts = np.array_split(values, 60) + np.array_split(values, 37)
        expected = [bundle.network.probabilities(part) for part in parts]
        with ThreadPoolExecutor(4) as pool:
            for one, other in zip(pool.map(found.probabilities, parts), expected, strict=True):
                assert np.abs(one - other).max() <= 1e-5


class TestLoading:
    def test_the_choice_is_the_one_of_the_config(self) -> None:
        assert Settings.model_fields["runtime"].annotation.__args__ == RUNTIMES  # type: ignore[union-attr]
        assert Settings().runtime == load_bundle(shipped(BUNDLE)).runtime.name == "numpy"

    @pytest.fixture
    def wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library with a bug: it mixes up two classes."""

        def engine(network: DenseNetwork) -> Callable[[Matrix], Matrix]:
            plain = DenseNetwork([0.0] * 5, [1.0] * 5, network.layers)
            return lambda scaled: plain.probabilities(scaled)[:, [1, 0, 2, 3]].astype("f4")

        monkeypatch.setitem(choice.ENGINES, "onnx", engine)

    def test_the_golden_rows_are_replayed_in_the_runtime_that_runs(self, wrong: None) -> None:
        load_bundle(shipped(BUNDLE))
        with pytest.raises(ModelRefusedError, match="golden row of class"):
            load_bundle(shipped(BUNDLE), runtime="onnx")

    def test_the_last_good_copy_is_run_by_the_chosen_one(self, tmp_path: Path) -> None:
        model = tmp_path / "site.ampedge"
        shutil.copy(shipped(BUNDLE), model)
        keeper = Keeper(tmp_path / "state")
        keeper.keep(load_bundle(model), model)
        bundle, said = keeper.choose(model, runtime="onnx")
        assert (bundle.runtime.name, said) == ("onnx", f"Using {model} (as given), run by onnx.")
        model.write_bytes(b"")
        bundle, said = keeper.choose(model, runtime="litert")
        assert (bundle.runtime.name, "last good copy" in said) == ("litert", True)

    @pytest.mark.parametrize(
        ("name", "module", "extra"),
        [
            ("litert", "ai_edge_litert", "litert"),
            ("onnx", "onnx", "onnx"),
            ("onnx", "onnxruntime", "onnx"),
            ("keras", "keras", "train"),
            ("keras", "tensorflow", "train"),
        ],
    )
    def test_a_missing_library_is_named_with_its_extra(
        self, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        for part in [part for part in sys.modules if part.startswith(f"{module}.")]:
            monkeypatch.setitem(sys.modules, part, None)
        with pytest.raises(UsageError, match=f"The runtime {name} needs a library") as caught:
            load_bundle(shipped(BUNDLE), runtime=name)
        assert f'pip install "ampedge[{extra}]"' in caught.value.remedy

    def test_doctor_says_so_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
        config = load_config(None, {"runtime": "litert"}, environment={})
        (found,) = look(config)[1]
        assert (found.state, found.remedy) == (State.PROBLEM, 'Install it with: pip install "ampedge[litert]"')


class TestCommands:
    def test_evaluate_scores_what_the_runtime_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flag wins over the config; a model that is wrong in the runtime that was chosen is refused."""
        place = tiny_bundle(tmp_path)
        data = tmp_path / "rows.csv"
        names = place.manifest.feature_names
        lines = [",".join([*map(repr, tiny_row(place, name)), name]) for name in place.classes]
        data.write_text("\n".join([",".join([*names, "status"]), *lines]) + "\n")
        monkeypatch.chdir(tmp_path)
        Path("ampedge.toml").write_text('model = "model"\nruntime = "litert"\n')
        done = CliRunner().invoke(app, ["evaluate", str(data)])
        assert done.exit_code == 0, done.output
        assert "Using model (as given), run by litert." in done.stderr
        assert re.search(r"^this model +1\.000", done.stdout, re.MULTILINE)
        monkeypatch.setitem(choice.ENGINES, "onnx", lambda _: lambda scaled: np.full((len(scaled), 4), 0.25, "f4"))
        monkeypatch.setattr(EngineRuntime, "probabilities", lambda self, values: self._engine(values))
        done = CliRunner().invoke(app, ["evaluate", str(data), "--runtime", "onnx"])
        assert isinstance(done.exception, ModelRefusedError)
        assert "golden row" in str(done.exception)
        for command in (["export", "--out", "a.ampedge"], ["card", "--out", "a.md"]):  # which run no rows by it
            assert CliRunner().invoke(app, command, env={"AMPEDGE_RUNTIME": "onnx"}).exit_code == 0

    def test_serve_runs_it_and_keeps_to_it_at_a_reload(self, tmp_path: Path, mosquitto: Mosquitto) -> None:
        model = tmp_path / "site.ampedge"
        shutil.copy(shipped(BUNDLE), model)
        (tmp_path / "ampedge.toml").write_text("[modbus]\ninterval_s = 0.1\n")
        options = ("--runtime", "onnx", "--watch-model")
        with Serve(tmp_path, *options, model=model, broker=mosquitto.port) as serve:
            state = tmp_path / "ampedge-state"
            serve.write(*GOLDEN)
            wait_until(lambda: "healthy" in serve.log, what="a label")
            assert "run by onnx" in serve.log
            assert read_status(state)["model"]["runtime"] == "onnx"
            serve.process.send_signal(signal.SIGHUP)
            wait_until(lambda: read_status(state)["reload"]["count"] == 1, what="the reload")
            assert read_status(state)["model"]["runtime"] == "onnx"
            old = load_bundle(model)
            plain = {**old.manifest.model_dump(mode="json", exclude={"files"}), "version": "new"}
            pack_bundle(save_bundle(tmp_path / "new", plain, {WEIGHTS: old.contents[WEIGHTS]}), model)
            wait_until(lambda: read_status(state)["model"]["version"] == "new", what="the new model")
            assert read_status(state)["model"]["runtime"] == "onnx"
            assert serve.stop() == 0

    def test_serve_says_what_to_install(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ai_edge_litert'] = None\n")
        done = run_cli("serve", "--runtime", "litert", cwd=tmp_path, env=python_path(tmp_path))
        assert done.returncode == 2
        assert 'pip install "ampedge[litert]"' in done.stderr

    def test_a_runtime_that_there_is_not_is_refused(self, tmp_path: Path) -> None:
        done = run_cli("serve", "--runtime", "tensorrt", cwd=tmp_path)
        assert done.returncode == 2
        assert "runtime" in done.stderr
        assert "litert" in done.stderr
