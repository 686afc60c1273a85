"""`ampedge export --format c`: a header that compiles without a warning, answers as the model, and else not at all."""

import ast
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.datamap import DataMap, Tag
from ampedge.errors import ModelRefusedError, UsageError
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.manifest import ClassEnvelope
from ampedge.pipeline import Pipeline
from ampedge.records import Frame
from ampedge.samples import BUNDLE, shipped
from ampedge.training.export import c_header
from ampedge.training.export.c_source import comment, header, literal, prefix
from ampedge.training.export.exporter import comparison_rows, export
from ampedge.training.registers import through_registers
from tests.support.bundles import make_bundle, random_layers, tiny_bundle, tiny_row
from tests.support.c_program import WARNINGS, compile_c, prefix_of, say
from tests.support.cli import run_cli
from tests.support.parts import needed

Matrix = np.ndarray
ROWS = 10_000
PAGE = Path(__file__).parents[1] / "docs" / "exports.md"

HOSTILE = (
    'a "quoted" one',
    "back\\slash\\",
    "ends */ int x; /* begins",
    "*/*/",
    "tri??/graph ???/",
    "%s%n",
    "\u00e43 \u653e \u00b0C",
    '"); system("true"); //',
    "\u05d0\u200f\U0001f600",
    "#define int char",
    "with space ",
)


@pytest.fixture(scope="module", autouse=True)
def compiler() -> None:
    needed("gcc")


@pytest.fixture
def shipped_header(tmp_path: Path) -> tuple[Bundle, Path]:
    return written(load_bundle(shipped(BUNDLE)), tmp_path)


def written(bundle: Bundle, directory: Path) -> tuple[Bundle, Path]:
    export(bundle, "c", directory / "exported.h")
    return bundle, directory / "exported.h"


def drawn(bundle: Bundle, spread: float) -> Matrix:
    """Rows about the mean of training, as many deviations wide as `spread` says."""
    features = bundle.manifest.features
    mean, std = (np.array([getattr(feature, name) for feature in features]) for name in ("mean", "std"))
    return np.random.RandomState(7).normal(0, spread, (ROWS, len(features))) * std + mean


def labels_by_hand(bundle: Bundle, values: Matrix, min_confidence: float = 0.5) -> list[str]:
    """The label of each row from the envelopes and the bundle's probabilities alone; it has no thresholds."""
    low, high = np.array([feature.envelope for feature in bundle.manifest.features]).T
    inside = ((values >= low) & (values <= high)).all(axis=1)
    found = bundle.probabilities(values)
    best = found.argmax(axis=1)
    sure = found.max(axis=1) >= min_confidence
    if bundle.joint is not None:
        near = [bundle.joint.distance(row, place) <= 1 for row, place in zip(values.tolist(), best, strict=True)]
        inside &= np.array(near)
    return [
        bundle.classes[at] if known else "unknown" for at, known in zip(best, (inside & sure).tolist(), strict=True)
    ]


def only_compiler(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `cc` that does no more than the script says, and no other compiler."""
    directory.mkdir()
    (directory / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


class TestAgreement:
    def test_the_shipped_model_labels_ten_thousand_rows_as_the_pipeline_does(
        self, shipped_header: tuple[Bundle, Path], tmp_path: Path
    ) -> None:
        bundle, place = shipped_header
        tags = bundle.datamap.tags
        rows = drawn(bundle, spread=2.0)
        pipeline = Pipeline(bundle)
        expected = [pipeline.run(Frame("amp", 0.0, encode_row(tags, row))).label for row in rows.tolist()]
        values = through_registers(bundle.datamap, rows.tolist())
        said = say(place, values, directory=tmp_path)
        assert said.labels == expected
        assert set(expected) == {*bundle.classes, "unknown"}
        probabilities = bundle.probabilities(values)
        assert np.abs(said.probabilities - probabilities).max() <= 1e-5
        assert (said.probabilities.argmax(axis=1) == probabilities.argmax(axis=1)).all()
        assert said.answered == [1] * ROWS

    @pytest.mark.parametrize("sizes", [(5, 64, 32, 16, 4), (1, 2), (3, 200, 7, 9), (40, 3, 128, 2)])
    def test_networks_of_any_shape(self, tmp_path: Path, sizes: tuple[int, ...]) -> None:
        features, classes = sizes[0], [f"class {at}" for at in range(sizes[-1])]
        bundle = make_bundle(
            tmp_path / "model",
            classes=classes,
            mean=np.linspace(-1e6, 1e6, features).tolist(),
            std=np.geomspace(1e-2, 50, features).tolist(),
            layers=random_layers(sizes, seed=3),
        )
        values = drawn(bundle, spread=3.0)
        said = say(written(bundle, tmp_path)[1], values, directory=tmp_path)
        probabilities = bundle.probabilities(values)
        assert (said.probabilities.argmax(axis=1) == probabilities.argmax(axis=1)).all()
        assert np.abs(said.probabilities - probabilities).max() <= 1e-5
        assert said.labels == labels_by_hand(bundle, values)
        assert len(set(said.labels) - {"unknown"}) > 1
        assert "unknown" in said.labels
        assert [said.names[at] if at >= 0 else "unknown" for at in said.numbers] == said.labels

    def test_joint_envelope_and_thresholds_decide_as_in_the_pipeline(self, tmp_path: Path) -> None:
        bundle = make_bundle(
            tmp_path / "model",
            classes=("a", "b", "c"),
            mean=(5.0, -3.0),
            std=(2.0, 0.1),
            layers=random_layers((2, 9, 3), seed=1),
            joint=[
                ClassEnvelope(limit=1.5, centres=[[0.1, 0.2], [-2.0, 1.0]], whitenings=[[0.7, -0.6, 0.9], [1, 0.2, 1]]),
                ClassEnvelope(limit=2.5, centres=[[0.3, -1.0]], whitenings=[[0.7, 0.3, 0.9]]),
                ClassEnvelope(limit=0.5, centres=[[1.0, 0.0]], whitenings=[[0.1, 0.1, 0.1]]),
            ],
            thresholds={"b": 0.2, "c": 0.7},
        )
        values = drawn(bundle, spread=1.5)
        said = say(written(bundle, tmp_path)[1], values, directory=tmp_path)
        wide = DataMap(
            tuple(replace(tag, type="float64", address=4 * at) for at, tag in enumerate(bundle.datamap.tags))
        )
        pipeline = Pipeline(bundle, wide)
        records = [pipeline.run(Frame("x", 0.0, encode_row(wide.tags, row))) for row in values.tolist()]
        assert said.labels == [record.label for record in records]
        reasons = {str(reason) for record in records for reason in record.reasons}
        assert {"unusual_combination", "low_confidence"} <= reasons
        assert {record.label for record in records} == {"a", "b", "c", "unknown"}
        plain = [record for record in records if record.label == "b" and (record.confidence or 0) < 0.5]
        assert plain  # said, though it is not the most probable

    def test_it_is_cpp_as_well(self, shipped_header: tuple[Bundle, Path], tmp_path: Path) -> None:
        bundle, place = shipped_header
        values = drawn(bundle, spread=2.0)[:100]
        said = say(place, values, directory=tmp_path, compiler="g++", flags=("-Wsign-conversion",))
        assert np.abs(said.probabilities - bundle.probabilities(values)).max() <= 1e-5

    def test_every_number_is_the_models_own(self, tmp_path: Path) -> None:
        """Random bits behind units that never speak, with the extremes of float32 among them."""
        smallest, normal, largest = np.finfo("f4").smallest_subnormal, np.finfo("f4").tiny, np.finfo("f4").max
        bits = np.random.RandomState(1).randint(0, 2**32, 4000, dtype=np.uint64).astype(np.uint32).view("f4")
        silent = np.concatenate([[smallest, -smallest, normal, largest, -largest, -0.0], bits[np.isfinite(bits)]])
        silent = silent[: len(silent) // 2 * 2].reshape(-1, 2).astype("f4")
        kernel = np.zeros((1, 2 + len(silent)), "f4")
        kernel[0, :2] = 1, -1
        bias = np.full(2 + len(silent), -largest, "f4")
        bias[:2] = 0
        last = np.vstack([np.eye(2, dtype="f4"), silent])
        std = 1 / 3 * 1e-3
        bundle = make_bundle(
            tmp_path / "model",
            classes=["up", "down"],
            mean=[1e9 / 7],
            std=[std],
            layers=[(kernel, bias), (last, np.zeros(2, "f4"))],
            datamap=DataMap((Tag("x0", 0, type="float64"),)),
        )
        place = tmp_path / "exported.h"
        place.write_text(header(bundle, "exported.h"))
        arrays = ("kernel_1", "bias_1", "kernel_2", "features")
        writes = "".join(f"fwrite(tiny_{name}, sizeof tiny_{name}, 1, stdout);" for name in arrays)
        program = f'#include "model.h"\n#include <stdio.h>\nint main(void) {{ {writes} return 0; }}\n'
        done = subprocess.run(
            [compile_c(program, header=place, directory=tmp_path)], capture_output=True, check=True
        ).stdout
        (feature,) = bundle.manifest.features
        numbers = np.array([*feature.envelope, feature.mean, feature.std])
        assert done == kernel.tobytes() + bias.tobytes() + last.tobytes() + numbers.tobytes()


class TestNoClass:
    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), 1.7e308, -1.7e308])
    def test_what_is_no_measurement_is_unknown_in_any_place(self, tmp_path: Path, wrong: float) -> None:
        """Checked with the compiler's own watch over undefined arithmetic."""
        bundle, place = written(tiny_bundle(tmp_path), tmp_path)
        right = tiny_row(bundle, "healthy")
        values = np.array([right, *([*right[:at], wrong, *right[at + 1 :]] for at in range(len(right)))])
        watched = ("-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all")
        said = say(place, values, directory=tmp_path, flags=watched)
        assert said.labels == ["healthy", *["unknown"] * 5]
        assert said.numbers == [1, *[-1] * 5]
        assert said.answered == [1, *[0] * 5]
        assert (said.probabilities[1:] == 0).all()

    def test_values_with_which_the_network_overflows(self, tmp_path: Path) -> None:
        bundle, place = written(tiny_bundle(tmp_path), tmp_path)
        values = np.array([[feature.mean + 3e38 * feature.std for feature in bundle.manifest.features]])
        assert np.isnan(bundle.probabilities(values)).all()
        said = say(place, values, directory=tmp_path)
        assert (said.answered, said.labels, said.probabilities.tolist()) == ([0], ["unknown"], [[0.0] * 4])

    def test_the_ends_of_the_envelope(self, tmp_path: Path) -> None:
        bundle, place = written(tiny_bundle(tmp_path), tmp_path)
        feature = bundle.manifest.features[0]
        low, high = feature.envelope
        ends = [np.nextafter(low, -np.inf), low, high, np.nextafter(high, np.inf)]
        values = np.array([[end, *tiny_row(bundle, "healthy")[1:]] for end in ends])
        said = say(place, values, directory=tmp_path)
        assert ["unknown" if label == "unknown" else "known" for label in said.labels] == [
            "unknown",
            "known",
            "known",
            "unknown",
        ]
        assert said.answered == [1] * 4
        assert np.abs(said.probabilities - bundle.probabilities(values)).max() <= 1e-5

    def test_the_valid_range_of_a_tag_with_its_ends_as_registers_hold_them(self, tmp_path: Path) -> None:
        bundle = make_bundle(
            tmp_path / "model",
            classes=["low", "high"],
            mean=[0.5],
            std=[0.3],
            layers=[(np.array([[-40.0, 40.0]], "f4"), np.zeros(2, "f4"))],
            datamap=DataMap((Tag("x0", 0, valid=(0.0, 0.6)),)),
        )
        held = float(np.float32(0.6))
        assert held > 0.6
        values = np.array([[-1e-9], [0.0], [0.6], [held], [np.nextafter(held, 1)]])
        said = say(written(bundle, tmp_path)[1], values, directory=tmp_path)
        assert said.labels == ["unknown", "low", "high", "high", "unknown"]

    def test_the_least_confidence_is_the_programs_to_choose(
        self, shipped_header: tuple[Bundle, Path], tmp_path: Path
    ) -> None:
        bundle, place = shipped_header
        values, _ = comparison_rows(bundle)
        found = say(place, values, directory=tmp_path, flags=("-DAMPLIFIER_MIN_CONFIDENCE=0.9",)).labels
        assert found == labels_by_hand(bundle, values, min_confidence=0.9) != labels_by_hand(bundle, values)

    def test_a_compiler_that_knows_no_nan_is_refused(self, shipped_header: tuple[Bundle, Path], tmp_path: Path) -> None:
        (tmp_path / "fast.c").write_text('#include "exported.h"\n')
        done = subprocess.run(
            [needed("gcc"), "-ffast-math", "-c", "fast.c"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "Compile this without -ffast-math" in done.stderr


class TestText:
    def test_hostile_names_come_back_as_they_were(self, tmp_path: Path) -> None:
        bundle = make_bundle(
            tmp_path / "model",
            classes=HOSTILE,
            mean=[1.0] * len(HOSTILE),
            std=[1.0] * len(HOSTILE),
            layers=random_layers([len(HOSTILE), len(HOSTILE)], seed=2),
            datamap=DataMap(tuple(Tag(name, 2 * at, unit=name[:8]) for at, name in enumerate(HOSTILE))),
            names=HOSTILE,
            name='*/ ??/ \\ \u00e4\u653e" int',
        )
        place = written(bundle, tmp_path)[1]
        values = drawn(bundle, spread=2.0)[:1000]
        for compiler in ("gcc", "g++"):
            said = say(place, values, directory=tmp_path, compiler=compiler)
            assert said.names == list(HOSTILE)
            assert said.labels == labels_by_hand(bundle, values)
        assert prefix_of(place) == "a_int"
        assert "\u00e43 \u653e \u00b0C" in place.read_text("utf-8")

    def test_it_bears_name_version_and_identity_and_explains_each_value(
        self, shipped_header: tuple[Bundle, Path], tmp_path: Path
    ) -> None:
        bundle, place = shipped_header
        manifest = bundle.manifest
        said = say(place, np.empty((0, 5)), directory=tmp_path)
        assert (said.names, said.version, said.sha256) == (manifest.classes, manifest.version, bundle.identity)
        text = place.read_text("utf-8")
        assert f"/*\n * amplifier, version {manifest.version}: " in text
        assert f"manifest: {bundle.identity}\n" in text
        for feature in manifest.features:
            assert f"// {feature.name} ({feature.unit})\n" in text
            assert (
                f"/* {feature.name} ({feature.unit}), trained on {feature.minimum:g} to {feature.maximum:g} */" in text
            )

    def test_the_example_in_it_is_a_program(self, shipped_header: tuple[Bundle, Path], tmp_path: Path) -> None:
        bundle, place = shipped_header
        example = re.findall(r"^ \* {5}(.*)$", place.read_text("utf-8"), re.MULTILINE)
        assert example[0] == '#include "amplifier.h"  // this file'
        body = "\n".join(example[1:])
        program = f'#include <stdio.h>\n#include "model.h"\nint main(void) {{\n{body}\nreturn 0; }}\n'
        done = subprocess.run(
            [compile_c(program, header=place, directory=tmp_path)], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{bundle.manifest.normal_label}\n"

    def test_models_of_two_names_fit_into_one_program_and_of_one_name_do_not(self, tmp_path: Path) -> None:
        for at, name in enumerate(["line 1", "line 2", "Line-1"]):
            layers = random_layers([2, 3], seed=at)
            bundle = make_bundle(
                tmp_path / f"{at}", classes=["a", "b", "c"], mean=[0, 0], std=[1, 1], layers=layers, name=name
            )
            (tmp_path / f"{at}.h").write_text(header(bundle, f"{at}.h"))
        for other, expected in ((1, 0), (0, 0), (2, 1)):
            (tmp_path / "two.c").write_text(f'#include "0.h"\n#include "{other}.h"\n')
            command = [needed("gcc"), "-std=c99", *WARNINGS, "-c", "two.c"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == expected, done.stderr

    def test_it_keeps_nothing_and_calls_exp_and_sqrt_alone(
        self, shipped_header: tuple[Bundle, Path], tmp_path: Path
    ) -> None:
        (tmp_path / "use.c").write_text(
            '#include "exported.h"\nconst char *use(const double *v);\n'
            "const char *use(const double *v) { return amplifier_label(v); }\n"
        )
        subprocess.run([needed("gcc"), "-std=c99", "-fno-pic", "-c", "use.c"], cwd=tmp_path, check=True)
        listed = subprocess.run(["nm", "use.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        symbols = [line.split()[-2:] for line in listed.splitlines()]
        assert [name for kind, name in symbols if kind == "U"] == ["exp", "sqrt"]
        assert [name for kind, name in symbols if kind == "T"] == ["use"]
        assert {kind for kind, _ in symbols} == {"U", "T", "t", "r"}  # no data, nothing without a value

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("amplifier", "amplifier"),
            ("My Amplifier/2", "my_amplifier_2"),
            ("2nd line", "model_2nd_line"),
            ("Verst\u00e4rker", "verstarker"),
            ("\u653e\u5927\u5668", "model"),
            ("__x__", "x"),
            ("int", "int"),
            ("-", "model"),
            ("x" * 64, "x" * 40),
        ],
    )
    def test_prefixes(self, name: str, expected: str) -> None:
        assert prefix(name) == expected

    @given(st.text())
    def test_any_name_makes_an_identifier(self, name: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", prefix(name))

    @given(st.text(alphabet=st.one_of(st.sampled_from('*/?\\"\n'), st.characters(exclude_categories=["Cs"]))))
    def test_any_text_can_stand_in_a_comment_and_in_a_string(self, text: str) -> None:
        assert not re.search(r"\*/|/\*|\?\?|[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", comment(text))
        written = literal(text)
        assert written.isascii()
        assert "??" not in written
        assert ast.literal_eval(f"b{written}").decode() == text  # Python's octal escapes are those of C


class TestCheck:
    def test_a_wrong_header_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = load_bundle(shipped(BUNDLE))
        other = tiny_bundle(tmp_path)
        monkeypatch.setattr(c_header, "header", lambda _, file_name: header(other, file_name))
        (tmp_path / "out").mkdir()
        with pytest.raises(ModelRefusedError, match="as c the model gives another class on"):
            export(bundle, "c", tmp_path / "out" / "a.h")
        assert list((tmp_path / "out").iterdir()) == []

    def test_without_a_compiler_nothing_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = load_bundle(shipped(BUNDLE))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UsageError, match="needs a C compiler") as caught:
            export(bundle, "c", tmp_path / "a.h")
        assert "sudo apt install gcc libc6-dev" in caught.value.remedy
        assert list(tmp_path.iterdir()) == []

    def test_a_compiler_without_its_headers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = "model.h:31:10: fatal error: math.h: No such file or directory"
        only_compiler(tmp_path / "bin", f"echo '{said}' >&2; exit 1", monkeypatch)
        with pytest.raises(UsageError, match=r"fatal error: math\.h: No such file") as caught:
            export(load_bundle(shipped(BUNDLE)), "c", tmp_path / "a.h")
        assert "libc6-dev" in caught.value.remedy
        assert not (tmp_path / "a.h").exists()

    def test_a_program_that_crashes_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(c_header, "_PROGRAM", c_header._PROGRAM.replace("return 0", "return 1"))
        with pytest.raises(ModelRefusedError, match="another class on 1004 of 1004 rows"):
            export(load_bundle(shipped(BUNDLE)), "c", tmp_path / "a.h")
        assert list(tmp_path.iterdir()) == []

    def test_where_no_program_may_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        only_compiler(tmp_path / "bin", ": > check", monkeypatch)
        with pytest.raises(UsageError, match=r"cannot be run in .*: Permission denied") as caught:
            export(load_bundle(shipped(BUNDLE)), "c", tmp_path / "a.h")
        assert "TMPDIR" in caught.value.remedy
        assert not (tmp_path / "a.h").exists()

    def test_the_page_shows_the_real_header_and_a_program_that_says_what_it_says(self, tmp_path: Path) -> None:
        """Exported where no library of the workstation can be imported."""
        heavy = "tensorflow", "keras", "sklearn", "joblib", "pandas", "matplotlib"
        (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {heavy}: sys.modules[name] = None\n")
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        done = run_cli("export", "--model", shipped(BUNDLE), "--format", "c", cwd=tmp_path, env={"PYTHONPATH": path})
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(
            r"amplifier\.h \(\d+\.\d kB\)\nCompared with the bundle on 1004 golden rows and random rows within the "
            r"training ranges: 0 classes differ, probabilities by at most \d\.\de-\d\d\.\n",
            done.stdout,
        )
        _, _, section = PAGE.read_text("utf-8").partition("## A header for a controller\n")
        beginning, program = re.findall(r"^```c\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        assert (tmp_path / "amplifier.h").read_text("utf-8").startswith(beginning)
        (printed,) = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        assert '#include "amplifier.h"\n' in program
        made = compile_c(program, header=tmp_path / "amplifier.h", directory=tmp_path)
        assert subprocess.run([made], capture_output=True, text=True, check=True).stdout == printed
