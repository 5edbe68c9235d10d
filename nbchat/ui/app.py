"""Whether a notebook is shown as an app, to visitors: in Voilà, or by ``marimo run``.

There the code is the owner's and whoever looks at the page is not, so a panel joins as a member. In Voilà
each visitor has a kernel; marimo has a thread for each in one process.
"""

from __future__ import annotations

import os
import sys
import threading


def is_app() -> bool:
    """Whether the page belongs to somebody else than the code."""
    return "VOILA_BASE_URL" in os.environ or "VOILA_SERVER_URL" in os.environ or visitor() is not None


def visitor() -> threading.Thread | None:
    """The thread of this visitor in ``marimo run``, None elsewhere. It ends when the visitor has gone."""
    marimo = sys.modules.get("marimo")
    try:
        is_run = marimo is not None and marimo.app_meta().mode == "run"
    except Exception:  # marimo is there, and no notebook of it runs; or it is another version
        return None
    return threading.current_thread() if is_run else None
