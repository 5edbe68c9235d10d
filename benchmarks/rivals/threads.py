"""A chat with a thread for each client, as a first server is written: blocking sockets, a loop that sends.

In the manner of the first generation: it asks for a name, and sends everybody but the author each message by
itself. Other than there, messages are lines, so that they can be counted; and there are rooms.
"""

import socket
import sys
import threading

members: dict[str, dict[socket.socket, str]] = {}


def send_to_others(room: dict[socket.socket, str], text: str, author: socket.socket) -> None:
    data = text.encode()
    for member in list(room):
        if member is not author:
            try:
                member.sendall(data)
            except OSError:
                room.pop(member, None)


def serve_one(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"USERNAME")
    name, _, place = sock.recv(1024).decode().strip().partition(" ")
    room = members.setdefault(place, {})
    send_to_others(room, f"{name} joined the chat!\n", sock)
    room[sock] = name
    sock.sendall(b"WELCOME\n")
    rest = b""
    try:
        while data := sock.recv(4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                send_to_others(room, f"{name}: {line.decode()}\n", sock)
    except OSError:
        pass
    room.pop(sock, None)
    send_to_others(room, f"{name} left the chat\n", sock)
    sock.close()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    sys.stdin.read()


def accept(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
