"""nbchat: chat that lives inside notebooks.

    import nbchat
    server = nbchat.serve()      # in one notebook: start a chat
    nbchat.join()                # in any other on this machine: a panel to talk in

The names below are all there is to promise; everything is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbchat.client.client import Client as Client
    from nbchat.client.client import connect as connect
    from nbchat.core.errors import ChatError as ChatError
    from nbchat.core.limits import Limits as Limits
    from nbchat.server.serve import serve as serve
    from nbchat.server.server import Server as Server
    from nbchat.ui.panel import ChatPanel as ChatPanel
    from nbchat.ui.panel import join as join

__version__ = "0.1.0"

_HOMES = {
    "serve": "nbchat.server.serve",
    "Server": "nbchat.server.server",
    "connect": "nbchat.client.client",
    "Client": "nbchat.client.client",
    "join": "nbchat.ui.panel",
    "ChatPanel": "nbchat.ui.panel",
    "Limits": "nbchat.core.limits",
    "ChatError": "nbchat.core.errors",
    "errors": "nbchat.core",
}

__all__ = ["ChatError", "ChatPanel", "Client", "Limits", "Server", "connect", "errors", "join", "serve"]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module 'nbchat' has no attribute {name!r}")
    if name == "errors":
        value: Any = _import_module("nbchat.core.errors")
    else:
        value = getattr(_import_module(home), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext nbchat`` calls: makes ``%chat`` known."""
    from nbchat.ui.magics import ChatMagics

    shell.register_magics(ChatMagics)


def __dir__() -> list[str]:
    """The promised names, for the Tab key, and what every module has."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
