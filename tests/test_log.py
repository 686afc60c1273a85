"""The log: what a line holds, what is not said twice, what is never shown, and that it holds nobody up."""

import json
import logging
import os
import pty
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ampedge import log
from ampedge.clock import FakeClock
from ampedge.log import about, logger, redaction
from ampedge.log.entry import Entry, entry_of, for_people, for_programs
from ampedge.log.rotating import RotatingFile
from tests.support.waiting import wait_until

Written = Callable[[], list[str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_known", None)
    yield
    log.close()


@pytest.fixture
def people(clock: FakeClock) -> Written:
    """The lines for people so far, without time."""
    lines: list[str] = []
    log.set_up(lines.append, monotonic=clock.monotonic)

    def written() -> list[str]:
        assert log.flush()
        return [line[24:] for line in lines]

    return written


@pytest.fixture
def programs(clock: FakeClock) -> Callable[[], list[dict[str, Any]]]:
    """The JSON lines so far."""
    lines: list[str] = []
    log.set_up(lines.append, form="json", boot="b007", monotonic=clock.monotonic)

    def written() -> list[dict[str, Any]]:
        assert log.flush()
        return [json.loads(line) for line in lines]

    return written


def test_people_are_not_told_twice_whom_a_line_concerns(people: Written) -> None:
    concerns = about(device="pump", unit=1, function=3, registers="holding 0-9")
    logger.warning("pump: The slave, unit 1, is mute (function code 3, holding 0-9).", extra=concerns)
    logger.warning("pump: The slave, unit 17, is mute (function code 31, holding 0-9).", extra=concerns)
    assert people() == [
        "WARNING pump: The slave, unit 1, is mute (function code 3, holding 0-9).",
        "WARNING pump: The slave, unit 17, is mute (function code 31, holding 0-9). (unit 1, function 3)",
    ]


def test_no_line_is_lost_nor_raw_where_the_log_is_set_up_anew(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    log.set_up(lines.append, debug=True)
    said, ended = 0, threading.Event()

    def speak() -> None:
        nonlocal said
        while not ended.is_set():
            logger.debug("line %d", said)
            said += 1
            time.sleep(0.0001)

    thread = threading.Thread(target=speak)
    thread.start()
    for count in range(1, 21):
        wait_until(lambda count=count: said > 20 * count)
        log.set_up(lines.append, debug=True)
    ended.set()
    thread.join()
    log.close()
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(said)]
    assert capfd.readouterr().err == ""


def test_a_line_for_people_has_local_time_level_text_and_what_it_concerns() -> None:
    lines: list[str] = []
    log.set_up(lines.append)
    logger.warning("No reply within %g s.", 3, extra=about(device="pump", unit=1, function=3, registers="holding 0-9"))
    logger.debug("not asked for")
    log.close()
    (line,) = lines
    time.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
    assert line[19:] == (
        f"{line[19:23]} WARNING No reply within 3 s. (device pump, unit 1, function 3, registers holding 0-9)"
    )


def test_both_forms_of_a_line_bear_the_same_time() -> None:
    for milliseconds in range(1000):
        at = datetime(2026, 11, 23, 4, 27, 47, milliseconds * 1000, tzinfo=UTC)
        entry = Entry(at.timestamp(), logging.INFO, "x", {})
        assert for_people(entry)[19:23] == f",{milliseconds:03d}"
        assert f":47.{milliseconds:03d}Z" in for_programs(entry)


def test_debug_asks_for_more(people: Written) -> None:
    lines: list[str] = []
    log.set_up(lines.append, debug=True)
    logger.debug("more")
    assert log.flush()
    assert "DEBUG   more" in lines[0]


def test_a_line_for_programs_has_every_field(programs: Callable[[], list[dict[str, Any]]]) -> None:
    before_s = time.time()
    logger.warning("No reply: %s", "größer\n<", extra=about(device="pump", unit=1, function=3, registers="holding 0-9"))
    logger.info("Plain.")
    first, second = programs()
    at = datetime.strptime(first.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert before_s - 0.002 <= at.timestamp() <= time.time()
    assert first == {
        "level": "warning",
        "message": "No reply: größer\n<",
        "device": "pump",
        "unit": 1,
        "function": 3,
        "registers": "holding 0-9",
        "boot": "b007",
    }
    assert list(second) == ["time", "level", "message", "boot"]


def test_a_bug_is_one_line_with_its_traceback(programs: Callable[[], list[dict[str, Any]]]) -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        logger.exception("It failed.")
    (line,) = programs()
    assert (line["level"], line["message"]) == ("error", "It failed.")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: a bug")


@pytest.mark.parametrize("text", ["x" * 100_000, "ä" * 100_000, "\x00" * 100_000, '"\\' * 50_000, "\udc80" * 50_000])
def test_no_line_is_longer_than_4096_bytes(text: str) -> None:
    lines: list[str] = []
    log.set_up(lines.append, form="json")
    try:
        raise ValueError("the very end of " + text + " the story")
    except ValueError:
        logger.exception(text, extra=about(device=text))
    logger.info("%s", "kept: " + text)
    assert log.flush()
    for line in lines:
        assert 1000 < len(line.encode("utf-8", "backslashreplace")) <= 4096
        json.loads(line.encode("utf-8", "backslashreplace"))
    assert "the story" in json.loads(lines[0])["exception"]
    assert json.loads(lines[1])["message"].startswith("kept: ")


def test_wrong_arguments_and_odd_values_lose_no_line(programs: Callable[[], list[dict[str, Any]]]) -> None:
    logger.info("fine", extra={"device": Path("/dev/x"), "unit": {1}})
    (line,) = programs()
    assert (line["device"], line["unit"]) == ("/dev/x", "{1}")
    wrong = entry_of(logging.makeLogRecord({"msg": "%d of %d", "args": ("one",)}))
    assert wrong.message == "%d of %d ('one',)"


def test_nothing_steers_a_terminal(people: Written) -> None:
    logger.info("a\x1b[2Jb\rc\x9bd\tübergroß\ne")
    assert people() == ["INFO    a?[2Jb?c?d\tübergroß\ne"]


def test_a_trouble_is_said_once_and_then_every_ten_minutes_with_its_count(people: Written, clock: FakeClock) -> None:
    for _ in range(1201):
        logger.warning("No reply from %s.", "pump")
        clock.advance(1)
    assert people() == [
        "WARNING No reply from pump.",
        "WARNING No reply from pump. (repeated 600 times in 10 min)",
        "WARNING No reply from pump. (repeated 600 times in 10 min)",
    ]


def test_the_count_is_a_field_for_programs(programs: Callable[[], list[dict[str, Any]]], clock: FakeClock) -> None:
    for _ in range(5):
        logger.warning("No reply.")
    clock.advance(600)
    logger.info("Something else.")
    said = [(line["message"], line.get("repeated")) for line in programs()]
    assert said == [
        ("No reply.", None),
        ("No reply. (repeated 4 times in 10 min)", 4),
        ("Something else.", None),
    ]


def test_a_trouble_that_is_over_is_summarised_once_and_is_new_afterwards(people: Written, clock: FakeClock) -> None:
    for _ in range(3):
        logger.warning("No reply.")
    clock.advance(700)
    logger.info("a")
    clock.advance(700)
    logger.info("b")
    logger.warning("No reply.")
    assert people() == [
        "WARNING No reply.",
        "WARNING No reply. (repeated 2 times in 12 min)",
        "INFO    a",
        "INFO    b",
        "WARNING No reply.",
    ]


def test_what_was_kept_back_is_said_at_the_end(clock: FakeClock) -> None:
    lines: list[str] = []
    log.set_up(lines.append, monotonic=clock.monotonic)
    logger.error("Twice.")
    logger.error("Twice.")
    clock.advance(60)
    log.close()
    assert [line[24:] for line in lines] == ["ERROR   Twice.", "ERROR   Twice. (repeated once more in 60 s)"]


def test_what_differs_is_not_a_repetition_but_a_measured_number_is_no_difference(people: Written) -> None:
    for device in ("pump", "fan"):
        for seconds in (1.25, 1.5):
            logger.warning("No reply from %s after %.2f s.", device, seconds, extra=about(unit=1))
    logger.warning("No reply from %s after %.2f s.", "pump", 2.0, extra=about(unit=2))
    logger.error("No reply from %s after %.2f s.", "pump", 2.0, extra=about(unit=1))
    assert people() == [
        "WARNING No reply from pump after 1.25 s. (unit 1)",
        "WARNING No reply from fan after 1.25 s. (unit 1)",
        "WARNING No reply from pump after 2.00 s. (unit 2)",
        "ERROR   No reply from pump after 2.00 s. (unit 1)",
    ]


def test_two_bugs_at_one_place_are_two(people: Written) -> None:
    for key in ("a", "b", "a"):
        try:
            {}[key]
        except KeyError:
            logger.exception("A bug.")
    assert [line.splitlines()[-1] for line in people()] == ["KeyError: 'a'", "KeyError: 'b'"]


def test_a_line_that_is_different_every_time_is_a_repetition_after_all(people: Written, clock: FakeClock) -> None:
    for port in range(40000, 41000):
        logger.warning("Connection from port %d was lost.", port)
    clock.advance(600)
    logger.info("x")
    said = people()
    assert len(said) == 19
    assert said[-2] == "WARNING Connection from port 40999 was lost. (repeated 983 times in 10 min)"
    for sentence in ("one", "two"):
        for i in range(20):
            logger.warning("%s", f"{sentence} {i}")
    assert len(people()) == 19 + 40, "a bare %s says nothing of the kind of line"


def test_labels_that_come_and_go_are_said_ten_times_in_ten_minutes(people: Written, clock: FakeClock) -> None:
    for _ in range(60):
        for label in ("healthy", "unstable"):
            logger.info("%s, quality good.", label)
            clock.advance(1)
    assert people() == ["INFO    healthy, quality good.", "INFO    unstable, quality good."] * 10
    clock.advance(600)
    logger.debug("a look")
    logger.info("healthy, quality good.")
    assert people()[20:] == [
        "INFO    healthy, quality good. (repeated 50 times in 12 min)",
        "INFO    unstable, quality good. (repeated 50 times in 12 min)",
        "INFO    healthy, quality good.",
    ]


def test_a_day_without_device_and_broker_takes_fewer_than_300_lines(
    programs: Callable[[], list[dict[str, Any]]], clock: FakeClock
) -> None:
    every_s, polls = 5, 86400 // 5
    for second in range(polls):
        clock.advance(every_s)
        logger.warning("No reply within %.1f s.", second / 7, extra=about(device="pump", unit=1, function=3))
        logger.warning("No broker at %s:%d; %d events wait.", "localhost", 1883, float(second))
    lines = programs()
    assert 100 < len(lines) < 300
    kept_back = 2 * polls - sum(line.get("repeated", 1) for line in lines)
    assert 0 < kept_back <= 2 * 600 / every_s, "every other occurrence is written or counted"


def test_known_secrets_appear_in_no_line(tmp_path: Path) -> None:
    secret = 'canary "7731"/ü\\x'
    log.keep_secret(secret)
    log.keep_secret("")
    lines: list[str] = []
    log.set_up(lines.append, form="json", file=tmp_path / "log")
    url = "mqtt://pi:canary%20%227731%22%2F%C3%BC%5Cx@10.0.0.1"
    try:
        raise ValueError(f"refused: {secret}")
    except ValueError:
        logger.exception("Refused %s, %r, %s, %s.", secret, secret, json.dumps({"password": secret}), url)
    logger.warning(f"as {secret}", extra=about(device=secret))
    log.close()
    said = "\n".join(lines) + (tmp_path / "log").read_text()
    assert said.count("***") == 2 * 7
    assert "canary" not in said
    assert "7731" not in said


def test_passwords_in_urls_appear_in_no_line(people: Written) -> None:
    logger.warning("No mqtt://user:secret@host:1883/x, no postgresql://u:pa/ss@w:rd@db; see http://host:80/a.")
    assert people() == ["WARNING No mqtt://user:***@host:1883/x, no postgresql://u:***@db; see http://host:80/a."]


def test_a_short_secret_does_not_make_the_log_unreadable(people: Written) -> None:
    log.keep_secret("at")
    logger.info("The password at is at that place; data stays.")
    assert people() == ["INFO    The password *** is *** that place; data stays."]


def test_files_are_rotated_by_size_and_take_at_most_20_mb(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ampedge.log"
    log.set_up(lambda _: None, file=path)
    for number in range(7000):
        logger.info("%s", f"line {number} {'x' * 4000}")
        if number % 500 == 0:
            assert log.flush(10)
    log.close()
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["ampedge.log", "ampedge.log.1", "ampedge.log.2", "ampedge.log.3"]
    assert all(file.stat().st_size <= 5_000_000 for file in files)
    assert sum(file.stat().st_size for file in files) <= 20_000_000
    assert path.stat().st_mode & 0o777 & ~0o640 == 0
    lines = [json.loads(line) for file in reversed(files) for line in file.read_text().splitlines()]
    numbers = [int(line["message"].split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 7000))


def test_size_and_number_of_files_are_as_given(tmp_path: Path) -> None:
    log.set_up(lambda _: None, file=tmp_path / "a", max_bytes=1000, backups=1)
    for number in range(50):
        logger.info("%s", f"line {number}")
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "a.1"]
    assert all(500 < file.stat().st_size <= 1000 for file in [tmp_path / "a.1"])


def test_without_backups_the_file_begins_anew(tmp_path: Path) -> None:
    kept = RotatingFile(tmp_path / "a", max_bytes=100, backups=0)
    for number in range(30):
        kept.write(f"line {number:3}")
    kept.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text().splitlines()[-1] == "line  29"
    assert (tmp_path / "a").stat().st_size <= 100


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"message": "cut by a pow')
    kept = RotatingFile(tmp_path / "a", max_bytes=1000, backups=1)
    kept.write("next")
    kept.write("last")
    kept.close()
    assert (tmp_path / "a").read_text() == '{"message": "cut by a pow\nnext\nlast\n'


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    kept = RotatingFile(tmp_path / "a", max_bytes=1000, backups=1)
    kept.write("first")
    (tmp_path / "a").unlink()
    kept.write("second")
    (tmp_path / "a").rename(tmp_path / "b")
    kept.write("third")
    kept.close()
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("third\n", "second\n")


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = RotatingFile(tmp_path / "a", max_bytes=1000, backups=1)
    kept.write("first")
    whole = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: whole(handle, data[:3]))
    with pytest.raises(OSError, match="No space left"):
        kept.write("second")
    monkeypatch.undo()
    kept.write("third")
    kept.close()
    assert (tmp_path / "a").read_text() == "first\nthird\n"


@pytest.mark.parametrize("place", ["/dev/full", "{}/a-file/ampedge.log", "{}"])
def test_a_log_that_cannot_be_written_is_told_once_and_done_without(place: str, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    path = Path(place.format(tmp_path))
    lines: list[str] = []
    log.set_up(lines.append, file=path)
    for number in range(100):
        logger.info("%s", f"line {number}")
    log.close()
    assert sum("line " in line for line in lines) == 100
    (told,) = [line for line in lines if "cannot be written" in line]
    assert str(path) in told
    assert "the work goes on" in told


def test_a_log_that_can_be_written_again_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "place").touch()
    log.set_up(lambda _: None, file=tmp_path / "place" / "log")
    for sentence in ("one", "two"):
        logger.info(sentence)
        assert log.flush()
    (tmp_path / "place").unlink()
    logger.info("three")
    log.close()
    said = [json.loads(line)["message"] for line in (tmp_path / "place" / "log").read_text().splitlines()]
    assert said == ["2 lines are missing here: they could not be written.", "three"]


def test_a_log_that_hangs_holds_nobody_up() -> None:
    lines: list[str] = []
    hangs, go_on = threading.Event(), threading.Event()

    def write(line: str) -> None:
        hangs.set()
        assert go_on.wait(10)
        lines.append(line)

    log.set_up(write, debug=True)
    logger.debug("first")
    assert hangs.wait(10)
    begun_s = time.monotonic()
    for number in range(1500):
        logger.debug("line %d", number)
    assert time.monotonic() - begun_s < 5, "it would have waited for ten"
    go_on.set()
    assert log.flush(10)
    logger.debug("last")
    log.close()
    assert len(lines) == 1 + 1000 + 2
    assert any("500 lines are missing here" in line for line in lines)
    assert lines[-1].endswith("last")


def test_lines_of_many_threads_are_whole_and_all_there(tmp_path: Path) -> None:
    log.set_up(lambda _: None, file=tmp_path / "log", debug=True)

    def say(name: int) -> None:
        for number in range(100):
            logger.debug("%d %d", name, number)

    threads = [threading.Thread(target=say, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    said = [json.loads(line)["message"].split() for line in (tmp_path / "log").read_text().splitlines()]
    for name in range(8):
        assert [int(number) for thread, number in said if thread == str(name)] == list(range(100))


def test_being_set_up_again_takes_the_place_of_the_first_and_leaves_nothing_open(tmp_path: Path) -> None:
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        log.set_up(lambda _: None, file=tmp_path / f"log{number}")
        logger.info("line %d", number)
    log.close()
    assert [len((tmp_path / f"log{n}").read_text().splitlines()) for n in range(5)] == [1] * 5
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == (threads, files)


def test_a_thread_that_ends_and_a_warning_of_a_library_are_lines_like_others(
    programs: Callable[[], list[dict[str, Any]]],
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    thread = threading.Thread(target=fail, name="poller")
    thread.start()
    thread.join()
    logging.getLogger("library").warning("Careful.")
    logging.getLogger("library").info("Chatter.")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    died, careful, old = programs()
    assert (died["level"], died["message"]) == ("critical", "The thread poller ended because of a bug.")
    assert "ZeroDivisionError" in died["exception"]
    assert (careful["level"], careful["message"]) == ("warning", "Careful.")
    assert "DeprecationWarning: old" in old["message"]


_SPEAK = "from ampedge import log; log.set_up({}); log.logger.warning('gr\\xf6\\xdfer'); log.logger.error('the last')"


def spoken(arguments: str, env: dict[str, str] | None = None, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    """A process that logs two lines to its stderr and ends at once."""
    code = [sys.executable, "-c", _SPEAK.format(arguments)]
    return subprocess.run(code, env={**os.environ, **(env or {})}, check=True, timeout=30, **streams)


@pytest.mark.parametrize("env", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_without_a_terminal_stderr_gets_json_to_the_last_line(env: dict[str, str]) -> None:
    lines = spoken("", env, capture_output=True).stderr.decode().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["größer", "the last"]


def test_the_form_can_be_chosen() -> None:
    said = spoken("form='human'", capture_output=True).stderr.decode()
    assert "WARNING größer\n" in said
    with pytest.raises(ValueError, match="Extra data"):
        json.loads(said)


@pytest.mark.parametrize(("arguments", "form"), [("", "WARNING größer"), ("form='json'", '"message": "größer"')])
def test_a_terminal_gets_lines_for_people(arguments: str, form: str) -> None:
    ours, theirs = pty.openpty()
    try:
        spoken(arguments, stderr=theirs)
        assert form in os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_journal_gets_the_level_in_front(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("wb") as journal:
        stream = os.fstat(journal.fileno())
        spoken("", {"JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}, stderr=journal)
    lines = (tmp_path / "journal").read_text().splitlines()
    assert [line[:3] for line in lines] == ["<4>", "<3>"]
    assert all(json.loads(line[3:]) for line in lines)


def test_a_closed_stderr_ends_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        spoken(f"file=__import__('pathlib').Path({str(tmp_path / 'log')!r})", stderr=writer)
    finally:
        os.close(writer)
    said = [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()]
    assert "cannot be written to stderr" in said[0]
    assert said[1:] == ["größer", "the last"]


def test_nothing_waits_while_nothing_is_logged(people: Written) -> None:
    begun_s = time.process_time()
    wait_until(lambda: people() == [], what="an empty log")
    assert time.process_time() - begun_s < 0.1
