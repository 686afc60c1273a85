"""A real Mosquitto on a free port of this machine, and its command line subscriber."""

import contextlib
import getpass
import json
import random
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.parts import needed
from tests.support.waiting import wait_until


class Mosquitto:
    """One broker process, started by entering it; `stop` and `start` restart it on the same port."""

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        *,
        users: dict[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        clients_of: Path | None = None,
    ) -> None:
        """`users` are asked for their passwords; `tls` is (certificate, key), then everyone must speak TLS.

        `clients_of` is an authority whose certificate every client must have.
        """
        self.port = free_port()
        self._program = needed("mosquitto")
        self._config = directory / "mosquitto.conf"
        lines = [f"listener {self.port} {self.host}", "persistence false", "max_queued_messages 0"]
        lines.append(f"user {getpass.getuser()}")  # as root it would become another user, who may not read this
        self._directory = directory
        self._passwords = directory / "passwords"
        if users is None:
            lines.append("allow_anonymous true")
        else:
            self.give_passwords(users)
            lines += ["allow_anonymous false", f"password_file {self._passwords}"]
        if tls is not None:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if clients_of is not None:
            lines += [f"cafile {clients_of}", "require_certificate true"]
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    def configure(self, *lines: str) -> None:
        """Add lines to the config, before `start`."""
        self._lines += lines

    def give_passwords(self, users: dict[str, str]) -> None:
        """Write the file of passwords, which a running broker reads at `reload`."""
        self._passwords.write_text("")
        for name, password in users.items():
            subprocess.run([needed("mosquitto_passwd"), "-b", self._passwords, name, password], check=True)

    def reload(self) -> None:
        """Have it read its passwords and access list again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._config.write_text("\n".join(self._lines) + "\n")
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", self._config], stdout=log, stderr=log)
        wait_until(self._accepts, what="Mosquitto to listen")

    @property
    def runs(self) -> bool:
        """Whether it was started and has not been stopped since."""
        return self._process is not None

    def pause(self) -> None:
        """Stop its clock: connections stay, nothing is answered; until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish one message with `mosquitto_pub`, at QoS 1."""
        arguments = [needed("mosquitto_pub"), "-h", self.host, "-p", str(self.port), "-q", "1", "-t", topic, "-s"]
        given = payload.encode() if isinstance(payload, str) else payload
        subprocess.run([*arguments, *(["-r"] if retain else [])], input=given, check=True, timeout=10)

    def log(self) -> str:
        """All that it has logged."""
        return (self._directory / "mosquitto.log").read_text()

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Kill it as a power cut would, or end it by another signal, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=1).close()
            return True
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class MosquittoSub:
    """`mosquitto_sub` on some topics of a broker, from entering it; `messages` grows as they arrive."""

    def __init__(self, port: int, *topics: str, version: str = "311") -> None:
        self.messages: list[dict[str, Any]] = []
        program = [needed("stdbuf"), "-oL", needed("mosquitto_sub")]
        arguments = [*program, "-h", "127.0.0.1", "-p", str(port), "-V", version, "-q", "1", "-d"]
        for topic in topics:
            arguments += ["-t", topic]
        self._arguments = [*arguments, "-F", "MESSAGE %j"]

    def on(self, topic: str) -> list[str]:
        """The payloads of one topic so far."""
        return [message["payload"] for message in self.messages if message["topic"] == topic]

    def __enter__(self) -> Self:
        subscribed = threading.Event()

        def read() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                if line.startswith("MESSAGE ") and line.endswith("\n"):  # the last one may be cut when it is ended
                    self.messages.append(json.loads(line.removeprefix("MESSAGE ")))
                elif "SUBACK" in line or line.startswith("Subscribed"):
                    subscribed.set()

        self._process = subprocess.Popen(self._arguments, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=read)
        self._reader.start()
        if not subscribed.wait(10):
            self.__exit__(None, None, None)
            raise AssertionError("mosquitto_sub did not subscribe")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # on SIGTERM it may wait for its broker for ever
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def free_port() -> int:
    """A TCP port that nothing listens on just now, and that the system gives to no outgoing connection meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
