"""A small broker inside the process, for trying things: loopback only, MQTT 3.1.1, no passwords."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from ampedge.errors import InUseError, UsageError, missing_extra

_LISTENER = "default"
_STOP_S = 3.0

_Enter = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class EmbeddedBroker:
    """amqtt in a thread with its own event loop; a context manager, or `start` and `stop`.

    `port` 0 takes a free one; once started, `port` is the real one.
    Clients must speak MQTT 3.1.1: amqtt never answers a client of version 5.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self.host = host
        self.port = port
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; raises InUseError for a taken port, UsageError without amqtt or for an address of the network."""
        make_broker = _broker_maker()
        listening = _listen(self.host, self.port)
        self.port = listening.getsockname()[1]
        ready: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(_serve(make_broker, listening, ready)), name="ampedge-broker", daemon=True
        )
        self._thread.start()
        self._stop = ready.result()

    def stop(self) -> None:
        """Disconnect every client and end the thread; may be called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _broker_maker() -> Callable[[], Any]:
    try:
        from amqtt.broker import Broker
        from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
    except ImportError as error:
        raise missing_extra("The embedded broker", "broker") from error
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    config = BrokerConfig(
        listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    return lambda: Broker(config)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"The name {host!r} for the embedded broker is not known.", "Leave it out.") from error
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"The embedded broker asks nobody for a password, so it does not listen on {host}.",
            "Install Mosquitto to serve others.",
        )
    try:
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise InUseError(
            f"Port {port} on {host} is taken ({error.strerror}), so the embedded broker cannot listen there.",
            "Perhaps a broker runs there already: name it with --broker, or choose another port.",
        ) from error


async def _serve(make_broker: Callable[[], Any], listening: socket.socket, ready: Future[Callable[[], object]]) -> None:
    """Run the broker until the function that `ready` gets is called; asyncio.run then ends what is left."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # a client that leaves abruptly is no news
    stopping = asyncio.Event()
    with listening:
        try:
            broker = make_broker()
            await broker.start()
            server = await asyncio.start_server(_entrance(broker), sock=listening)
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
        await stopping.wait()
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(broker.shutdown(), _STOP_S)


def _entrance(broker: Any) -> _Enter:
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)
        finally:
            writer.close()

    return enter
