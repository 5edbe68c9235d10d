"""A chat with the library websockets and its broadcast(), which is its fastest way to write to many."""

import asyncio
import ssl
import sys
from collections import defaultdict

from websockets.asyncio.server import ServerConnection, broadcast, serve

members: dict[str, dict[ServerConnection, str]] = defaultdict(dict)


async def serve_one(connection: ServerConnection) -> None:
    assert connection.request is not None
    _, place, name = connection.request.path.split("/")
    room = members[place]
    room[connection] = name
    broadcast(room, f"{name} joined the chat!")
    async for text in connection:
        broadcast(room, f"{name}: {text!s}")
    del room[connection]


def encryption() -> ssl.SSLContext | None:
    """With a certificate's file as the first argument, what TLS needs."""
    if len(sys.argv) < 2:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    return context


async def main() -> None:
    async with serve(serve_one, "127.0.0.1", 0, ping_interval=None, backlog=1024, ssl=encryption()) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
