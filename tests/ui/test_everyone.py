"""The main job with real processes: notebooks, a terminal and plain clients in one conversation."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

import nbchat
from tests.ui.processes import PATIENCE, kernels, nbchat_command, terminal

pytestmark = pytest.mark.own_ports

JOIN = """
import nbchat
panel = nbchat.join({chat!r}, name={name!r})
client = panel.client
"""


class Plain:
    """A plain client, as short as one can be: it reads on a thread, and each read is a line or several."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        assert self._socket.recv(8) == b"USERNAME"
        self._socket.sendall(name.encode())
        self._news = threading.Condition()
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := self._socket.recv(1024):
            with self._news:
                self.lines += data.decode().split("\n")
                self._news.notify_all()

    def say(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def expect(self, line: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: line in self.lines, PATIENCE), f"{line!r} not in {self.lines}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._socket.close()


def test_one_conversation(tmp_path: Path) -> None:
    """A server in one kernel, panels in two, a terminal, two plain clients: all see the same."""
    with kernels(2) as (one, two):
        one.run("import nbchat; server = nbchat.serve('class', port=0, history=None)")
        port = one.run("server.port")
        one.run(JOIN.format(chat="class", name="ada"))
        two.run(JOIN.format(chat="class", name="bob"))
        with terminal(*nbchat_command("join", "class", "--name", "cyd")) as cyd:
            cyd.expect("cyd>")
            first, second = Plain(port, "dan"), Plain(port, "eve")
            for kernel in (one, two):
                kernel.wait_for("len(client._state.transcript.members) == 5")

            one.run("client.send('hello from a notebook').wait(); None")
            for plain in (first, second):
                plain.expect("ada: hello from a notebook")
            two.run("client.send('hello from another').wait(); None")
            cyd.expect("bob (host): hello from another")
            cyd.type("hello from a terminal\r")
            first.expect("cyd: hello from a terminal")
            first.say("hello from dan")
            second.expect("dan: hello from dan")
            second.say("hello from eve")
            cyd.expect("eve (unverified): hello from eve")

            said = [
                "ada: hello from a notebook",
                "bob: hello from another",
                "cyd: hello from a terminal",
                "dan: hello from dan",
                "eve: hello from eve",
            ]
            names = ["ada", "bob", "cyd", "dan", "eve"]
            for kernel in (one, two):
                kernel.wait_for("client._state.transcript.seq == 5")
                assert kernel.run("client.transcript()") == said
                assert sorted(kernel.run("client.members")) == names
                assert kernel.run("[m.seq for m in client.messages]") == [1, 2, 3, 4, 5]
            first.expect("eve: hello from eve")
            for plain, own in ((first, "dan"), (second, "eve")):
                heard = [line for line in plain.lines if ": " in line]
                assert heard == [line for line in said if not line.startswith(own)]

            # They leave one after the other, and everybody else is told.
            second.close()
            first.expect("eve left the chat")
            cyd.type("quit\r")
            cyd.rest()
            assert cyd.process.wait(PATIENCE) == 0
            first.expect("cyd left the chat")
            first.close()
            one.wait_for("list(client._state.transcript.members) == ['ada', 'bob']")


def test_a_named_chat_survives_its_kernel(tmp_path: Path) -> None:
    """kill -9 of the server's kernel and a restart: history, keys and names come back by themselves."""
    with kernels(2) as (host, guest):
        serve = (
            "import nbchat; server = nbchat.serve('class', port={});"
            "client = nbchat.connect(server, name='ada')"
        )
        host.run(serve.format(0))
        port, link = host.run("server.port"), host.run("server.invite()")
        log_id = host.run("server._store.log_id")
        guest.run(f"import nbchat; client = nbchat.connect({link!r}, name='bob')")
        host.run("client.send('before').wait(); None")
        guest.wait_for("client._state.transcript.seq == 1")

        host.kill()
        guest.wait_for("client.status == 'reconnecting'")
        guest.run("message = client.send('said while nobody served')")
        assert guest.run("len(client.pending)") == 1
        host.restart()
        host.run(serve.format(port))

        guest.run(f"message.wait({PATIENCE}); None")
        host.wait_for("client._state.transcript.seq == 2")
        both = ["ada: before", "bob: said while nobody served"]
        assert host.run("client.transcript()") == both
        assert guest.run("client.transcript()") == both
        assert sorted(host.run("server.members")) == ["ada", "bob"]
        assert host.run("server._store.log_id") == log_id
        with nbchat.connect(link, name="cyd") as late:  # an invitation from before holds
            assert late.transcript() == both


def test_a_server_restarted_in_its_kernel_keeps_its_clients() -> None:
    """Changed options restart the server; the chat in memory, its clients and its port stay."""
    server = nbchat.serve("class", history=None)
    client = nbchat.connect(server, name="ada")
    client.send("before").wait()
    again = nbchat.serve("class", history=None, limits=nbchat.Limits(text=100))
    assert again is not server
    assert again.port == server.port
    assert client.send("after").wait().seq == 2
    assert client.transcript() == ["ada: before", "ada: after"]
    client.close()
    again.stop()
