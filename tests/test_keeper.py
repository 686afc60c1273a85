"""The kept models: the last good one steps in, there is a way back, and a kill at any step loses neither."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ampedge.config import load_config
from ampedge.errors import ConfigError, ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle, save_bundle, sign_bundle
from ampedge.model.keeper import Keeper, Record, is_older, stamp
from ampedge.site_map import model_path, site_bundle
from tests.support.bundles import tiny_bundle
from tests.support.keys import make_keys
from tests.support.serving import Serve

ROOT = Path(__file__).resolve().parents[1]


def version(place: Path, number: int, created: str = "") -> Bundle:
    """Version `number` of the tiny bundle as a directory of its own, made on that day of January."""
    plain = (bundle := tiny_bundle(place / f"made{number}")).manifest.model_dump(mode="json")
    del plain["files"]
    plain.update(version=str(number), created=created or f"2026-01-{number:02}T00:00:00Z")
    return save_bundle(bundle.path, plain, {"weights.bin": bundle.contents["weights.bin"]})


@pytest.fixture
def made(tmp_path: Path) -> dict[int, Bundle]:
    return {number: version(tmp_path, number) for number in (1, 2, 3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the site's model stands."""
    return tmp_path / "site.ampedge"


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path / "state")


def run(keeper: Keeper, path: Path, **options: Any) -> tuple[str, str]:
    """(version, sentence) of a start of the service: it chooses, runs and keeps."""
    bundle, said = keeper.choose(path, **options)
    keeper.keep(bundle, path)
    return bundle.manifest.version, said


def versions(record: Record) -> tuple[str | None, str | None, str | None]:
    """(current, previous, rolled back)."""
    kept = (record.current, record.previous, record.rolled_back)
    return tuple(one.version if one else None for one in kept)  # type: ignore[return-value]


def kept_files(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "state" / "models").iterdir())


# The last good one steps in.


def test_what_ran_is_kept_with_the_one_before(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    assert versions(keeper.record()) == (None, None, None)
    for number, expected in ((1, ("1", None)), (2, ("2", "1")), (2, ("2", "1")), (3, ("3", "2"))):
        pack_bundle(made[number], path)
        assert run(keeper, path) == (str(number), f"Using {path} (as given).")
        assert versions(keeper.record()) == (*expected, None)
    identities = [made[3].identity, made[2].identity]
    assert kept_files(tmp_path) == sorted([*(f"{i[:16]}.ampedge" for i in identities), "kept.json"])
    for identity in identities:
        assert load_bundle(tmp_path / "state" / "models" / f"{identity[:16]}.ampedge").identity == identity


def test_a_directory_is_kept_as_the_file_that_export_makes_of_it(
    keeper: Keeper, made: dict[int, Bundle], tmp_path: Path
) -> None:
    run(keeper, made[1].path)
    pack_bundle(made[1], tmp_path / "packed.ampedge")
    assert (tmp_path / "state" / "models" / f"{made[1].identity[:16]}.ampedge").read_bytes() == (
        tmp_path / "packed.ampedge"
    ).read_bytes()
    shutil.rmtree(made[1].path)
    assert run(keeper, made[1].path)[0] == "1"


def test_what_is_kept_is_what_was_loaded_whatever_the_file_has_become(
    keeper: Keeper, path: Path, made: dict[int, Bundle]
) -> None:
    pack_bundle(made[1], path)
    bundle, _ = keeper.choose(path)
    path.write_bytes(b"half of the next")
    keeper.keep(bundle, path)
    assert keeper.choose(path)[0].manifest.version == "1"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "its end is missing"),
        (lambda path: path.write_bytes(b""), "its end is missing"),
        (Path.unlink, "No such file"),
    ],
)
def test_a_spoiled_file_is_stood_in_for_loudly(
    keeper: Keeper, path: Path, made: dict[int, Bundle], spoil: Callable[[Path], object], words: str
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    spoil(path)
    found, said = run(keeper, path)
    assert found == "1"
    assert words in said
    assert f"{path} is refused" in said
    assert "Version 1 runs instead, the last good copy of it." in said
    assert versions(keeper.record()) == ("1", None, None)
    pack_bundle(made[2], path)
    assert run(keeper, path) == ("2", f"Using {path} (as given).")


def test_without_a_copy_a_spoiled_file_is_refused(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    path.write_bytes(b"nothing")
    for empty in (keeper, Keeper(None)):
        with pytest.raises(ModelRefusedError, match=r"no \.ampedge file"):
            empty.choose(path)
    assert not (tmp_path / "state").exists()


def test_a_copy_of_another_path_never_stands_in(keeper: Keeper, path: Path, made: dict[int, Bundle]) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    other = path.with_name("other.ampedge")
    with pytest.raises(ModelRefusedError, match="No such file"):
        keeper.choose(other)
    pack_bundle(made[2], other)
    run(keeper, other)
    assert versions(keeper.record()) == ("2", None, None)  # nor is there a way back to it
    path.unlink()
    with pytest.raises(ModelRefusedError):
        keeper.choose(path)


def test_a_relative_path_is_the_same_place(
    keeper: Keeper, path: Path, made: dict[int, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_bundle(made[1], path)
    monkeypatch.chdir(path.parent)
    run(keeper, Path("site.ampedge"))
    path.unlink()
    assert run(keeper, Path("./site.ampedge"))[0] == run(keeper, path)[0] == "1"


def test_a_copy_that_is_spoiled_too_is_refused_and_mended_by_the_next_run(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    copy = tmp_path / "state" / "models" / f"{made[1].identity[:16]}.ampedge"
    copy.write_bytes(copy.read_bytes()[:-1])
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(ModelRefusedError, match=r"Neither can its last good copy run: .*models"):
        keeper.choose(path)
    path.write_bytes(content)
    run(keeper, path)
    path.unlink()
    assert run(keeper, path)[0] == "1"


def test_another_model_under_the_name_of_a_copy_is_refused(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    path.unlink()
    pack_bundle(made[2], tmp_path / "state" / "models" / f"{made[1].identity[:16]}.ampedge")
    with pytest.raises(ModelRefusedError, match="not the model that was kept"):
        keeper.choose(path)


def test_a_model_that_does_not_fit_is_stood_in_for_as_well(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    config = tmp_path / "ampedge.toml"
    tags = "".join(f'[[tags]]\nname = "{n}"\naddress = {2 * i}\n' for i, n in enumerate(made[1].datamap.names))
    config.write_text(f'model = "site.ampedge"\n{tags}')
    pack_bundle(made[1], path)
    site = load_config(config, environment={})
    bundle, said = site_bundle(site, keeper)
    assert said == f"Using {path} (as given)."
    keeper.keep(bundle, path)
    pack_bundle(tiny_bundle(tmp_path / "other", features={"pressure": ("bar", 1.0, 1.0)}), path)
    bundle, said = site_bundle(site, keeper)
    assert bundle.manifest.version == "1"
    assert "the model needs 'pressure', which the config does not have" in said
    path.unlink()
    assert model_path(site, keeper) == (path, "as given")
    assert site_bundle(site, keeper)[0].manifest.version == "1"
    config.write_text(config.read_text().replace("impedance", "resistance"))
    with pytest.raises(ModelRefusedError, match=r"Neither can its last good copy run.*needs 'impedance'"):
        site_bundle(load_config(config, environment={}), keeper)
    with pytest.raises(UsageError, match="There is no model at"):
        site_bundle(site, Keeper(tmp_path / "elsewhere"))


def test_serve_starts_with_the_last_good_copy(keeper: Keeper, path: Path, made: dict[int, Bundle]) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    path.write_bytes(b"half of it")
    options = ("--state-dir", path.parent / "state")
    with Serve(path.parent, *options, model=path, ready="Version 1 runs instead") as serve:
        assert f"{path} is refused" in serve.log
        assert serve.stop() == 0


# The way back.


def test_the_way_back_and_forth(keeper: Keeper, path: Path, made: dict[int, Bundle]) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    assert keeper.roll_back() == "Version 2 is rolled back; version 1 is next to run."
    for _ in range(2):  # each start from now on
        found, said = run(keeper, path)
        assert found == "1"
        assert f"{path} is version 2, which was rolled back. Version 1 runs instead" in said
        assert "ampedge rollback --undo" in said
        assert versions(keeper.record()) == ("1", None, "2")
    with pytest.raises(UsageError, match="no model before version 1"):
        keeper.roll_back()
    assert keeper.undo() == f"Version 2 may run again; it is next where it still is at {path}."
    assert run(keeper, path) == ("2", f"Using {path} (as given).")
    assert versions(keeper.record()) == ("2", "1", None)
    with pytest.raises(UsageError, match="No model is rolled back"):
        keeper.undo()


def test_what_was_rolled_back_stays_so_after_another_model(keeper: Keeper, path: Path, made: dict[int, Bundle]) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    keeper.roll_back()
    run(keeper, path)
    pack_bundle(made[3], path)
    assert run(keeper, path)[0] == "3"
    assert versions(keeper.record()) == ("3", "1", "2")
    pack_bundle(made[2], path)
    assert run(keeper, path)[0] == "3"
    with pytest.raises(ModelRefusedError, match="version 2, which was rolled back"):
        keeper.choose(made[2].path)  # at another place, of which there is no copy
    run(keeper, made[1].path)
    assert versions(keeper.record()) == ("1", None, "2")


def test_a_signature_makes_no_other_model_of_it(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    private, _ = make_keys(tmp_path / "keys")
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    keeper.roll_back()
    pack_bundle(sign_bundle(made[2], private), path)
    assert run(keeper, path)[0] == "1"


def test_there_is_no_way_back_without_a_model_before(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    for act in (keeper.roll_back, keeper.undo):
        with pytest.raises(UsageError, match="No service has kept a model in") as caught:
            act()
        assert "--state-dir" in caught.value.remedy
    with pytest.raises(UsageError, match="no state directory"):
        Keeper(None).roll_back()
    assert not (tmp_path / "state").exists()
    pack_bundle(made[1], path)
    run(keeper, path)
    with pytest.raises(UsageError, match="no model before version 1"):
        keeper.roll_back()
    assert versions(keeper.record()) == ("1", None, None)


def test_a_new_model_that_was_not_kept_yet_is_rolled_back_to_the_last_good_one(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    pack_bundle(made[3], path)
    keeper.choose(path)
    assert keeper.roll_back() == "Version 3 is rolled back; version 2 is next to run."
    assert versions(keeper.record()) == ("2", "1", "3")
    assert run(keeper, path)[0] == "2"
    assert keeper.roll_back() == "Version 2 is rolled back; version 1 is next to run."
    path.unlink()
    assert run(keeper, path)[0] == "1"


def test_what_could_never_run_is_not_what_is_rolled_back(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    private, public = make_keys(tmp_path / "keys")
    signed = {number: sign_bundle(bundle, private) for number, bundle in made.items()}
    for unfit in (made[3], signed[1], None):  # not signed, older, damaged
        again = Keeper(tmp_path / f"state of {unfit and unfit.identity}{unfit and unfit.signed}")
        for number in (1, 2):
            pack_bundle(signed[number], path)
            run(again, path, verify_key=public)
        path.write_bytes(b"") if unfit is None else pack_bundle(unfit, path)
        assert again.roll_back(verify_key=public) == "Version 2 is rolled back; version 1 is next to run."


def test_while_one_runs_it_goes_on_where_the_next_is_refused(
    keeper: Keeper, path: Path, made: dict[int, Bundle]
) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        running, _ = keeper.choose(path)
        keeper.keep(running, path)
    path.write_bytes(b"half")
    with pytest.raises(ModelRefusedError, match="is refused"):
        keeper.choose(path, running=running)
    pack_bundle(made[3], path)
    assert keeper.choose(path, running=running)[0].manifest.version == "3"
    pack_bundle(made[2], path)
    keeper.roll_back()
    assert keeper.choose(path, running=running)[0].manifest.version == "1"
    path.write_bytes(b"half")
    assert keeper.choose(path, running=running)[0].manifest.version == "1"  # because version 2 must not go on


def test_there_is_no_way_back_to_a_spoiled_copy(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    (tmp_path / "state" / "models" / f"{made[1].identity[:16]}.ampedge").write_bytes(b"")
    with pytest.raises(UsageError, match="The model before cannot run"):
        keeper.roll_back()
    assert versions(keeper.record()) == ("2", "1", None)


# Signed models.


def test_signed_copies_keep_their_signature_and_others_do_not_stand_in(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    private, public = make_keys(tmp_path / "keys")
    pack_bundle(made[1], path)
    run(keeper, path)
    path.unlink()
    with pytest.raises(ModelRefusedError, match=r"No such file.*Neither can its last good copy run.*not signed"):
        keeper.choose(path, verify_key=public)
    pack_bundle(sign_bundle(made[2], private), path)
    run(keeper, path, verify_key=public)
    path.unlink()
    assert run(keeper, path, verify_key=public)[0] == "2"
    with pytest.raises(ConfigError, match="cannot be read"):
        keeper.choose(path, verify_key=tmp_path / "missing.pub")


def test_with_a_key_an_older_model_is_refused_but_for_a_rollback(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    private, public = make_keys(tmp_path / "keys")
    signed = {number: sign_bundle(bundle, private) for number, bundle in made.items()}
    for number in (1, 3):
        pack_bundle(signed[number], path)
        assert run(keeper, path, verify_key=public)[0] == str(number)
    for number in (2, 1):
        pack_bundle(signed[number], path)
        found, said = run(keeper, path, verify_key=public)
        assert found == "3"
        assert f"version {number} of 2026-01-0{number}T00:00:00Z, older than version 3" in said
    pack_bundle(signed[3], path)
    run(keeper, path, verify_key=public)
    keeper.roll_back()
    assert run(keeper, path, verify_key=public)[0] == "1"
    pack_bundle(signed[2], path)  # newer than what runs now
    assert run(keeper, path, verify_key=public)[0] == "2"
    pack_bundle(made[1], path)
    assert run(keeper, path)[0] == "1"  # without a key nobody asks


def test_which_is_older(made: dict[int, Bundle]) -> None:
    times = ["never", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00", "2026-01-01T01:00:01+01:00"]
    for at, one in enumerate(times):
        for other_at, other in enumerate(times):
            assert is_older(one, other) == (at < other_at)


def test_a_signed_model_that_is_older_than_the_one_that_runs_is_refused(
    tmp_path: Path, made: dict[int, Bundle]
) -> None:
    private, public = make_keys(tmp_path / "keys")
    signed = {number: sign_bundle(bundle, private) for number, bundle in made.items()}
    keeper, path = Keeper(tmp_path / "state"), tmp_path / "site.ampedge"
    for number in (2, 3):
        pack_bundle(signed[number], path)
        assert keeper.choose(path, verify_key=public, running=signed[2])[0].manifest.version == str(number)
    pack_bundle(signed[1], path)
    assert keeper.choose(path, running=signed[2])[0].manifest.version == "1", "without a key nobody asks"
    with pytest.raises(ModelRefusedError, match="older than version 2"):
        keeper.choose(path, verify_key=public, running=signed[2])


# Disks and crashes.


def test_a_damaged_record_is_said_and_written_anew(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    record = tmp_path / "state" / "models" / "kept.json"
    good = record.read_text()
    for text in (
        "",
        "{",
        "[]",
        good.replace(made[1].identity, "../../../etc/passwd"),
        good.replace('"protocol": 1', '"protocol": 2'),
    ):
        record.write_text(text)
        with pytest.raises(UsageError, match=r"kept\.json cannot be used: it is damaged"):
            keeper.record()
        with pytest.raises(UsageError, match="it is damaged"):
            keeper.roll_back()
        bundle, said = keeper.choose(path)
        assert "it is damaged" in said
        keeper.keep(bundle, path)
        assert versions(keeper.record()) == ("1", None, None)


def test_a_record_that_may_not_be_read_is_not_to_be_removed(
    keeper: Keeper, path: Path, made: dict[int, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)

    def forbidden(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(UsageError, match=r"kept\.json cannot be used: Permission denied") as refused:
        keeper.record()
    assert "sudo" in refused.value.remedy
    assert "Remove" not in refused.value.remedy


def test_a_full_or_forbidden_disk_is_said_and_leaves_what_was(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_bundle(made[1], path)
    run(keeper, path)
    before = keeper.record()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UsageError, match="No space left on device"):
            keeper.keep(made[2], path)
    assert keeper.record() == before
    assert kept_files(tmp_path) == sorted([f"{made[1].identity[:16]}.ampedge", "kept.json"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Keeper(tmp_path / "file").keep(made[1], path)
    Keeper(None).keep(made[1], path)


def test_what_is_on_the_disk_is_named_last(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that makes a power cut harmless: content, name of the copy, content, name of the record."""
    pack_bundle(made[1], path)
    run(keeper, path)
    told: list[tuple[str, str]] = []
    models = tmp_path / "state" / "models"
    fsync, replace = os.fsync, os.replace

    def kind(name: str) -> str:
        return "directory" if Path(name) == models else "record" if RECORD_NAME in name else "copy"

    def synced(handle: int) -> None:
        told.append(("sync", kind(str(Path(f"/proc/self/fd/{handle}").readlink()))))
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        told.append(("rename", kind(str(target))))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    keeper.keep(made[2], path)
    assert told == [
        (act, what)
        for file in ("copy", "record")
        for act, what in (("sync", file), ("rename", file), ("sync", "directory"))
    ]
    told.clear()
    keeper.keep(made[2], path)
    assert told == []  # the same model costs nothing


RECORD_NAME = "kept.json"


def killed_at_each_step(state: Path, action: str, *of: object) -> list[Path]:
    """Copies of the state directory, in each of which the action was killed at a later step; in the last at none."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed", str(state), action, *map(str, of)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [state.with_name(f"{state.name}-{step}") for step in range(int(done.stdout))]


def test_a_kill_at_each_step_of_keeping_leaves_a_good_copy(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    states = killed_at_each_step(tmp_path / "state", "keep", made[3].path, path)
    path.unlink()
    found = []
    for state in states:
        again = Keeper(state)
        bundle, _ = again.choose(path)
        found.append(bundle.manifest.version)
        record = again.record()
        assert record.previous is not None
        assert load_bundle(state / "models" / f"{record.previous.identity[:16]}.ampedge").identity == (
            record.previous.identity
        )
        again.keep(made[3], path)
        assert versions(again.record()) == ("3", "2", None)
        names = sorted(made[number].identity[:16] + ".ampedge" for number in (2, 3))
        if found[-1] == "2":
            assert sorted(file.name for file in (state / "models").iterdir()) == [*names, "kept.json"]
    assert found == sorted(found)  # the old one up to one step, the new one from there on
    assert found.count("2") > 5
    assert found.count("3") > 1


def test_a_kill_at_each_step_of_the_first_run_leaves_nothing_in_the_way(
    path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    pack_bundle(made[1], path)
    states = killed_at_each_step(tmp_path / "state", "keep", path, path)
    assert len(states) > 5
    for state in states:
        assert run(Keeper(state), path) == ("1", f"Using {path} (as given).")
        assert versions(Keeper(state).record()) == ("1", None, None)


@pytest.mark.parametrize(("action", "ends"), [("roll_back", ("1", None, "2")), ("undo", ("1", None, None))])
def test_a_kill_at_each_step_of_a_rollback_leaves_one_state_or_the_other(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path, action: str, ends: tuple[str | None, ...]
) -> None:
    for number in (1, 2):
        pack_bundle(made[number], path)
        run(keeper, path)
    if action == "undo":
        keeper.roll_back()
    before = versions(keeper.record())
    found = [versions(Keeper(state).record()) for state in killed_at_each_step(tmp_path / "state", action)]
    assert set(found) == {before, ends}
    assert found[0] == before
    assert found[-1] == ends


def test_two_processes_that_write_at_once_wait_for_each_other(
    keeper: Keeper, path: Path, made: dict[int, Bundle], tmp_path: Path
) -> None:
    """Two processes keep two models in turns: the record names both, and both are whole."""
    pack_bundle(made[1], path)
    run(keeper, path)
    script = (
        "import sys; from pathlib import Path; from ampedge.model.bundle import load_bundle\n"
        "from ampedge.model.keeper import Keeper\n"
        "a, b = map(load_bundle, map(Path, sys.argv[3:]))\n"
        "for _ in range(20):\n    for bundle in (a, b): Keeper(Path(sys.argv[1])).keep(bundle, Path(sys.argv[2]))\n"
    )
    given = [str(tmp_path / "state"), str(path), str(made[2].path), str(made[3].path)]
    others = [subprocess.Popen([sys.executable, "-c", script, *given], cwd=ROOT) for _ in range(2)]
    assert [other.wait(60) for other in others] == [0, 0]
    record = keeper.record()
    assert sorted(str(name) for name in versions(record)[:2]) == ["2", "3"]
    for kept in (record.current, record.previous):
        assert kept is not None
        assert load_bundle(tmp_path / "state" / "models" / f"{kept.identity[:16]}.ampedge").identity == kept.identity


# What changed.


def test_a_stamp_changes_with_the_model_only(path: Path, made: dict[int, Bundle], tmp_path: Path) -> None:
    seen = [stamp(path)]
    pack_bundle(made[1], path)
    seen.append(stamp(path))
    pack_bundle(made[1], path)
    seen.append(stamp(path))  # another file, though the same bytes
    shutil.copy2(path, tmp_path / "beside")  # with its time
    (tmp_path / "beside").replace(path)
    seen.append(stamp(path))
    path.write_bytes(path.read_bytes()[:100])
    seen.append(stamp(path))
    assert len(set(seen)) == 5
    assert stamp(path) == seen[-1]

    copy = Path(shutil.copytree(made[1].path, tmp_path / "copy"))
    seen = [stamp(copy)]
    for name in ("manifest.json", "manifest.sha256", "weights.bin"):  # one after the other, each in its place
        with (copy / name).open("ab") as file:
            file.write(b"\n")
        seen.append(stamp(copy))
    assert len(set(seen)) == 4
    save_bundle(copy, *_again(made[3]))
    assert stamp(copy) not in seen
    assert stamp(tmp_path / "missing") == stamp(tmp_path / "missing" / "deeper")


def _again(bundle: Bundle) -> tuple[dict[str, Any], dict[str, bytes]]:
    plain = bundle.manifest.model_dump(mode="json")
    del plain["files"]
    return plain, {"weights.bin": bundle.contents["weights.bin"]}


def test_who_holds_the_directory_for_long_is_told_of_and_not_waited_for(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    (tmp_path / "models").mkdir()
    handle = os.open(tmp_path / "models", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another program holds it"):
            Keeper(tmp_path).keep(bundle, bundle.path)
    finally:
        os.close(handle)


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / "models" / "kept.json")
    with pytest.raises(UsageError, match="it is no file"):
        Keeper(tmp_path).record()
