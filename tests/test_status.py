"""The status socket: who connects gets the snapshot, and nobody can hold the service up."""

import contextlib
import json
import os
import shutil
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ampedge.errors import UnreachableError
from ampedge.service import status as status_module
from ampedge.service.status import StatusSocket, read_status
from ampedge.store.state_dir import SOCKET_NAME
from tests.support.waiting import wait_until


def document() -> dict[str, Any]:
    return {"schema": 1, "healthy": True, "name": "pümp"}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with StatusSocket(tmp_path, document):
        yield tmp_path


def test_whoever_connects_gets_the_snapshot_and_the_end(directory: Path) -> None:
    assert read_status(directory) == document()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(directory / SOCKET_NAME))
        data = b"".join(iter(lambda: client.recv(65536), b""))
    assert data.endswith(b"}\n")
    assert json.loads(data) == document()


def test_only_user_and_group_may_ask(directory: Path) -> None:
    mode = (directory / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_a_socket_left_by_a_crash_is_replaced_and_one_that_ends_is_taken_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(UnreachableError, match="ended without a goodbye"):
        read_status(tmp_path)
    with StatusSocket(tmp_path, document):
        assert read_status(tmp_path) == document()
    assert not (tmp_path / SOCKET_NAME).exists()
    with pytest.raises(UnreachableError, match="No service runs"):
        read_status(tmp_path)


def test_it_can_be_started_again_after_its_end(tmp_path: Path) -> None:
    status = StatusSocket(tmp_path, document)
    for _ in range(2):
        status.start()
        assert status.alive
        assert read_status(tmp_path) == document()
        status.stop()
        status.stop()


def test_a_directory_with_a_long_name_serves_as_well(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    before = descriptors()
    with StatusSocket(directory, document):
        assert read_status(directory) == document()
    wait_until(lambda: descriptors() == before, what="every descriptor to be closed")


def test_clients_that_never_read_or_leave_at_once_do_not_keep_others_waiting_for_long(tmp_path: Path) -> None:
    large = {**document(), "padding": "x" * 3_000_000}  # more than a socket takes without a reader
    with StatusSocket(tmp_path, lambda: large) as status:
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as left:
                left.connect(str(tmp_path / SOCKET_NAME))
        with socket.socket(socket.AF_UNIX) as mute:
            mute.connect(str(tmp_path / SOCKET_NAME))
            assert read_status(tmp_path, timeout_s=5) == large
            assert status.alive


def test_it_tells_that_it_makes_progress_without_any_client(tmp_path: Path) -> None:
    with StatusSocket(tmp_path, document) as status:
        before = status.progress_s
        wait_until(lambda: status.progress_s > before, what="a turn of the loop")


def test_a_bug_in_the_snapshot_ends_neither_the_socket_nor_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Callable[[], dict[str, Any]]] = [document, lambda: {}["gone"], lambda: {"age": float("nan")}]

    def next_answer() -> dict[str, Any]:
        return answers.pop()()

    with StatusSocket(tmp_path, next_answer):
        for _ in range(2):
            with pytest.raises(UnreachableError, match="is no service of ampedge"):
                read_status(tmp_path)
        assert read_status(tmp_path) == document()


@pytest.mark.parametrize("where", ["missing", "file", "killed"])
def test_where_there_can_be_no_file_the_service_can_be_asked_all_the_same(tmp_path: Path, where: str) -> None:
    directory = tmp_path / where
    (tmp_path / "file").touch()
    if where == "killed":
        directory.mkdir()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(directory / SOCKET_NAME))
    with pytest.raises(UnreachableError):
        read_status(directory)
    with StatusSocket(directory, document, held=lambda: False):
        assert read_status(directory) == document()
    assert (directory / SOCKET_NAME).exists() == (where == "killed"), "it is not ours"
    with pytest.raises(UnreachableError):
        read_status(directory)


def answers(directory: Path) -> bool:
    with contextlib.suppress(UnreachableError):
        return read_status(directory) == document()
    return False


def test_the_socket_is_made_where_it_belongs_as_soon_as_that_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "LOOK_S", 0.05)
    directory = tmp_path / "state"
    with StatusSocket(directory, document, held=directory.exists):
        for _ in range(2):
            assert read_status(directory) == document()
            directory.mkdir()
            wait_until((directory / SOCKET_NAME).exists, what="the socket to be there")
            assert read_status(directory) == document()
            shutil.rmtree(directory)
            wait_until(lambda: answers(directory), what="the socket without a file")


def test_a_socket_without_a_file_answers_its_own_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StatusSocket(tmp_path, document, held=lambda: False):
        monkeypatch.setattr(status_module, "_peer", lambda _: 4_000_000_000)
        with pytest.raises(UnreachableError):
            read_status(tmp_path)


def test_where_there_can_be_no_socket_at_all_the_service_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with StatusSocket(tmp_path / "missing", document) as status:
        assert status.alive
        with pytest.raises(UnreachableError, match="No service runs"):
            read_status(tmp_path / "missing")


def test_a_system_without_such_sockets_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with StatusSocket(tmp_path, document):
        assert not (tmp_path / SOCKET_NAME).exists()
    with pytest.raises(UnreachableError, match="no sockets in directories"):
        read_status(tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "is no service of ampedge"),
        (b"[1]", "is no service of ampedge"),
        (b'{"schema": 2}', "of another version"),
        (None, "does not say how it is"),
    ],
)
def test_a_strange_answer_is_an_error_in_plain_words(tmp_path: Path, answer: bytes | None, said: str) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET_NAME))
        listening.listen()
        ended = threading.Event()

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                if answer is None:
                    ended.wait(10)
                else:
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UnreachableError, match=said):
            read_status(tmp_path, timeout_s=0.3)
        ended.set()
        thread.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may ask everyone")
def test_a_user_without_the_right_is_told(directory: Path) -> None:
    (directory / SOCKET_NAME).chmod(0)
    with pytest.raises(UnreachableError, match="may not ask"):
        read_status(directory)
