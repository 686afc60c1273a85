"""The state directory: one service at a time, and a plain word where it cannot be had."""

import builtins
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ampedge.errors import InUseError
from ampedge.store import state_dir
from ampedge.store.state_dir import LOCK_NAME, StateDirectory, holder
from ampedge.store.trouble import Unwritable

HOLD = """
import sys
from pathlib import Path
from ampedge.store.state_dir import StateDirectory
with StateDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_service(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the directory."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_it_is_made_with_rights_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "state"
    with StateDirectory(path) as state:
        assert (state.path, state.problem) == (path, None)
        assert path.stat().st_mode & 0o777 == 0o750 & ~_umask()
        assert holder(path) == os.getpid()
        assert (path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    assert holder(path) is None


def test_the_number_of_an_earlier_process_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("12345678901234\n")
    with StateDirectory(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_the_second_service_is_told_the_process_of_the_first(tmp_path: Path) -> None:
    with another_service(tmp_path) as first:
        assert holder(tmp_path) == first.pid
        with pytest.raises(InUseError) as caught, StateDirectory(tmp_path):
            pytest.fail("two services hold it")
        assert f"process {first.pid}" in caught.value.problem
        assert caught.value.exit_code == 7
        assert holder(tmp_path) == first.pid  # it was not disturbed


def test_a_killed_service_leaves_no_lock(tmp_path: Path) -> None:
    with another_service(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        assert holder(tmp_path) is None
        with StateDirectory(tmp_path) as state:
            assert state.path == tmp_path


def test_who_only_asks_for_the_holder_keeps_no_service_from_starting(tmp_path: Path) -> None:
    with StateDirectory(tmp_path):
        pass
    asked = os.open(tmp_path / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(asked, fcntl.LOCK_SH)  # as `holder` does, for longer
    release = threading.Timer(0.05, os.close, (asked,))
    release.start()
    with StateDirectory(tmp_path) as state:
        assert state.path == tmp_path
    release.join()


def test_a_holder_that_has_not_written_its_number_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_dir, "_PATIENCE_S", 0.0)
    (tmp_path / LOCK_NAME).touch()
    with (tmp_path / LOCK_NAME).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert holder(tmp_path) is None
        with pytest.raises(InUseError, match="in use by another process"), StateDirectory(tmp_path):
            pass


@pytest.mark.parametrize("where", ["/proc/ampedge", "file/state", "file"])
def test_without_a_directory_the_service_goes_on_and_takes_it_as_soon_as_it_can(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / where
    with StateDirectory(path) as state:
        assert state.path is None
        with pytest.raises(Unwritable, match="its directory cannot be used: "):
            state.hold()
        assert holder(path) is None
        if where != "/proc/ampedge":
            (tmp_path / "file").unlink()
            state.hold()
            assert state.path == path
            assert holder(path) == os.getpid()
    assert holder(path) is None


def test_a_directory_that_another_service_has_taken_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("in the way")
    with StateDirectory(path) as state:
        path.unlink()
        with another_service(path) as other:
            with pytest.raises(Unwritable, match=f"in use by process {other.pid}$"):
                state.hold()
            assert state.path is None
            assert holder(path) == other.pid
        state.hold()
        assert holder(path) == os.getpid()


@pytest.mark.parametrize("what", ["directory", "lock"])
def test_a_lock_that_was_deleted_is_taken_anew(tmp_path: Path, what: str) -> None:
    path = tmp_path / "state"
    with StateDirectory(path) as state:
        (path / LOCK_NAME).unlink()
        if what == "directory":
            path.rmdir()
        assert state.path is None
        state.hold()
        assert state.path == path
        assert holder(path) == os.getpid()
        with pytest.raises(InUseError), StateDirectory(path):
            pytest.fail("two services hold it")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with StateDirectory(tmp_path) as state:
            assert state.path is None
            with pytest.raises(Unwritable, match="Permission denied"):
                state.hold()
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_still_has_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with StateDirectory(tmp_path) as state:
        assert state.path == tmp_path
        assert "No space left on device" in str(state.problem)


def test_a_system_without_locks_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "fcntl":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with StateDirectory(tmp_path) as state:
        assert state.path == tmp_path
        assert "only one service" in str(state.problem)
    assert holder(tmp_path) is None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
