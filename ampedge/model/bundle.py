"""The bundle: one directory or one `.ampedge` file; verified before it is built, never executed.

A directory holds `manifest.json`, `manifest.sha256`, `weights.bin` and what training leaves beside them.
An `.ampedge` file holds the first three in that order and, where it is signed, `manifest.sig`.
"""

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ampedge.datamap import DataMap
from ampedge.errors import ConfigError, InUseError, ModelRefusedError, UsageError
from ampedge.files import replaced_directory, replaced_file
from ampedge.model.archive import LARGEST_BYTES, pack, unpack
from ampedge.model.joint import JointEnvelope, joint_envelope
from ampedge.model.manifest import PROTOCOL, Manifest
from ampedge.model.network import DenseNetwork, Matrix, Runtime, unpack_weights
from ampedge.model.runtimes.choice import runtime as chosen
from ampedge.model.signature import sign, verify
from ampedge.records import UNKNOWN

MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
WEIGHTS = "weights.bin"
SIGNATURE = "manifest.sig"
HELD_OUT = "heldout.csv"
REPRESENTATIVE = "representative.csv"
EDGE_FILES = (MANIFEST, CHECKSUM, WEIGHTS)
SUFFIX = ".ampedge"

_LARGEST_MANIFEST = 16 * 1024 * 1024
_MOST_IN_MANIFEST = 1_000_000
_MOST_REPLAYED = 80_000_000_000
_REPLAYED_AT_ONCE = 64
_GOLDEN_TOLERANCE = 1e-4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_DO = "Make it again with `ampedge train` and `ampedge export`, or copy it once more."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model: its manifest, its data map, its network, a runtime and an envelope that are ready to run.

    `contents` are the files that its `.ampedge` file holds, as they were read: what becomes of `path` later
    is another matter.
    """

    path: Path
    manifest: Manifest
    datamap: DataMap
    network: DenseNetwork
    runtime: Runtime
    joint: JointEnvelope | None
    contents: Mapping[str, bytes] = field(repr=False)

    @property
    def signed(self) -> bool:
        """Whether it bears a signature; `load_bundle` with a key has checked it, without a key nobody has."""
        return SIGNATURE in self.contents

    @property
    def identity(self) -> str:
        """The SHA-256 of the manifest as the `.ampedge` file has it: the same for a directory and its file."""
        return hashlib.sha256(self.contents[MANIFEST]).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest.classes)

    def probabilities(self, values: Matrix) -> Matrix:
        """(rows, features) in engineering units to (rows, classes)."""
        return self.runtime.probabilities(values)

    def held_out(self) -> Path | None:
        """The table of rows that training never saw; only a directory has it."""
        return self._table(HELD_OUT)

    def representative(self) -> Path | None:
        """The table of some rows of the training, to calibrate with; only a directory has it."""
        return self._table(REPRESENTATIVE)

    def _table(self, name: str) -> Path | None:
        path = self.path / name
        return path if name in self.manifest.files and path.is_file() else None

    def extra(self, name: str) -> bytes:
        """A further file of the directory, such as the Keras model; refused where it was altered."""
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise ModelRefusedError(
                f"{self.path} has no {name}.", "Give the bundle directory that `ampedge train` wrote."
            ) from error
        if hashlib.sha256(data).hexdigest() != self.manifest.files.get(name):
            raise ModelRefusedError(f"{self.path / name} was altered after it was made.", _DO)
        return data


def load_bundle(path: Path, *, verify_key: Path | None = None, runtime: str = DenseNetwork.name) -> Bundle:
    """Read, verify, build and replay the golden rows; raises ModelRefusedError with the reason.

    `runtime` is the name of what runs it; raises UsageError where its library is not installed.

    With `verify_key`, the PEM file of a public Ed25519 key, it must be signed by the other half of that key,
    which is checked before anything of it is looked at.  Raises ConfigError where that file is no such key.
    """
    with _refused(path):
        files = _read(path)
        if verify_key is not None:
            _verify(path, files, verify_key)
        _known_protocol(files[MANIFEST])  # before its other files, of which a newer one may well have others
        if missing := [name for name in EDGE_FILES if name not in files]:
            raise ModelRefusedError(f"It has no {missing[0]}.")
        if tuple(files) not in (EDGE_FILES, (*EDGE_FILES, SIGNATURE)):
            raise ModelRefusedError("It does not hold just the files of a bundle.")
        manifest = _manifest(files)
        for name, digest in manifest.files.items():
            if _sha256(path, name, files) not in (digest, None):
                raise ModelRefusedError(f"{name} is not the file that the manifest names.")
        network = _build(manifest, files[WEIGHTS])
        joint = joint_envelope(manifest)
        datamap = _checked_datamap(manifest)
        if len(manifest.golden) * len(files[WEIGHTS]) > _MOST_REPLAYED:
            raise ModelRefusedError(f"{MANIFEST}: it has more golden rows than can be replayed.")
        runs = chosen(runtime, network)
        _replay(manifest, runs)
        contents = _for_the_edge(files)
    return Bundle(path, manifest, datamap, network, runs, joint, contents)


def check_signature(bundle: Bundle, verify_key: Path) -> None:
    """Raise ModelRefusedError where the bundle as it was loaded is not signed by the other half of that key."""
    with _refused(bundle.path):
        _verify(bundle.path, bundle.contents, verify_key)


def sign_bundle(bundle: Bundle, key: Path) -> Bundle:
    """The bundle with a signature by the private key in the PEM file `key`; `pack_bundle` writes it with it."""
    return replace(bundle, contents={**bundle.contents, SIGNATURE: sign(bundle.contents[MANIFEST], key)})


def save_bundle(directory: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle directory whole, then rename it into place; loads it again as the last check.

    `manifest` is everything but `files`, which this fills in for every one of `files`.
    Raises InUseError where `directory` exists and is not a bundle.
    """
    check_destination(directory)
    content = dict(files)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    content.update(_sealed({**manifest, "files": hashes}))
    with replaced_directory(directory) as made:
        for name, data in content.items():
            (made / name).write_bytes(data)
        load_bundle(made)
    return load_bundle(directory)


def check_destination(directory: Path) -> None:
    """Raise InUseError where `directory` holds something that is not a bundle."""
    if not directory.exists():
        return
    if not directory.is_dir() or (any(directory.iterdir()) and not all((directory / n).is_file() for n in EDGE_FILES)):
        raise InUseError(
            f"{directory} exists and is not a model; nothing was written.", "Choose another place with --out."
        )


def pack_bundle(bundle: Bundle, out: Path) -> None:
    """Write the one file for the edge, with all that it needs and nothing more."""
    data = pack(bundle.contents)
    with replaced_file(out) as made:
        made.write_bytes(data)
        load_bundle(made)


def agree(bundle: Bundle, datamap: DataMap) -> DataMap:
    """The site's data map in the order of the model's features.

    Address, type, word order, scale and valid range are the site's own; names must be those of the bundle,
    and units, where both state one.  Raises ModelRefusedError with the difference.
    """
    units = {feature.name: feature.unit for feature in bundle.manifest.features}
    lines = [f"the model needs {name!r}, which the config does not have" for name in units if name not in datamap.names]
    lines += [f"the config has {name!r}, which the model does not know" for name in datamap.names if name not in units]
    lines += [
        f"{tag.name!r} is in {tag.unit!r} in the config and in {units[tag.name]!r} in the model"
        for tag in datamap.tags
        if tag.unit and units.get(tag.name) and tag.unit != units[tag.name]
    ]
    if lines:
        raise ModelRefusedError(
            f"{bundle.path} was made for other tags: " + "; ".join(lines) + ".",
            "Name the tags as the model does, or train on a table with these columns.",
        )
    return datamap.ordered(list(units))


def find_bundle(explicit: str | None, shipped: Path) -> tuple[Path, str]:
    """(path, how it was found): the one asked for, ./model, a single ./*.ampedge, or the shipped one."""
    if explicit is not None:
        path = Path(explicit)
        try:
            is_there = path.exists()
        except (OSError, ValueError) as error:  # a directory above it that nobody may enter, a name that is none
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"The model at {explicit!r} cannot be read: {reason}.", "Check its path and rights."
            ) from error
        if not is_there:
            raise UsageError(f"There is no model at {explicit}.", "Give a bundle directory or an .ampedge file.")
        return path, "as given"
    if (Path("model") / MANIFEST).is_file():
        return Path("model"), "found here"
    here = sorted(Path().glob(f"*{SUFFIX}"))
    if len(here) == 1:
        return here[0], "found here"
    if len(here) > 1:
        names = ", ".join(str(path) for path in here)
        raise UsageError(f"There are several models here: {names}.", "Say which one with --model.")
    return shipped, "the small amplifier model that ampedge ships"


def _sealed(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False).encode()
    return {MANIFEST: text, CHECKSUM: _checksum(text)}


def _checksum(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelRefusedError as error:
        raise ModelRefusedError(f"{path} is refused: {error.problem}", error.remedy or _DO) from error


def _read(path: Path) -> dict[str, bytes]:
    try:
        if not path.is_dir():
            files = unpack(_limited(path))
        else:
            files = {name: _limited(path / name) for name in EDGE_FILES if (path / name).exists()}
    except OSError as error:
        raise ModelRefusedError(f"It cannot be read: {error.strerror}.") from error
    if MANIFEST not in files:
        raise ModelRefusedError(f"It has no {MANIFEST}.")
    if len(files[MANIFEST]) > _LARGEST_MANIFEST:
        raise ModelRefusedError(f"{MANIFEST} is larger than that of any bundle ({_LARGEST_MANIFEST >> 20} MiB).")
    if files[MANIFEST].count(b",") > _MOST_IN_MANIFEST:  # each costs a hundred times its size once it is parsed
        raise ModelRefusedError(f"{MANIFEST} has more in it than that of any bundle.")
    return files


def _limited(path: Path) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ModelRefusedError(f"{path.name} is no file.")  # opening a pipe would wait for ever
    if found.st_size > LARGEST_BYTES:
        raise ModelRefusedError(f"It is larger than any bundle ({LARGEST_BYTES >> 20} MiB).")
    with path.open("rb") as file:
        return file.read(found.st_size)


def _verify(path: Path, files: Mapping[str, bytes], key: Path) -> None:
    if path.is_dir():
        raise ModelRefusedError(
            "It is a directory, which bears no signature, and the config has a verify_key.",
            "Make the one file of it with `ampedge export --sign KEY` and give that.",
        )
    if SIGNATURE not in files:
        raise ModelRefusedError(
            "It is not signed, and the config has a verify_key.", "Make it again with `ampedge export --sign KEY`."
        )
    verify(files[MANIFEST], files[SIGNATURE], key)


def _for_the_edge(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files without what only a directory has; as they were where nothing is left out."""
    plain = json.loads(files[MANIFEST])
    if plain["files"].keys() == {WEIGHTS}:
        return dict(files)
    plain["files"] = {WEIGHTS: plain["files"][WEIGHTS]}
    try:
        return {**_sealed(plain), WEIGHTS: files[WEIGHTS]}
    except ValueError as error:
        raise ModelRefusedError(f"{MANIFEST} holds a number that is not finite.") from error


def _sha256(path: Path, name: str, files: Mapping[str, bytes]) -> str | None:
    """The checksum of one of the bundle's files, None where a directory came without it."""
    if name in files:
        return hashlib.sha256(files[name]).hexdigest()
    if Path(name).name != name:
        raise ModelRefusedError(f"{MANIFEST} names a file outside of the bundle: {name!r}.")
    try:
        if not (path / name).is_file():
            return None
        with (path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelRefusedError(f"Its {name} cannot be read: {error.strerror}.") from error


def _known_protocol(data: bytes) -> None:
    """Refuse a manifest that is no JSON or newer than this ampedge."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelRefusedError(f"{MANIFEST} is not JSON.") from error
    protocol = plain.get("protocol") if isinstance(plain, dict) else None
    if isinstance(protocol, int) and protocol > PROTOCOL:
        raise ModelRefusedError(
            f"It is of protocol {protocol}; this ampedge reads up to {PROTOCOL}.",
            "Update ampedge here: pip install --upgrade ampedge",
        )


def _manifest(files: Mapping[str, bytes]) -> Manifest:
    data = files[MANIFEST]
    if files[CHECKSUM] != _checksum(data):
        raise ModelRefusedError(f"{MANIFEST} was altered after it was made: its checksum does not match.")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelRefusedError(f"{MANIFEST}: {where}: {first['msg']}.") from error
    _consistent(manifest)
    return manifest


def _consistent(manifest: Manifest) -> None:
    classes, names = manifest.classes, manifest.feature_names
    units = [feature.unit for feature in manifest.features]
    shown = (*classes, *names, *units, manifest.name, manifest.version, manifest.created, manifest.training.label)
    shapes_fit = all(
        len(row.values) == len(names) and len(row.probabilities) == len(classes) for row in manifest.golden
    )
    for wrong, what in (
        (any(map(_CONTROL.search, shown)), "a name or unit cannot be shown"),
        ("" in classes, "a class has no name"),
        (len(set(classes)) != len(classes), "a class stands twice"),
        (
            any(name.casefold() == UNKNOWN for name in classes),
            f"{UNKNOWN!r} is no class but the label of a reading that has none",
        ),
        (len(set(names)) != len(names), "a feature stands twice"),
        (any(feature.minimum > feature.maximum for feature in manifest.features), "a feature's range is reversed"),
        (manifest.normal_label not in classes, "the normal label is not one of the classes"),
        (manifest.layers[-1].units != len(classes), "the network's output does not fit the classes"),
        (any(layer.activation != "relu" for layer in manifest.layers[:-1]), "a hidden layer is not ReLU"),
        (manifest.layers[-1].activation != "softmax", "the last layer is not softmax"),
        (not shapes_fit, "a golden row has the wrong length"),
        (not {row.class_name for row in manifest.golden} <= set(classes), "a golden row is of no class"),
        (not manifest.thresholds.keys() <= set(classes), "a threshold is of no class"),
        (manifest.normal_label in manifest.thresholds, "the normal label has a threshold"),
        (not all(0 < least <= 1 for least in manifest.thresholds.values()), "a threshold is no probability"),
        (WEIGHTS not in manifest.files, "it does not name its weights"),
    ):
        if wrong:
            raise ModelRefusedError(f"{MANIFEST}: {what}.")


def _build(manifest: Manifest, weights: bytes) -> DenseNetwork:
    layers = unpack_weights(weights, len(manifest.features), [layer.units for layer in manifest.layers])
    return DenseNetwork([f.mean for f in manifest.features], [f.std for f in manifest.features], layers)


def _checked_datamap(manifest: Manifest) -> DataMap:
    try:
        datamap = manifest.as_datamap()
    except ConfigError as error:
        raise ModelRefusedError(f"{MANIFEST}: {error.problem}") from error
    if list(datamap.names) != manifest.feature_names:
        raise ModelRefusedError(f"{MANIFEST}: the data map's tags are not the features in their order.")
    if [tag.unit for tag in datamap.tags] != [feature.unit for feature in manifest.features]:
        raise ModelRefusedError(f"{MANIFEST}: the data map's units are not those of the features.")
    return datamap


def _replay(manifest: Manifest, runtime: Runtime) -> None:
    """Run the golden rows and compare: a swapped label, scaler or order shows here, before any reading."""
    values = np.array([row.values for row in manifest.golden], dtype=np.float64)
    parts = [values[at : at + _REPLAYED_AT_ONCE] for at in range(0, len(values), _REPLAYED_AT_ONCE)]
    found = (got for part in parts for got in runtime.probabilities(part))
    for row, got in zip(manifest.golden, found, strict=True):
        difference = float(np.abs(got - np.array(row.probabilities)).max())
        said = manifest.classes[int(got.argmax())]
        if not difference <= _GOLDEN_TOLERANCE or said != row.class_name:
            raise ModelRefusedError(
                f"A golden row of class {row.class_name!r} comes out as {said!r} "
                f"(probabilities differ by {difference:.2g})."
            )
