"""TLS 1.3 records made by hand (RFC 8446, 5.2 and 7), for what no TLS library lets one send.

The handshake is Python's; the keys of its end come from its key log, and records from then on are made here.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from nbchat.net import tls

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, CLEAR = 20, 21, 22, 23
KEY_UPDATE = b"\x18\x00\x00\x01\x01"
"""The message; the last byte asks the other end to renew its keys as well."""


def header(kind: int, size: int) -> bytes:
    return bytes([kind, 3, 3]) + size.to_bytes(2, "big")


def client_context(folder: Path) -> ssl.SSLContext:
    """A client's, whose keys :meth:`Sealer.of` finds."""
    context = tls.client_context()
    context.keylog_filename = str(folder / "keys")
    return context


class Sealer:
    """Makes the records of a client, or a server, whose handshake is done and that has said nothing yet."""

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._hash = hashes.SHA384() if cipher.endswith("384") else hashes.SHA256()
        self._is_chacha = "CHACHA" in cipher
        self._key_size = 16 if "128" in cipher else 32
        self._begin(secret)

    @classmethod
    def of(cls, end: ssl.SSLObject | ssl.SSLSocket, folder: Path, who: str = "CLIENT") -> Sealer:
        """Of the handshake that was the last in that folder."""
        found = [line.split() for line in (folder / "keys").read_text().splitlines()]
        secret = [line[2] for line in found if line[0] == f"{who}_TRAFFIC_SECRET_0"][-1]
        cipher = end.cipher()
        assert cipher is not None
        return cls(bytes.fromhex(secret), cipher[0])

    def _begin(self, secret: bytes) -> None:
        self._secret = secret
        key = self._expand("key", self._key_size)
        self._box = ChaCha20Poly1305(key) if self._is_chacha else AESGCM(key)
        self._iv = int.from_bytes(self._expand("iv", 12), "big")
        self._number = 0

    def _expand(self, label: str, size: int) -> bytes:
        name = b"tls13 " + label.encode()
        info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
        return HKDFExpand(self._hash, size, info).derive(self._secret)

    def seal(self, kind: int, content: bytes, padding: int = 0) -> bytes:
        """One record of a kind."""
        inside = content + bytes([kind]) + bytes(padding)
        head = header(CLEAR, len(inside) + 16)
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._box.encrypt(nonce, inside, head)

    def say(self, data: bytes, size: int = 1 << 14) -> bytes:
        """Clear text, in records of so many bytes each."""
        return b"".join(self.seal(CLEAR, data[at : at + size]) for at in range(0, len(data), size))

    def key_update(self) -> bytes:
        """A record that asks for new keys; the next one is sealed with these."""
        record = self.seal(HANDSHAKE, KEY_UPDATE)
        self._begin(self._expand("traffic upd", self._hash.digest_size))
        return record


class Sealed:
    """A socket with TLS whose records are made by hand."""

    def __init__(self, place: tuple[str, int], folder: Path, patience: float) -> None:
        self.socket = socket.create_connection(place, patience)
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        end = client_context(folder).wrap_bio(into, out)
        while True:
            try:
                end.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(out.read())
                into.write(self.socket.recv(1 << 16))
        self.socket.sendall(out.read())
        self.sealer = Sealer.of(end, folder)
        self._end, self._into = end, into

    def receive(self) -> bytes:
        """The next clear text; b"" at the end."""
        while True:
            try:
                return self._end.read(1 << 16)
            except ssl.SSLWantReadError:
                if not (data := self.socket.recv(1 << 16)):
                    return b""
                self._into.write(data)

    def close(self) -> None:
        self.socket.close()
        del self._end  # its context keeps the key log open
