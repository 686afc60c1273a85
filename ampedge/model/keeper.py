"""Copies of the models that ran well, in the state directory, and the way back to the one before.

`models/` there holds each copy as an `.ampedge` file named after its identity, and `kept.json`, which says
which of them is which.  A copy is whole on the disk before `kept.json` names it, and `kept.json` is replaced in one
step, so whenever the power fails the old state or the new one is there.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ampedge.errors import ModelRefusedError, UsageError
from ampedge.files import replaced_file
from ampedge.model.bundle import EDGE_FILES, SUFFIX, Bundle, load_bundle, pack_bundle
from ampedge.model.manifest import Part
from ampedge.model.network import DenseNetwork

DIRECTORY = "models"
RECORD = "kept.json"

_REPLACE = "Put the wanted model in its place."
_PATIENCE_S = 1.0
"""How long another program may hold the directory."""

_UNDO = "Take that back with `ampedge rollback --undo`, or put another model there."


class Kept(Part):
    """One model of which there is, or was, a copy."""

    identity: str = Field(pattern="^[0-9a-f]{64}$")
    name: str
    version: str
    created: str

    @classmethod
    def of(cls, bundle: Bundle) -> "Kept":
        """What is written of a bundle."""
        manifest = bundle.manifest
        return cls(identity=bundle.identity, name=manifest.name, version=manifest.version, created=manifest.created)


class Record(Part):
    """`kept.json`: the path that the copies are of, the last good model, the one before, and one that must not run."""

    protocol: Literal[1] = 1
    source: str = ""
    current: Kept | None = None
    previous: Kept | None = None
    rolled_back: Kept | None = None


class Keeper:
    """The kept models of one state directory; with None nothing is kept.

    It holds no state of its own: `ampedge rollback` writes the record while `serve` runs.
    """

    def __init__(self, state_dir: Path | None) -> None:
        self._directory = None if state_dir is None else state_dir / DIRECTORY

    def record(self) -> Record:
        """What is kept, empty where nothing is; raises UsageError where the record cannot be read."""
        if self._directory is None:
            return Record()
        path = self._directory / RECORD
        try:
            if not path.is_file() and path.exists():  # a pipe may never end
                raise OSError(errno.EINVAL, "it is no file", str(path))
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Record()
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise UsageError(
                f"{path} cannot be used: {reason}; which model is the last good one or was rolled back is not known.",
                "Ask as the service's user or with sudo."
                if isinstance(error, PermissionError)
                else f"Remove {path}; serve writes it anew.",
            ) from error

    def choose(
        self,
        path: Path,
        *,
        verify_key: Path | None = None,
        how: str = "as given",
        fits: Callable[[Bundle], object] | None = None,
        running: Bundle | None = None,
        runtime: str = DenseNetwork.name,
    ) -> tuple[Bundle, str]:
        """(the model that is to run, by `runtime`; a sentence that says which one and why).

        It is the one at `path`, unless that is refused or rolled back: then the last good copy of the same path.
        `fits` may refuse a model for a reason of its own.  With `verify_key` a model that is older than the last
        good one or `running` is refused, too.  Raises ModelRefusedError where there is no copy to fall back on, and
        where `running` may go on instead, because it is not the one that was rolled back.
        """
        trouble = ""
        try:
            record = self.record()
        except UsageError as error:
            record, trouble = Record(), f" {error.problem} {error.remedy}"
        last_good = record.current if record.source == _source(path) else None
        try:
            bundle = _allowed(path, verify_key, last_good, record.rolled_back, runtime)
            if fits is not None:
                fits(bundle)
            if running is not None and verify_key is not None and not _is(running, record.rolled_back):
                _refuse_older(path, Kept.of(bundle), Kept.of(running))
        except ModelRefusedError as refused:
            if last_good is None or (running is not None and not _is(running, record.rolled_back)):
                raise
            copy = self._copy(last_good, refused, verify_key, fits, runtime)
            instead = f"Version {last_good.version} runs instead, the last good copy of it."
            return copy, f"{refused.problem} {instead} {refused.remedy}{trouble}"
        return bundle, using(path, how, runtime) + trouble

    def source(self) -> Path | None:
        """Where the model was that the kept copies are of, None where there is none."""
        try:
            source = self.record().source
        except UsageError:
            return None
        return Path(source) if source else None

    def has(self, path: Path) -> bool:
        """Whether there is a last good copy of what was at `path`."""
        return str(self.source()) == _source(path)

    def rolled_back(self, bundle: Bundle) -> bool:
        """Whether this model must not run any more."""
        try:
            return _is(bundle, self.record().rolled_back)
        except UsageError:
            return False

    def keep(self, bundle: Bundle, path: Path) -> None:
        """Keep a copy of the model that runs and was chosen for `path`; what was the last good one becomes previous.

        Call it once a model is in its place, from a thread that may wait for the disk.
        Where the copy is there already, nothing is written.  Raises UsageError where it cannot be written.
        """
        if self._directory is None:
            return
        with self._changing() as directory:
            try:
                record = self.record()
            except UsageError:
                record = Record()
            if record.source != _source(path):
                record = Record(source=_source(path), rolled_back=record.rolled_back)
            kept, current = Kept.of(bundle), record.current
            is_new = current is None or current.identity != kept.identity
            if not is_new and self._is_sound(kept):
                return
            pack_bundle(bundle, self._file(kept))
            _to_disk(directory)
            if is_new:
                self._write(record.model_copy(update={"current": kept, "previous": current}))
            self._tidy()

    def roll_back(self, *, verify_key: Path | None = None) -> str:
        """Never again run the model that is next to run, but the one before; returns a sentence that says so.

        That is the last good one, or one that was put in its place since and has not been kept yet.
        """
        with self._changing(make=False):
            record = self.record()
            current, previous = record.current, record.previous
            if current is None:
                raise UsageError(f"{self._directory} has no model to return to.", _REPLACE)
            try:
                new = Kept.of(_allowed(Path(record.source), verify_key, current, record.rolled_back))
            except ModelRefusedError:
                new = current
            if new.identity != current.identity:
                back, record = current, record.model_copy(update={"rolled_back": new})
            elif previous is None:
                raise UsageError(f"{self._directory} has no model before version {current.version}.", _REPLACE)
            else:
                back, record = previous, Record(source=record.source, current=previous, rolled_back=current)
            try:
                load_bundle(self._file(back), verify_key=verify_key)
            except ModelRefusedError as error:
                raise UsageError(f"The model before cannot run: {error.problem}", error.remedy) from error
            self._write(record)
        return f"Version {new.version} is rolled back; version {back.version} is next to run."

    def undo(self) -> str:
        """Let the model that was rolled back run again; returns a sentence that says so."""
        with self._changing(make=False):
            record = self.record()
            if record.rolled_back is None:
                raise UsageError("No model is rolled back.")
            self._write(record.model_copy(update={"rolled_back": None}))
        return f"Version {record.rolled_back.version} may run again; it is next where it still is at {record.source}."

    def _copy(
        self,
        last_good: Kept,
        refused: ModelRefusedError,
        verify_key: Path | None,
        fits: Callable[[Bundle], object] | None,
        runtime: str,
    ) -> Bundle:
        try:
            copy = load_bundle(self._file(last_good), verify_key=verify_key, runtime=runtime)
            if copy.identity != last_good.identity:
                raise ModelRefusedError(f"{copy.path} is not the model that was kept.")
            if fits is not None:
                fits(copy)
        except ModelRefusedError as error:
            raise ModelRefusedError(
                f"{refused.problem} Neither can its last good copy run: {error.problem}", refused.remedy
            ) from error
        return copy

    def _file(self, kept: Kept) -> Path:
        assert self._directory is not None
        return self._directory / f"{kept.identity[:16]}{SUFFIX}"

    def _is_sound(self, kept: Kept) -> bool:
        try:
            return load_bundle(self._file(kept)).identity == kept.identity
        except ModelRefusedError:
            return False

    def _write(self, record: Record) -> None:
        assert self._directory is not None
        with replaced_file(self._directory / RECORD) as made:
            made.write_text(record.model_dump_json(indent=1), "utf-8")
        _to_disk(self._directory)

    def _tidy(self) -> None:
        """Remove copies that the record no longer names, and what a crash left half-written."""
        assert self._directory is not None
        record = self.record()
        named = {self._file(kept) for kept in (record.current, record.previous) if kept is not None}
        for file in self._directory.iterdir():
            if (file.suffix == SUFFIX or file.name.startswith(".")) and file not in named:
                file.unlink(missing_ok=True)

    @contextmanager
    def _changing(self, *, make: bool = True) -> Iterator[Path]:
        """Hold the directory alone; raises UsageError where it cannot be used."""
        if self._directory is None:
            raise UsageError("There is no state directory, so no model is kept.", "Give one with state_dir.")
        try:
            if make:
                self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            elif not self._directory.is_dir():
                raise UsageError(
                    f"No service has kept a model in {self._directory.parent}.",
                    "Give the state directory of the service with --state-dir.",
                )
            with _alone(self._directory):
                yield self._directory
        except OSError as error:
            raise UsageError(
                f"{error.filename or self._directory} cannot be written: {error.strerror or error}.",
                "It belongs to the user that runs serve: act as that one (sudo), and leave it some room on the disk.",
            ) from error


def _allowed(
    path: Path,
    verify_key: Path | None,
    last_good: Kept | None,
    rolled_back: Kept | None,
    runtime: str = DenseNetwork.name,
) -> Bundle:
    """What is at `path`; raises ModelRefusedError where it must not run."""
    bundle = load_bundle(path, verify_key=verify_key, runtime=runtime)
    if _is(bundle, rolled_back):
        raise ModelRefusedError(f"{path} is version {bundle.manifest.version}, which was rolled back.", _UNDO)
    if verify_key is not None and last_good is not None:
        _refuse_older(path, Kept.of(bundle), last_good)
    return bundle


def using(path: Path, how: str, runtime: str) -> str:
    """The sentence that says which model is used, and what runs it where that was chosen."""
    return f"Using {path} ({how})." if runtime == DenseNetwork.name else f"Using {path} ({how}), run by {runtime}."


def _is(bundle: Bundle, kept: Kept | None) -> bool:
    return kept is not None and bundle.identity == kept.identity


def stamp(path: Path) -> tuple[object, ...]:
    """A cheap mark of what is at `path`, which changes when a model there does; no file is opened."""
    return tuple(_stamp(file) for file in (path, *(path / name for name in EDGE_FILES)))


def is_older(one: str, other: str) -> bool:
    """Whether `created` of one manifest is before that of another; a time that is none is before all."""
    return _time(one) < _time(other)


def _refuse_older(path: Path, new: Kept, running: Kept) -> None:
    """An old model has a valid signature, too: who can only replace files must not bring back its weaknesses."""
    if is_older(new.created, running.created):
        raise ModelRefusedError(
            f"{path} is version {new.version} of {new.created}, older than version {running.version} of "
            f"{running.created}, and the config has a verify_key.",
            "Return to the model before with `ampedge rollback`, or train one anew.",
        )


def _time(created: str) -> datetime:
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _source(path: Path) -> str:
    return str(path.absolute())  # not resolved: a link that is set to another version stays the same place


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until_s:
                    raise OSError(error.errno, "another program holds it", str(directory)) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _to_disk(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
