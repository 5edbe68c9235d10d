"""A chat with asyncio's streams, as most are written: for each message, a write for each client."""

import asyncio
import ssl
import sys

members: dict[str, dict[asyncio.StreamWriter, str]] = {}


def send_to_all(room: dict[asyncio.StreamWriter, str], text: str) -> None:
    data = text.encode()
    for member in room:
        member.write(data)


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"USERNAME")
    name, _, place = (await reader.readline()).decode().strip().partition(" ")
    room = members.setdefault(place, {})
    room[writer] = name
    send_to_all(room, f"{name} joined the chat!\n")
    writer.write(b"WELCOME\n")
    while line := await reader.readline():
        send_to_all(room, f"{name}: {line.decode()}")
    del room[writer]
    send_to_all(room, f"{name} left the chat\n")
    writer.close()


def encryption() -> ssl.SSLContext | None:
    """With a certificate's file as the first argument, what TLS needs."""
    if len(sys.argv) < 2:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    return context


async def main() -> None:
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, backlog=1024, ssl=encryption())
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
