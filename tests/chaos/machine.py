"""The machine that tries to break the delivery contract: kills, cuts, stops, and then compares.

A server in a process of its own (server.py), a proxy before it (proxy.py), and processes full of clients
(crowd.py). While they talk, the server is killed with SIGKILL and started again on the same file and port,
connections are cut, and crowds are stopped for seconds or killed and started anew. At the end all that
everybody wrote down is compared with what the store holds (history.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import json as fast_json

from nbchat.core.frames import Body
from nbchat.net.link import parse
from tests.chaos.crowd import name_of
from tests.chaos.history import Line, Sender, View, check
from tests.chaos.proxy import Proxy, by_chance, untouched

ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0
"""Seconds in which a process has to start."""
_END = 10.0
"""Seconds in which a process has to end by itself."""


@dataclass(frozen=True)
class Plan:
    """What one run does."""

    kills: int = 200
    cuts: int = 2000
    messages: int = 1_000_000
    rooms: int = 20
    crowds: int = 4
    clients: int = 1
    """Of each crowd in each room; all of them send and read."""
    stops: int = 30
    """Times that a crowd is stopped for one to three seconds (SIGSTOP)."""
    restarts: int = 20
    """Times that a crowd is killed and started again under the same names."""
    rate: float = 4000.0
    """Messages a second, of all clients together: so that there is load for as long as there are kills."""
    fill: int = 60
    """Characters of a text."""
    seed: int = 1
    fault: str | None = None
    patience: float = 60.0
    """Seconds in which all has to be confirmed and read at the end; then the run is broken, not slow."""
    seconds: float = 3600.0
    """When it is ended, done or not."""


@dataclass
class Outcome:
    """What came of it."""

    violations: list[str] = field(default_factory=list)
    messages: int = 0
    confirmed: int = 0
    views: int = 0
    given: int = 0
    """Messages that readers were given, all together."""
    kills: int = 0
    cuts: int = 0
    stops: int = 0
    restarts: int = 0
    seconds: float = 0.0
    to_first: list[float] = field(default_factory=list)
    """Seconds from each start of the server's process to the first confirmation."""
    longest_silence: float = 0.0
    """Seconds in which no crowd had a confirmation."""

    def __str__(self) -> str:
        lines = [
            f"{self.messages:,} messages in the store, {self.confirmed:,} confirmed, "
            f"{self.given:,} given to {self.views} readers, in {self.seconds:.0f} s",
            f"{self.kills} kills of the server, {self.cuts:,} cut connections, {self.stops} stops and "
            f"{self.restarts} kills of client processes",
        ]
        if self.to_first:
            lines.append(
                f"start to first confirmation, under load: median {statistics.median(self.to_first):.2f} s, "
                f"longest {max(self.to_first):.2f} s; longest silence {self.longest_silence:.2f} s"
            )
        lines.append(f"{len(self.violations)} violations")
        return "\n".join(lines + [f"  {each}" for each in self.violations[:20]])


class Child:
    """A process of ours and its lines. Ended with the machine, whatever happens."""

    def __init__(self, folder: Path, module: str, *arguments: str) -> None:
        self.started = time.monotonic()
        self.lines: list[str] = []
        self.ready = float("inf")
        """When its first line came."""
        self._is_at_end = False
        self._news = threading.Condition()
        self._errors = (folder / f"{module}-{time.monotonic_ns()}.err").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.chaos.{module}", *arguments],
            cwd=ROOT,
            env=os.environ | {"JUPYTER_RUNTIME_DIR": str(folder / "runtime")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.ready = min(self.ready, time.monotonic())
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._is_at_end = True
            self._news.notify_all()

    def line(self, number: int, patience: float = _PATIENCE) -> str:
        """The line of this number (from 0), waited for."""
        with self._news:
            self._news.wait_for(lambda: len(self.lines) > number or self._is_at_end, patience)
        if len(self.lines) <= number:
            self.kill()
            said = Path(self._errors.name).read_text()[-2000:]
            raise RuntimeError(f"{self._errors.name} said no line {number}: {said}")
        return self.lines[number].strip()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> bool:
        """End its input, and wait for its end. False if it had to be killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        has_ended = True
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            has_ended = False
            self.process.kill()
            self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        self.process.stdout.close()
        self._errors.close()
        return has_ended


class Crowd:
    """One crowd, through all its lives."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine, self.name = machine, name
        self.lives = 0
        self.killed: set[str] = set()
        self.confirmed_before = 0
        self.gaps: list[tuple[float, float]] = []
        self.stopped_until: float | None = None
        self.start()

    def start(self) -> None:
        plan = self._machine.plan
        self.lives += 1
        rooms = [f"room{n}={plan.clients}" for n in range(plan.rooms)]
        self.tag = f"{self.name}.{self.lives}"
        self._read = 0
        self.status: dict[str, object] = {"confirmed": 0, "finished": False, "left": False}
        folder, link = self._machine.folder, self._machine.link
        rate = plan.rate / (plan.crowds * plan.rooms * plan.clients)
        self.child = Child(
            folder, "crowd", link, str(folder / "seen"), self.tag, str(plan.fill), str(rate), *rooms
        )

    def look(self) -> None:
        """Take what it has told since the last time."""
        lines = self.child.lines
        for line in lines[self._read :]:
            self.status = json.loads(line)
            self.gaps += [tuple(gap) for gap in self.status["gaps"]]  # type: ignore[attr-defined]
            if self.status["trouble"]:
                raise RuntimeError(f"a client ended: {self.status['trouble']}")
        self._read = len(lines)

    @property
    def confirmed(self) -> int:
        return self.confirmed_before + int(self.status["confirmed"])  # type: ignore[call-overload]

    def stop(self, seconds: float) -> None:
        self.child.process.send_signal(signal.SIGSTOP)
        self.stopped_until = time.monotonic() + seconds

    def go_on(self) -> None:
        self.stopped_until = None
        self.child.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.child.kill()
        with contextlib.suppress(json.JSONDecodeError):
            self.look()
        self.confirmed_before = self.confirmed
        self.killed.add(self.tag)
        self.start()


class Machine:
    """One run of a plan in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.plan, self.folder = plan, folder
        self._say = say
        self._chance = random.Random(plan.seed)
        self._port = 0
        self._restarts: list[Child] = []
        self._outcome = Outcome()
        (folder / "seen").mkdir(parents=True)

    def run(self) -> Outcome:
        begun = time.monotonic()
        self._server = self._start_server()
        link = self._server.line(0)
        self._port = parse(link).port
        self._crowds: list[Crowd] = []
        try:
            with Proxy(self._port, by_chance(self._chance)) as self._proxy:
                self.link = self._proxy.link(link)
                self._crowds = [Crowd(self, f"c{n}") for n in range(self.plan.crowds)]
                self._break_things(begun + self.plan.seconds)
                self._settle()
                self._outcome.cuts = self._proxy.cuts
                for child in (*(crowd.child for crowd in self._crowds), self._server):
                    if not child.close():
                        self._outcome.violations.append("stuck: a process did not end by itself")
        finally:
            for child in (self._server, *(crowd.child for crowd in self._crowds)):
                if child.process.poll() is None:
                    child.kill()
        self._outcome.seconds = time.monotonic() - begun
        self._compare()
        return self._outcome

    def _start_server(self) -> Child:
        fault = [self.plan.fault] if self.plan.fault else []
        return Child(self.folder, "server", str(self.folder / "chat.sqlite"), str(self._port), *fault)

    # ── breaking ──

    def _break_things(self, deadline: float) -> None:
        """Until all that was planned is done. Each thing comes at the pace that the messages set."""
        plan, chance, outcome = self.plan, self._chance, self._outcome
        kill_at = time.monotonic() + chance.uniform(1, 3)
        said = 0.0
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = time.monotonic()
            for crowd in self._crowds:
                if crowd.stopped_until is not None and now > crowd.stopped_until:
                    crowd.go_on()
                crowd.look()
            confirmed = sum(crowd.confirmed for crowd in self._crowds)
            is_done = (
                confirmed >= plan.messages and outcome.kills >= plan.kills and self._proxy.cuts >= plan.cuts
            )
            if is_done:
                return
            # How far the slowest of the three is: the others wait for it, so that all goes on to the end.
            part = min(1.0, confirmed / plan.messages if plan.messages else 1.0)
            if now >= kill_at and outcome.kills < plan.kills:
                self._server.kill()
                outcome.kills += 1
                self._server = self._start_server()
                self._restarts.append(self._server)
                kill_at = now + chance.uniform(0.5, 3.0)
            if self._proxy.cuts < plan.cuts and chance.random() < 0.15:
                self._proxy.cut(chance, chance.choice((1, 1, 2, 8)), chance.choice(("fin", "rst", "rst")))
            if chance.random() < 0.01:
                self._proxy.stall(chance, chance.uniform(0.5, 3))
            running = [crowd for crowd in self._crowds if crowd.stopped_until is None]
            progress = min(part, outcome.kills / plan.kills if plan.kills else 1.0)
            if running and outcome.stops < plan.stops * progress:
                chance.choice(running).stop(chance.uniform(1, 3))
                outcome.stops += 1
            elif running and outcome.restarts < plan.restarts * progress:
                chance.choice(running).restart()
                outcome.restarts += 1
            if now > said + 10:
                said = now
                self._say(f"{confirmed:,} confirmed, {outcome.kills} kills, {self._proxy.cuts:,} cuts")

    def _settle(self) -> None:
        """Let everybody have everything, over connections that hold."""
        self._proxy.fates = untouched
        self._server.line(0)
        for crowd in self._crowds:
            if crowd.stopped_until is not None:
                crowd.go_on()
            crowd.child.tell("finish")
        self._wait("finished")
        heads = {room: log[-1].seq for room, log in self._logs().items() if log}
        for crowd in self._crowds:
            crowd.child.tell(f"leave {json.dumps(heads)}")
        self._wait("left")

    def _wait(self, word: str) -> None:
        deadline = time.monotonic() + self.plan.patience
        while True:
            for crowd in self._crowds:
                crowd.look()
            if all(crowd.status[word] for crowd in self._crowds):
                return
            if time.monotonic() > deadline:
                self._outcome.violations.append(
                    f"stuck: not all had {word} within {self.plan.patience:.0f} s: "
                    + ", ".join(f"{crowd.tag} {crowd.status}" for crowd in self._crowds)
                )
                return
            time.sleep(0.02)

    # ── comparing ──

    def _logs(self) -> dict[str, list[Line]]:
        """What the store holds, read as SQLite by another program would."""
        logs: dict[str, list[Line]] = {}
        with contextlib.closing(sqlite3.connect(self.folder / "chat.sqlite")) as db:
            for room, seq, body in db.execute("SELECT room, seq, body FROM log ORDER BY room, seq"):
                said = fast_json.decode(body, type=Body)
                logs.setdefault(room, []).append(Line(seq, said.by, said.text))
        return logs

    def _compare(self) -> None:
        outcome = self._outcome
        logs = self._logs()
        killed = {tag for crowd in self._crowds for tag in crowd.killed}
        senders: list[Sender] = []

        def views() -> Iterator[View]:
            for path in sorted((self.folder / "seen").glob("*.txt")):
                sender, view = read_record(path, path.name.split("-")[0] in killed)
                senders.append(sender)
                outcome.views += 1
                outcome.given += len(view.lines)
                outcome.confirmed += len(sender.confirmed)
                yield view

        outcome.violations += check(logs, views(), senders)
        outcome.messages = sum(len(log) for log in logs.values())
        for server in self._restarts:
            if server.ready < float("inf"):  # not killed before it was ready
                first = min(_first_after(crowd.gaps, server.ready) for crowd in self._crowds)
                outcome.to_first.append((first if first < float("inf") else server.ready) - server.started)
        outcome.longest_silence = _longest_silence([crowd.gaps for crowd in self._crowds])


def _first_after(gaps: list[tuple[float, float]], moment: float) -> float:
    """When something was confirmed first after a moment, in one crowd. What still comes from the server
    that was killed, out of the systems' memory, came before that moment."""
    return next((end for begin, end in gaps if begin <= moment < end), float("inf"))


def _longest_silence(gaps: list[list[tuple[float, float]]]) -> float:
    """The longest time that lies in a gap of each crowd."""
    turns = sorted((at, step) for each in gaps for gap in each for at, step in zip(gap, (1, -1), strict=True))
    longest = begun = 0.0
    silent = 0
    for at, step in turns:
        if silent == len(gaps) and step < 0:
            longest = max(longest, at - begun)
        silent += step
        if silent == len(gaps):
            begun = at
    return longest


def read_record(path: Path, was_killed: bool) -> tuple[Sender, View]:
    """One client's record."""
    tag = path.stem
    room = tag.split("-")[1]
    sender, view = Sender(tag, room, name_of(tag)), View(tag, room, lines := [])
    text = path.read_text()
    whole, _, _ = text.rpartition("\n")  # the last line may be cut
    for entry in whole.split("\n") if whole else ():
        first, _, rest = entry.partition(" ")
        if first.isdigit():
            by, _, said = rest.partition(" ")
            lines.append(Line(int(first), by, said))
        elif first == "sent":
            sender.sent = int(rest)
        elif first == "confirmed":
            number, _, seq = rest.partition(" ")
            sender.confirmed[int(number)] = int(seq)
        elif first == "end":
            view.is_whole = True
    if was_killed:
        sender.sent = None
    return sender, view
