"""What a page is told: one thread for each panel, which follows the client's state.

Everything goes out as one kind of message, ``news``, with only those parts in it that changed (the table
in docs/architecture.md lists them). Rows of the transcript carry numbers, so a page shows each once, asks
again when one is missing, and learns from ``newest``, sent every few seconds, whether the last ones got
lost: messages to a page do get lost, in a full buffer or with a page that was closed.

Rendering is done here, outside the lock, so the receive thread never waits for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any, Protocol

from nbchat.client.client import Client
from nbchat.client.requests import Answer
from nbchat.core import mentions, names
from nbchat.core.errors import ChatError
from nbchat.core.limits import Limits
from nbchat.core.transcript import Row, marks
from nbchat.net.log import log
from nbchat.net.ratelimit import Rate
from nbchat.ui import commands, notes
from nbchat.ui.rendered import Rendered

_PACE = Limits(rate=20, burst=5)
"""Messages a second to the page: jupyter_server drops traffic beyond some 1,000 a second from a kernel."""
_BYTES = 600_000.0
"""Characters a second to the page: jupyter_server's limit is a megabyte, and cells print, too."""
_BEAT = 5.0
"""Seconds between two heartbeats; the page calls the kernel dead after three of them."""
_ROWS = 200
_SIZE = 150_000
"""Rows and characters of one message: large messages in bursts get lost."""
_SCREEN = 100
"""Rows that a page gets first, and in each page of older ones."""
_AWAY = 300.0
"""Seconds without a sign of life in the page before its person is away."""
_HISTORY = 2**52
"""A message from the history has the number seq - 2**52: below all rows, in its order."""
_PENDING = 50
"""Pending messages that a page is told of."""
_KNOWN = 2000
"""Names that are marked where a message calls them."""
_KINDS = {"said": "s", "joined": "j", "left": "l", "moderated": "m", "reset": "r", "notice": "n"}


class Page(Protocol):
    """What is fed: a panel, as far as its thread looks."""

    @property
    def has_no_visitor(self) -> bool:
        """Whether nobody looks any more, where a panel is a visitor's own."""

    def send(self, message: dict[str, Any]) -> None:
        """Send to all pages."""

    def keep_copy(self) -> None:
        """Bring what the notebook keeps up to date."""

    def close(self) -> None:
        """Leave the chat."""


class Feed:
    """Tells the pages of one panel what is new. Its methods may be called from any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._state = client._state
        self._version = -1
        self._n = 0
        self._is_over = False
        self._is_first = False
        self._asked: int | None = None
        self._answers: list[dict[str, Any]] = []
        self._told: dict[str, Any] = {}
        self._facts_told = 0
        self._typing_at = 0.0
        self._here_at = time.monotonic()
        self._rendered = Rendered()
        self._names: dict[str, None] = {}
        self._known: mentions.Known | None = None
        self.has_page = False
        """True once a page has asked for anything."""
        self.saves: bool | None = None
        """Whether the notebook keeps the last messages; None where it has no place for them."""

    def start(self, panel: Page) -> None:
        """Feed a panel for as long as it lives; the thread holds it weakly."""
        self._state.is_shown = True
        threading.Thread(
            target=self._run,
            args=(weakref.ref(panel),),
            name=f"nbchat panel {self._client.name}",
            daemon=True,
        ).start()

    def stop(self) -> None:
        self._is_over = True
        self._wake()

    # ── what pages ask ──

    def sync(self, after: int | None) -> None:
        """A page has the rows up to ``after`` and wants the rest; with None it has nothing yet."""
        with self._state.changed:
            self.has_page = True
            if after is None:
                after = max(0, self._state.transcript.n - _SCREEN)
                self._is_first = True
            self._asked = after if self._asked is None else min(after, self._asked)
            self._told = {}
        self._wake()

    def older(self, before: int, seq: int | None) -> None:
        """A page wants what comes before row ``before``; ``seq`` is its oldest message's."""
        transcript = self._state.transcript
        with self._state.changed:
            rows = [row for row in transcript.rows if row.n < before]
            is_other_log = any(row.kind == "reset" and row.n >= before for row in transcript.rows)
        if rows:
            found = rows[-_SCREEN:]
            # The page counts them on from the first: it gets those after the last that is missing.
            gaps = (at for at in range(len(found) - 1, 0, -1) if found[at].n != found[at - 1].n + 1)
            found = found[next(gaps, 0) :]
            self._answer(older={"before": before, "n": found[0].n, "more": True, "rows": found})
        elif seq is None or seq <= 1 or is_other_log:
            self._answer(older={"before": before, "more": False, "rows": []})
        else:
            page = self._client._receiver.page(seq, _SCREEN)
            page.add_done_callback(lambda page: self._paged(before, page))

    def _paged(self, before: int, page: Future[Answer]) -> None:
        try:
            messages, more = page.result()
        except ChatError as error:  # a plain server has no history; a closed client cannot ask
            is_final = getattr(error, "code", None) == "no_history"
            self._answer(older={"before": before, "more": not is_final, "rows": [], "why": str(error)})
            return
        rows = [Row(message.seq - _HISTORY, "said", message.by, message) for message in messages]
        self._answer(older={"before": before, "more": more is not None, "rows": rows})

    def recall(self) -> None:
        """A page wants this member's last message back, to say it again."""
        with self._state.changed:
            messages = self._state.transcript.messages
            mine = (each.text for each in reversed(messages) if each.by == self._state.name and each.text)
            last = next(mine, None)
        if last is not None:
            self._answer(recalled=commands.typed(last))

    def refuse(self, mark: str, text: str, why: str) -> None:
        """A message could not be sent."""
        self._answer(refused={"mark": mark, "text": text, "why": why})

    def done(self, mark: str) -> None:
        """What a page said was a command."""
        self._answer(done=mark)

    def saving(self, saves: bool) -> None:
        """The notebook keeps the last messages, or keeps none."""
        self.saves = saves
        self._wake()

    def here(self) -> None:
        """Somebody uses the page."""
        self._here_at = time.monotonic()
        self._wake()

    def _answer(self, **part: Any) -> None:
        with self._state.changed:
            self._answers.append(part)
        self._wake()

    def _wake(self) -> None:
        with self._state.changed:
            self._version = -1
            self._state.changed.notify_all()

    # ── the thread ──

    def _run(self, panel: weakref.ref[Page]) -> None:
        changed = self._state.changed
        rate = Rate(_PACE, time.monotonic())
        said_at = time.monotonic()
        while not self._is_over:
            with changed:
                changed.wait_for(
                    lambda: self._state.version != self._version, said_at + _BEAT - time.monotonic()
                )
                self._version = self._state.version
                messages = self._messages(is_beat=time.monotonic() - said_at >= _BEAT)
            for message, size in messages:
                if not self._tell(panel, message):
                    return
                said_at = time.monotonic()
                rate.take()
                time.sleep(max(rate.wait(said_at), size / _BYTES))
            if (shown := panel()) is not None and shown.has_no_visitor:
                with contextlib.suppress(ChatError):
                    shown.close()
                return
            del shown
            self._client.away = time.monotonic() - self._here_at > _AWAY
            if self.has_page and (shown := panel()) is not None:
                try:
                    shown.keep_copy()
                except Exception:  # as below
                    log.debug("the saved copy could not be updated", exc_info=True)
                del shown

    def _tell(self, panel: weakref.ref[Page], message: dict[str, Any]) -> bool:
        """Send to all pages; False when the panel is no more."""
        shown = panel()
        if shown is None or self._is_over:
            return False
        try:
            shown.send({"type": "news", **message})
        except Exception:  # the kernel's side of the page is going away, or its socket is full
            log.debug("the panel could not be updated", exc_info=True)
        return True

    def _messages(self, *, is_beat: bool) -> Iterator[tuple[dict[str, Any], int]]:
        """What the pages have to be told, each with its size. Called with the lock held; the iterator is
        used without it."""
        state, transcript = self._state, self._state.transcript
        asked, self._asked = self._asked, None
        is_first, self._is_first = self._is_first, False
        start = self._n if asked is None else min(asked, self._n)
        rows = transcript.after(start)
        self._n = transcript.n
        answers, self._answers = self._answers, []
        # First of all: a page lets go of what is no longer pending.
        refused = []
        while state.refused:
            message = state.refused.popleft()
            text = commands.typed(message.text)
            refused.append({"refused": {"mark": message.id, "text": text, "why": str(message.error)}})
        news: dict[str, Any] = {}
        for part, value in self._facts():
            if self._told.get(part) != value:
                self._told[part] = news[part] = value
        if "members" in news:
            self._know(transcript.members)
        if "state" in news:
            fact, until = news["state"], news["state"]["rules"]["until"]
            left = until and max(0.0, until / 1000 - time.time())
            retry_in = max(0.0, state.retry_at - time.monotonic())
            news["state"] = {**fact, "retry_in": retry_in, "rules": {**fact["rules"], "left": left}}
        typing = [str(name) for name, heard in state.typing.items() if heard > self._typing_at]
        if typing:
            self._typing_at = max(state.typing[name] for name in typing)
            news["typing"] = typing
        told = ((self._stamped(each, start), 0) for each in refused)
        if not (news or rows or answers or is_first or is_beat):
            return told
        return chain(told, self._spread(news, start, rows, answers, is_first=is_first))

    def _facts(self) -> Iterator[tuple[str, Any]]:
        state = self._state
        yield (
            "state",
            {
                "status": state.status,
                "note": notes.note(state),
                "retry_in": state.retry_at,
                "name": state.name,
                "room": state.room,
                "chat": state.chat,
                "role": state.role,
                "rules": self._standing(),
                "log": state.transcript.log_id,
                "limit": state.text_limit,
                "saves": self.saves,
            },
        )
        members = state.transcript.members.values()
        yield "members", [[str(each), each.role, each.plain, each.away] for each in members]
        yield "pending", [[each.id, each.text] for each in islice(state.pending.values(), _PENDING)]

    def _standing(self) -> dict[str, Any]:
        held = self._client.standing
        muted = held.muted
        is_own = muted is not None and not names.marks(muted.name).isdisjoint(names.marks(self._state.name))
        return {
            "muted": muted is not None,
            "as": muted.name if muted is not None and not is_own else "",  # for whom it is taken
            "until": muted and muted.until,
            "announce": held.announce,
            "slow": held.slow,
        }

    def _spread(
        self,
        news: dict[str, Any],
        start: int,
        rows: list[Row],
        answers: list[dict[str, Any]],
        *,
        is_first: bool,
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """Messages of bounded size: what changed, then the rows in parts, then the answers. What is no
        longer pending is told with the last of the rows, so that it is always in sight."""
        lists = list(_lists(rows)) or [[]]
        after = start
        if len(lists) > 1:
            pending = {part: news.pop(part) for part in ("pending",) if part in news}
            yield self._stamped(news, after), 0
            news = pending
        for part in lists:
            message, size = (dict(news) if part is lists[-1] else {}), 0
            if part or is_first:
                packed, size = self._pack(part)
                # ``after`` is what the page must have already, ``n`` where these begin: rows that are
                # no longer kept lie between.
                n = part[0].n if part else after + 1
                message["rows"] = {"after": after, "n": n, "first": is_first, **packed}
                after, is_first = n + len(part) - 1, False
            yield self._stamped(message, after), size
        for answer in answers:
            size = 0
            if "older" in answer:
                packed, size = self._pack(answer["older"]["rows"])
                answer["older"].update(packed)
            yield self._stamped(answer, after), size

    def _stamped(self, message: dict[str, Any], newest: int) -> dict[str, Any]:
        """With what shows a page whether it has all: the newest row that it was sent, and how often facts
        were told."""
        if not message.keys().isdisjoint(("state", "members", "pending")):
            self._facts_told += 1
        return {"newest": newest, "facts": self._facts_told, **message}

    def _pack(self, rows: list[Row]) -> tuple[dict[str, Any], int]:
        """Rows as the page gets them, and about how many characters that is.

        A message is ``["s", author, HTML, ms since the first, seq, mentions me, id, mark]``, the last of them
        left out where they say nothing, its HTML empty where a host took it away. Anything else is ``[kind,
        text or name]``, with first and last seq of each run that was taken away; ``at`` has the times of
        these, each as ``[place, ms since the first message]``.
        """
        base = next((row.message.ms for row in rows if row.message is not None), 0)
        packed: list[list[Any]] = []
        times = [[place, row.ms - base] for place, row in enumerate(rows) if row.message is None and row.ms]
        size = 0
        for row in rows:
            message = row.message
            if message is None:
                if row.kind in ("joined", "left"):
                    self._know((row.name,))
                packed.append([_KINDS[row.kind], str(row.text or row.name), *(row.gone or ())])
                size += 40 + 9 * len(row.gone or ())
                continue
            self._know((message.by,))
            html = self.html(message.text) if message.text else ""
            # A plain string: of one that knows its role marimo makes an object.
            entry = ["s", str(message.by), html, message.ms - base, message.seq]
            is_own = message.by == self._state.name
            is_mention = not is_own and mentions.is_mentioned(message.text, self._state.name, self._callable)
            mark = marks(message.by)
            if is_own or is_mention or mark:
                entry += [int(is_mention), *([message.id if is_own else ""] if is_own or mark else [])]
                entry += [mark] if mark else []
            packed.append(entry)
            size += len(html) + 40
        return {"ms": base, "rows": packed, **({"at": times} if times else {})}, size

    def _know(self, names: Iterable[str]) -> None:
        """Remember these names: of who is there or was seen, the newest stay."""
        for name in names:
            if name not in self._names:
                self._known = None
            self._names.pop(name, None)
            self._names[name] = None
        while len(self._names) > _KNOWN:
            del self._names[next(iter(self._names))]

    @property
    def _callable(self) -> mentions.Known:
        """Whom a message may call."""
        if self._known is None:
            self._known = mentions.Known(list(self._names))  # which the panel's thread may change
        return self._known

    def html(self, text: str) -> str:
        """A message as HTML, as the page and the saved copy show it. Any thread."""
        return self._rendered.html(text, self._callable)


def _lists(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows in lists of bounded size."""
    part: list[Row] = []
    size = 0
    for row in rows:
        length = 3 * len(row.message.text) if row.message is not None else 40 + 9 * len(row.gone or ())
        has_gap = bool(part) and row.n != part[-1].n + 1  # who came and went long ago is not kept
        if part and (len(part) >= _ROWS or size + length > _SIZE or has_gap):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part
