"""Rooms and members: a request in, effects out.

The hub knows no socket, no thread and no clock. Whoever holds it (the server's loop thread, a test)
calls it with what happened and then carries out the effects it returns, in exactly the order given:
that one habit is what makes "no gap, no double" true, because a room's events and a newcomer's
admission pass through the same list.

A connection is any hashable thing that the caller uses for one; the hub only hands it back. A member
is known by its session, a secret word that lets it come back after its connection broke: it stays a
member for ``limits.grace`` seconds, and the others notice nothing if it returns in time.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from nbchat.core import confusables, names, texts, wire
from nbchat.core.arrivals import Arrivals
from nbchat.core.deeds import duration
from nbchat.core.effects import (
    Admit,
    Announce,
    Append,
    Connection,
    Decline,
    Drop,
    Effect,
    Fetch,
    Record,
    Shut,
    Tell,
    Void,
)
from nbchat.core.errors import BadName, BadText, ProtocolError
from nbchat.core.frames import (
    Away,
    Body,
    Bye,
    Changed,
    Closing,
    Hello,
    Join,
    Joined,
    Left,
    MemberInfo,
    Moderate,
    Page,
    Ping,
    Pong,
    Refused,
    Request,
    RoomLimits,
    Rules,
    Say,
    Typing,
    TypingShown,
    Welcomed,
)
from nbchat.core.heldnames import HeldNames
from nbchat.core.limits import Limits
from nbchat.core.members import Member, Room
from nbchat.core.moderation import Moderation
from nbchat.core.naming import Newcomer, Promised, Taken, fitting
from nbchat.core.places import Origin, Places

_TOO_OFTEN = "Too many came and went from where you come from. Try again in {}."


class Hub:
    """All rooms together. Not thread-safe: one owner.

    ``new_session`` makes the secret word of a new session (an argument so that tests can foresee it);
    ``rules`` are what hosts have decided (moderation.py), ``held`` the names that are held (heldnames.py),
    ``promised`` says which names invitations are for (keyring.py); ``chat`` is the chat's name. ``now`` is in
    seconds since 1970 where it is asked for, but for those of :meth:`lost` and :meth:`expire`, which only
    compare.
    """

    def __init__(
        self,
        limits: Limits,
        log_id: str,
        new_session: Callable[[], str],
        rules: Moderation | None = None,
        chat: str | None = None,
        *,
        held: HeldNames | None = None,
        promised: Promised | None = None,
    ) -> None:
        confusables.table()  # now, not while the first member waits
        self._limits = limits
        self._log_id = log_id
        self._new_session = new_session
        self.rules = rules or Moderation()
        self._chat = chat
        self.held = held or HeldNames()
        self._promised = promised
        self._arrivals = Arrivals(limits.comings)
        self._time = 0.0
        """Seconds since 1970, as it was told last: about a second ago at the most."""
        self._rooms: dict[str, Room] = {}
        self._by_conn: dict[Connection, Member] = {}
        self._by_session: dict[str, Member] = {}
        self._places = Places(limits)
        self._gone: dict[str, Member] = {}
        """Members without a connection, the one gone longest first."""

    # ── coming ──

    def join(
        self,
        conn: Connection,
        request: Join,
        role: str = "member",
        now: float = 0.0,
        address: str | None = None,
        *,
        serves: bool | None = None,
        key_id: str | None = None,
    ) -> list[Effect]:
        """A connection that has proved its key (which gave it ``role``) wants to be a member. ``address`` is
        where it comes from, None if that tells nobody apart. ``serves`` false: the key was made for another
        host, and is not the server's own. ``key_id`` is the key's."""
        self._time = now
        room_name = names.check(request.room, "room name")
        is_host = role == "host"
        serves = is_host if serves is None else serves
        key = names.skeleton(room_name)
        if back := self._resume(conn, request, key, key_id, serves=serves, is_host=is_host):
            return back
        bears = self.rules.role(key, request.session or "", is_host=is_host) == "host"
        name = fitting(request.name, is_host=bears, exact=request.exact)
        bar = self.rules.bars(key, request.session, name, address, now, is_host=is_host)
        if bar is not None and not serves:
            return self._no(conn, bar.code, str(bar))
        origin = source = (key_id, address)
        if not is_host and (wait := self.wait(request, key_id, address, now)):
            return self._no(conn, "too_often", _TOO_OFTEN.format(duration(wait)))
        who = Newcomer(key, request.session, key_id, is_host, serves, now)
        left = [*self._make_place(key, origin, serves=serves), *self._win_back(who, name)]
        room = self._open(room_name)
        if room is None:
            return [*left, *self._no(conn, "too_many_rooms", "This server has no place for another room.")]
        was_there = self.rules.seen.has(key, request.session)
        full = self._places.bar(key, len(room.members), origin, was_there=was_there, serves=serves)
        if full is not None:
            self._tidy(room)
            return [*left, *self._no(conn, full.code, str(full))]
        taken = self._taken(who, room)
        given = name if names.is_free(name, taken) else taken.next_free(name)
        if given != name and request.exact:
            text = taken.why(name, given)
            self._tidy(room)
            return [*left, *self._no(conn, "name_in_use", text, given)]
        asked = name if names.is_free(name, room.taken) else None
        # A session from before the server's restart is taken as it is: it is what makes a message
        # sent again recognisable.
        session = request.session
        if session is None or session in self._by_session:
            session = self._new_session()
        after = request.after if request.log_id in (None, self._log_id) else None
        return [
            *left,
            *self._enter(conn, session, given, room, source, asked, serves=serves, is_host=is_host),
            Admit(conn, room.key, after),
        ]

    def join_plain(
        self,
        conn: Connection,
        name: str,
        room: str = "lobby",
        now: float = 0.0,
        address: str | None = None,
    ) -> tuple[str, list[Effect]]:
        """A first-generation client gave its name; returns the one it got, and the effects.

        Raises :class:`BadName` for a name that cannot be one, or may not come in.
        """
        self._time = now
        name, key, source = names.check_member(name, is_host=False), names.skeleton(room), ("plain", address)
        if bar := self.rules.bars(key, None, name, address, now):
            raise BadName(str(bar))
        if wait := self._arrivals.wait(source, None, now, is_back=False):
            raise BadName(_TOO_OFTEN.format(duration(wait)))
        left = self._make_place(key, (None, address))
        opened = self._open(room)
        if opened is None:
            raise BadName("This room is full.")
        if full := self._places.bar(opened.key, len(opened.members), (None, address)):
            self._tidy(opened)
            raise BadName(str(full))
        taken = self._taken(Newcomer(key, None, None, False, False, now), opened)
        asked = name if names.is_free(name, opened.taken) else None
        given = name if names.is_free(name, taken) else taken.next_free(name)
        session = self._new_session()
        return given, [*left, *self._enter(conn, session, given, opened, source, asked, plain=True)]

    def _taken(self, who: Newcomer, room: Room | None) -> Taken:
        return Taken(who, room, self.held, self._promised, self.rules)

    def wait(self, request: Join, key_id: str | None, address: str | None, now: float) -> float:
        """The seconds until somebody may come who comes too often; 0: now."""
        session = request.session
        if session in self._by_session:
            return 0.0
        is_back = self.rules.was_there_as(names.skeleton(request.room), session) == request.name
        return self._arrivals.wait((key_id, address), session, now, is_back=is_back)

    def _win_back(self, who: Newcomer, name: str) -> list[Effect]:
        """A host comes back whose name somebody else has by now: that one's connection is ended, and its
        client comes back by itself under another name."""
        effects: list[Effect] = []
        for member in self._taken(who, self._rooms.get(who.room)).holders(name) if who.is_host else ():
            leaving = member.conn
            reason = (
                f"{name!r} is a host's name, and that host is back. You can come back under another name."
            )
            if leaving is not None:
                effects.append(Tell(leaving, Closing(reason=reason)))
            effects += self._leave(member, holds=False)
            if leaving is not None:
                effects.append(Drop(leaving))
        return effects

    def welcome(self, conn: Connection, head: int, now: float = 0.0) -> Welcomed | None:
        """What an admitted connection is greeted with, true at this moment; None if it left."""
        member = self._by_conn.get(conn)
        if member is None:
            return None
        limits = self._limits
        return Welcomed(
            session=member.session,
            name=member.name,
            role=member.role,
            room=member.room.name,
            log_id=self._log_id,
            head=head,
            members=[other.info for other in member.room.members.values()],
            limits=RoomLimits(text=limits.text, line=limits.line, page=limits.page, ping=limits.ping),
            chat=self._chat,
            rules=self.rules.standing(member.room.key, member, now),
        )

    def _resume(
        self, conn: Connection, request: Join, room: str, key_id: str | None, *, serves: bool, is_host: bool
    ) -> list[Effect]:
        member = self._by_session.get(request.session) if request.session else None
        if member is None or member.room.key != room:
            return []
        effects: list[Effect] = []
        if member.conn is not None:
            del self._by_conn[member.conn]
            effects += [
                Tell(
                    member.conn,
                    Closing(
                        reason="This session goes on over another connection.", final=True, code="replaced"
                    ),
                ),
                Drop(member.conn),
            ]
        self._gone.pop(member.session, None)
        self._by_conn[conn], member.conn = member, conn
        member.serves, member.is_host, member.key = serves, is_host, key_id
        member.source, member.gone_at = (key_id, member.source[1]), 0.0
        effects += self._reroled(member)
        after = request.after if request.log_id in (None, self._log_id) else None
        return [*effects, Admit(conn, member.room.key, after)]

    def _enter(
        self,
        conn: Connection,
        session: str,
        name: str,
        room: Room,
        source: tuple[str | None, str | None],
        asked: str | None,
        *,
        serves: bool = False,
        is_host: bool = False,
        plain: bool = False,
    ) -> list[Effect]:
        role = self.rules.role(room.key, session, is_host=is_host)
        key_id = source[0] if not plain else None
        member = Member(session, name, role, room, plain, conn, serves, is_host, source[1], key_id)
        member.came_at, member.source, member.origin = self._time, source, (key_id, source[1])
        member.said_at = self.rules.seen.said_at(room.key, session, name)
        self._places.take(room.key, member.origin)
        self.rules.saw(room.key, member, asked if asked != name else None, self._time)
        self._hold(member)
        room.members[names.skeleton(name)] = member
        room.taken |= names.marks(name)
        self._by_conn[conn] = self._by_session[session] = member
        quiet = self._is_quiet(member)
        return [Announce(room.key, Joined(member=member.info, quiet=quiet), session)]

    def _hold(self, member: Member) -> None:
        """A member has its name, and the role it has now."""
        if not member.plain:  # which has no session to come back with
            is_host = member.role == "host"
            self.held.came(member.room.key, member.name, member.session, member.host_key, is_host=is_host)

    def _is_quiet(self, member: Member) -> bool:
        """Whether no line tells that a member came or went: who may not speak does not speak by its name."""
        no = self.rules.silences(member.room.key, member, self._time)
        return no is not None and no.code != "too_soon"

    def _make_place(self, key: str, origin: Origin, *, serves: bool = False) -> list[Effect]:
        """Where no place is left, that of whoever has been gone longest is not held any longer, of the same
        origin first: somebody who comes and drops again and again shuts nobody out."""
        room = self._rooms.get(key)
        gone: Iterable[Member] = self._gone.values()
        if room is None and len(self._rooms) >= self._limits.rooms:
            gone = (each for each in gone if len(each.room.members) == 1)
        else:
            full = self._places.bar(key, len(room.members) if room is not None else 0, origin, serves=serves)
            if full is None:
                return []
            if full.code == "room_full":
                gone = [each for each in gone if each.room is room]
            own = [each for each in gone if each.origin == origin]
            gone = own if own or full.code == "link_full" else gone
        first = next(iter(gone), None)
        return self._leave(first) if first is not None else []

    def _open(self, name: str) -> Room | None:
        key = names.skeleton(name)
        if key not in self._rooms:
            if len(self._rooms) >= self._limits.rooms:
                return None
            self._rooms[key] = Room(key, name)
        return self._rooms[key]

    # ── being there ──

    def handle(self, conn: Connection, request: Request, now: float = 0.0) -> list[Effect]:
        """A member's request."""
        self._time = now
        member = self._by_conn[conn]
        match request:
            case Say():
                return self._say(member, conn, request, now)
            case Page():
                limit = min(request.limit, self._limits.page)
                return [Fetch(conn, member.room.key, request.before, limit)]
            case Typing():
                no = self.rules.silences(member.room.key, member, now)
                if no is not None and no.code != "too_soon":
                    return []  # nobody waits for what will not come
                return [Announce(member.room.key, TypingShown(name=member.name), member.session)]
            case Away(away=away):
                return self._away(member, away)
            case Moderate():
                try:
                    return self._moderate(member.room.key, conn, member, request, now)
                except ProtocolError as error:
                    error.id = request.id
                    return [self._refuse(conn, error)]
            case Rules():
                is_host = member.role == "host"
                return [Tell(conn, self.rules.told(member.room.key, request.id, now, is_host=is_host))]
            case Ping():
                return [Tell(conn, Pong())]
            case Bye():
                return [*self._leave(member), Drop(conn)]
            case Hello() | Join():
                return [
                    self._refuse(conn, ProtocolError("already_joined", "This connection has joined already."))
                ]

    def refuse(self, conn: Connection, error: ProtocolError) -> list[Effect]:
        """A member's line was no request."""
        effects: list[Effect] = [self._refuse(conn, error)]
        if error.fatal:
            effects += [*self.lost_for_good(conn), Drop(conn)]
        return effects

    def moderate(self, room: str, request: Moderate, now: float) -> list[Effect]:
        """The server itself moderates a room. Raises :class:`ProtocolError` with what is wrong."""
        self._time = now
        return self._moderate(names.skeleton(room), None, None, request, now)

    def _moderate(
        self, room: str, conn: Connection | None, member: Member | None, request: Moderate, now: float
    ) -> list[Effect]:
        opened = self._rooms.get(room)
        present = opened.members if opened is not None else {}
        if request.do == "release":
            self.rules.only_hosts(request, member)
            return [Record(conn, room, self.held.release(room, request, member, present, now))]
        verdict = self.rules.judge(room, request, member, present, now)
        effects: list[Effect] = []
        out = verdict.shut_out
        assert out is None or isinstance(out, Member)
        if out is not None:
            effects += self._shut_out(out, verdict.why, verdict.code)
        if verdict.deed.did == "ban" and verdict.deed.name is not None:
            self.held.let_go(room, verdict.deed.name)
        if verdict.lost is not None and (out is None or out.key is not None):
            key_id = out.key if out is not None else None
            effects.append(Void(verdict.lost, key_id, is_personal=request.do == "ban"))
        if verdict.changed is not None:
            assert isinstance(verdict.changed, Member)
            effects += self._reroled(verdict.changed)
        since = int((now - request.back) * 1000) if request.back is not None else None
        return [*effects, Record(conn, room, verdict.deed, since)]

    def _shut_out(self, member: Member, why: str, code: str) -> list[Effect]:
        conn = member.conn
        left = self._leave(member, holds=False)
        if conn is None:
            return left
        return [Tell(conn, Closing(reason=why, final=True, code=code)), *left, Drop(conn)]

    def empty(self, keys: Container[str], why: str) -> list[Effect]:
        """End all who came with one of these keys."""
        out = [each for each in self._by_session.values() if each.key in keys and not each.serves]
        return [effect for member in out for effect in self._shut_out(member, why, "link_ended")]

    def _reroled(self, member: Member) -> list[Effect]:
        """See what a member's role is now, and say so if it is another one."""
        role = self.rules.role(member.room.key, member.session, is_host=member.is_host)
        if role == member.role:
            return []
        member.role = role
        self._hold(member)
        return [self._changed(member)]

    def _say(self, member: Member, conn: Connection, request: Say, now: float) -> list[Effect]:
        try:
            text = texts.check(request.text, self._limits.text)
        except BadText as error:
            return [self._refuse(conn, ProtocolError(error.code, str(error), id=request.id))]
        if no := self.rules.silences(member.room.key, member, now):
            return [Decline(conn, member.room.key, member.session, request.id, no.code, str(no))]
        member.said_at = now
        self.rules.seen.spoke(member.room.key, member, now)
        body = Body(
            id=request.id,
            by=member.name,
            text=text,
            auto=request.auto,
            role="host" if member.role == "host" else "member",
            plain=member.plain,
        )
        return [Append(conn, member.room.key, member.session, request.id, wire.encode_body(body))]

    def _away(self, member: Member, away: bool) -> list[Effect]:
        if away == member.away:
            return []
        member.away = away
        return [self._changed(member)]

    @staticmethod
    def _changed(member: Member) -> Announce:
        return Announce(member.room.key, Changed(member=member.info), member.session)

    # ── going ──

    def lost(self, conn: Connection, now: float) -> list[Effect]:
        """A connection broke. Its member may come back until :meth:`expire` says it has left."""
        member = self._by_conn.get(conn)
        if member is None:
            return []
        if member.plain:
            return self._leave(member)
        del self._by_conn[conn]
        member.conn, member.gone_at = None, now
        self._gone[member.session] = member
        return []

    def lost_for_good(self, conn: Connection) -> list[Effect]:
        """A connection's member leaves at once."""
        member = self._by_conn.get(conn)
        return self._leave(member) if member else []

    def move(self, seconds: float) -> None:
        """The clock that gives ``now`` in :meth:`handle` was set by so many seconds."""
        self._time += seconds
        self.rules.move(seconds)
        self.held.move(seconds)
        self._arrivals.move(seconds)
        for room in self._rooms.values():
            for member in room.members.values():
                member.said_at += seconds
                member.came_at += seconds

    def expire(self, now: float, time: float | None = None) -> list[Effect]:
        """Say of those who did not come back that they left, and let go of names that were held long enough.
        To be called about once a second; ``time``: in seconds since 1970."""
        self._time = time if time is not None else self._time
        self.held.expire(self._time)
        effects: list[Effect] = []
        for member in list(self._gone.values()):
            if now - member.gone_at < self._limits.grace:
                break
            effects += self._leave(member)
        return effects

    def _leave(self, member: Member, *, holds: bool = True) -> list[Effect]:
        room = member.room
        if not member.is_host:  # who only drops counts, too; after an outage one is back by one's session
            self._arrivals.went(member.source, member.session, self._time - member.came_at, self._time)
        if holds:
            self.held.left(room.key, member.name, self._time)
        else:
            self.held.let_go(room.key, member.name, member.session)
        del room.members[names.skeleton(member.name)]
        room.taken -= names.marks(member.name)
        self._places.leave(room.key, member.origin)
        del self._by_session[member.session]
        self._gone.pop(member.session, None)
        if member.conn is not None:
            del self._by_conn[member.conn]
        effects: list[Effect] = [
            Announce(room.key, Left(name=member.name, quiet=self._is_quiet(member)), member.session)
        ]
        if self._tidy(room):
            effects.append(Shut(room.key))
        return effects

    def _tidy(self, room: Room) -> bool:
        if room.members:
            return False
        return self._rooms.pop(room.key, None) is not None

    # ── to be asked ──

    def members(self, room: str | None = None) -> list[MemberInfo]:
        """The members of one room or of all, in the order in which they came. May be called from any thread:
        what may change meanwhile is copied in one step."""
        if room is not None:
            found = self._rooms.get(names.skeleton(room))
            return [member.info for member in list(found.members.values())] if found else []
        return [member.info for each in list(self._rooms.values()) for member in list(each.members.values())]

    @property
    def count(self) -> int:
        """How many members there are, in all rooms. May be asked from any thread."""
        return len(self._by_session)

    def inside(self, key_id: str) -> dict[str, str]:
        """Who came with a key and is in a room, or may be back in a moment: session → room."""
        return {each.session: each.room.key for each in self._by_session.values() if each.key == key_id}

    def is_host(self, conn: Connection) -> bool:
        member = self._by_conn.get(conn)
        return member is not None and member.role == "host"

    def room_of(self, conn: Connection) -> str | None:
        """The key of the room that a connection is in."""
        member = self._by_conn.get(conn)
        return member.room.key if member else None

    def session_of(self, conn: Connection) -> str | None:
        member = self._by_conn.get(conn)
        return member.session if member else None

    # ── words ──

    @staticmethod
    def _refuse(conn: Connection, error: ProtocolError) -> Tell:
        return Tell(conn, Refused(code=error.code, text=str(error), fatal=error.fatal, id=error.id))

    @staticmethod
    def _no(conn: Connection, code: str, text: str, suggestion: str | None = None) -> list[Effect]:
        return [Tell(conn, Refused(code=code, text=text, fatal=True, suggestion=suggestion)), Drop(conn)]
