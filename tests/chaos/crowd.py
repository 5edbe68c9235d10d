"""One process full of clients: python -m tests.chaos.crowd LINK FOLDER TAG FILL RATE ROOM=CLIENTS …

Each client is a thread that sends RATE messages a second, and writes down all that it is given in the order
in which ``listen`` gives it. FILL is the length of a text.

Commands are lines of standard input: ``finish`` (send no more, wait until all is confirmed), ``leave HEADS``
(end when each room is read to its head, a JSON object). Twice a second a line of JSON tells how it stands.

A client's record, FOLDER/TAG-ROOM-NUMBER.txt, has a line for each thing: ``sent N``, ``confirmed N SEQ``,
``SEQ BY TEXT`` for what it was given, and ``end`` if it left as it should. It may be cut anywhere, for the
process may be killed.
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
import threading
import time
from pathlib import Path

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core.errors import ChatError
from nbchat.core.transcript import Message

PENDING = 64
"""The most messages that a client keeps under way or waiting: twice what may be under way."""
_GAP = 0.05
"""Seconds without a confirmation, anywhere in this process, that are written down."""


def name_of(tag: str) -> str:
    """The member's name of a sender: the same after its process was killed, so that it comes back."""
    crowd, _, number = tag.split("-")
    return f"{crowd.partition('.')[0]}-{number}"


class Progress:
    """What the clients of this process have in common."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self.confirmed = 0
        self.gaps: list[tuple[float, float]] = []
        """Times between which nothing was confirmed here; time.monotonic() is the same in all processes."""
        self.is_finishing = False
        self.heads: dict[str, int] | None = None

    def confirm(self, count: int) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._last > _GAP:
                self.gaps.append((self._last, now))
            self._last = now
            self.confirmed += count

    def news(self) -> dict[str, object]:
        with self._lock:
            gaps, self.gaps = self.gaps, []
            return {"confirmed": self.confirmed, "gaps": gaps}


class Talker(threading.Thread):
    """One client: sends, listens, writes down."""

    def __init__(
        self,
        link: str,
        folder: Path,
        tag: str,
        room: str,
        number: int,
        fill: int,
        rate: float,
        progress: Progress,
    ) -> None:
        super().__init__(name=f"{room} {number}", daemon=True)
        self.tag = f"{tag}-{room}-{number}"
        self.has_finished = False
        self.trouble = ""
        self._link, self._room, self._fill, self._progress = link, room, fill, progress
        self._begun, self._rate = time.monotonic(), rate
        self._name = name_of(self.tag)
        self._file = (folder / f"{self.tag}.txt").open("w")
        self._sent = 0
        self._seq = 0
        self._under_way: list[tuple[int, Outgoing]] = []

    def run(self) -> None:
        try:
            with self._connect() as client:
                before = client._listening._place.seq
                for message in client.messages:
                    if message.seq <= before:  # listen() begins after these
                        self._given(message)
                while not self._has_all():
                    self._round(client)
                self._file.write("end\n")
        except ChatError as error:
            self.trouble = f"{self.tag}: {error!r}"
        self._file.close()

    def _connect(self) -> nbchat.Client:
        while True:
            with contextlib.suppress(ChatError):  # the server was killed, the connection cut, the name held
                return nbchat.connect(self._link, self._name, self._room)
            time.sleep(0.1)

    def _round(self, client: nbchat.Client) -> None:
        write = self._file.write
        if not self._progress.is_finishing:
            due = int((time.monotonic() - self._begun) * self._rate)
            while len(self._under_way) < PENDING and self._sent < due:
                self._sent += 1
                write(f"sent {self._sent}\n")
                text = f"{self.tag} {self._sent} ".ljust(self._fill, ".")
                self._under_way.append((self._sent, client.send(text)))
        for count, message in enumerate(client.listen(timeout=0.02)):
            self._given(message)
            if count >= PENDING:
                break
        done = 0
        for number, message in self._under_way:
            if message.seq is None:
                break
            write(f"confirmed {number} {message.seq}\n")
            done += 1
        del self._under_way[:done]
        if done:
            self._progress.confirm(done)
        self.has_finished = self._progress.is_finishing and not self._under_way

    def _given(self, message: Message) -> None:
        self._file.write(f"{message.seq} {message.by} {message.text}\n")
        self._seq = message.seq

    def _has_all(self) -> bool:
        heads = self._progress.heads
        return heads is not None and not self._under_way and self._seq >= heads.get(self._room, 0)


def main() -> None:
    link, folder, tag, fill, rate, *rooms = sys.argv[1:]
    progress = Progress()
    talkers = [
        Talker(link, Path(folder), tag, room, number, int(fill), float(rate), progress)
        for room, _, count in (each.partition("=") for each in rooms)
        for number in range(int(count))
    ]
    for talker in talkers:
        talker.start()
    while True:
        if select.select([sys.stdin], [], [], 0.5)[0]:
            command, _, rest = sys.stdin.readline().partition(" ")
            if not command:  # nobody is there any more
                return
            if command.strip() == "finish":
                progress.is_finishing = True
            else:
                progress.heads = json.loads(rest)
        status = progress.news() | {
            "finished": all(talker.has_finished for talker in talkers),
            "left": not any(talker.is_alive() for talker in talkers),
            "trouble": [talker.trouble for talker in talkers if talker.trouble],
        }
        print(json.dumps(status), flush=True)
        if status["left"]:
            return


if __name__ == "__main__":
    main()
