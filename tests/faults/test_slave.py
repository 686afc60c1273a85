"""What devices and networks do to a poll, over real sockets: each fault is noticed in time, nothing stale is read."""

import contextlib
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ampedge.clock import SystemClock
from ampedge.config import load_config
from ampedge.errors import UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import Block
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.modbus.source import ModbusSource
from ampedge.model.bundle import load_bundle
from ampedge.records import Frame, Reason
from ampedge.samples import BUNDLE, shipped
from ampedge.service.service import Service
from tests.support.cli import run_cli
from tests.support.mosquitto import free_port
from tests.support.proxy import Proxy
from tests.support.scripted_slave import ScriptedSlave, exception, registers
from tests.support.serving import GOLDEN_WORDS, Serve
from tests.support.slave_process import MAP, SlaveProcess
from tests.support.waiting import wait_until

REPLY_SIZE = 9 + 20


def answering(frame: bytes) -> bytes:
    """Registers that hold their own address."""
    address, count = struct.unpack(">HH", frame[8:12])
    return registers(frame, [address + i for i in range(count)])


class Device:
    """A source for one port, and what a poll took."""

    def __init__(
        self, port: int, *, timeout_s: float = 3.0, host: str = "127.0.0.1", unit: int = 1, **options: Any
    ) -> None:
        self.master = Master(host, port, unit=unit, timeout_s=timeout_s)
        self.source = ModbusSource(self.master, MAP, device="pump", clock=SystemClock(), **options)
        self.took_s = 0.0

    def poll(self) -> Frame:
        begun_s = time.monotonic()
        frame = self.source.poll()
        self.took_s = time.monotonic() - begun_s
        return frame

    def is_away(self, within_s: float) -> str:
        """Poll once, and see that the device is found away in time; the sentence about it."""
        frame = self.poll()
        assert (frame.words, frame.failure) == ((), Reason.NO_COMMUNICATION)
        assert self.took_s < within_s
        return frame.detail


@pytest.fixture
def device() -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def make(*args: Any, **options: Any) -> Device:
        made.append(Device(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.master.close()


@pytest.fixture(scope="module")
def slave() -> Iterator[ScriptedSlave]:
    with ScriptedSlave(answering) as one:
        yield one
        assert {request[0] for request in one.requests} == {3}  # whatever happened, nothing was ever written


@pytest.fixture
def proxy(slave: ScriptedSlave) -> Iterator[Proxy]:
    with Proxy(slave.port) as between:
        yield between


def test_a_frozen_slave_is_found_within_ten_seconds_and_its_late_reply_is_never_taken(
    device: Callable[..., Device],
) -> None:
    with SlaveProcess() as slave:
        one = device(slave.port)  # the defaults: polls 1 s apart, 3 s for a reply
        slave.write(1)
        assert set(one.poll().words) == {(1, 1)}
        slave.freeze()
        assert "does not answer within 3 s" in one.is_away(within_s=10 - 1)
        device(slave.port, timeout_s=0.2).is_away(within_s=1)  # its system accepts, and nobody answers
        slave.thaw()
        slave.write(2)
        assert set(one.poll().words) == {(2, 2)}


def test_a_slave_that_is_killed_is_bad_at_once_and_back_as_soon_as_it_is(device: Callable[..., Device]) -> None:
    with SlaveProcess() as slave:
        one = device(slave.port, timeout_s=30)
        assert one.poll().failure is None
        slave.kill()
        assert "Nothing accepts connections" in one.is_away(within_s=2)
        slave.start()
        slave.write(7)
        assert set(one.poll().words) == {(7, 7)}


def test_a_reset_is_noticed_at_once(proxy: Proxy, device: Callable[..., Device]) -> None:
    one = device(proxy.port, timeout_s=30, reconnect_settle_s=60)
    assert one.poll().failure is None
    proxy.close_all(reset=True)
    assert "closed the connection" in one.is_away(within_s=2)  # what resets has been started anew, maybe
    frame = one.poll()
    assert (frame.failure, frame.settling) == (None, True)
    assert proxy.connections == 2


def test_a_slave_that_closes_the_connection_between_two_polls_is_asked_on_a_new_one(
    proxy: Proxy, device: Callable[..., Device]
) -> None:
    one = device(proxy.port, timeout_s=30)
    for polls in range(1, 4):
        frame = one.poll()
        assert frame.failure is None
        assert proxy.connections == polls
        proxy.close_all()
        wait_until(lambda: proxy.open_connections == 0)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_reply_that_is_cut_off_is_noticed_when_it_ends_not_when_time_is_over(
    proxy: Proxy, device: Callable[..., Device], reset: bool
) -> None:
    one = device(proxy.port, timeout_s=30)
    proxy.down.reset = reset
    for size in range(REPLY_SIZE):
        proxy.down.cut_after = size
        assert "closed the connection" in one.is_away(within_s=2)
    proxy.heal()
    assert one.poll().failure is None


def test_a_reply_in_single_bytes_is_put_together(proxy: Proxy, device: Callable[..., Device]) -> None:
    proxy.both(slice_bytes=1, pause_s=0.001)
    assert device(proxy.port).poll().words == tuple((2 * i, 2 * i + 1) for i in range(5))


def test_a_slave_that_drips_is_cut_when_the_time_of_the_whole_request_is_over(
    proxy: Proxy, device: Callable[..., Device]
) -> None:
    one = device(proxy.port, timeout_s=0.4)
    assert one.poll().failure is None
    proxy.down.slice_bytes, proxy.down.pause_s = 1, 0.1  # each byte well within the time of a wait
    assert "does not answer within 0.4 s" in one.is_away(within_s=0.9)
    assert one.took_s > 0.35
    proxy.heal()
    assert one.poll().failure is None
    assert one.poll().failure is None


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("toxic", ["hold", "blackhole"])
def test_a_cable_that_is_pulled_is_noticed_and_bytes_that_come_later_are_not_met_again(
    proxy: Proxy, device: Callable[..., Device], direction: str, toxic: str
) -> None:
    one = device(proxy.port, timeout_s=0.2)
    assert one.poll().failure is None
    setattr(getattr(proxy, direction), toxic, True)
    for _ in range(2):
        assert "does not answer within 0.2 s" in one.is_away(within_s=1)
    proxy.heal()
    assert one.poll().words == tuple((2 * i, 2 * i + 1) for i in range(5))


def test_corrupted_bytes_never_become_another_frame(proxy: Proxy, device: Callable[..., Device]) -> None:
    one = device(proxy.port, timeout_s=0.05)
    proxy.down.corrupt = 0.03
    for _ in range(60):
        frame = one.poll()
        if frame.failure is None:  # Modbus TCP has no check sum: what flips inside the data cannot be seen
            assert len(frame.words) == 5
    proxy.heal()
    assert one.poll().words[1] == (2, 3)


def test_late_replies_are_never_matched_to_a_later_request() -> None:
    def late(frame: bytes) -> bytes:
        time.sleep(0.07 if frame[9] % 3 else 0)  # beyond the time for a reply, two times of three
        return answering(frame)

    with ScriptedSlave(late) as slow:
        master = Master("127.0.0.1", slow.port, timeout_s=0.05)
        answered = 0
        for number in range(30):
            with contextlib.suppress(UnreachableError):
                assert master.read_block(Block("holding", number, 1, ())) == (number,)
                answered += 1
        assert 5 <= answered <= 20
        master.close()


def test_a_flood_is_capped_and_closed(device: Callable[..., Device]) -> None:
    size = 50_000_000
    sent = 0
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def flood() -> None:
            nonlocal sent
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                garbage = memoryview(b"\x55" * 65536)
                while sent < size:
                    sent += connection.send(garbage)
            ended.set()

        threading.Thread(target=flood, daemon=True).start()
        one = device(listening.getsockname()[1])
        one.master.connect()
        time.sleep(0.05)  # let it fill what the system buffers
        tracemalloc.start()
        assert "no answer to the request" in one.is_away(within_s=2)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000
        assert ended.wait(5)
        assert sent < size


def test_a_refused_connection_is_bad_at_once(device: Callable[..., Device]) -> None:
    assert "Nothing accepts connections" in device(free_port()).is_away(within_s=1)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose queue is full: a connection is neither accepted nor refused."""
    with socket.socket() as listening, contextlib.ExitStack() as held:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_a_connection_that_nobody_accepts_is_given_up_in_time(black_hole: int, device: Callable[..., Device]) -> None:
    one = device(black_hole, timeout_s=0.3)
    assert f"Nothing accepts connections at 127.0.0.1:{black_hole} within 0.3 s." in one.is_away(within_s=1)
    assert one.took_s > 0.25
    assert device(1, timeout_s=60).master.connection.connect_s == 3.0  # however long a reply may take


def answers_for(monkeypatch: pytest.MonkeyPatch, *names: list[str]) -> None:
    """Let the look-up of any name give these addresses, the last ones for ever."""
    left = list(names)
    real = socket.getaddrinfo

    def look_up(host: str, port: Any, *rest: Any, flags: int = 0, **more: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, *rest, flags=flags, **more)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [real(address, port, *rest, **more)[0] for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_all_addresses_of_a_name_share_the_time_to_connect(
    black_hole: int, device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_for(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    behind = EmbeddedSlave("127.0.0.2", black_hole, MAP)
    behind.start()
    one = device(black_hole, host="plc.example", timeout_s=0.6)
    assert one.poll().failure is None  # the first address swallows, the second answers
    assert 0.25 < one.took_s < 1.0
    one.master.close()
    behind.stop()
    one.is_away(within_s=1.5)


def test_a_name_is_looked_up_anew_at_each_connection(
    slave: ScriptedSlave, device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_for(monkeypatch, ["127.0.0.1"], ["127.0.0.3"])
    moved = EmbeddedSlave("127.0.0.3", slave.port, MAP)
    moved.start()
    one = device(slave.port, host="plc.example")
    assert one.poll().words[1] == (2, 3)
    assert one.poll().words[1] == (2, 3)
    one.master.close()
    assert one.poll().words[1] == (0, 0)
    moved.stop()


def test_a_name_that_nobody_answers_for_is_given_up_in_time(
    device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    real = socket.getaddrinfo

    def dead(host: str, *rest: Any, flags: int = 0, **more: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            let_go.wait(30)
        return real(host, *rest, flags=flags, **more)

    monkeypatch.setattr(socket, "getaddrinfo", dead)
    one = device(1, host="plc.example", timeout_s=0.2)
    for _ in range(2):
        assert "plc.example:1 cannot be resolved: the look-up takes longer than 0.2 s." in one.is_away(within_s=1)
    let_go.set()
    wait_until(lambda: not any(thread.name.startswith("look-up") for thread in threading.enumerate()))


def test_a_device_that_allows_one_connection_is_served_by_one(proxy: Proxy, device: Callable[..., Device]) -> None:
    one, other = device(proxy.port, timeout_s=30), device(proxy.port, timeout_s=30)
    assert one.poll().failure is None
    proxy.refuse()  # the one place is taken
    for _ in range(50):
        assert one.poll().failure is None
    assert "Nothing accepts connections" in other.is_away(within_s=1)
    assert proxy.connections == 1


def test_closing_after_each_poll_lets_another_master_in(proxy: Proxy, device: Callable[..., Device]) -> None:
    one, other = device(proxy.port, close_after_poll=True), device(proxy.port, close_after_poll=True)
    for _ in range(5):
        for each in (one, other):
            assert each.poll().failure is None
            wait_until(lambda: proxy.open_connections == 0)
    assert proxy.connections == 10


def test_a_dead_unit_behind_a_gateway_does_not_hold_up_the_others(device: Callable[..., Device]) -> None:
    """The gateway waits long for the dead unit; nine others, each on its own connection, go on meanwhile."""
    give_up = threading.Event()

    def gateway(frame: bytes) -> bytes:
        if frame[6] == 5:
            give_up.wait(10)
            return exception(frame, 0x0B)
        return registers(frame, [frame[6]] * 10)

    with ScriptedSlave(gateway) as behind:
        units = {unit: device(behind.port, unit=unit, timeout_s=30) for unit in range(1, 11)}
        dead: list[Frame] = []
        waiting = threading.Thread(target=lambda: dead.extend(units[5].poll() for _ in range(3)))
        waiting.start()
        for _ in range(20):
            for unit, one in units.items():
                if unit != 5:
                    assert set(one.poll().words) == {(unit, unit)}
        assert not dead
        give_up.set()
        waiting.join()
        assert [frame.failure for frame in dead] == [Reason.NO_COMMUNICATION] * 3
        assert "unit 5, answers with exception 11 (gateway target does not respond)" in dead[0].detail
        assert behind.connections == 10  # an exception is an answer: no connection was made anew


def test_connections_and_descriptors_do_not_grow(proxy: Proxy, device: Callable[..., Device]) -> None:
    one = device(proxy.port)
    held = len(list(Path("/proc/self/fd").iterdir()))
    for round_ in range(60):
        assert one.poll().failure is None
        proxy.close_all(reset=bool(round_ % 2))
        one.poll()
    one.master.close()
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= held)


def test_serve_collect_and_probe_never_write_to_a_device_that_they_poll(tmp_path: Path) -> None:
    def golden(frame: bytes) -> bytes:
        address, count = struct.unpack(">HH", frame[8:12])
        return registers(frame, [(*GOLDEN_WORDS, *[0] * 200)[address + i] for i in range(count)])

    with ScriptedSlave(golden) as recorded:
        port = recorded.port
        with Serve(tmp_path, "--slave", "external", "--interval", "0.05", port=port, ready="Reading") as serve:
            wait_until(lambda: len(recorded.requests) > 5)
            serve.stop()
        before = len(recorded.requests)
        options = ["--label", "fine", "--count", 3, "--interval", 0.05, "--host", "127.0.0.1", "--port", port]
        assert run_cli("collect", *options, cwd=tmp_path).returncode == 0
        assert len(recorded.requests) >= before + 3
        before = len(recorded.requests)
        assert run_cli("probe", "--host", "127.0.0.1", "--port", port, cwd=tmp_path).returncode == 0
        assert len(recorded.requests) > before
        assert {request[0] for request in recorded.requests} == {3}


def test_a_poll_of_many_slow_requests_does_not_look_like_a_loop_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = threading.Semaphore(0)

    def slow(frame: bytes) -> bytes:
        gate.acquire(timeout=10)
        return answering(frame)

    bundle = load_bundle(shipped(BUNDLE))
    tags = "".join(
        f'[[tags]]\nname = "{tag.name}"\nunit = "{tag.unit}"\naddress = {100 * place}\n'
        for place, tag in enumerate(bundle.datamap.tags)
    )
    with ScriptedSlave(slow) as slave:
        Path("ampedge.toml").write_text(
            f'[modbus]\nhost = "127.0.0.1"\nport = {slave.port}\nslave = "external"\ntimeout_s = 20\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n{tags}'
        )
        with Service(load_config(), bundle) as service:
            (loop,) = service.devices
            for asked in range(1, 5):
                wait_until(lambda asked=asked: len(slave.requests) == asked)
                turned_s = loop.progress_s
                gate.release()
                wait_until(lambda asked=asked: len(slave.requests) == asked + 1)
                assert loop.progress_s > turned_s
            assert loop.poller.polls == 0
            gate.release(1000)
