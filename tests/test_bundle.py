"""The bundle: what was saved is what loads, and anything else is refused with a reason."""

import hashlib
import io
import json
import random
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import InUseError, ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle, agree, find_bundle, load_bundle, pack_bundle, save_bundle
from ampedge.model.manifest import PROTOCOL
from ampedge.model.network import DenseNetwork
from ampedge.pipeline import Pipeline
from ampedge.records import Frame
from tests.support.bundles import AMPLIFIER_CLASSES, tiny_bundle, tiny_row
from tests.support.reference import ROOT

PUBLISHED_WORDS = ((17365, 43762), (49473, 10758), (16019, 17334), (16229, 912), (16624, 4603))
EDGE = ["manifest.json", "manifest.sha256", "weights.bin"]
EXTRAS = {
    "network.keras": b"PK\x03\x04 not really a network",
    "heldout.csv": b"a,b,status\n1.0,2.0,healthy\n",
    "training_history.png": b"\x89PNG\r\n\x1a\n",
    "metrics.json": b'{"test": {"accuracy": 1.0}}',
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle directory with everything that training leaves in it."""
    place = tmp_path_factory.mktemp("bundle")
    bundle = tiny_bundle(place)
    plain = bundle.manifest.model_dump(mode="json")
    del plain["files"]
    return save_bundle(place / "whole", plain, {"weights.bin": (bundle.path / "weights.bin").read_bytes(), **EXTRAS})


@pytest.fixture(scope="module")
def packed(whole: Bundle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same bundle as the bytes of an .ampedge file."""
    path = tmp_path_factory.mktemp("packed") / "x.ampedge"
    pack_bundle(whole, path)
    return path.read_bytes()


@pytest.fixture
def directory(whole: Bundle, tmp_path: Path) -> Path:
    """A copy of the directory to spoil."""
    return Path(shutil.copytree(whole.path, tmp_path / "copy"))


def refusal(path: Path) -> ModelRefusedError:
    """The error of loading what must not load, which names the file and says what to do."""
    with pytest.raises(ModelRefusedError) as caught:
        load_bundle(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert caught.value.exit_code == 5
    return caught.value


def reseal_directory(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and make every checksum right again, as somebody who means it would."""
    plain = json.loads((directory / "manifest.json").read_bytes())
    change(plain)
    if isinstance(plain.get("files"), dict):
        for name in plain["files"].keys() & {"weights.bin"}:
            plain["files"][name] = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    text = json.dumps(plain).encode()
    (directory / "manifest.json").write_bytes(text)
    (directory / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def sealed(body: bytes) -> bytes:
    """A zip (made with a comment of the right length) with the checksum that an .ampedge file ends with."""
    return body[:-79] + b"ampedge sha256 " + hashlib.sha256(body[:-79]).hexdigest().encode()


def zipped(members: list[tuple[str | zipfile.ZipInfo, bytes]], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An .ampedge file of any members, its checksum right."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands twice
        with zipfile.ZipFile(buffer, "w", kind) as archive:
            for name, data in members:
                archive.writestr(name, data)
            archive.comment = b"-" * 79
    return sealed(buffer.getvalue())


def members(packed: bytes) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def rows(seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(0, 100, (200, 5))


# What is saved is what loads.


def test_directory_and_file_hold_the_same_model(whole: Bundle, packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any name"
    path.write_bytes(packed)
    one = load_bundle(path)
    assert np.array_equal(one.probabilities(rows()), whole.probabilities(rows()))
    assert one.classes == whole.classes == AMPLIFIER_CLASSES
    assert one.datamap == whole.datamap == load_bundle(whole.path).datamap
    assert one.manifest.model_copy(update={"files": {}}) == whole.manifest.model_copy(update={"files": {}})
    assert one.manifest.files == {"weights.bin": whole.manifest.files["weights.bin"]}


def test_a_file_is_the_same_bytes_each_time_and_can_be_packed_from_a_file(
    whole: Bundle, packed: bytes, tmp_path: Path
) -> None:
    pack_bundle(whole, tmp_path / "a.ampedge")
    pack_bundle(load_bundle(tmp_path / "a.ampedge"), tmp_path / "b.ampedge")
    assert (tmp_path / "a.ampedge").read_bytes() == (tmp_path / "b.ampedge").read_bytes() == packed


def test_a_file_is_an_ordinary_zip_of_what_the_edge_needs_and_nothing_more(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == EDGE
        assert archive.testzip() is None


def test_the_directory_has_the_held_out_rows_and_the_file_has_not(whole: Bundle, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ampedge").write_bytes(packed)
    assert whole.held_out() == whole.path / "heldout.csv"
    assert load_bundle(tmp_path / "x.ampedge").held_out() is None
    assert whole.extra("network.keras") == EXTRAS["network.keras"]
    with pytest.raises(ModelRefusedError, match=r"has no network\.keras"):
        load_bundle(tmp_path / "x.ampedge").extra("network.keras")
    with pytest.raises(ModelRefusedError, match=r"has no other\.bin"):
        whole.extra("other.bin")


def test_held_out_rows_that_the_manifest_does_not_name_are_no_part_of_the_bundle(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    (bundle.path / "heldout.csv").write_text("made,up\n")
    assert load_bundle(bundle.path).held_out() is None


@pytest.mark.parametrize(("classes", "features"), [(2, 1), (7, 13), (3, 40)])
def test_any_number_of_classes_and_features(tmp_path: Path, classes: int, features: int) -> None:
    bundle = tiny_bundle(
        tmp_path,
        classes=[f"class {i}" for i in range(classes)],
        features={f"feature {i}": ("", float(i), 1.0 + i) for i in range(features)},
    )
    pack_bundle(bundle, tmp_path / "x.ampedge")
    for loaded in (load_bundle(bundle.path), load_bundle(tmp_path / "x.ampedge")):
        for place, name in enumerate(loaded.classes):
            found = loaded.probabilities(np.array([tiny_row(bundle, name)]))
            assert found.shape == (1, classes)
            assert found[0].argmax() == place


# Damage.


def test_every_truncation_is_refused(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ampedge"
    path.write_bytes(packed)
    with path.open("rb+") as file:
        for length in range(len(packed) - 1, -1, -1):
            file.truncate(length)
            with pytest.raises(ModelRefusedError, match="refused"):
                load_bundle(path)


def test_every_flipped_bit_of_a_file_is_refused(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ampedge"
    drawn = random.Random(1)
    places = {drawn.randrange(8 * len(packed)) for _ in range(300)}
    places |= set(range(8 * (len(packed) - 110), 8 * len(packed)))  # the end of the directory and the comment
    for place in places:
        path.write_bytes(flipped(packed, place))
        refusal(path)


@pytest.mark.parametrize("name", [*EDGE, *EXTRAS])
def test_every_flipped_bit_of_a_directory_is_refused(directory: Path, name: str) -> None:
    data = (directory / name).read_bytes()
    drawn = random.Random(2)
    for place in {drawn.randrange(8 * len(data)) for _ in range(60)}:
        (directory / name).write_bytes(flipped(data, place))
        refusal(directory)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", [*EDGE, *EXTRAS])
def test_a_shortened_or_lengthened_file_of_a_directory_is_refused(directory: Path, name: str) -> None:
    data = (directory / name).read_bytes()
    for changed in (b"", data[:-1], data[: len(data) // 2], data + b"\n", data + data):
        (directory / name).write_bytes(changed)
        refusal(directory)


@pytest.mark.parametrize("name", EDGE)
def test_a_missing_file_of_a_directory_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert name in refusal(directory).problem


def test_further_files_beside_the_bundles_own_are_left_alone(directory: Path) -> None:
    (directory / "report.html").write_text("mine")
    load_bundle(directory)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.ampedge").problem
    assert "has no manifest.json" in refusal(tmp_path).problem
    for data in (b"", b"PK", b"hello", b"\x80\x04\x95pickle", bytes(100_000)):
        (tmp_path / "x.ampedge").write_bytes(data)
        assert "no .ampedge file" in refusal(tmp_path / "x.ampedge").problem
    with (tmp_path / "large.ampedge").open("wb") as file:
        file.truncate(70 << 20)
    assert "larger than any bundle" in refusal(tmp_path / "large.ampedge").problem


def test_a_bundle_that_may_not_be_read_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refusal(directory).problem


# A newer protocol.


def test_a_newer_protocol_says_update(directory: Path, packed: bytes, tmp_path: Path) -> None:
    def newer(plain: dict[str, Any]) -> None:
        plain.update(protocol=PROTOCOL + 1, something_new={"x": 1})

    reseal_directory(directory, newer)
    error = refusal(directory)
    assert f"protocol {PROTOCOL + 1}" in error.problem
    assert "pip install --upgrade ampedge" in error.remedy

    manifest = (directory / "manifest.json").read_bytes()
    (_, checksum), (_, weights) = members(packed)[1:]
    for contents in (
        [("manifest.json", manifest), ("manifest.sha256", checksum), ("weights.bin", weights)],
        [("manifest.json", manifest), ("manifest.sha256", checksum), ("trees.bin", weights), ("more", b"")],
    ):
        path = tmp_path / "x.ampedge"
        path.write_bytes(zipped(contents))
        error = refusal(path)
        assert f"protocol {PROTOCOL + 1}" in error.problem
        assert "pip install --upgrade ampedge" in error.remedy


def test_a_bundle_of_the_first_protocol_still_loads() -> None:
    bundle = load_bundle(ROOT / "tests" / "bundles" / "protocol_1.ampedge")
    assert (bundle.manifest.protocol, bundle.joint, bundle.manifest.temperature) == (1, None, None)
    assert Pipeline(bundle).run(Frame("amp", 0.0, PUBLISHED_WORDS)).label == "healthy"


@pytest.mark.parametrize("name", ["temperature", "joint", "thresholds", "normal"])
def test_what_a_protocol_added_must_be_said(directory: Path, name: str) -> None:
    reseal_directory(directory, lambda plain: (plain["features"][1] if name == "normal" else plain).pop(name))
    assert f"{name} is missing" in refusal(directory).problem
    reseal_directory(directory, lambda plain: plain.update(protocol=1))
    load_bundle(directory)


@pytest.mark.parametrize("protocol", [0, -1, True, 1.5, "1", None, [1], 1e400])
def test_a_protocol_that_never_was_is_refused(directory: Path, protocol: object) -> None:
    reseal_directory(directory, lambda plain: plain.update(protocol=protocol))
    refusal(directory)


# Well made and still wrong: checksums right, contents not.


def swap_labels(plain: dict[str, Any]) -> None:
    plain["classes"] = ["healthy", "unstable", "overdriven", "failsoon"]  # the published service's order


def swap_two_labels(plain: dict[str, Any]) -> None:
    plain["classes"][1], plain["classes"][3] = plain["classes"][3], plain["classes"][1]


def swap_scaler(plain: dict[str, Any]) -> None:
    first, second = plain["features"][:2]
    first["mean"], second["mean"] = second["mean"], first["mean"]


def widen_scaler(plain: dict[str, Any]) -> None:
    plain["features"][2]["std"] *= 1.5


def swap_features(plain: dict[str, Any]) -> None:
    for part in ("features", "datamap"):
        plain[part][0], plain[part][1] = plain[part][1], plain[part][0]


def change_probability(plain: dict[str, Any]) -> None:
    plain["golden"][0]["probabilities"][0] -= 0.001


@pytest.mark.parametrize(
    "change", [swap_labels, swap_two_labels, swap_scaler, widen_scaler, swap_features, change_probability]
)
def test_golden_rows_show_what_no_checksum_can(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    reseal_directory(directory, change)
    assert "golden row" in refusal(directory).problem


def test_golden_rows_show_other_weights(directory: Path) -> None:
    weights = np.frombuffer((directory / "weights.bin").read_bytes(), "<f4").copy()
    weights[0] += 0.5
    (directory / "weights.bin").write_bytes(weights.tobytes())
    reseal_directory(directory, lambda plain: None)
    assert "golden row" in refusal(directory).problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["classes"].append("unknown"), "unknown"),
        (lambda m: m["classes"].append("Unknown"), "'unknown' is no class"),
        (lambda m: m["classes"].append(""), "a class has no name"),
        (lambda m: m["classes"].append("\x1b[2J"), "cannot be shown"),
        (lambda m: m.update(name="a\nb"), "cannot be shown"),
        (lambda m: m["features"][0].update(unit="\x9b31m"), "cannot be shown"),
        (lambda m: m["features"][0].update(minimum=9e9), "range is reversed"),
        (lambda m: m.update(classes=["healthy"] * 4), "stands twice"),
        (lambda m: m["features"][1].update(name=m["features"][0]["name"]), "twice"),
        (lambda m: m.update(normal_label="fine"), "normal label"),
        (lambda m: m["layers"][-1].update(units=3), "does not fit the classes"),
        (lambda m: m["layers"][-1].update(activation="relu"), "softmax"),
        (lambda m: m["layers"].insert(0, {"units": 4, "activation": "softmax"}), "ReLU"),
        (lambda m: m["layers"].insert(0, {"units": 4, "activation": "relu"}), "bytes"),
        (lambda m: m["golden"][0].update(class_name="fine"), "golden row is of no class"),
        (lambda m: m["golden"][0]["values"].pop(), "wrong length"),
        (lambda m: m["golden"][0]["probabilities"].append(0.0), "wrong length"),
        (lambda m: m.update(files={}), "weights"),
        (lambda m: m["files"].update({"../../outside": "0" * 64}), "outside"),
        (lambda m: m["datamap"].pop(), "not the features"),
        (lambda m: m["datamap"].reverse(), "not the features"),
        (lambda m: m["datamap"][0].update(unit="furlong"), "units are not those of the features"),
        (lambda m: m["datamap"][0].update(address=2), "overlap"),
        (lambda m: m["datamap"][0].update(address=-2), "datamap.0"),
        (lambda m: m["datamap"][0].update(type="float16"), "datamap.0"),
        (lambda m: m["datamap"][0].update(type="bit"), "datamap.0"),
        (lambda m: m["datamap"][0].update(word_order="ACBD"), "datamap.0"),
        (lambda m: m["datamap"][0].update(table="file"), "datamap.0"),
        (lambda m: m["datamap"][0].update(scale=0), "datamap.0"),
        (lambda m: m["datamap"][0].update(valid=[5, 1]), "datamap.0"),
        (lambda m: m["datamap"][0].update(invalid=[1 << 32]), "datamap.0"),
        (lambda m: m["features"][0].update(std=0.0), "std"),
        (lambda m: m["features"][0].update(mean="0"), "mean"),
        (lambda m: m["features"][0].update(nonsense=1), "nonsense"),
        (lambda m: m.pop("training"), "training"),
    ],
)
def test_manifests_that_make_no_sense(directory: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    reseal_directory(directory, change)
    assert words in refusal(directory).problem


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every node of a JSON document."""
    if path:
        yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from leaves(node[key], (*path, key))


ODD = [None, True, -1, 0, 1.5, 1e308, -1e308, 5e-324, 10**400, "", "x", "\x00", [], [None], {}, {"x": [1]}, "NaN"]


def test_no_manifest_whatever_raises_anything_but_a_refusal(directory: Path) -> None:
    original = json.loads((directory / "manifest.json").read_bytes())
    drawn = random.Random(3)
    loaded = 0
    for path in leaves(original):
        *parents, last = path
        for odd in drawn.sample(ODD, 2):
            changed = json.loads(json.dumps(original))
            node = changed
            for part in parents:
                node = node[part]
            node[last] = odd
            text = json.dumps(changed).encode()
            (directory / "manifest.json").write_bytes(text)
            (directory / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
            try:
                bundle = load_bundle(directory)
            except ModelRefusedError:
                continue
            loaded += 1
            assert np.isfinite(bundle.probabilities(np.array([tiny_row(bundle, "healthy")]))).all(), path
    assert loaded  # free text may be anything


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b'{"protocol": 1}', b"[" * 100_000, b"\xff\xfe", b'{"protocol": 1' + b"0" * 5000],
)
def test_manifests_that_are_no_manifests(directory: Path, text: bytes) -> None:
    (directory / "manifest.json").write_bytes(text)
    (directory / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    refusal(directory)


# Archives made to do harm.


def crafted(packed: bytes) -> dict[str, bytes]:
    """Archives whose checksum is right and whose shape is not."""
    good = members(packed)
    encrypted = bytearray(zipped(good))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.find(signature)
        encrypted[at + flags] |= 1
    lying = bytearray(zipped([*good[:2], ("weights.bin", bytes(8 << 20))]))
    at = lying.rfind(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (100).to_bytes(4, "little")
    return {
        "extra member": zipped([*good, ("evil.py", b"import os")]),
        "path out of the directory": zipped([*good[:2], ("../weights.bin", good[2][1])]),
        "absolute path": zipped([*good[:2], ("/tmp/weights.bin", good[2][1])]),
        "missing member": zipped(good[:2]),
        "another order": zipped(good[::-1]),
        "a name twice": zipped([*good, good[0]]),
        "no member": zipped([]),
        "bomb": zipped([*good[:2], ("weights.bin", bytes(65 << 20))]),
        "bomb that says it is small": sealed(bytes(lying)),
        "encrypted": sealed(bytes(encrypted)),
        "lzma": zipped(good, zipfile.ZIP_LZMA),
    }


def test_archives_made_to_do_harm_are_refused(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ampedge"
    for name, data in crafted(packed).items():
        path.write_bytes(data)
        with pytest.raises(ModelRefusedError):
            load_bundle(path)
            pytest.fail(name)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing was unpacked anywhere


def test_a_bomb_is_never_unpacked_whole(packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = []

    class Counting:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def decompress(self, data: bytes, limit: int) -> bytes:
            found: bytes = self.inner.decompress(data, limit)
            unpacked.append(len(found))
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda *a: Counting(real(*a)))
    path = tmp_path / "x.ampedge"
    path.write_bytes(crafted(packed)["bomb that says it is small"])
    with pytest.raises(ModelRefusedError):
        load_bundle(path)
    assert sum(unpacked) < 1 << 20


def test_no_archive_whatever_raises_anything_but_a_refusal(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ampedge"
    drawn = random.Random(4)
    outcomes = set()
    for _ in range(400):
        data = bytearray(packed)
        for _ in range(drawn.choice([1, 1, 2, 5])):
            # Mostly in the headers and the directory, where the parser decides.
            end = len(data) - 79
            spot = drawn.choice([range(100), range(end - 230, end), range(end)])
            data[drawn.choice(spot)] = drawn.randrange(256)
        path.write_bytes(sealed(bytes(data)))
        try:
            load_bundle(path)
            outcomes.add("loaded")
        except ModelRefusedError:
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}  # dates and the like may be anything


# Saving.


def plain_of(bundle: Bundle) -> tuple[dict[str, Any], dict[str, bytes]]:
    plain = bundle.manifest.model_dump(mode="json")
    del plain["files"]
    return plain, {"weights.bin": (bundle.path / "weights.bin").read_bytes()}


def everything(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_training_again_takes_the_place_of_the_old_bundle(whole: Bundle, directory: Path) -> None:
    plain, files = plain_of(whole)
    plain["version"] = "2"
    save_bundle(directory, plain, files)
    assert load_bundle(directory).manifest.version == "2"
    assert sorted(everything(directory)) == EDGE


@pytest.mark.parametrize(
    "make",
    [
        lambda place: (place / "notes.txt").write_text("mine"),
        lambda place: (place / "manifest.json").write_text('{"name": "a web page"}'),
        lambda place: (place / "sub").mkdir(),
    ],
)
def test_a_directory_that_is_no_bundle_is_never_touched(
    whole: Bundle, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    make(place)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InUseError, match="not a model") as caught:
        save_bundle(place, *plain_of(whole))
    assert caught.value.exit_code == 7
    assert "--out" in caught.value.remedy
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_never_replaced_by_a_directory(whole: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(InUseError, match="not a model"):
        save_bundle(tmp_path / "model", *plain_of(whole))
    assert everything(tmp_path) == {"model": b"mine"}


def test_an_empty_directory_may_be_filled(whole: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save_bundle(tmp_path / "model", *plain_of(whole))
    load_bundle(tmp_path / "model")


@pytest.mark.parametrize("change", [swap_labels, lambda plain: plain.update(normal_label="x"), lambda p: p.clear()])
def test_a_bundle_that_would_be_refused_is_not_saved(
    whole: Bundle, directory: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    before = everything(directory.parent)
    plain, files = plain_of(whole)
    change(plain)
    with pytest.raises(ModelRefusedError):
        save_bundle(directory, plain, files)
    with pytest.raises(ModelRefusedError):
        save_bundle(directory.parent / "new", plain, files)
    assert everything(directory.parent) == before
    assert sorted(p.name for p in directory.parent.iterdir()) == [directory.name]


def test_a_failure_while_writing_keeps_the_old_bundle(
    whole: Bundle, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(directory.parent)
    write = Path.write_bytes

    def failing(self: Path, data: bytes) -> int:
        if self.name == "weights.bin":
            write(self, data[:10])
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(OSError, match="No space left"):
        save_bundle(directory, *plain_of(whole))
    assert everything(directory.parent) == before


def test_a_pack_that_fails_keeps_the_old_file(whole: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.ampedge").write_bytes(b"old")
    monkeypatch.setattr(DenseNetwork, "probabilities", lambda self, values: np.full((len(values), 4), np.nan))
    with pytest.raises(ModelRefusedError, match="golden row"):
        pack_bundle(whole, tmp_path / "x.ampedge")
    assert everything(tmp_path) == {"x.ampedge": b"old"}


# The site's tags.


def test_the_sites_map_is_put_into_the_models_order(whole: Bundle) -> None:
    site = DataMap(tuple(Tag(t.name, 500 + 2 * i, "input") for i, t in enumerate(reversed(whole.datamap.tags))))
    agreed = agree(whole, site)
    assert agreed.names == whole.datamap.names
    assert [tag.address for tag in agreed.tags] == [508, 506, 504, 502, 500]
    assert {tag.table for tag in agreed.tags} == {"input"}


def test_other_tags_are_refused_with_the_whole_difference(whole: Bundle) -> None:
    units = {"plate_voltage": "V", "bias_voltage": "mV", "output_thd": "", "impedance": "ohm", "extra": "A"}
    names = ["plate_voltage", "bias_voltage", "output_thd", "impedance", "extra"]
    with pytest.raises(ModelRefusedError) as caught:
        agree(whole, laid_out(names, units))
    assert str(whole.path) in caught.value.problem
    for words in (
        "the model needs 'heater_current', which the config does not have",
        "the config has 'extra', which the model does not know",
        "'bias_voltage' is in 'mV' in the config and in 'V' in the model",
    ):
        assert words in caught.value.problem
    for name in ("plate_voltage", "output_thd", "impedance"):
        assert name not in caught.value.problem


def test_a_unit_is_compared_only_where_both_sides_state_one(whole: Bundle, tmp_path: Path) -> None:
    names = list(whole.datamap.names)
    assert agree(whole, laid_out(names)).names == whole.datamap.names
    without = tiny_bundle(tmp_path, features=dict.fromkeys(names, ("", 1.0, 1.0)))
    assert agree(without, laid_out(names, dict.fromkeys(names, "K"))).tags[0].unit == "K"


# Which bundle, where none is named.


def test_the_bundle_is_found_in_the_promised_order(
    whole: Bundle, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path("/somewhere/amplifier.ampedge")
    assert find_bundle(None, shipped)[0] == shipped
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        find_bundle("n" * 300, shipped)
    (tmp_path / "one.ampedge").write_bytes(packed)
    assert find_bundle(None, shipped) == (Path("one.ampedge"), "found here")
    (tmp_path / "two.ampedge").write_bytes(packed)
    with pytest.raises(UsageError, match=r"one\.ampedge, two\.ampedge") as caught:
        find_bundle(None, shipped)
    assert "--model" in caught.value.remedy
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError):
        find_bundle(None, shipped)
    shutil.copytree(whole.path, tmp_path / "model", dirs_exist_ok=True)
    assert find_bundle(None, shipped) == (Path("model"), "found here")
    assert find_bundle("two.ampedge", shipped) == (Path("two.ampedge"), "as given")
    with pytest.raises(UsageError, match=r"no model at three\.ampedge"):
        find_bundle("three.ampedge", shipped)
