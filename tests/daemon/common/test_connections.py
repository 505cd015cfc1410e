"""The bound on connections of a listener, and their end."""

import asyncio
import contextlib
import gc
import socket

import pytest

from aez.daemon.common.connections import Connections, stop_listening


async def listening(connections: Connections) -> tuple[asyncio.Server, tuple[str, int]]:
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[:2]


async def until_open(connections: Connections, count: int) -> None:
    while len(connections._open) < count:
        await asyncio.sleep(0.001)


def test_what_is_still_open_is_cut_before_the_loop_ends() -> None:
    """A transport that outlives its loop is an open socket, which only the garbage collector finds."""

    async def run() -> None:
        connections = Connections(4, asyncio.Protocol)
        server, address = await listening(connections)
        peers = [socket.create_connection(address) for _ in range(3)]
        await until_open(connections, 3)
        server.close()
        await connections.end()
        assert not connections._open
        for peer in peers:
            peer.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
            peer.close()

    asyncio.run(run())
    gc.collect()  # what was left open would be a ResourceWarning, and so an error


@pytest.mark.parametrize("turns", range(5))
def test_what_was_accepted_as_the_listener_ended_is_cut_too(turns: int) -> None:
    """Its transport is made a turn of the loop later."""

    async def run() -> None:
        connections = Connections(4, asyncio.Protocol)
        server, address = await listening(connections)
        with socket.create_connection(address):
            for _ in range(turns):
                await asyncio.sleep(0)
            await stop_listening(server)
            await connections.end()

    asyncio.run(run())
    gc.collect()  # what was left open would be a ResourceWarning, and so an error


def test_beyond_the_bound_connections_are_closed_at_once() -> None:
    async def run() -> None:
        connections = Connections(1, asyncio.Protocol)
        server, address = await listening(connections)
        first = socket.create_connection(address)
        await until_open(connections, 1)
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        writer.close()
        server.close()
        await connections.end()
        first.close()

    asyncio.run(run())


def test_who_says_nothing_shuts_out_nobody_who_does() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    async def run() -> None:
        connections = Connections(20, asyncio.Protocol)
        server, address = await listening(connections)
        asking = [socket.create_connection(address) for _ in range(3)]
        for peer in asking:
            peer.sendall(head[:-1])
            peer.sendall(head[-1:])
        await until_open(connections, 3)
        while connections._silent:
            await asyncio.sleep(0.001)
        silent = [socket.create_connection(address) for _ in range(5)]
        await until_open(connections, 8)
        for _ in range(3):  # one more than a quarter without a word
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            writer.close()
        silent.pop().close()
        await until_fewer(connections, 8)
        silent.append(socket.create_connection(address))
        await until_open(connections, 8)
        server.close()
        await connections.end()
        assert not connections._silent
        for peer in asking + silent:
            peer.close()

    asyncio.run(run())


async def until_fewer(connections: Connections, count: int) -> None:
    while len(connections._open) >= count:
        await asyncio.sleep(0.001)
