"""A TCP proxy that does to a connection what plants do: delay, slice, cut, reset, swallow, corrupt, refuse.

with Proxy(slave.port) as proxy:
    connect_to(proxy.port)
    proxy.down.latency_s = 2.0      # what the target sends; proxy.up is what the client sends
    proxy.both(hold=True)           # nothing passes until it is False again, and nothing is lost
    proxy.close_all(reset=True)     # every connection ends with RST
    proxy.refuse(); proxy.listen()
    proxy.heal()                    # no faults any more
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Self

_POLL_S = 0.005
_PIECE = 65536
_ABRUPT = struct.pack("ii", 1, 0)


@dataclass
class Toxics:
    """What happens to the bytes of one direction; may be changed at any moment."""

    latency_s: float = 0.0
    """Each piece comes so much later."""
    slice_bytes: int | None = None
    """Pieces of so many bytes, `pause_s` apart."""
    pause_s: float = 0.0
    hold: bool = False
    """Nothing passes, nothing is lost: a peer that is frozen."""
    blackhole: bool = False
    """Bytes are taken and thrown away, an end is not passed on."""
    cut_after: int | None = None
    """The connection ends after so many bytes of this direction, counted from its start."""
    reset: bool = False
    """The cut is a reset (RST), not an end (FIN)."""
    corrupt: float = 0.0
    """The share of bytes in which a bit is flipped."""


class Proxy:
    """A context manager that listens on 127.0.0.1 and passes on to `target` there.

    `connections` counts those that were accepted; `sent_up` and `sent_down` count the bytes that were passed on.
    """

    def __init__(self, target: int, *, port: int = 0, seed: int = 1) -> None:
        self.target = target
        self.port = port
        self.up = Toxics()
        self.down = Toxics()
        self.connections = 0
        self.sent_up = 0
        self.sent_down = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._open) // 2

    def both(self, **toxics: Any) -> None:
        """Set toxics of both directions."""
        for name, value in toxics.items():
            assert name in Toxics.__dataclass_fields__, name
            setattr(self.up, name, value)
            setattr(self.down, name, value)

    def heal(self) -> None:
        """No toxics any more; whatever is open stays open."""
        for field in fields(Toxics):
            self.both(**{field.name: field.default})

    def close_all(self, *, reset: bool = False) -> None:
        """End every connection, with RST or FIN."""
        self._run(self._close(reset=reset))

    def refuse(self) -> None:
        """Stop listening: new connections are refused."""
        self._run(self._refuse())

    def listen(self) -> None:
        """Listen, again at the same port."""
        self._run(self._listen())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0)  # a connection that has just come is forgotten, open, where its server is closed
            server.close()

    async def _close(self, *, reset: bool) -> None:
        for writer in tuple(self._open):
            _abort(writer, reset=reset)

    async def _end(self) -> None:
        await self._refuse()
        await self._close(reset=False)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [to_client]
        self._open.add(to_client)
        try:
            target, to_target = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(to_target)
            self._open.add(to_target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(client, to_target, lambda: self.up, self._went_up))
                both.create_task(self._pump(target, to_client, lambda: self.down, self._went_down))
        except* OSError:
            pass
        finally:
            for writer in writers:
                writer.close()
                self._open.discard(writer)
            self._tasks.discard(task)

    def _went_up(self, size: int) -> None:
        self.sent_up += size

    def _went_down(self, size: int) -> None:
        self.sent_down += size

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        toxics: Callable[[], Toxics],
        count: Callable[[int], None],
    ) -> None:
        passed = 0
        while data := await source.read(_PIECE):
            toxic = toxics()
            if toxic.latency_s:
                await asyncio.sleep(toxic.latency_s)
            size = toxic.slice_bytes or len(data)
            for at in range(0, len(data), size):
                piece = self._corrupted(data[at : at + size], toxic.corrupt)
                while toxic.hold and not sink.is_closing():
                    await asyncio.sleep(_POLL_S)
                if toxic.blackhole:
                    continue
                if toxic.cut_after is not None:
                    piece = piece[: max(0, toxic.cut_after - passed)]
                passed += len(piece)
                count(len(piece))
                sink.write(piece)
                await sink.drain()
                if toxic.cut_after is not None and passed >= toxic.cut_after:
                    if toxic.reset:
                        await asyncio.sleep(_POLL_S)  # a reset overtakes what was sent just before it
                        _abort(sink, reset=True)
                    raise ConnectionResetError
                if toxic.pause_s and size < len(data):
                    await asyncio.sleep(toxic.pause_s)
        while (toxics().blackhole or toxics().hold) and not sink.is_closing():
            await asyncio.sleep(_POLL_S)
        if sink.can_write_eof():
            sink.write_eof()

    def _corrupted(self, data: bytes, share: float) -> bytes:
        if not share:
            return data
        return bytes(
            byte ^ (1 << self._random.randrange(8)) if self._random.random() < share else byte for byte in data
        )


def _abort(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection = writer.get_extra_info("socket")
    if reset and connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT)
    writer.transport.abort()
