"""Join a chat and print what is said there: python minimal_client.py LINK NAME"""

import hashlib
import hmac
import json
import secrets
import socket
import ssl
import sys
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

link, name = urlsplit(sys.argv[1]), sys.argv[2]
key, _, secret = link.fragment.removeprefix("k=").partition(".")
sock = socket.create_connection((link.hostname, link.port or 14900))
if pin := parse_qs(link.query).get("pin"):  # another machine: TLS, and just this certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    sock = tls.wrap_socket(sock)
    if pin != ["sha256:" + hashlib.sha256(sock.getpeercert(True)).hexdigest()]:
        sys.exit("Whoever answers there shows another certificate than this link's.")
elif link.hostname not in ("127.0.0.1", "localhost"):
    sys.exit("This link lacks its pin. Copy it whole.")
lines = sock.makefile("rb")


def send(**frame):
    sock.sendall(json.dumps(frame).encode() + b"\n")


def receive():
    line = lines.readline().removeprefix(b"USERNAME")
    event = json.loads(line or '{"type": "closing", "reason": "The server hung up."}')
    if event["type"] in ("refused", "closing") and event.get("fatal", True):
        sys.exit(shown(event.get("text") or event.get("reason")))
    return event


def shown(text):  # what could act on the screen, or hide on it, or pass for another's line
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text).replace("\n", "\n  ")


def prove(who, challenge):
    text = f"nbchat 1 {who}\n{nonce}\n{challenge['nonce']}"
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()


def stay():  # who sends nothing for 50 seconds counts as gone
    while True:
        time.sleep(15)
        send(type="ping")


send(type="hello", v=1, key=key, nonce=(nonce := secrets.token_hex(16)))
challenge = receive()
if not hmac.compare_digest(challenge["proof"], prove("server", challenge)):
    sys.exit("Whoever answers there does not know this link's secret.")
room = unquote(link.path.strip("/")) or "lobby"
send(type="join", name=name, room=room, proof=prove("client", challenge), exact=False)
threading.Thread(target=stay, daemon=True).start()
while True:
    match receive():
        case {"type": "said", "by": by, "text": text}:
            print(shown(f"{by}: {text}"), flush=True)
