"""The proxy that fails on command, before a small server that answers what it hears in capitals."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import certificates
from tests.servers.processes import LOOPBACK
from tests.servers.proxy import Proxy, Way


class Bench(NamedTuple):
    proxy: Proxy
    heard: bytearray
    """All that has come to the server."""


@contextlib.asynccontextmanager
async def behind(tls: ssl.SSLContext | None = None) -> AsyncIterator[Bench]:
    heard = bytearray()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                heard.extend(data)
                writer.write(data.upper())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, LOOPBACK, 0)
    proxy = Proxy(server.sockets[0].getsockname()[:2], tls=tls)
    await proxy.start()
    try:
        yield Bench(proxy, heard)
    finally:
        await proxy.close()
        server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with behind() as opened:
        yield opened


@contextlib.asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(proxy: Proxy, words: bytes) -> bytes:
    async with client(proxy) as (reader, writer):
        writer.write(words)
        return await asyncio.wait_for(reader.readexactly(len(words)), 5)


async def heard(bench: Bench, words: bytes) -> None:
    async with asyncio.timeout(5):
        while bytes(bench.heard) != words:  # noqa: ASYNC110 - the server is a list of bytes
            await asyncio.sleep(0.005)


async def test_without_a_fault_everything_passes_both_ways_and_is_counted(bench: Bench) -> None:
    assert await ask(bench.proxy, b"hello") == b"HELLO"
    assert await ask(bench.proxy, b"again") == b"AGAIN"
    assert bench.proxy.connections == 2
    assert bench.proxy.passed == {Way.UP: 10, Way.DOWN: 10}


async def test_much_passes_whole(bench: Bench) -> None:
    words = b"x" * 1_000_000
    assert await ask(bench.proxy, words) == words.upper()


async def test_the_end_of_one_side_reaches_the_other(bench: Bench) -> None:
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"bye")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"BYE"


async def test_a_delay_holds_up_each_way(bench: Bench) -> None:
    bench.proxy.delay(0.1)
    started = time.monotonic()
    assert await ask(bench.proxy, b"slow") == b"SLOW"
    assert time.monotonic() - started >= 0.2


async def test_what_is_held_on_its_way_up_arrives_though_its_sender_has_gone(bench: Bench) -> None:
    bench.proxy.hold(Way.UP)
    async with client(bench.proxy) as (_, writer):
        writer.write(b"late")
        await writer.drain()
        await asyncio.sleep(0.05)
    assert not bench.heard
    bench.proxy.heal()
    await heard(bench, b"late")


async def test_an_answer_that_is_held_was_heard(bench: Bench) -> None:
    bench.proxy.hold(Way.DOWN)
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"done")
        await heard(bench, b"done")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        bench.proxy.heal()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"DONE"


async def test_one_request_alone_can_be_held(bench: Bench) -> None:
    bench.proxy.hold(Way.UP, about=b"slow", once=True)
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"a slow one")
        assert await ask(bench.proxy, b"a quick one") == b"A QUICK ONE"
        assert await ask(bench.proxy, b"another slow one") == b"ANOTHER SLOW ONE"
        assert bench.proxy.holding == 1
        bench.proxy.heal()
        assert await asyncio.wait_for(reader.readexactly(10), 5) == b"A SLOW ONE"
    assert bench.proxy.holding == 0


async def test_only_what_a_fault_is_about_meets_it(bench: Bench) -> None:
    bench.proxy.cut(Way.DOWN, 3, about=b"cut me")
    assert await ask(bench.proxy, b"leave me") == b"LEAVE ME"
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await ask(bench.proxy, b"cut me")
    bench.proxy.answer(b"no", about=b"POST")
    assert await ask(bench.proxy, b"GET") == b"GET"
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"POST")
        assert await asyncio.wait_for(reader.read(), 5) == b"no"


@pytest.mark.parametrize(("after", "arrives"), [(0, b""), (3, b"one"), (7, b"one two")])
async def test_a_cut_on_the_way_up_lets_so_many_bytes_through(bench: Bench, after: int, arrives: bytes) -> None:
    bench.proxy.cut(Way.UP, after)
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"one two three")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(100), 5)
    await heard(bench, arrives)


async def test_a_cut_is_counted_over_connections_and_comes_once(bench: Bench) -> None:
    bench.proxy.cut(Way.DOWN, 12)
    assert await ask(bench.proxy, b"ten bytes.") == b"TEN BYTES."
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await ask(bench.proxy, b"ten bytes.")
    assert await ask(bench.proxy, b"ten bytes.") == b"TEN BYTES."


async def test_a_reset_ends_what_there_is_and_leaves_what_comes(bench: Bench) -> None:
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"A"
        bench.proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
    assert await ask(bench.proxy, b"new") == b"NEW"


async def test_half_open_connections_are_silent_and_new_ones_work(bench: Bench) -> None:
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"A"
        bench.proxy.swallow()
        writer.write(b"anybody?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert await ask(bench.proxy, b"new") == b"NEW"
    assert bytes(bench.heard) == b"anew"


async def test_it_answers_in_the_servers_place(bench: Bench) -> None:
    bench.proxy.answer(b"HTTP/1.1 503 Not Now\r\n\r\n")
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"request")
        assert await asyncio.wait_for(reader.read(), 5) == b"HTTP/1.1 503 Not Now\r\n\r\n"
    assert not bench.heard
    bench.proxy.heal()
    assert await ask(bench.proxy, b"back") == b"BACK"


async def test_refused_until_healed(bench: Bench) -> None:
    bench.proxy.refuse()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await ask(bench.proxy, b"hello")
    bench.proxy.heal()
    assert await ask(bench.proxy, b"hello") == b"HELLO"


async def test_another_thread_may_command_it(bench: Bench) -> None:
    await asyncio.to_thread(bench.proxy.answer, b"from a thread")
    async with client(bench.proxy) as (reader, writer):
        writer.write(b"request")
        assert await asyncio.wait_for(reader.read(), 5) == b"from a thread"


async def test_with_a_certificate_it_speaks_tls_to_clients_and_plainly_to_the_server(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.file)
    async with behind(authority.issue("good").server_context()) as bench:
        reader, writer = await asyncio.open_connection(LOOPBACK, bench.proxy.port, ssl=trusting)
        writer.write(b"secret")
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"SECRET"
        writer.close()
        assert bytes(bench.heard) == b"secret"
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(LOOPBACK, bench.proxy.port, ssl=ssl.create_default_context())
