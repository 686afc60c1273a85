"""How lines get out: a thread of their own writes them, so that no poll waits for a disk or a terminal."""

import atexit
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from ampedge.log.entry import Entry, entry_of, for_people, for_programs
from ampedge.log.repeats import Repeats
from ampedge.log.rotating import RotatingFile

logger = logging.getLogger("ampedge")

_WAITING = 1000
_LOOK_S = 30.0
_END_S = 0.5
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

_current: "_Log | None" = None


def set_up(
    write: Callable[[str], object] | None = None,
    *,
    debug: bool = False,
    form: Literal["auto", "human", "json"] = "auto",
    file: Path | None = None,
    max_bytes: int = 5_000_000,
    backups: int = 3,
    boot: str | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send log lines to `write`, or to stderr, and as JSON to `file` as well; with `debug`, more of them.

    `auto` is a line for people where `write` is given or stderr is a terminal, else JSON.
    What other libraries warn of, and what ends a thread, becomes such a line, too.
    Called again, it takes the place of what was set up before.
    """
    global _current  # a process has one log, as it has one stderr
    people = form == "human" or (form == "auto" and (write is not None or sys.stderr.isatty()))
    as_text = for_people if people else partial(for_programs, boot=boot)
    outputs = [_Output("stderr", _stderr() if write is None else lambda _, line: write(line), as_text)]
    if file is not None:
        kept = RotatingFile(file, max_bytes=max_bytes, backups=backups)
        as_json = partial(for_programs, boot=boot)
        outputs.append(_Output(str(file), lambda _, line: kept.write(line), as_json, close=kept.close))
    before, _current = _current, _Log(outputs, monotonic)
    logger.handlers[:] = [_current]  # no line falls between the two
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
    logging.getLogger().addHandler(_current)
    if before is not None:
        logging.getLogger().removeHandler(before)
        before.end(_END_S)
        _current.thread_hook = before.thread_hook
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    _current.begin()


def flush(timeout_s: float = _END_S) -> bool:
    """Whether all lines until now were written within that time."""
    return _current is None or _current.wait_until_written(timeout_s)


def close() -> None:
    """Write what is left, in a second at most, and log no more."""
    global _current
    if _current is None:
        return
    log, _current = _current, None
    logger.handlers[:] = []
    logging.getLogger().removeHandler(log)
    logging.captureWarnings(False)
    threading.excepthook = log.thread_hook
    log.end(_END_S)


atexit.register(close)


class _Output:
    """One place that lines go to; a line that cannot be written there is counted and the count told."""

    def __init__(
        self,
        name: str,
        write: Callable[[int, str], object],
        as_text: Callable[[Entry], str],
        *,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.close = close
        self.lost = 0
        self._fails = False
        self._write = write
        self._as_text = as_text

    def take(self, entry: Entry) -> Exception | None:
        """Write it; never raises, but gives what went wrong where the line before could be written."""
        try:
            if self.lost:
                missing = f"{self.lost} lines are missing here: they could not be written."
                self._put(Entry(entry.time_s, logging.WARNING, missing, {}))
                self.lost = 0
            self._put(entry)
        except Exception as error:
            self.lost += 1
            failed_before, self._fails = self._fails, True
            return None if failed_before else error
        self._fails = False
        return None

    def _put(self, entry: Entry) -> None:
        self._write(entry.level, self._as_text(entry))


class _Log(logging.Handler):
    """Takes records from any thread without waiting; its own thread hands them to the outputs."""

    def __init__(self, outputs: list[_Output], monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._outputs = outputs
        self._monotonic = monotonic
        self._repeats = Repeats()
        self._lost = 0
        self.thread_hook = threading.excepthook
        self._queue: queue.Queue[Entry | threading.Event | None] = queue.Queue(_WAITING)  # None ends the thread
        self._thread = threading.Thread(target=self._run, name="ampedge-log", daemon=True)

    def begin(self) -> None:
        """Write what is there, and from now on what comes."""
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        if record.levelno < logging.WARNING and record.name.partition(".")[0] != logger.name:
            return
        try:
            entry = entry_of(record)
            passes = self._repeats.passes(record, entry, self._monotonic())
            self._say_due()
            if passes:
                self._put(_with_traceback(entry, record))
        except Exception:
            self._lost += 1

    def wait_until_written(self, timeout_s: float) -> bool:
        """Whether all that was said until now is written within that time."""
        written = threading.Event()
        try:
            self._queue.put(written, timeout=timeout_s)
        except queue.Full:
            return False
        return written.wait(timeout_s)

    def end(self, timeout_s: float) -> None:
        """Say what was kept back, write all, end the thread."""
        with self._locked():
            for entry in self._repeats.rest(self._monotonic()):
                self._put(entry)
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _say_due(self) -> None:
        for entry in self._repeats.due(self._monotonic()):
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._lost += 1

    def _run(self) -> None:
        while True:
            try:
                waiting = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                with self._locked():
                    self._say_due()
                continue
            if waiting is None:
                break
            if isinstance(waiting, threading.Event):
                waiting.set()
                continue
            with self._locked():
                lost, self._lost = self._lost, 0
            for output in self._outputs:
                output.lost += lost
                if error := output.take(waiting):
                    self._tell(output, error)
        for output in self._outputs:
            output.close()

    def _tell(self, failed: _Output, error: Exception) -> None:
        """Say in the other places that one cannot be written to."""
        given = (failed.name, error)
        said = "The log cannot be written to %s (%s); the work goes on without it."
        record = logger.makeRecord(logger.name, logging.WARNING, __file__, 0, said, given, None)
        entry = entry_of(record)
        with self._locked():
            passes = self._repeats.passes(record, entry, self._monotonic())
        for other in self._outputs:
            if passes and other is not failed:
                other.take(entry)

    def _locked(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock


def _with_traceback(entry: Entry, record: logging.LogRecord) -> Entry:
    if not record.exc_info or record.exc_info[0] is None:
        return entry
    return replace(entry, exception=logging.Formatter().formatException(record.exc_info))


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit and failed.exc_value is not None:
        name = "of a thread" if failed.thread is None else failed.thread.name
        what = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logger.critical("The thread %s ended because of a bug.", name, exc_info=what)


def _stderr() -> Callable[[int, str], object]:
    """Writes to stderr as it is at that moment; where the journal reads it, with the level in front."""

    def write(level: int, line: str) -> None:
        priority = next((number for least, number in _PRIORITIES if level >= least), 7)
        data = f"<{priority}>{line}\n" if journal else f"{line}\n"
        sys.stderr.buffer.write(data.encode("utf-8", "backslashreplace"))
        sys.stderr.buffer.flush()

    journal = _read_by_the_journal()
    return write


def _read_by_the_journal() -> bool:
    try:
        stream = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
