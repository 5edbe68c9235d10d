"""The event loop that server and client threads run: uvloop where it exists, asyncio's own elsewhere.

uvloop writes to a socket without letting the GIL go, which beside a busy notebook cell is the
difference between milliseconds and seconds.
"""

from __future__ import annotations

import asyncio


def new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.SelectorEventLoop()
    return uvloop.new_event_loop()
