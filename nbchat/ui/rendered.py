"""Texts as HTML, each rendered once, in a bounded part of the kernel's time: page and saved copy share it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from nbchat.core.limits import Limits
from nbchat.core.mentions import Known
from nbchat.net.ratelimit import Rate
from nbchat.render import html as render

_RENDERING = Limits(rate=0.2, burst=2)
"""Seconds of rendering in a second: a stranger's hardest texts may not take more of the kernel's time."""
_KEPT = 100
_SIZE = 400_000
"""Texts, and characters of them and their HTML, that are remembered: what a copy holds, and some more."""


class Rendered:
    """The HTML of one panel's texts. Any thread."""

    def __init__(self) -> None:
        self._rate = Rate(_RENDERING, time.monotonic())
        self._known: OrderedDict[tuple[str, Known | None], str] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()  # a cell shows a panel while its thread feeds a page

    def html(self, text: str, names: Known) -> str:
        """A text as HTML: with its Markdown, unless that has taken too much time lately. Where it calls
        one of ``names``, that is marked."""
        key = (text, names if "@" in text or "＠" in text else None)
        with self._lock:
            if (made := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return made
            if self._rate.wait(time.monotonic()) > 0:
                made = render.plain(text)
            else:
                begun = time.thread_time()  # a cell that computes is not counted
                made = render.html(text, names)
                self._rate.take(time.thread_time() - begun)
            self._known[key] = made
            self._size += len(text) + len(made)
            while len(self._known) > _KEPT or self._size > _SIZE:
                old, its = self._known.popitem(last=False)
                self._size -= len(old[0]) + len(its)
            return made
