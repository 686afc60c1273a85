"""Damages a bundle in every way that a card, a copy or a person might, and counts what is loaded none the less.

python -m tests.faults.mutate_bundle [SEEDS]    100 seeds of each kind without it; exit code 1 where one is loaded

Each kind says how far whoever did it went: `file` changes bytes of the `.ampedge` file; `archive` changes a file inside
and makes the archive's checksum right; `manifest` makes every checksum right; `signed` makes every checksum and the
golden rows right, so that only the signature is left to tell, for which the private key is missing.
A mutation is one that changes what the bundle says; where chance changed nothing, it is drawn again.
"""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from ampedge.errors import ModelRefusedError
from ampedge.model import archive
from ampedge.model.bundle import CHECKSUM, MANIFEST, SIGNATURE, WEIGHTS, load_bundle, pack_bundle, sign_bundle
from ampedge.model.network import DenseNetwork, pack_weights, unpack_weights
from ampedge.samples import BUNDLE, shipped
from tests.support.keys import make_keys

SEEDS = 100
_FREE = ("quantiles", "max_step", "expect_change_s", "metrics", "settings")
_NULLABLE = ("valid", "temperature", "joint", "normal")
Files = dict[str, bytes]
Plain = dict[str, Any]


# The file: its bytes change, nobody makes anything right.


def flip_bits(data: bytes, drawn: Random) -> bytes:
    """One to eight bits of the file."""
    changed = bytearray(data)
    for _ in range(drawn.choice([1, 1, 1, 2, 8])):
        changed[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    return bytes(changed)


def cut_off(data: bytes, drawn: Random) -> bytes:
    """The file ends early."""
    return data[: drawn.randrange(len(data))]


def lose_sector(data: bytes, drawn: Random) -> bytes:
    """512 bytes read as zeros, as ones or as something else."""
    at = drawn.randrange(len(data))
    filler = drawn.choice([b"\0" * 512, b"\xff" * 512, drawn.randbytes(512)])
    return (data[:at] + filler[: len(data) - at] + data[at + 512 :])[: len(data)]


def splice(data: bytes, drawn: Random) -> bytes:
    """A piece is left out, stands twice, or changes places with another."""
    a, b, c = sorted(drawn.sample(range(len(data) + 1), 3))
    return drawn.choice([data[:a] + data[b:], data[:b] + data[a:], data[:a] + data[b:c] + data[a:b] + data[c:]])


def lengthen(data: bytes, drawn: Random) -> bytes:
    """Something stands before, behind or in the middle of it."""
    more, at = drawn.randbytes(drawn.randrange(1, 200)), drawn.choice([0, len(data), drawn.randrange(len(data))])
    return data[:at] + more + data[at:]


# The archive: one file inside changes, the archive's own checksum is made right.


def flip_weights(files: Files, drawn: Random) -> None:
    """Bits of the weights."""
    files[WEIGHTS] = flip_bits(files[WEIGHTS], drawn)


def flip_manifest(files: Files, drawn: Random) -> None:
    """Bits of the manifest."""
    files[MANIFEST] = flip_bits(files[MANIFEST], drawn)


def swap_weights(files: Files, drawn: Random) -> None:
    """Two weights change places."""
    weights = np.frombuffer(files[WEIGHTS], "<f4").copy()
    one, other = drawn.sample(range(weights.size), 2)
    weights[[one, other]] = weights[[other, one]]
    files[WEIGHTS] = weights.tobytes()


def mix_members(files: Files, drawn: Random) -> None:
    """A file is missing, bears another name, has the content of another, or a further one is there."""
    name, other = drawn.sample(sorted(files), 2)
    match drawn.randrange(4):
        case 0:
            del files[name]
        case 1:
            files[f"{drawn.choice(['../', '/', 'x/', ''])}{name}{drawn.choice(['', ' ', '.pkl'])}x"] = files.pop(name)
        case 2:
            files[name] = files[other]
        case 3:
            files[f"more{drawn.randrange(100)}.py"] = b"raise SystemExit"


# The manifest: somebody made every checksum right.


def permute_labels(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """The classes stand in another order."""
    drawn.shuffle(plain["classes"])
    return weights


def shift_scaler(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """The mean or the deviation of one feature is 1 to 3 percent off, in units of the deviation."""
    feature, off = drawn.choice(plain["features"]), drawn.choice([-1, 1]) * drawn.uniform(0.01, 0.03)
    if drawn.random() < 0.5:
        feature["mean"] += off * feature["std"]
    else:
        feature["std"] *= 1 + off
    return weights


def swap_features(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """Two features change places, with their tags."""
    one, other = drawn.sample(range(len(plain["features"])), 2)
    for part in (plain["features"], plain["datamap"]):
        part[one], part[other] = part[other], part[one]
    return weights


def swap_columns(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """The scaling of two features changes places."""
    one, other = drawn.sample(plain["features"], 2)
    for key in ("mean", "std"):
        one[key], other[key] = other[key], one[key]
    return weights


def other_weights(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """The weights of another training of the same network."""
    return (np.frombuffer(weights, "<f4") * np.float32(drawn.uniform(0.3, 0.9))).astype("<f4").tobytes()


def odd_weights(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """One weight is infinite or not a number."""
    changed = np.frombuffer(weights, "<f4").copy()
    changed[drawn.randrange(changed.size)] = drawn.choice([np.nan, np.inf, -np.inf])
    return changed.tobytes()


def other_golden(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """A golden row says something else."""
    row = drawn.choice(plain["golden"])
    match drawn.randrange(3):
        case 0:
            row["class_name"] = drawn.choice([name for name in plain["classes"] if name != row["class_name"]])
        case 1:
            by = drawn.randrange(1, len(row["probabilities"]))
            row["probabilities"] = row["probabilities"][by:] + row["probabilities"][:by]
        case 2:
            at = drawn.randrange(len(row["values"]))
            row["values"][at] = drawn.choice([float("nan"), float("inf"), -row["values"][at] - 1000.0, None])
    return weights


def other_shape(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """The network has another shape than its weights."""
    layer = drawn.choice(plain["layers"])
    match drawn.randrange(3):
        case 0:
            layer["units"] += drawn.choice([-1, 1, 60000])
        case 1:
            plain["layers"].remove(layer)
        case 2:
            return weights[: -4 * drawn.randrange(1, 50)]
    return weights


def broken_fields(plain: Plain, weights: bytes, drawn: Random) -> bytes:
    """A field that is needed is missing, of another type, or one that nobody knows is there."""
    part = drawn.choice([plain, drawn.choice(plain["features"]), drawn.choice(plain["datamap"]), plain["training"]])
    name = drawn.choice([key for key in part if key not in _FREE])
    match drawn.randrange(3):
        case 0:
            del part[name]
        case 1:
            part[name] = drawn.choice([None, [[]], {"": {"": 1}}, True]) if name not in _NULLABLE else 0
        case 2:
            part[f"{name}_"] = part[name]
    return weights


# Signed: all of it is consistent, made by somebody who has not the private key.


def forge(files: Files, drawn: Random, change: Callable[[Plain], None]) -> None:
    """Change what the model says and make all of it right again: checksums, golden rows."""
    plain = json.loads(files[MANIFEST])
    change(plain)
    sizes = [layer["units"] for layer in plain["layers"]]
    layers = unpack_weights(files[WEIGHTS], len(plain["features"]), sizes)
    kernel, bias = layers[0]
    layers = [(kernel * np.float32(drawn.uniform(0.5, 1.5)), bias), *layers[1:]]
    files[WEIGHTS] = pack_weights(layers)
    network = DenseNetwork([f["mean"] for f in plain["features"]], [f["std"] for f in plain["features"]], layers)
    for row in plain["golden"]:
        found = network.probabilities(np.array([row["values"]]))[0]
        row["probabilities"], row["class_name"] = found.tolist(), plain["classes"][int(found.argmax())]
    seal(files, plain)


def forged_under_the_old_signature(files: Files, drawn: Random) -> None:
    """Another model with the signature of this one."""
    forge(files, drawn, lambda plain: None)


def forged_without_signature(files: Files, drawn: Random) -> None:
    """Another model that bears none."""
    forge(files, drawn, lambda plain: drawn.shuffle(plain["classes"]))
    del files[SIGNATURE]


def forged_by_another_key(files: Files, drawn: Random) -> None:
    """Another model, signed by somebody else."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    forge(files, drawn, lambda plain: plain.update(version="next"))
    files[SIGNATURE] = Ed25519PrivateKey.from_private_bytes(drawn.randbytes(32)).sign(files[MANIFEST])


def edited(files: Files, drawn: Random) -> None:
    """What no golden row can show: an address, a physical range, a name, a metric."""
    plain = json.loads(files[MANIFEST])
    tag = drawn.choice(plain["datamap"])
    match drawn.randrange(4):
        case 0:
            for other in plain["datamap"]:
                other["address"] += drawn.randrange(1, 1000)
        case 1:
            tag["valid"] = [-1e9, drawn.uniform(1e6, 1e9)]
        case 2:
            plain["name"] += drawn.choice("abc")
        case 3:
            plain["metrics"]["test"]["accuracy"] = drawn.random()
    seal(files, plain)


def damaged_signature(files: Files, drawn: Random) -> None:
    """The model is the right one, its signature is not."""
    files[SIGNATURE] = drawn.choice([flip_bits, cut_off, splice, lengthen])(files[SIGNATURE], drawn)


@dataclass(frozen=True, slots=True)
class Original:
    """What is mutated: a real bundle, and the key that it is to be checked with where it is signed."""

    data: bytes
    verify_key: Path | None

    @property
    def files(self) -> Files:
        return archive.unpack(self.data)


def seal(files: Files, plain: Plain) -> None:
    """Write the manifest and make every checksum right."""
    plain["files"] = {WEIGHTS: hashlib.sha256(files[WEIGHTS]).hexdigest()}
    text = json.dumps(plain, indent=1, ensure_ascii=False).encode()
    files[MANIFEST] = text
    files[CHECKSUM] = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


def in_file(change: Callable[[bytes, Random], bytes]) -> Callable[[Original, Random], bytes]:
    return lambda original, drawn: change(original.data, drawn)


def in_archive(change: Callable[[Files, Random], None]) -> Callable[[Original, Random], bytes]:
    def mutated(original: Original, drawn: Random) -> bytes:
        files = original.files
        change(files, drawn)
        return original.data if files == original.files else archive.pack(files)

    return mutated


def in_manifest(change: Callable[[Plain, bytes, Random], bytes]) -> Callable[[Original, Random], bytes]:
    def mutated(original: Original, drawn: Random) -> bytes:
        files = original.files
        before, plain = json.loads(files[MANIFEST]), json.loads(files[MANIFEST])
        weights = change(plain, files[WEIGHTS], drawn)
        if (plain, weights) == (before, files[WEIGHTS]):
            return original.data
        files[WEIGHTS] = weights
        seal(files, plain)
        return archive.pack(files)

    return mutated


OPEN = {
    change.__name__: within(change)  # type: ignore[operator]
    for within, changes in (
        (in_file, (flip_bits, cut_off, lose_sector, splice, lengthen)),
        (in_archive, (flip_weights, flip_manifest, swap_weights, mix_members)),
        (in_manifest, (permute_labels, shift_scaler, swap_features, swap_columns, other_weights, odd_weights)),
        (in_manifest, (other_golden, other_shape, broken_fields)),
    )
    for change in changes
}
"""Kinds that are refused without any key."""

SIGNED = {
    change.__name__: in_archive(change)
    for change in (
        forged_under_the_old_signature,
        forged_without_signature,
        forged_by_another_key,
        edited,
        damaged_signature,
    )
}
"""Kinds that a verify_key refuses, and nothing else does."""


def originals(place: Path) -> dict[str, Original]:
    """The original of each kind: the shipped bundle, for SIGNED signed with a new key."""
    private, public = make_keys(place)
    bundle, path = load_bundle(shipped(BUNDLE)), place / "signed.ampedge"
    pack_bundle(sign_bundle(bundle, private), path)
    plain, signed = Original(bundle.path.read_bytes(), None), Original(path.read_bytes(), public)
    return {**dict.fromkeys(OPEN, plain), **dict.fromkeys(SIGNED, signed)}


def loaded(kind: str, seed: int, original: Original, path: Path) -> bool:
    """Whether one mutation of that kind, written to `path`, is loaded."""
    drawn = Random(f"{kind} {seed}")
    while (data := {**OPEN, **SIGNED}[kind](original, drawn)) == original.data:
        pass
    path.write_bytes(data)
    try:
        load_bundle(path, verify_key=original.verify_key)
    except ModelRefusedError:
        return False
    return True


def main(seeds: int) -> int:
    """Try all of them; the number that was loaded."""
    began_s = time.monotonic()
    counts = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "mutated.ampedge"
        for kind, original in originals(Path(name)).items():
            counts[kind] = sum(loaded(kind, seed, original, path) for seed in range(seeds))
            print(f"{kind:32} {seeds} mutations, {counts[kind]} loaded")
    total = sum(counts.values())
    print(f"{seeds * len(counts)} mutations, {total} loaded ({time.monotonic() - began_s:.1f} s)")
    return total


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS) > 0)
