"""What a line that begins with a slash asks for: the same in a panel, in a terminal and after ``%chat``.

A command is a slash and a word. All else is said: ``//word`` as ``/word``; what has no letter after its slash
(``/ 2``, ``// note``, ``/*``) as it stands. A word that is no command is not said, since a command that was
mistyped is not for everybody's eyes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import NamedTuple

from nbchat.client.client import Client
from nbchat.core import names
from nbchat.core.deeds import duration
from nbchat.core.errors import ChatError, UsageError
from nbchat.core.frames import Deeds, Held, Moderate, Moderated, Ruled, Rules
from nbchat.ui import spans

_COMMAND = re.compile(r"/([^\W\d_]\S*)\s*(.*)", re.DOTALL)
_SLASHED = re.compile(r"/+[^\W\d_]")
"""How a text begins that would be a command, or has one slash too many for one."""
_YEAR = 366 * 24 * 60
_WITH_MESSAGES = re.compile(r"(.*\S)\s+delete(?:\s+(\d\S*(?:\s*[a-z]+)?))?", re.DOTALL | re.IGNORECASE)
"""``/ban``'s end that takes messages away, too, of the last hour or of the time that follows."""


class Command(NamedTuple):
    usage: str
    help: str
    make: Callable[[Client, str], Moderate | Rules | str]
    """From what stands after the word to what is asked of the server, or to words for this person alone."""
    for_hosts: bool = True


def obey(client: Client, line: str) -> str | None:
    """What is to be said of a line that somebody typed; None if it was a command. Returns at once.

    What a command answers comes as a notice for this person alone. Raises UsageError for what is no command,
    or one that this person may not give or has written wrongly: then nothing was sent.
    """
    match = _COMMAND.fullmatch(line)
    if match is None:
        return line[1:] if _SLASHED.match(line) else line
    word, rest = match[1].lower(), match[2].strip()
    command = COMMANDS.get(word)
    if command is None and (way := _ELSEWHERE.get(word)) is not None:
        raise UsageError(f"There is no /{word} here, and nothing was sent. {way}")
    if command is None:
        raise UsageError(
            f"/{match[1]} is no command, and was not sent. /help lists the commands. "
            f"To say a text that begins with a slash, begin it with two: //{match[1]}"
        )
    if command.for_hosts and client.role != "host":
        raise UsageError(f"Only a host can do that (/{word}). Nothing was sent.")
    made = command.make(client, rest)
    if isinstance(made, str):
        client._state.notice(made)
    else:
        client._receiver.ask(made).add_done_callback(lambda done: _answer(client, done))
    return None


def listed() -> list[dict[str, str | bool]]:
    """The commands, for a page to offer: ``word``, ``usage``, ``help``, ``forHosts``."""
    return [
        {"word": word, "usage": each.usage, "help": each.help, "forHosts": each.for_hosts}
        for word, each in COMMANDS.items()
    ]


def typed(text: str) -> str:
    """A text as it has to be typed to be said."""
    return f"/{text}" if _SLASHED.match(text) else text


def _answer(client: Client, done: Future[Moderated | Ruled]) -> None:
    """Tell what became of it. What was done the room itself shows."""
    try:
        answer = done.result()
    except ChatError as error:
        client._state.notice(str(error))
        return
    if isinstance(answer, Ruled):
        client._state.notice(_rules(answer))


# ── the commands ────────────────────────────────────────────────────────────────────────────────


def _order(
    what: Deeds,
    name: str | None = None,
    seconds: float | None = None,
    seq: int | None = None,
    back: float | None = None,
) -> Moderate:
    return Moderate(secrets.token_hex(8), what, name, seconds, seq, back)


def _about(what: Deeds) -> Callable[[Client, str], Moderate]:
    """A command about a member."""

    def make(client: Client, rest: str) -> Moderate:
        return _order(what, _name(what, rest))

    return make


def _bare(what: Deeds) -> Callable[[Client, str], Moderate]:
    """A command with nothing after it."""

    def make(client: Client, rest: str) -> Moderate:
        _nothing(what, rest)
        return _order(what)

    return make


def _lasting(what: Deeds, seconds: float | None) -> Callable[[Client, str], Moderate]:
    """A command about a member and for how long."""

    def make(client: Client, rest: str) -> Moderate:
        back = None
        if what == "ban" and (match := _WITH_MESSAGES.fullmatch(rest)) and not _is_here(client, rest):
            given = spans.split(f"delete {match[2] or '1h'}")
            rest, back = match[1], _back("ban", given[1] if given is not None else -1.0)
        name, last = rest, seconds
        found = spans.split(rest)
        if found is not None and not _is_here(client, rest):  # "bob 2" may be somebody's name
            name, last = found
        if last is not None and not 0 < last <= _YEAR * 60:
            raise UsageError(f"For how many minutes? {COMMANDS[what].usage}")
        _no_time(client, what, name)
        return _order(what, _name(what, name), last, back=back)

    return make


def _no_time(client: Client, word: str, text: str) -> None:
    """Refuse a member's name with something behind it that is neither a time nor of a name that is here."""
    pieces = text.split()
    if len(pieces) < 2 or _is_here(client, text):
        return
    for count in range(len(pieces) - 1, 0, -1):
        if _is_here(client, " ".join(pieces[:count])):
            rest = " ".join(pieces[count:])
            raise UsageError(
                f"{rest!r} is no time. Nothing was done. {COMMANDS[word].usage} "
                f'(somebody called {text}: /{word} "{text.removeprefix("@")}")'
            )


def _back(word: str, seconds: float) -> float:
    if not 0 < seconds <= 86400:
        raise UsageError(f"Of how many minutes, a day at the most? {COMMANDS[word].usage}")
    return seconds


def _slow(client: Client, rest: str) -> Moderate:
    try:
        seconds = float(rest.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise UsageError(f"How many seconds? {COMMANDS['slow'].usage} (/slow 0 ends it)")
    return _order("slow", seconds=seconds)


def _announce(client: Client, rest: str) -> Moderate:
    if rest.lower() not in ("", "on", "off"):
        raise UsageError(f"On or off? {COMMANDS['announce'].usage}")
    return _order("unannounce" if rest.lower() == "off" else "announce")


def _delete(client: Client, rest: str) -> Moderate:
    if rest.lstrip("#").isascii() and rest.lstrip("#").isdigit():
        return _order("delete", seq=int(rest.lstrip("#")[:15]))
    # With a unit only: what /delete bob 2 takes away, bob's or bob 2's, cannot be taken back.
    if (found := spans.split(rest, needs_unit=True)) is not None and not _is_here(client, rest):
        return _order("delete", _name("delete", found[0]), back=_back("delete", found[1]))
    key = names.skeleton(_name("delete", rest))
    for message in reversed(client.messages):
        if names.skeleton(message.by) == key:
            return _order("delete", seq=message.seq)
    raise UsageError(f"No message of {rest!r} is to be seen here. {COMMANDS['delete'].usage}")


def _bans(client: Client, rest: str) -> Rules:
    _nothing("bans", rest)
    return Rules(secrets.token_hex(8))


def _hosts(client: Client, rest: str) -> str:
    _nothing("hosts", rest)
    hosts = [str(member) for member in client.members if member.role == "host"]
    return f"Hosts here: {', '.join(hosts) or 'none now'}."


def _help(client: Client, rest: str) -> str:
    is_host = client.role == "host"
    lines = []
    for word, each in COMMANDS.items():
        if word.removeprefix("un") in COMMANDS and word.startswith("un"):
            continue  # stands in the line of what it ends, so that all of it fits into a terminal's 24 rows
        end = COMMANDS.get(f"un{word}")
        if is_host or not each.for_hosts:
            lines.append(f"{each.usage}  {each.help}" + (f"; {end.usage} ends it" if end else ""))
    return "\n".join(["Only you see this.", *lines, "//word  says a text that begins with a slash"])


COMMANDS = {
    "kick": Command("/kick bob", "ends bob's connection", _about("kick")),
    "ban": Command("/ban bob 60", "shuts bob out for 60 minutes; without a number: until further notice; "
                   "/ban bob 1h delete: what he said in the last hour goes, too", _lasting("ban", None)),
    "unban": Command("/unban bob", "lets bob come again", _about("unban")),
    "mute": Command("/mute bob 10", "lets bob only read for 10 minutes", _lasting("mute", 600)),
    "unmute": Command("/unmute bob", "lets bob speak again", _about("unmute")),
    "slow": Command("/slow 5", "5 seconds between a member's messages; 0 ends it", _slow),
    "announce": Command("/announce on", "only hosts may speak, until /announce off", _announce),
    "lock": Command("/lock", "no newcomers but who was here", _bare("lock")),
    "unlock": Command("/unlock", "lets newcomers in again", _bare("unlock")),
    "clear": Command("/clear", "takes all messages away, for all and for good", _bare("clear")),
    "delete": Command("/delete 42", "takes message 42 away; /delete bob: bob's newest; /delete bob 10m: "
                      "all that bob said in the last 10 minutes", _delete),
    "host": Command("/host bob", "makes bob a host, too", _about("host")),
    "unhost": Command("/unhost bob", "makes bob a member again (only who serves can)", _about("unhost")),
    "release": Command("/release bob", "frees the name that is held for bob, who is away",
                       _about("release")),
    "bans": Command("/bans", "shows who is banned or muted, and what else holds", _bans),
    "hosts": Command("/hosts", "shows who is host", _hosts, for_hosts=False),
    "help": Command("/help", "shows this", _help, for_hosts=False),
}  # fmt: skip

_RENAME = (
    'A name is chosen where one joins: nbchat.join(name="…") in a cell, run again; '
    "in a terminal: nbchat join --name …"
)
_PRIVATE = "Nothing is private here: everybody in the room reads everything. @name calls somebody."
_WHO = (
    "Who is here stands beside the messages; in a terminal /hosts names the hosts; in a cell: client.members"
)
_LEAVE = "To leave, close the notebook or run client.close() in a cell; in a terminal: quit"
_ROOM = (
    'A room is chosen where one joins: nbchat.join(room="…") in a cell; in a terminal: nbchat join --room …'
)
_INVITE = "Who serves makes a link: server.invite() in a cell."
_ELSEWHERE = {
    **dict.fromkeys(("nick", "name", "rename"), _RENAME),
    **dict.fromkeys(("me", "action"), "Say it in words of your own; *stars* make them slanted."),
    **dict.fromkeys(("msg", "m", "w", "whisper", "dm", "tell", "query", "pm"), _PRIVATE),
    **dict.fromkeys(("who", "whois", "names", "users", "members", "list"), _WHO),
    **dict.fromkeys(("quit", "exit", "leave", "part", "bye"), _LEAVE),
    **dict.fromkeys(("join", "room", "channel", "j"), _ROOM),
    **dict.fromkeys(("invite", "link"), _INVITE),
    **dict.fromkeys(("op", "mod", "admin"), "A host makes another one: /host bob"),
    **dict.fromkeys(("deop", "unmod"), "Who serves takes it back: /unhost bob"),
    **dict.fromkeys(("timeout", "silence", "quiet"), "A host mutes somebody for some minutes: /mute bob 10"),
    **dict.fromkeys(("away", "afk", "back"), "Who does not use the page for five minutes is shown as away."),
    **dict.fromkeys(("commands", "h", "man"), "/help lists the commands."),
}
"""What other chats call by a command, and the way that exists here."""


# ── words ───────────────────────────────────────────────────────────────────────────────────────


def _name(word: str, rest: str) -> str:
    """A name as people write it: bare, as a mention, or in quotes."""
    name = rest.strip().removeprefix("@")
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]
    if not name or len(name) > 200:
        raise UsageError(f"Whom? {COMMANDS[word].usage}")
    return name


def _nothing(word: str, rest: str) -> None:
    if rest:
        raise UsageError(f"/{word} stands alone. Nothing was done.")


def _is_here(client: Client, name: str) -> bool:
    key = names.skeleton(_name("kick", name))
    return any(names.skeleton(member) == key for member in client.members)


def _rules(ruled: Ruled) -> str:
    lines = [f"Banned: {_held(ruled.bans)}", f"Muted: {_held(ruled.mutes)}"]
    if ruled.slow:
        lines.append(f"Slow: {duration(ruled.slow)} between two messages of each member")
    if ruled.announce:
        lines.append("Only hosts may speak")
    if ruled.locked:
        lines.append("Locked: no newcomers")
    return "\n".join(["Only you see this.", *lines])


def _held(held: list[Held]) -> str:
    return ", ".join(f"{each.name} ({_end(each)})" for each in held) or "nobody"


def _end(held: Held) -> str:
    if held.until is None:
        return "until further notice"
    return f"until {datetime.fromtimestamp(held.until / 1000, UTC).astimezone():%d %b %H:%M}"
