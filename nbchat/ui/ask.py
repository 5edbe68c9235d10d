"""Asks for a link where no chat is found: typed unseen, so that its key stands in no cell."""

from __future__ import annotations

import getpass
import sys

from nbchat.net.link import Address, parse

_PROMPT = "No chat runs on this machine. Paste the link you were given (it is not shown): "


def ask() -> Address | None:
    """Where the link leads that a person types now. None where nobody can be asked (a notebook that is
    executed by a program, a script without a terminal) or nothing was typed. Raises BadLink."""
    if not _is_somebody_there():
        return None
    try:
        link = getpass.getpass(_PROMPT)
    except (EOFError, NotImplementedError):  # the latter: a kernel whose front end takes no input
        return None
    return parse(link) if link.strip() else None


def _is_somebody_there() -> bool:
    from IPython.core.getipython import get_ipython

    if hasattr(get_ipython(), "kernel"):
        return True  # it knows itself whether its front end takes input
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
