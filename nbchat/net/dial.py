"""How a client gets its connection: bare within the machine, in TLS if the link has a pin."""

from __future__ import annotations

import asyncio
import ssl

from nbchat.core.errors import Unreachable
from nbchat.net import tls
from nbchat.net.connection import Connection
from nbchat.net.link import Address

PATIENCE = 5.0
"""Seconds for a connection to stand and be welcomed."""


async def dial(conn: Connection, where: Address) -> tuple[Unreachable, bool] | None:
    """Connect, with TLS if the link has a pin and in no other way. If that could not be: why, and whether
    somebody answered and hung up (who may have been too full just then)."""
    loop = asyncio.get_running_loop()
    context = tls.client_context() if where.pin else None
    try:
        async with asyncio.timeout(PATIENCE):
            await loop.create_connection(
                lambda: conn, where.host, where.port, ssl=context, server_hostname="" if context else None
            )
    except (OSError, TimeoutError) as error:
        place, hung_up = f"{where.host}:{where.port}", isinstance(error, ConnectionResetError)
        if where.pin and (hung_up or isinstance(error, ssl.SSLError)):
            text = (
                f"What answers at {place} is not encrypted as this link says, so nothing was sent to it. Ask "
                "the host for a new link (server.invite())."
            )
        else:
            text = f"Nobody answers at {place}. Is the server running? (nbchat.serve() starts one.)"
        return Unreachable(text), hung_up
    return None
