"""A TCP proxy that fails on command: latency, cuts after so many bytes, resets, silence, wrong answers, TLS.

It stands before any server that speaks over TCP and knows nothing of what is said. Its methods may be called from the
thread of its event loop or from any other; a fault is in force when they return.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.servers.processes import LOOPBACK

_CHUNK: Final = 64 * 1024
_QUIET_SECONDS: Final = 0.1
_BEGIN: Final = 200
_CLOSE_WITH_RESET: Final = struct.pack("ii", 1, 0)


class Way(StrEnum):
    """Which way bytes go."""

    UP = "up"
    """From the client to the server."""
    DOWN = "down"
    """From the server to the client."""


class Proxy:
    """Listens on `port` from `start` to `close` and passes everything on to `target`, unless it was told otherwise."""

    def __init__(self, target: tuple[str, int], *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` it speaks TLS to its clients, and plainly to the target."""
        self.port = port
        self.passed: Counter[Way] = Counter()
        """Bytes passed on, each way."""
        self.connections = 0
        """Connections taken so far."""
        self._target = target
        self._tls = tls
        self._latency = 0.0
        self._hold: _Hold | None = None
        self._cut: _Cut | None = None
        self._answer: tuple[bytes, bytes] | None = None
        self._refuses = False
        self._healed = asyncio.Event()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    async def start(self) -> None:
        """Listen."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        if self._server is not None:
            # Its own `wait_closed` would wait for the connections.
            self._server.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def delay(self, seconds: float) -> None:
        """Let everything take so much longer, each way, from now on."""
        self._do(lambda: setattr(self, "_latency", seconds))

    def hold(self, way: Way, *, about: bytes = b"", once: bool = False) -> None:
        """Keep what goes this way until `heal`: the bytes are on the road, even if their sender gives up.

        Only on connections whose last request has `about` in its first bytes; with `once` only the first of them.
        """
        self._do(lambda: setattr(self, "_hold", _Hold(way, about, once=once)))

    @property
    def holding(self) -> int:
        """How many connections have something that is being held."""
        return sum(link.held for link in self._links)

    def cut(self, way: Way, after: int, *, about: bytes = b"") -> None:
        """Reset the connection on which the byte with this number passes, counted from now: once.

        Only what passes about requests with `about` in their first bytes is counted.
        """
        self._do(lambda: setattr(self, "_cut", _Cut(way, after, about)))

    def reset(self) -> None:
        """Reset all connections there are; new ones are welcome."""
        self._do(self._reset_all)

    def swallow(self) -> None:
        """Half open: whatever comes on the present connections disappears, each way, and they stay open.

        New connections work.
        """
        self._do(self._swallow)

    def answer(self, content: bytes, *, about: bytes = b"") -> None:
        """Answer in the server's place with these bytes, then close; the server hears nothing, until `heal`.

        Only requests with `about` in their first bytes.
        """
        self._do(lambda: setattr(self, "_answer", (content, about)))

    def refuse(self) -> None:
        """Reset all connections there are and every new one, until `heal`."""
        self._do(self._refuse)

    def heal(self) -> None:
        """End every fault; what was held goes on its way."""
        self._do(self._heal)

    def _swallow(self) -> None:
        for link in self._links:
            link.swallowed = True

    def _refuse(self) -> None:
        self._refuses = True
        self._reset_all()

    def _heal(self) -> None:
        self._latency, self._hold, self._cut, self._answer, self._refuses = 0.0, None, None, None, False
        self._healed.set()
        self._healed = asyncio.Event()

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        # Also if it is ended while it waits: asyncio would complain that nobody asked for the task's end.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._connect(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        link = _Link(writer, server_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(link, Way.UP, reader, server_writer))
                both.create_task(self._carry(link, Way.DOWN, server_reader, writer))
        finally:
            self._links.discard(link)
            server_writer.close()

    async def _carry(self, link: "_Link", way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read ahead of what is passed on: who gives up waiting has sent everything all the same."""
        road: asyncio.Queue[bytes] = asyncio.Queue()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(reader, road))
            both.create_task(self._pass_on(link, way, road, writer))

    async def _take(self, reader: asyncio.StreamReader, road: asyncio.Queue[bytes]) -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            road.put_nowait(data)

    async def _pass_on(self, link: "_Link", way: Way, road: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        while data := await road.get():
            link.note(way, data)
            if self._latency:
                await asyncio.sleep(self._latency)
            await self._wait_if_held(link, way)
            if link.swallowed:
                continue
            if way is Way.UP and self._answer is not None and self._answer[1] in link.said:
                await self._answer_for_server(link, road, self._answer[0])
                return
            data, ends = self._cut_off(link, way, data)
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
            self.passed[way] += len(data)
            if ends:
                link.reset()
                return
        if link.swallowed:
            return
        with contextlib.suppress(OSError):
            if way is Way.UP:
                writer.write_eof()  # the server may still have something to say
            else:
                writer.close()

    async def _wait_if_held(self, link: "_Link", way: Way) -> None:
        hold = self._hold
        if hold is None or hold.way is not way or hold.about not in link.said or not hold.takes(link):
            return
        link.held = True
        await self._healed.wait()
        link.held = False

    async def _answer_for_server(self, link: "_Link", road: asyncio.Queue[bytes], content: bytes) -> None:
        """A request has ended when nothing more comes: good enough without knowing what is said."""
        with contextlib.suppress(TimeoutError):
            while await asyncio.wait_for(road.get(), _QUIET_SECONDS):
                pass
        with contextlib.suppress(OSError):
            link.client.write(content)
            await link.client.drain()
        link.client.close()
        link.server.close()

    def _cut_off(self, link: "_Link", way: Way, data: bytes) -> tuple[bytes, bool]:
        cut = self._cut
        if cut is None or cut.way is not way or cut.about not in link.said:
            return data, False
        if cut.after > len(data):
            cut.after -= len(data)
            return data, False
        self._cut = None
        return data[: cut.after], True

    def _do(self, action: Callable[[], object]) -> None:
        assert self._loop is not None, "start() comes first"
        if threading.get_ident() == self._thread:
            action()
            return

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)


@dataclass(slots=True)
class _Cut:
    way: Way
    after: int
    about: bytes


class _Hold:
    def __init__(self, way: Way, about: bytes, *, once: bool) -> None:
        self.way = way
        self.about = about
        self._once = once
        self._taken: _Link | None = None

    def takes(self, link: "_Link") -> bool:
        self._taken = self._taken or link
        return not self._once or self._taken is link


class _Link:
    """One client's connection and the server's that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.swallowed = False
        self.held = False
        self.said = b""
        """The begin of the client's last request: of what it said since the server spoke last."""
        self._asks = True

    def note(self, way: Way, data: bytes) -> None:
        if way is Way.UP and self._asks:
            self.said = data[:_BEGIN]
        self._asks = way is Way.DOWN

    def reset(self) -> None:
        for end in (self.client, self.server):
            _reset(end)


def _reset(end: asyncio.StreamWriter) -> None:
    """End it as a host that has lost its state does: not with a farewell, but with a reset."""
    if end.is_closing():
        return
    plain = end.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
    end.transport.abort()
