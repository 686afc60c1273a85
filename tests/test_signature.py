"""Signed bundles: `export --sign`, `verify_key`, and every way in which the two may not fit."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.config import load_config
from ampedge.errors import ConfigError, ModelRefusedError, UsageError
from ampedge.model import archive
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle, sign_bundle
from ampedge.model.signature import exposed
from ampedge.samples import BUNDLE, shipped
from ampedge.site_map import site_bundle, site_map
from tests.support.bundles import tiny_bundle
from tests.support.cli import run_cli
from tests.support.keys import make_keys, openssl_lines

SIGNED = ["manifest.json", "manifest.sha256", "weights.bin", "manifest.sig"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signing")


@pytest.fixture(scope="module")
def keys(place: Path) -> tuple[Path, Path]:
    """(private, public), made as the documentation says."""
    return make_keys(place / "keys")


@pytest.fixture(scope="module")
def bundle(place: Path) -> Bundle:
    return tiny_bundle(place)


@pytest.fixture(scope="module")
def signed(place: Path, keys: tuple[Path, Path], bundle: Bundle) -> Path:
    path = place / "signed.ampedge"
    pack_bundle(sign_bundle(bundle, keys[0]), path)
    return path


@pytest.fixture(scope="module")
def unsigned(place: Path, bundle: Bundle) -> Path:
    path = place / "unsigned.ampedge"
    pack_bundle(bundle, path)
    return path


def openssl(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(f"openssl {command}", cwd=cwd, shell=True, check=True, capture_output=True, text=True)


# What is signed loads with the key, and with none.


def test_a_signed_bundle_loads_with_its_key_and_without_any(signed: Path, keys: tuple[Path, Path]) -> None:
    assert load_bundle(signed, verify_key=keys[1]).signed
    assert load_bundle(signed).signed
    assert list(archive.unpack(signed.read_bytes())) == SIGNED


def test_bundles_from_before_there_were_signatures_load(unsigned: Path, bundle: Bundle) -> None:
    assert not load_bundle(unsigned).signed
    assert not load_bundle(shipped(BUNDLE)).signed
    assert not bundle.signed


def test_signing_twice_gives_the_same_bytes_and_packing_keeps_the_signature(
    signed: Path, keys: tuple[Path, Path], bundle: Bundle, tmp_path: Path
) -> None:
    pack_bundle(sign_bundle(load_bundle(signed), keys[0]), tmp_path / "again.ampedge")
    pack_bundle(load_bundle(signed), tmp_path / "packed.ampedge")
    assert (
        (tmp_path / "again.ampedge").read_bytes() == (tmp_path / "packed.ampedge").read_bytes() == signed.read_bytes()
    )
    assert load_bundle(signed).identity == bundle.identity == load_bundle(bundle.path).identity


def test_openssl_says_the_same_by_the_documented_commands(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    for name, data in archive.unpack(signed.read_bytes()).items():
        (tmp_path / name).write_bytes(data)
    shutil.copy(keys[1], tmp_path / "model-key.pub")
    check = openssl_lines()[2].removeprefix("openssl ")
    assert "Verified Successfully" in openssl(check, tmp_path).stdout
    (tmp_path / "manifest.json").write_bytes((tmp_path / "manifest.json").read_bytes() + b" ")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(check, tmp_path)


# What is not signed by the key is refused.


def altered(signed: Path, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The archive with some of its files changed and every checksum right again."""
    files = archive.unpack(signed.read_bytes())
    change(files)
    files["manifest.sha256"] = f"{hashlib.sha256(files['manifest.json']).hexdigest()}  manifest.json\n".encode()
    return archive.pack(files)


def rename_model(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"name": "tiny"', b'"name": "tinny"')


def respell(files: dict[str, bytes]) -> None:
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"])).encode()


@pytest.mark.parametrize(
    "change",
    [
        rename_model,
        respell,
        lambda files: files.update({"manifest.sig": bytes(64)}),
        lambda files: files.update({"manifest.sig": b""}),
        lambda files: files.update({"manifest.sig": files["manifest.sig"][:-1]}),
        lambda files: files.update({"manifest.sig": files["manifest.sig"] + b"\n"}),
    ],
)
def test_what_was_altered_is_refused_with_the_key_only(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, change: Callable[[dict[str, bytes]], object]
) -> None:
    path = tmp_path / "x.ampedge"
    path.write_bytes(altered(signed, change))
    load_bundle(path)  # so it is the signature that counts
    with pytest.raises(ModelRefusedError, match="signature is not by the key of") as caught:
        load_bundle(path, verify_key=keys[1])
    assert str(path) in caught.value.problem
    assert str(keys[1]) in caught.value.problem


def test_other_weights_under_a_valid_signature_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "x.ampedge"
    path.write_bytes(altered(signed, lambda files: files.update({"weights.bin": files["weights.bin"][::-1]})))
    with pytest.raises(ModelRefusedError, match=r"weights\.bin is not the file that the manifest names"):
        load_bundle(path, verify_key=keys[1])


def test_a_signature_by_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    _, other = make_keys(tmp_path, "other")
    with pytest.raises(ModelRefusedError, match=r"not by the key of .*other\.pub") as caught:
        load_bundle(signed, verify_key=other)
    assert "--sign KEY" in caught.value.remedy


def test_what_bears_no_signature_is_refused_with_what_to_do(
    unsigned: Path, bundle: Bundle, keys: tuple[Path, Path]
) -> None:
    for path, words in ((unsigned, "is not signed"), (bundle.path, "directory, which bears no signature")):
        with pytest.raises(ModelRefusedError, match=words) as caught:
            load_bundle(path, verify_key=keys[1])
        assert "ampedge export --sign KEY" in caught.value.remedy


def test_a_signature_beside_a_directory_counts_for_nothing(
    signed: Path, bundle: Bundle, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "model"))
    for name, data in archive.unpack(signed.read_bytes()).items():
        (copy / name).write_bytes(data)
    assert not load_bundle(copy).signed
    with pytest.raises(ModelRefusedError, match="directory"):
        load_bundle(copy, verify_key=keys[1])


def test_nothing_is_parsed_before_the_signature_is_right(signed: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    path = tmp_path / "x.ampedge"
    path.write_bytes(altered(signed, lambda files: files.update({"manifest.json": b"[" * 100_000})))
    with pytest.raises(ModelRefusedError, match="signature is not"):
        load_bundle(path, verify_key=keys[1])
    with pytest.raises(ModelRefusedError, match="not JSON"):
        load_bundle(path)


# Keys that are none.


def test_public_keys_that_are_none(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("my key")
    openssl("ecparam -name prime256v1 -genkey -noout -out ec.pem", tmp_path)
    openssl("pkey -in ec.pem -pubout -out ec.pub", tmp_path)
    for path, words in (
        (tmp_path / "missing", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "empty", "no public key in PEM form"),
        (tmp_path / "text", "no public key in PEM form"),
        (signed, "no public key in PEM form"),
        (tmp_path / "ec.pub", "another kind than Ed25519"),
        (keys[0], "is a private key"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            load_bundle(signed, verify_key=path)
        assert f"verify_key: {path}" in caught.value.problem
        assert "openssl" in caught.value.remedy


def test_private_keys_that_are_none(bundle: Bundle, keys: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("my key")
    openssl("genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048 -out rsa.pem", tmp_path)
    openssl(f"pkey -in {keys[0]} -aes256 -passout pass:secret -out locked.pem", tmp_path)
    for path, words in (
        (tmp_path / "missing", "cannot be read: No such file"),
        (tmp_path / "text", "no private key in PEM form"),
        (keys[1], "no private key in PEM form"),
        (tmp_path / "rsa.pem", "another kind than Ed25519"),
        (tmp_path / "locked.pem", "encrypted with a password"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            sign_bundle(bundle, path)
        assert str(path) in caught.value.problem
        assert "openssl" in caught.value.remedy
        assert "secret" not in caught.value.problem


def test_without_the_library_both_ends_say_what_to_install(
    signed: Path, bundle: Bundle, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for act in (lambda: sign_bundle(bundle, keys[0]), lambda: load_bundle(signed, verify_key=keys[1])):
        with pytest.raises(UsageError) as caught:
            act()
        assert 'pip install "ampedge[sign]"' in caught.value.remedy
    assert load_bundle(signed).signed


def test_a_key_that_others_can_read_is_noticed(keys: tuple[Path, Path], tmp_path: Path) -> None:
    assert not exposed(keys[0])  # as openssl writes it
    copy = Path(shutil.copy(keys[0], tmp_path))
    for mode in (0o640, 0o604):
        copy.chmod(mode)
        assert exposed(copy)


# The commands.


def test_export_signs_and_the_config_insists(bundle: Bundle, keys: tuple[Path, Path], tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "ampedge.toml").write_text(f'model = "model"\nverify_key = "{keys[1]}"\n')
    shutil.copytree(bundle.path, tmp_path / "model")
    given = ["export", "--config", str(tmp_path / "ampedge.toml"), "--out", str(tmp_path / "a.ampedge")]
    done = runner.invoke(app, [*given, "--sign", str(keys[0])], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.endswith("Signed.\n")
    assert load_bundle(tmp_path / "a.ampedge", verify_key=keys[1]).signed
    assert "chmod" not in done.output

    exposed_key = Path(shutil.copy(keys[0], tmp_path / "exposed.pem"))
    exposed_key.chmod(0o644)
    done = runner.invoke(app, [*given, "--sign", str(exposed_key)], catch_exceptions=False)
    assert f"chmod 600 {exposed_key}" in done.output

    with pytest.raises(UsageError, match="onnx bears no signature"):
        runner.invoke(app, [*given, "--sign", str(keys[0]), "--format", "onnx"], catch_exceptions=False)


def test_a_failed_signature_leaves_the_old_file(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.ampedge").write_bytes(b"old")
    done = run_cli("export", "--model", bundle.path, "--out", "a.ampedge", "--sign", "missing.pem", cwd=tmp_path)
    assert done.returncode == 2
    assert "missing.pem cannot be read" in done.stderr
    assert (tmp_path / "a.ampedge").read_bytes() == b"old"


def test_every_command_of_the_device_insists_on_the_configs_key(
    signed: Path, unsigned: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(keys[1], tmp_path / "site.pub")
    (tmp_path / "ampedge.toml").write_text('verify_key = "site.pub"\n')  # beside the config, wherever one stands
    monkeypatch.chdir(os.sep)

    def config(model: Path) -> object:
        return load_config(tmp_path / "ampedge.toml", {"model": str(model)}, environment={})

    for use in (site_bundle, site_map):
        use(config(signed))
        with pytest.raises(ModelRefusedError, match="not signed"):
            use(config(unsigned))
    assert not site_bundle(config(unsigned), insist=False)[0].signed

    for command in ("serve", "simulate"):
        done = run_cli(command, "--model", unsigned, cwd=tmp_path)
        assert done.returncode == ModelRefusedError.exit_code, done.stderr
        assert "is not signed" in done.stderr
    done = run_cli("serve", "--model", signed, cwd=tmp_path, env={"AMPEDGE_VERIFY_KEY": "nowhere.pub"})
    assert done.returncode == ConfigError.exit_code
    assert "verify_key: nowhere.pub cannot be read" in done.stderr
