"""Every error nbchat raises on purpose, in one tree.

    ChatError
    ├── UsageError                 something on this side has to change; the text says what to type
    │   ├── BadName                a name that cannot be a name
    │   ├── BadText                a text that cannot be sent (empty, too long, control characters)
    │   ├── BadLink                a link that cannot be read
    │   ├── NoServerFound          nobody serves on this machine
    │   ├── SeveralServers         more than one does: say which
    │   ├── AddressInUse           another program has the port
    │   └── AlreadyServing         another process keeps this chat's history
    ├── PeerError                  the other side said no, or is not there
    │   ├── ProtocolError          a line that is not in the language (docs/wire.md)
    │   ├── Refused                the server refused by name: .code, .suggestion
    │   │   ├── NameTaken          ... because another member has that name
    │   │   ├── NotHost            ... because only a host can do that
    │   │   └── NoSuchMember       ... because nobody of that name is there
    │   ├── NotTheServer           whoever answers does not know the link's secret
    │   │   └── CertificateChanged ... or shows another certificate: .expected, .shown
    │   ├── Unreachable            nobody answers there
    │   ├── Closed                 this client has been closed
    │   ├── NotConfirmed           no receipt came in time: .messages has what is not confirmed
    │   └── NothingCame            nobody said what was waited for in time
    └── StoreError                 the memory
        ├── StoreFull              nothing was written; try the same message again
        └── StoreDown              the outcome is unknown; the same id is to be appended again

Errors that Python people already catch are those, too: BadLink is a ValueError, AddressInUse an
OSError, Unreachable a ConnectionError, NotConfirmed and NothingCame a TimeoutError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from nbchat.core.escape import visible

E = TypeVar("E", bound="ChatError")


class ChatError(Exception):
    """The root of all errors that nbchat raises on purpose. Its text can be shown anywhere: links, paths and
    strangers' words in it do nothing to a screen. It can be copied and pickled with all that it knows."""

    def __str__(self) -> str:
        return visible(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (type(self), self.args, vars(self))


def again(kind: type[E], args: tuple[Any, ...], attributes: dict[str, Any]) -> E:
    """The same error again. It is not made by its class's own rules, which differ."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(attributes)
    return error


class UsageError(ChatError):
    """Something on this side has to change; the text says what to type."""


class BadName(UsageError, ValueError):
    """A name that cannot be a member's or a room's name."""


class BadText(UsageError, ValueError):
    """A text that cannot be sent; ``code`` is the wire's word for why."""

    def __init__(self, text: str, code: str = "bad_text") -> None:
        super().__init__(text)
        self.code = code


class BadLink(UsageError, ValueError):
    """A link that cannot be read, or lacks its secret."""


class NoServerFound(UsageError, LookupError):
    """No server runs on this machine, as far as this user can see."""


class SeveralServers(UsageError, LookupError):
    """More than one server could be meant; ``names`` lists them."""

    def __init__(self, text: str, names: list[str]) -> None:
        super().__init__(text)
        self.names = names


class AddressInUse(UsageError, OSError):
    """Another program has the port."""


class AlreadyServing(UsageError):
    """Another process keeps this chat's history; ``pid`` is its number, where it is known."""

    def __init__(self, text: str, pid: int | None = None) -> None:
        super().__init__(text)
        self.pid = pid


class PeerError(ChatError):
    """The other side said no, broke the rules, or is not there."""


class ProtocolError(PeerError):
    """A line that is not in the language.

    ``code`` is the wire's word for it, ``fatal`` says whether the connection has to end, and ``id``
    is the message the line spoke of, where it could be read.
    """

    def __init__(self, code: str, text: str, *, fatal: bool = False, id: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.fatal = fatal
        self.id = id


class Refused(PeerError):
    """The server refused by name: ``code`` is a word of docs/wire.md, the text is for people."""

    def __init__(self, code: str, text: str, suggestion: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.suggestion = suggestion


class NameTaken(Refused):
    """Another member has that name; ``suggestion`` is one that was free."""


class NotHost(Refused):
    """Only a host can do that."""


class NoSuchMember(Refused):
    """Nobody of that name is there; the text names those who are."""


def refusal(code: str, text: str, suggestion: str | None = None) -> Refused:
    """A refusal as the error of its kind."""
    kinds = {"name_in_use": NameTaken, "not_host": NotHost, "no_such_member": NoSuchMember}
    return kinds.get(code, Refused)(code, text, suggestion)


class NotTheServer(PeerError):
    """Whoever answers at the address does not know the link's secret."""


class CertificateChanged(NotTheServer):
    """Whoever answers shows another certificate than the link's; nothing was sent there.

    ``expected`` and ``shown`` are the two pins: "sha256:" and 64 hex digits.
    """

    def __init__(self, text: str, expected: str, shown: str) -> None:
        super().__init__(text)
        self.expected = expected
        self.shown = shown


class Unreachable(PeerError, ConnectionError):
    """Nobody answers at the address."""


class Closed(PeerError):
    """This client has been closed; connect again for a new one."""


class NotConfirmed(PeerError, TimeoutError):
    """No receipt came in time; ``messages`` are those that are not confirmed, as ``send()`` returned them.

    From ``message.wait()``: it is still pending and goes out by itself. From ``client.close()``: it may be
    in the chat or not, and nobody sends it any more.
    """

    def __init__(self, text: str, messages: Sequence[object] = ()) -> None:
        super().__init__(text)
        self.messages = list(messages)


class NothingCame(PeerError, TimeoutError):
    """Nobody said what was waited for in time."""


class StoreError(ChatError):
    """The memory could not do what was asked."""


class StoreFull(StoreError):
    """Nothing was written: no room, no right to write. The same message can be tried again."""


class StoreDown(StoreError):
    """The outcome is unknown. Appending the same id again settles it."""
