"""Bundles made to do harm: to run code, to fill the memory, to hang the loader, to spoil a terminal.

All checksums are right here, as they are if somebody means it.
"""

import hashlib
import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ampedge.errors import ModelRefusedError
from ampedge.model import archive
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle
from ampedge.samples import BUNDLE, shipped
from tests.support.bundles import tiny_bundle
from tests.support.cli import run_cli

Plain = dict[str, Any]
Change = Callable[[Plain], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.ampedge"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path).path


def sealed(change: Change, weights: bytes | None = None, spell: Callable[[str], str] = str) -> dict[str, bytes]:
    """The files of the shipped bundle after a change of the manifest, and of its very text."""
    files = archive.unpack(shipped(BUNDLE).read_bytes())
    files["weights.bin"] = files["weights.bin"] if weights is None else weights
    plain = json.loads(files["manifest.json"])
    plain["joint"] = None  # which would have to fit every other number of classes
    change(plain)
    plain["files"] = {"weights.bin": hashlib.sha256(files["weights.bin"]).hexdigest()}
    return checked({**files, "manifest.json": spell(json.dumps(plain)).encode()})


def checked(files: dict[str, bytes]) -> dict[str, bytes]:
    digest = hashlib.sha256(files["manifest.json"]).hexdigest()
    return {**files, "manifest.sha256": f"{digest}  manifest.json\n".encode()}


def respelled(directory: Path, old: bytes, new: bytes) -> None:
    """Change the manifest of a bundle directory, its checksum made right."""
    text = (directory / "manifest.json").read_bytes()
    assert old in text
    files = checked({"manifest.json": text.replace(old, new, 1)})
    for name, data in files.items():
        (directory / name).write_bytes(data)


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelRefusedError, match=words) as caught:
        load_bundle(path)
    assert str(path) in caught.value.problem


def peak_mib(path: Path) -> float:
    """The most memory that loading it takes."""
    tracemalloc.start()
    try:
        load_bundle(path)
    except ModelRefusedError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak / 2**20


def zeros(*sizes: int) -> bytes:
    return bytes(4 * sum(a * b + b for a, b in pairwise(sizes)))


# To fill the memory.


def one_input(hidden: int, rows: int) -> Change:
    """A network of one input, whose golden rows are many; all of its weights zero, so that they are right."""

    def change(plain: Plain) -> None:
        plain["features"], plain["datamap"] = plain["features"][:1], plain["datamap"][:1]
        plain["layers"] = [{"units": hidden, "activation": "relu"}, {"units": 4, "activation": "softmax"}]
        row = {"values": [0.0], "probabilities": [0.25] * 4, "class_name": plain["classes"][0]}
        plain["golden"] = [row] * rows

    return change


def test_many_golden_rows_are_replayed_a_few_at_a_time(path: Path) -> None:
    path.write_bytes(archive.pack(sealed(one_input(65536, 300), zeros(1, 65536, 4))))
    load_bundle(path)
    assert peak_mib(path) < 80  # all at once: 160


def test_more_golden_rows_than_can_be_replayed_are_refused(path: Path) -> None:
    path.write_bytes(archive.pack(sealed(one_input(65536, 60_000), zeros(1, 65536, 4))))
    refused(path, "more golden rows than can be replayed")


def test_huge_layers_are_refused_before_they_are_built(path: Path) -> None:
    def change(plain: Plain) -> None:
        plain["layers"] = [{"units": 65536, "activation": "relu"}] * 3 + plain["layers"][-1:]

    path.write_bytes(archive.pack(sealed(change)))
    refused(path, "The weights have 12240 bytes, the network needs 34362884112")
    assert peak_mib(path) < 5


@pytest.mark.parametrize(
    ("filling", "words"),
    [("[]," * 1_500_000, "more in it than that of any bundle"), (" " * (17 << 20), "larger than that of any bundle")],
)
def test_a_manifest_that_unfolds_is_refused_before_it_is_parsed(path: Path, filling: str, words: str) -> None:
    path.write_bytes(
        archive.pack(sealed(lambda _: None, spell=lambda text: text.replace("{", '{"x": [' + filling + "0], ", 1)))
    )
    refused(path, words)
    assert peak_mib(path) < 50  # parsed: hundreds


def test_ten_thousand_classes(path: Path) -> None:
    def change(plain: Plain) -> None:
        plain["classes"] = [f"class {number}" for number in range(10_000)]
        plain["normal_label"] = "class 0"
        plain["layers"] = [{"units": 10_000, "activation": "softmax"}]
        plain["golden"] = [{"values": [0.0] * 5, "probabilities": [1e-4] * 10_000, "class_name": "class 0"}]

    path.write_bytes(archive.pack(sealed(change, zeros(5, 10_000))))
    assert len(load_bundle(path).classes) == 10_000
    path.write_bytes(archive.pack(sealed(change, zeros(5, 10_001))))
    refused(path, "The weights have")


@pytest.mark.parametrize("depth", [500, 5_000, 500_000])
def test_deep_manifests(path: Path, depth: int) -> None:
    def spell(text: str) -> str:
        return text.replace("{", '{"x": ' + "[" * depth + "]" * depth + ", ", 1)

    path.write_bytes(archive.pack(sealed(lambda _: None, spell=spell)))
    refused(path, r"manifest\.json")


def test_an_archive_of_countless_entries_is_refused_before_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(archive.pack({f"{number}": b"" for number in range(101)}))
    monkeypatch.setattr(archive.zipfile, "ZipFile", lambda *_: pytest.fail("it was opened"))
    refused(path, "does not hold just the files of a bundle")


def test_a_bomb_is_refused_before_it_is_unpacked(path: Path) -> None:
    files = archive.unpack(shipped(BUNDLE).read_bytes())
    path.write_bytes(archive.pack({**files, "weights.bin": bytes(65 << 20)}))
    refused(path, "unpacks to more than any bundle does")
    assert peak_mib(path) < 5


def test_a_link_in_an_archive_is_refused(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in archive.unpack(shipped(BUNDLE).read_bytes()).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name == "weights.bin" else 0o100644) << 16
            made.writestr(entry, data)
        made.comment = b"-" * 79
    body = buffer.getvalue()[:-79]
    path.write_bytes(body + b"ampedge sha256 " + hashlib.sha256(body).hexdigest().encode())
    refused(path, "packed in a way that no bundle is")


# To hang the loader.


def test_a_pipe_is_not_waited_for(tmp_path: Path, directory: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "pipe is no file")
    (directory / "weights.bin").unlink()
    os.mkfifo(directory / "weights.bin")
    refused(directory, r"weights\.bin is no file")


def test_a_further_file_that_is_a_pipe_is_not_waited_for(directory: Path) -> None:
    respelled(directory, b'"files": {', b'"files": {"heldout.csv": "' + b"0" * 64 + b'", ')
    os.mkfifo(directory / "heldout.csv")
    assert load_bundle(directory).held_out() is None


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_model(device: str) -> None:
    refused(Path(device), "is no file")


# Numbers that are none, or hardly.


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("place", ["golden.values", "golden.probabilities", "mean", "std", "minimum", "scale"])
def test_a_number_that_is_not_finite_is_refused(path: Path, number: str, place: str) -> None:
    def change(plain: Plain) -> None:
        match place.split("."):
            case ["golden", part]:
                plain["golden"][0][part][0] = "HERE"
            case ["scale"]:
                plain["datamap"][0]["scale"] = "HERE"
            case [name]:
                plain["features"][0][name] = "HERE"

    path.write_bytes(archive.pack(sealed(change, spell=lambda text: text.replace('"HERE"', number))))
    refused(path, "finite number")


@pytest.mark.parametrize("number", [b"NaN", b"1e400"])
def test_such_a_number_among_the_metrics_of_a_directory_is_refused(directory: Path, number: bytes) -> None:
    respelled(directory, b'"metrics": {}', b'"metrics": {"x": ' + number + b"}")
    respelled(directory, b'"files": {', b'"files": {"heldout.csv": "' + b"0" * 64 + b'", ')
    refused(directory, "not finite")


@pytest.mark.parametrize("std", [0.0, -1.0, 5e-324, 1e-320])
def test_a_deviation_that_leaves_nothing_of_a_value_is_refused(path: Path, std: float) -> None:
    path.write_bytes(archive.pack(sealed(lambda plain: plain["features"][0].update(std=std))))
    refused(path, "std|golden row")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(path: Path, number: float) -> None:
    weights = np.frombuffer(archive.unpack(shipped(BUNDLE).read_bytes())["weights.bin"], "<f4").copy()
    weights[7] = number
    path.write_bytes(archive.pack(sealed(lambda _: None, weights.tobytes())))
    refused(path, "weights hold a number that is not finite")


def test_denormal_weights_are_weights(path: Path) -> None:
    weights = np.frombuffer(archive.unpack(shipped(BUNDLE).read_bytes())["weights.bin"], "<f4").copy()
    weights[np.abs(weights).argmin()] = 1e-42
    path.write_bytes(archive.pack(sealed(lambda _: None, weights.tobytes())))
    bundle = load_bundle(path)
    assert np.isfinite(bundle.probabilities(np.array([row.values for row in bundle.manifest.golden]))).all()


# To spoil a terminal, a log or another directory.


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u2028", "\u202egpj", "\u2066"])
@pytest.mark.parametrize("place", ["name", "version", "created", "label"])
def test_what_is_shown_can_be_shown(path: Path, place: str, text: str) -> None:
    def change(plain: Plain) -> None:
        (plain["training"] if place == "label" else plain)[place] = text

    path.write_bytes(archive.pack(sealed(change)))
    refused(path, "cannot be shown")


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b", "CON", "."])
def test_files_of_names_that_no_file_has(directory: Path, name: str) -> None:
    given = json.dumps(name).encode()
    respelled(directory, b'"files": {', b'"files": {' + given + b': "' + b"0" * 64 + b'", ')
    try:
        load_bundle(directory)  # a file that is not there is not needed
    except ModelRefusedError as error:
        assert str(directory) in error.problem


# To run code.


class Evil:
    """Unpickled, it leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.canary}'",)


HOOK = """
import pickle

def banned(*_, **__):
    with open({log!r}, "a") as log:
        log.write("unpickled")
    raise SystemExit("unpickled")

pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = pickle._load = pickle._loads = banned
"""


def test_pickles_of_any_name_are_refused_and_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps(Evil(canary))
    good = archive.unpack(shipped(BUNDLE).read_bytes())
    for name in ("x.ampedge", "x.onnx", "x.h5", "x.pkl", "x.joblib", "x.keras", "x.npy", "x"):
        path = tmp_path / name
        for data in (
            evil,
            b"PK" + evil,
            archive.pack({"model.pkl": evil}),
            archive.pack({**good, "weights.bin": evil}),
            archive.pack(checked({**good, "manifest.json": evil})),
            archive.pack(sealed(lambda _: None, evil)),
        ):
            path.write_bytes(data)
            refused(path, "refused")
    assert not canary.exists()
    pickle.loads(evil)
    assert canary.exists()  # so it would have been seen


def test_a_command_of_the_device_unpickles_nothing_at_all(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(log=str(log)))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    (tmp_path / "good.pkl").write_bytes(shipped(BUNDLE).read_bytes())  # what it is called does not matter
    env = {"PYTHONPATH": str(tmp_path)}
    done = run_cli("serve", "--model", "evil.pkl", cwd=tmp_path, env=env)
    assert done.returncode == ModelRefusedError.exit_code, done.stderr
    done = run_cli("export", "--model", "good.pkl", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert not log.exists()
    assert not (tmp_path / "canary").exists()


# Not hostile, only from elsewhere.


def test_a_bundle_of_other_library_versions_loads(path: Path) -> None:
    def change(plain: Plain) -> None:
        plain["training"]["libraries"] = {"numpy": "9.9", "tensorflow": "0.1", "python": "2.7", "ampedge": "99"}

    path.write_bytes(archive.pack(sealed(change)))
    load_bundle(path)


def test_what_was_packed_before_there_were_signatures_is_packed_the_same_now(tmp_path: Path) -> None:
    bundle: Bundle = load_bundle(shipped(BUNDLE))
    pack_bundle(bundle, tmp_path / "again.ampedge")
    old, new = (archive.unpack(file.read_bytes()) for file in (shipped(BUNDLE), tmp_path / "again.ampedge"))
    assert new == old
