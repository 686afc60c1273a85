"""A small broker inside the process, for trying things: loopback only, MQTT 3.1.1, no passwords."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from ampedge.errors import InUseError, UsageError, missing_extra

_LISTENER = "default"
_STOP_S = 3.0


class EmbeddedBroker:
    """amqtt in a thread with its own event loop; a context manager, or `start` and `stop`.

    `port` 0 takes a free one; once started, `port` is the real one.
    Clients must speak MQTT 3.1.1: amqtt never answers a client of version 5.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self.host = host
        self.port = port
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; raises InUseError for a taken port, UsageError without amqtt or for an address of the network."""
        make_broker = _broker_maker()
        listening = _listen(self.host, self.port)
        self._address = listening.getsockname()[:2]
        self.port = self._address[1]
        self._stopping.clear()
        ready: Future[None] = Future()
        serving = _serve(make_broker, listening, ready, self._stopping)
        self._thread = threading.Thread(target=asyncio.run, args=(serving,), name="ampedge-broker", daemon=True)
        self._thread.start()
        ready.result()

    def stop(self) -> None:
        """Disconnect every client and end the thread; may be called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            with contextlib.suppress(OSError):  # it has ended by itself
                socket.create_connection(self._address).close()
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

    class Corrected(Broker):  # type: ignore[misc]  # amqtt has no types
        """amqtt sends a new client the retained messages of every other client's subscriptions; this does not."""

        async def _publish_retained_messages_for_subscription(self, subscription: Any, session: Any) -> None:
            holders = self._subscriptions.get(subscription[0], ())
            if any(holder.client_id == session.client_id for holder, _ in holders):
                await super()._publish_retained_messages_for_subscription(subscription, session)

    config = BrokerConfig(
        listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    return lambda: Corrected(config)


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
        listening = socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise InUseError(
            f"Port {port} on {host} is taken ({error.strerror}), so the embedded broker cannot listen there.",
            "Perhaps a broker runs there already: name it with --broker, or choose another port.",
        ) from error
    listening.setblocking(False)
    return listening


async def _serve(
    make_broker: Callable[[], Any], listening: socket.socket, ready: Future[None], stopping: threading.Event
) -> None:
    """Run the broker until `stopping` is set and one more client connects."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # an abrupt leave is no news
    with listening:
        try:
            broker = make_broker()
            await broker.start()
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        await _let_in(broker, listening, stopping)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(broker.shutdown(), _STOP_S)


async def _let_in(broker: Any, listening: socket.socket, stopping: threading.Event) -> None:
    """Accept clients until told to stop, and then leave none behind.

    Accepting is never cancelled: asyncio would forget a connection that comes at that moment.
    """
    loop = asyncio.get_running_loop()
    guests: dict[asyncio.Task[None], socket.socket] = {}
    while True:
        try:
            connected, _ = await loop.sock_accept(listening)
        except OSError:  # too many open files, or a client that left while it waited
            await asyncio.sleep(0.1)
            continue
        if stopping.is_set():
            break
        guest = asyncio.create_task(_entertain(broker, connected))
        guests[guest] = connected
        guest.add_done_callback(guests.pop)
    connected.close()
    left = dict(guests)
    for guest in left:
        guest.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0)  # a transport closes in the next turn of the loop
    for connected in left.values():
        connected.close()


async def _entertain(broker: Any, connected: socket.socket) -> None:
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)
    finally:
        writer.transport.abort()
