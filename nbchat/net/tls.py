"""Certificates: how a client knows the server that it was invited to, on a network of strangers.

A server on a network has a certificate that it signed itself: made once for each user, kept, and used for
all their chats, so that links outlive a restart. Nobody vouches for it; instead its SHA-256, the *pin*,
stands in the link, and the client compares before it says anything. Names and dates in it mean nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import os
import secrets
import ssl
from pathlib import Path

from nbchat.core.errors import UsageError
from nbchat.net.histories import own_folder
from nbchat.store import folders

log = logging.getLogger("nbchat")

_YEARS = 20
"""No client of ours looks at the date; others may. A link that ends is a key that ends, not this."""


def place() -> Path:
    """The file with this user's certificate and its private key."""
    return own_folder() / "tls" / "certificate.pem"


def server_context() -> tuple[ssl.SSLContext, str]:
    """What a server encrypts with, and its certificate's pin; the certificate is made if there is none.

    Raises UsageError if it can neither be read nor made.
    """
    path = place()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody resumes a TLS session here
    try:
        _make(path)
        _close_to_others(path)
        context.load_cert_chain(path)
        text = path.read_text("ascii")
        begin = text.index("-----BEGIN CERTIFICATE-----")
        return context, pin_of(ssl.PEM_cert_to_DER_cert(text[begin:]))
    except OSError as error:  # of which ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    except ValueError:
        why = "there is no certificate in it"
    raise UsageError(
        f"The certificate in {path} cannot be used: {why}. Without that file a new one is made; links that "
        "were given out for other machines then have to be given out again."
    )


def client_context() -> ssl.SSLContext:
    """What a client encrypts with. It believes any certificate: the pin is compared (:func:`pin_of`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate in DER."""
    return "sha256:" + hashlib.sha256(certificate).hexdigest()


def readable(pin: str) -> str:
    """A pin for people's eyes, in groups of four: ``3f9a 11b2 …``."""
    digits = pin.removeprefix("sha256:")
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _make(path: Path) -> None:
    """Make a certificate, if there is none. Of several processes that try, one does it."""
    if path.exists():
        return
    folders.make(path.parent)
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_signed_by_itself())
        try:
            os.link(draft, path)  # fails if another process was quicker
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _signed_by_itself() -> bytes:
    """A new private key and its certificate, in PEM. It tells nothing of its owner."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nbchat")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _close_to_others(path: Path) -> None:
    """See that no other user can read it, whatever was done to it or to a copy put back from elsewhere."""
    if os.name == "nt":  # the profile's folder is its user's there
        return
    for each, mode in ((path.parent, 0o700), (path, 0o600)):
        if each.stat().st_mode & 0o077:
            log.warning("%s could be read by others; it is closed to them now", each)
            each.chmod(mode)
