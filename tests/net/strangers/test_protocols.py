"""Programs that speak something else, and a web page that tries to speak ours."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nbchat.core.plain import HTTP_ANSWER, OTHER_ANSWER
from nbchat.server import interfaces
from tests.net.helpers import PATIENCE
from tests.net.strangers.conftest import Scene, bare, rest
from tests.ui import lab

MakeScene = Callable[..., AbstractContextManager[Scene]]

HTTP = "an HTTP request"
OTHER = "another protocol"
NAME = "name cannot be"
FOREIGN = {
    "GET": (b"GET /?token=hush HTTP/1.1\r\nHost: a\r\n\r\n", HTTP),
    "HEAD": (b"HEAD / HTTP/1.0\r\n\r\n", HTTP),
    "POST": (b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\nboss: hello", HTTP),
    "OPTIONS": (b"OPTIONS / HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n", HTTP),
    "CONNECT": (b"CONNECT mail.example:25 HTTP/1.1\r\n\r\n", HTTP),
    "a WebSocket": (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", HTTP),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP),
    "RTSP": (b"OPTIONS rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", HTTP),
    "SIP": (b"OPTIONS sip:nm SIP/2.0\r\n\r\n", HTTP),
    "a verb of its own": (b"BREW /pot HTTP/1.1\r\n\r\n", HTTP),
    "a lower-case verb": (b"get / http/1.0\r\n\r\n", NAME),
    "TLS": (bytes.fromhex("160301007f0100007b0303") + bytes(120), "a TLS hello"),
    "old SSL": (bytes.fromhex("802e0100020015000000100100800200800300800400800600400700c0"), NAME),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", "an SSH client"),
    "PROXY 1": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", OTHER),
    "PROXY 1, unknown": (b"PROXY UNKNOWN\r\n", OTHER),
    "PROXY 2": (b"\r\n\r\n\x00\r\nQUIT\n" + bytes.fromhex("21110000"), OTHER),
    "mail": (b"EHLO mail.example\r\n", OTHER),
    "old mail": (b"HELO mail.example\r\n", OTHER),
    "IRC": (b"NICK ada\r\nUSER ada 0 * :Ada\r\n", OTHER),
    "IRC with capabilities": (b"CAP LS 302\r\nNICK ada\r\n", OTHER),
    "FTP and POP3": (b"USER anonymous\r\n", OTHER),
    "VNC": (b"RFB 003.008\r\n", OTHER),
    "help": (b"HELP\r\n", OTHER),
    "gopher": (b"/\r\n", NAME),
    "gopher's root": (b"\r\n", NAME),
    "RDP": (bytes.fromhex("030000130ee000000000000100080003000000"), NAME),
    "SMB": (b"\x00\x00\x00\x45\xffSMBr" + bytes(60), NAME),
    "SMB 2": (b"\x00\x00\x00\x44\xfeSMB@" + bytes(60), NAME),
    "PostgreSQL": (bytes.fromhex("0000000804d2162f"), NAME),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", NAME),
    "MQTT": (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", NAME),
    "LDAP": (bytes.fromhex("300c020101600702010304008000"), NAME),
    "DNS": (bytes.fromhex("001e00060100000100000000000007766572"), NAME),
    "telnet": (b"\xff\xfd\x03\xff\xfb\x18", NAME),
    "Jupyter's kernel": (b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL", NAME),
    "JDWP": (b"JDWP-Handshake/", NAME),
    "a pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix", NAME),
    "noise": (bytes(range(128, 256)) * 40, "a first line that is too long"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_protocol_is_nobody(make_scene: MakeScene, kind: str) -> None:
    """Three times: it is told what this is, it is written down once, and never gets to be a name."""
    data, says = FOREIGN[kind]
    with make_scene(greeting=0.02) as scene, scene.attack(says):
        for greeted in (False, True, True):
            with bare(scene.server) as sock:
                if greeted:
                    assert sock.recv(8, socket.MSG_WAITALL) == b"USERNAME"
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)
                answer = rest(sock).removeprefix(b"USERNAME")
                match says:
                    case "an HTTP request":
                        assert answer == HTTP_ANSWER
                    case "another protocol":
                        assert answer == OTHER_ANSWER
                    case "name cannot be":
                        assert answer.startswith(b"system: ") or not answer
                    case _:
                        assert answer == b""
                assert b"hush" not in answer
        assert not any("hush" in line or "evil" in line for line in scene.log)
        assert [row.kind for row in scene.ada._state.transcript.rows] == []


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself")
@pytest.mark.parametrize("kind", [kind for kind in FOREIGN if kind != "TLS"])
def test_what_is_not_tls_at_a_port_with_it(
    make_scene: MakeScene, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, says = FOREIGN[kind]
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.2")
    with make_scene(lan=True) as scene, scene.attack("no TLS at a port with TLS"):
        for _ in range(3):
            with socket.create_connection(("127.0.0.2", scene.server.port), PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)
                answer = rest(sock)
                if len(data) < 1000:  # who sends more than is read may lose the answer
                    assert answer == HTTP_ANSWER if says == HTTP else b"This port is encrypted" in answer


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself")
def test_broken_tls_is_let_go(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.2")
    with make_scene(lan=True) as scene, scene.attack("a TLS handshake that failed"):
        for noise in (b"\x16\x03\x01\x00\x05hello", b"\x16" * 600, b"\x16\x03\x03\xff\xff" + bytes(70_000)):
            with socket.create_connection(("127.0.0.2", scene.server.port), PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(noise)
                rest(sock)


def test_what_a_browser_gets_says_nothing_of_the_chat() -> None:
    head, _, body = HTTP_ANSWER.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Access-Control" not in head
    assert b"This is a chat port" in body


# ── a page in a real browser ────────────────────────────────────────────────────────────────────

_PAGE = b"""<!doctype html><meta charset=utf-8><title>evil</title><iframe name=hidden></iframe>
<form id=f method=post enctype=text/plain target=hidden>
<input name='boss: hello from the form' value=''></form>
"""

_ATTACK = """
async ([port, hello]) => {
  const url = `http://127.0.0.1:${port}/`, seen = [];
  const note = async (what, doing) => {
    try { seen.push([what, 'got', String(await doing())]); } catch (e) { seen.push([what, 'failed']); }
  };
  await note('fetch', async () => (await fetch(url)).text());
  await note('fetch with a body', async () => (await fetch(url, {method: 'POST', body: hello})).text());
  await note('fetch with JSON', async () => (await fetch(url, {method: 'PUT', body: hello,
    headers: {'Content-Type': 'application/json'}})).text());
  await note('no-cors', async () => {
    const answer = await fetch(url, {method: 'POST', mode: 'no-cors', body: hello});
    return [answer.type, answer.status, await answer.text()].join();
  });
  await note('beacon', async () => { navigator.sendBeacon(url, hello); throw 'nothing comes back'; });
  await note('image', () => new Promise((good, bad) => {
    const image = new Image(); image.onload = () => good('an image'); image.onerror = bad; image.src = url;
  }));
  await note('script', () => new Promise((good, bad) => {
    const tag = document.createElement('script');
    tag.onload = () => good('a script'); tag.onerror = bad; tag.src = url; document.head.append(tag);
  }));
  await note('EventSource', () => new Promise((good, bad) => {
    const source = new EventSource(url);
    source.onmessage = e => good(e.data); source.onerror = () => { source.close(); bad(); };
  }));
  await note('WebSocket', () => new Promise((good, bad) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    socket.onopen = () => { socket.send(hello); }; socket.onmessage = e => good(e.data); socket.onerror = bad;
  }));
  await note('WebSocket with TLS', () => new Promise((good, bad) => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`);
    socket.onmessage = e => good(e.data); socket.onerror = bad;
  }));
  await note('TLS', async () => (await fetch(`https://127.0.0.1:${port}/`)).text());
  const form = document.getElementById('f'); form.action = url;
  const loaded = new Promise(done => document.querySelector('iframe').addEventListener('load', done));
  form.submit(); await loaded;
  await note('form', async () => document.querySelector('iframe').contentDocument.body.innerText);
  return seen;
}
"""


@pytest.fixture
def evil_page() -> Iterator[str]:
    """A page of somebody else's, on a port of its own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(_PAGE)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join(PATIENCE)


@pytest.mark.browser
@pytest.mark.skipif(lab.CHROMIUM is None, reason="no Chromium")
def test_a_web_page_learns_nothing_and_says_nothing(make_scene: MakeScene, evil_page: str) -> None:
    hello = (
        '{"type":"hello","v":1,"key":"x","nonce":"' + "0" * 32 + '"}\n{"type":"say","id":"1","text":"hi"}\n'
    )
    with lab.browser() as browser, make_scene() as scene:
        page = browser.new_page()
        page.goto(evil_page)
        with scene.attack(HTTP, "a TLS hello"):
            seen = {what: more for what, *more in page.evaluate(_ATTACK, [scene.server.port, hello])}
            # Of what it sends without asking first it gets an answer without anything in it.
            assert seen.pop("no-cors") == ["got", "opaque,0,"]
            assert len(seen) == 11
            assert all(more == ["failed"] for more in seen.values()), seen
            page.close()
        assert scene.server.members == ["ada"]


def test_connections_that_only_reset(scene: Scene) -> None:
    """A balancer's health check: it connects and resets, again and again."""
    with scene.attack():
        for _ in range(50):
            sock = bare(scene.server)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
