"""How a client gets its connection: bare within the machine, in TLS if the link has a pin."""

from __future__ import annotations

import asyncio
import ssl

from nbchat.client.connection import Connection
from nbchat.client.tls import Sealed
from nbchat.core.errors import Unreachable
from nbchat.net import tls
from nbchat.net.link import Address, is_loopback, place

PATIENCE = 5.0
"""Seconds for a connection to stand and be welcomed."""


async def dial(
    conn: Connection, where: Address, *, is_given: bool = False
) -> tuple[Unreachable, bool] | None:
    """Connect, with TLS if the link has a pin and in no other way. If that could not be: why, and whether
    somebody answered and hung up (who may have been too full just then). ``is_given``: by a link, so that
    whoever reads why is perhaps not the one who can start a server."""
    loop = asyncio.get_running_loop()
    sealed = Sealed(tls.client_context(), conn) if where.pin else None
    try:
        async with asyncio.timeout(PATIENCE):
            await loop.create_connection(lambda: sealed or conn, where.host, where.port)
            if sealed is not None:
                await sealed.stands
    except (OSError, TimeoutError) as error:
        if sealed is not None:
            sealed.abort()
        there, hung_up = place(where.host, where.port), isinstance(error, ConnectionResetError)
        if where.pin and (hung_up or isinstance(error, ssl.SSLError)):
            text = (
                f"What answers at {there} is not encrypted as this link says, so nothing was sent to it. Ask "
                "the host for a new link (server.invite())."
            )
        elif not is_given:
            text = f"Nobody answers at {there}. Is the server running? (nbchat.serve() starts one.)"
        elif is_loopback(where.host):
            text = (
                f"Nobody answers at {there}. The chat has ended or has moved to another port: ask its host, "
                "who may have a new link."
            )
        else:
            text = (
                f"Nobody answers at {there}. Is this machine in the host's network (the same Wi-Fi)? If it "
                "is, the chat has ended or has moved: ask its host, who may have a new link."
            )
        return Unreachable(text), hung_up
    return None
