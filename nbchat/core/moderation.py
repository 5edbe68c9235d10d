"""The host's hand: what a host can do in a room, to whom, and what holds there since then.

Pure rules: ``now`` (seconds since 1970) is an argument, and whoever is to be told or shut out is only named.
All of it is about one room.

Who may do what to whom is one comparison of ranks. Who came with the server's own key *serves* and is above
all; who was named host, or came with a host's link, is below; all others are below those. A deed that is
about a person asks for a higher rank than that person's. So nobody can turn it on himself, and nobody on who
serves, who may always come and speak: there is always a host.

A ban or a mute is on a session and a name, and on an address where nobody else has it. Names and sessions
cost nothing, so it keeps out who is not determined; ``lock`` keeps out all newcomers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from nbchat.core import frames, names
from nbchat.core.deeds import SERVER, duration, span, who
from nbchat.core.errors import ProtocolError
from nbchat.core.frames import Deed, Moderate, Ruled, Standing
from nbchat.core.held import Held
from nbchat.core.mistaken import MISTAKEN, TakenFor
from nbchat.core.seen import EACH, Seen

K = TypeVar("K")
V = TypeVar("V")

_MOST = 1000
"""Bans, mutes and named hosts of one room, the oldest giving way: more than a room has members."""
_BACK = 86400.0
"""Seconds, a day: how far back a member's messages can be taken away at once."""


class Person(Protocol):
    """A member, as far as the rules look."""

    session: str
    name: str
    role: str
    serves: bool
    is_host: bool
    plain: bool
    address: str | None
    said_at: float


class Ban(Struct, frozen=True, omit_defaults=True):
    """A ban or a mute; ``until`` in seconds since 1970, None: until further notice."""

    name: str
    session: str | None = None
    address: str | None = None
    until: float | None = None

    def __repr__(self) -> str:  # a session is a secret
        return f"Ban({self.name!r}, until={self.until!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)

    def is_about(self, session: str | None, name: str) -> bool:
        """Whether it is about that session, or a name that looks like this one."""
        is_alike = not names.marks(name).isdisjoint(names.marks(self.name))
        return is_alike or (session is not None and session == self.session)

    @property
    def key(self) -> str:
        return names.skeleton(self.name)


class RoomRules(Struct, omit_defaults=True):
    """What holds in one room."""

    hosts: dict[str, str] = {}
    """Who was named host: session → name."""
    bans: list[Ban] = []
    mutes: list[Ban] = []
    slow: float = 0.0
    announce: bool = False
    locked: list[str] | None = None
    """The sessions that may come back; None: the room is open."""

    def __repr__(self) -> str:  # sessions are secrets
        return f"RoomRules({len(self.bans)} bans, {len(self.mutes)} mutes)"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


class Verdict(NamedTuple):
    """What a deed brings with it: the ``deed`` itself for the log; ``shut_out``, a member to be ended with
    the words ``why`` and, for programs, a ``code``; ``changed``, a member whose role is another one now;
    ``lost``, a session that has lost its key, since it was shut out by who serves."""

    deed: Deed
    shut_out: Person | None = None
    why: str = ""
    code: str = ""
    changed: Person | None = None
    lost: str | None = None


class Moderation:
    """The rules of all rooms. One owner; ``kept`` is what :attr:`kept` gave when they were kept last."""

    def __init__(self, kept: str = "{}") -> None:
        self._rooms = msgspec.json.decode(kept, type=dict[str, RoomRules])
        self._before = {
            (room, ban.key, ban.until)
            for room, rules in self._rooms.items()
            for ban in (*rules.bans, *rules.mutes)
        }
        """The bans and mutes of before: they were timed by the clock of then."""
        self.seen = Seen()
        self._held: dict[str, tuple[Held[Ban], Held[Ban]]] = {}
        """Bans and mutes of each room, as they are found; made anew where they are others now."""
        self._kicked: dict[tuple[str, str], None] = {}
        self._lost: dict[str, None] = {}
        """Sessions that were shut out by who serves: of all rooms."""
        self._taken_for = TakenFor(EACH)

    @property
    def kept(self) -> str:
        """All of it as text, for the store to keep."""
        rooms = {room: rules for room, rules in self._rooms.items() if rules != RoomRules()}
        return msgspec.json.encode(rooms).decode()

    def move(self, seconds: float) -> None:
        """The clock was set by so many seconds: move the ends of what was done by this one."""

        def moved(room: str, held: list[Ban]) -> list[Ban]:
            return [
                ban
                if ban.until is None or (room, ban.key, ban.until) in self._before
                else msgspec.structs.replace(ban, until=ban.until + seconds)
                for ban in held
            ]

        for room, rules in self._rooms.items():
            rules.bans, rules.mutes = moved(room, rules.bans), moved(room, rules.mutes)

    def saw(self, room: str, member: Person, asked: str | None = None, now: float = 0.0) -> None:
        """A member has come into a room. ``asked``: the name that it asked for, if it was given another one
        though nobody there has it."""
        if not self.seen.has(room, member.session):
            mutes = self._found(room, self._of(room))[1]
            about = [*mutes.at(member.address), *(mutes.about(None, asked) if asked is not None else ())]
            self._taken_for.came(room, member, asked, _holding(about, now))
        self.seen.add(room, member)

    # ── what is allowed ──

    def role(self, room: str, session: str, *, is_host: bool) -> str:
        """A session's role; ``is_host``: by its key."""
        return "host" if is_host or session in self._of(room).hosts else "member"

    def bars(
        self,
        room: str,
        session: str | None,
        name: str,
        address: str | None,
        now: float,
        *,
        is_host: bool = False,
    ) -> ProtocolError | None:
        """Why somebody who does not serve may not come in; None if nothing speaks against it."""
        rules = self._of(room)
        bans = self._found(room, rules)[0]
        for ban in _holding(bans.about(session, name), now):
            return _no("banned", f"You are banned from this room {_left(ban, now)}.")
        if not self.seen.has(room, session):
            for ban in _holding(bans.at(address), now):
                return _no(
                    "banned",
                    f"Somebody who came from where you come from is banned from this room {_left(ban, now)}. "
                    "If that is not you, ask the host.",
                )
        if session is not None and (room, session) in self._kicked:
            return _no("kicked", "A host removed you from this room. You can join again by hand.")
        if session is not None and session in self._lost:
            return _no("kicked", "Who serves this chat removed you. You can join again by hand.")
        may_come = is_host or session in (*(rules.locked or ()), *rules.hosts)
        if rules.locked is not None and not may_come:
            return _no("locked", "This room is locked: no newcomers. Ask the host to let you in (/unlock).")
        return None

    def silences(self, room: str, member: Person, now: float) -> ProtocolError | None:
        """Why a member may not say something now; None if it may."""
        rules = self._of(room)
        if rules is _NONE or member.serves:
            return None
        mutes = self._found(room, rules)[1]
        for mute in _holding(mutes.about(member.session, member.name), now):
            return _no("muted", f"A host has muted you {_left(mute, now)}.")
        for mute in self._mistaken(room, mutes, member, now):
            return _no("muted", MISTAKEN.format(name=mute.name, left=_left(mute, now)))
        if member.role == "host":
            return None
        if rules.announce:
            return _no("announce", "Only hosts may speak in this room now.")
        if (wait := member.said_at + rules.slow - now) > 0:
            return _no(
                "too_soon",
                f"This room is slow: {duration(rules.slow)} between two messages. "
                f"You can send this one in {duration(wait)}.",
            )
        return None

    def standing(self, room: str, member: Person, now: float) -> Standing | None:
        """What holds for a member, as it is welcomed with; None if nothing does. Who is taken for a muted one
        finds that one's name in it, and not its own."""
        rules = self._of(room)
        mutes = self._found(room, rules)[1]
        own = _holding(mutes.about(member.session, member.name), now)
        held = chain(own, self._mistaken(room, mutes, member, now))
        muted = None if member.serves else next(map(_shown, held), None)
        found = Standing(rules.announce, rules.slow, muted)
        return found if found != Standing() else None

    def _mistaken(self, room: str, mutes: Held[Ban], member: Person, now: float) -> Iterator[Ban]:
        """The mutes of whom a member is taken for."""
        name = self._taken_for.name(room, member.session) if member.role != "host" else None
        if name is not None:
            yield from (mute for mute in _holding(mutes.about(None, name), now) if mute.name == name)

    def barred(self, room: str, now: float) -> frozenset[str]:
        """The marks of the names that are banned or muted: nobody is given one of these by numbering."""
        rules = self._of(room)
        return frozenset().union(
            *(names.marks(each.name) for each in _holding(rules.bans + rules.mutes, now))
        )

    def was_there_as(self, room: str, session: str | None) -> str | None:
        """The name that a session had when it came last; None for one that was not there."""
        return self.seen.name_of(room, session)

    def told(self, room: str, id: str, now: float, *, is_host: bool) -> Ruled:
        """What holds in a room, as a member may know it."""
        rules = self._of(room)
        return Ruled(
            id,
            announce=rules.announce,
            locked=rules.locked is not None,
            slow=rules.slow,
            bans=[_shown(ban) for ban in _holding(rules.bans, now)] if is_host else [],
            mutes=[_shown(mute) for mute in _holding(rules.mutes, now)] if is_host else [],
        )

    # ── what hosts do ──

    @staticmethod
    def only_hosts(order: Moderate, actor: Person | None) -> None:
        """Raises :class:`ProtocolError` if who wants something is no host."""
        if actor is not None and actor.role != "host":
            raise _no("not_host", f"Only a host can do that ({order.do}).")

    def judge(
        self, room: str, order: Moderate, actor: Person | None, present: Mapping[str, Person], now: float
    ) -> Verdict:
        """Do what a host asks. ``actor`` None is the server itself; ``present`` are the room's members by
        the skeletons of their names. Raises :class:`ProtocolError` with what is wrong, and changes nothing
        then."""
        self.only_hosts(order, actor)
        if order.back is not None and (order.do not in ("delete", "ban") or not 0 < order.back <= _BACK):
            raise _no("not_possible", "Messages of a day at the most go with a member's name, or its ban.")
        rules = self._rooms.get(room) or RoomRules()
        deed = Deed(
            id=order.id,
            by=actor.name if actor is not None else SERVER,
            did=order.do,
            seconds=order.seconds if order.do == "slow" else None,
            target=order.seq if order.do == "delete" else None,
        )
        verdict = self._do(room, rules, order, actor, present, now, deed)
        rules.bans, rules.mutes = list(_holding(rules.bans, now)), list(_holding(rules.mutes, now))
        self._rooms[room] = rules
        return verdict

    def _do(
        self,
        room: str,
        rules: RoomRules,
        order: Moderate,
        actor: Person | None,
        present: Mapping[str, Person],
        now: float,
        deed: Deed,
    ) -> Verdict:
        match order.do:
            case "unhost" if order.name and names.skeleton(order.name) not in present:
                return self._unhost_absent(rules, order, actor, present, deed)
            case "kick" | "host" | "unhost":
                return self._to_member(room, rules, order, actor, self._present(order, present), deed)
            case "ban" | "mute":
                return self._hold(room, rules, order, actor, present, now, deed)
            case "unban":
                for ban in rules.bans:
                    if ban.session is not None and ban.key == names.skeleton(order.name or ""):
                        self._lost.pop(ban.session, None)
                rules.bans, name = _released(rules.bans, order, "banned")
                return Verdict(msgspec.structs.replace(deed, name=name))
            case "unmute":
                rules.mutes, name = _released(rules.mutes, order, "muted")
                return Verdict(msgspec.structs.replace(deed, name=name))
            case "slow":
                if order.seconds is None:
                    raise _no("not_possible", "Say how many seconds; 0 ends it.")
                rules.slow = order.seconds
            case "announce" | "unannounce":
                rules.announce = order.do == "announce"
            case "lock":
                here = {member.session for member in present.values()}
                rules.locked = sorted(here | self.seen.sessions(room))
            case "unlock":
                rules.locked = None
            case "delete" if order.back is not None:  # who it was, and what there is, the log knows
                if (member := present.get(names.skeleton(order.name or ""))) not in (None, actor):
                    _above(actor, member, order)
                elif not order.name:
                    raise _nobody(order, present)
                return Verdict(msgspec.structs.replace(deed, name=order.name))
            case "delete":
                if order.seq is None:
                    raise _no("not_possible", "Say which message: its number.")
            case "clear":
                pass
        return Verdict(deed)

    def _to_member(
        self, room: str, rules: RoomRules, order: Moderate, actor: Person | None, member: Person, deed: Deed
    ) -> Verdict:
        deed = msgspec.structs.replace(deed, name=member.name)
        _above(actor, member, order)
        if order.do == "kick":
            self._forget(room, member.session, rules)
            self._kicked[room, member.session] = None
            _bound(self._kicked, EACH)
            lost = self._loses(member.session, actor)
            return Verdict(deed, member, f"{who(deed.by)} removed you from this room.", "kicked", lost=lost)
        if order.do == "unhost":
            if rules.hosts.pop(member.session, None) is None:
                why = (
                    "came with a host's link: kick it, and make the links void"
                    if member.role == "host"
                    else "is no host"
                )
                raise _no("not_possible", f"{member.name} {why}.")
            return Verdict(deed, changed=member)
        if member.role == "host":
            raise _no("not_possible", f"{member.name} is a host already.")
        if member.plain:
            raise _no("not_possible", f"{member.name} uses a plain-text client, which has no commands.")
        rules.hosts = {**rules.hosts, member.session: member.name}
        _bound(rules.hosts, _MOST)
        rules.mutes = [mute for mute in rules.mutes if not mute.is_about(member.session, member.name)]
        return Verdict(deed, changed=member)

    def _unhost_absent(
        self,
        rules: RoomRules,
        order: Moderate,
        actor: Person | None,
        present: Mapping[str, Person],
        deed: Deed,
    ) -> Verdict:
        """A named host who is not there could come back as one."""
        key = names.skeleton(order.name or "")
        gone = {session: name for session, name in rules.hosts.items() if names.skeleton(name) == key}
        if not gone:
            raise _nobody(order, present)
        if actor is not None and not actor.serves:
            raise _no("not_possible", "Only who serves this chat can unhost a host.")
        rules.hosts = {session: name for session, name in rules.hosts.items() if session not in gone}
        return Verdict(msgspec.structs.replace(deed, name=next(iter(gone.values()))))

    def _hold(
        self,
        room: str,
        rules: RoomRules,
        order: Moderate,
        actor: Person | None,
        present: Mapping[str, Person],
        now: float,
        deed: Deed,
    ) -> Verdict:
        """Ban or mute somebody who is there, or was."""
        if order.seconds == 0:
            raise _no("not_possible", f"For how long? To end it: un{order.do}.")
        member = present.get(names.skeleton(order.name or ""))
        name, session, address = (
            (member.name, member.session, member.address)
            if member is not None
            else self._past(room, order, present)
        )
        if member is not None:
            _above(actor, member, order)
        elif (
            actor is not None
            and not actor.serves
            and (session in rules.hosts or self.seen.was_host(room, session))
        ):
            raise _no("not_possible", f"{name} is a host: only who serves this chat can {order.do} a host.")
        until = now + order.seconds if order.seconds is not None else None
        deed = msgspec.structs.replace(deed, name=name, until=_ms(until))
        if order.do == "mute":
            others = [mute for mute in rules.mutes if not mute.is_about(session, name)]
            alone = self._alone(room, session, address, member, present)
            rules.mutes = [*others, Ban(name, session, alone, until)][-_MOST:]
            return Verdict(deed)
        ban = Ban(name, session, self._alone(room, session, address, member, present), until)
        rules.bans = [*(each for each in rules.bans if not each.is_about(session, name)), ban][-_MOST:]
        self._forget(room, session, rules)
        lost = self._loses(session, actor)
        why = f"{who(deed.by)} banned you from this room {span(until, now)}."
        return Verdict(deed, member, why, "banned", lost=lost)

    def _loses(self, session: str, actor: Person | None) -> str | None:
        """Who is shut out by who serves has lost its key, and so comes into no room."""
        if actor is not None and not actor.serves:
            return None
        self._lost[session] = None
        _bound(self._lost, EACH)
        return session

    def _alone(
        self,
        room: str,
        session: str,
        address: str | None,
        member: Person | None,
        present: Mapping[str, Person],
    ) -> str | None:
        """The address, if nobody else is or was there from it."""
        is_shared = any(each.address == address for each in present.values() if each is not member)
        return None if is_shared or not self.seen.is_alone(room, session, address) else address

    def _past(self, room: str, order: Moderate, present: Mapping[str, Person]) -> tuple[str, str, str | None]:
        """Somebody who was in the room and is gone."""
        found = self.seen.named(room, order.name or "")
        if found is None:
            raise _nobody(order, present)
        session, trace = found
        return trace.name, session, trace.address

    def _present(self, order: Moderate, present: Mapping[str, Person]) -> Person:
        member = present.get(names.skeleton(order.name or ""))
        if member is None:
            raise _nobody(order, present)
        return member

    def _forget(self, room: str, session: str, rules: RoomRules) -> None:
        """Who was shut out has no rights from having been there."""
        self.seen.forget(room, session)
        rules.hosts = {each: name for each, name in rules.hosts.items() if each != session}
        if rules.locked is not None:
            rules.locked = [each for each in rules.locked if each != session]

    def _found(self, room: str, rules: RoomRules) -> tuple[Held[Ban], Held[Ban]]:
        if rules is _NONE:
            return _NOBODY
        found = self._held.get(room)
        if found is None or found[0].of is not rules.bans or found[1].of is not rules.mutes:
            found = self._held[room] = Held(rules.bans), Held(rules.mutes)
        return found

    def _of(self, room: str) -> RoomRules:
        return self._rooms.get(room) or _NONE


_NONE = RoomRules()
_NOBODY: tuple[Held[Ban], Held[Ban]] = Held([]), Held([])


def _above(actor: Person | None, member: Person, order: Moderate) -> None:
    """See that a deed comes from above."""
    if actor is member:
        raise _no("not_possible", f"You cannot {order.do} yourself.")
    if member.serves:
        raise _no("not_possible", f"{member.name} serves this chat; nobody can {order.do} who serves.")
    if member.role == "host" and actor is not None and not actor.serves:
        raise _no(
            "not_possible", f"{member.name} is a host: only who serves this chat can {order.do} a host."
        )


def _released(held: list[Ban], order: Moderate, what: str) -> tuple[list[Ban], str]:
    key = names.skeleton(order.name or "")
    found = [each for each in held if each.key == key]
    if not found:
        listed = ", ".join(each.name for each in held[:20]) or "nobody"
        raise _no("no_such_member", f"{order.name!r} is not {what}. {what.capitalize()} now: {listed}.")
    return [each for each in held if each.key != key], found[0].name


def _nobody(order: Moderate, present: Mapping[str, Person]) -> ProtocolError:
    if not order.name:
        return _no("no_such_member", "Say whom: a member's name.")
    listed = ", ".join([member.name for member in present.values()][:20]) or "nobody"
    more = f" and {len(present) - 20} more" if len(present) > 20 else ""
    return _no("no_such_member", f"There is no {order.name!r} here. Members: {listed}{more}.")


def _no(code: str, text: str) -> ProtocolError:
    return ProtocolError(code, text)


def _holding(held: Iterable[Ban], now: float) -> Iterator[Ban]:
    return (each for each in held if each.until is None or now < each.until)


def _bound(known: dict[K, V], most: int) -> None:
    while len(known) > most:
        del known[next(iter(known))]


def _left(held: Ban, now: float) -> str:
    return "until further notice" if held.until is None else f"for another {duration(held.until - now)}"


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _shown(held: Ban) -> frames.Held:
    return frames.Held(held.name, _ms(held.until))
