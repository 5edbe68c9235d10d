"""Keys beside the history, end to end: what a history tells, and keys that are made anew."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat
from nbchat.core.digests import digest
from nbchat.core.errors import Refused, StoreError
from nbchat.net.link import parse
from nbchat.store import keyfile
from tests.net.helpers import PATIENCE, Raw, saw, until

pytestmark = pytest.mark.own_ports


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def process(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def chat(tmp_path: Path, process: bool) -> Iterator[nbchat.Server]:
    with nbchat.serve("renewed", port=0, history=tmp_path / "chat.sqlite", process=process) as server:
        yield server


def bytes_beside(path: Path) -> bytes:
    files = [each for each in path.parent.iterdir() if each != keyfile.beside(path)]
    return b"".join(each.read_bytes() for each in files)


def session(client: nbchat.Client) -> str:
    word = client._receiver._session
    assert word
    return word


def test_a_history_tells_no_key_and_no_session(tmp_path: Path, process: bool) -> None:
    path = tmp_path / "chat.sqlite"
    with nbchat.serve("told", port=0, history=path, process=process) as server:
        ada = nbchat.connect(server, name="ada")
        links = [server.invite(once=True), server.invite(host=True), server.invite(name="cid")]
        bob = nbchat.connect(links[0], name="bob")
        made_there = Raw(server.invite(), "dan").welcome["session"]  # a client that brings no session
        for client in (ada, bob):
            client.send("hello").wait()
        ada.mute("bob", 5)
        ada.ban("dan")
        ada.make_host("bob")
        ada.lock()
        assert server._running is not None
        secrets = [server._running.key[1], *(parse(link).secret for link in links)]
        words = [session(ada), session(bob), made_there]
        found = bytes_beside(path)
        assert digest(session(bob)).encode() in found
        for secret in (*secrets, *words):
            assert secret.encode() not in found
        ada.close()
    for secret in (*secrets, *words):
        assert secret.encode() not in bytes_beside(path)
    kept = keyfile.read(path)
    assert all(secret in kept for secret in secrets)
    assert not any(word in kept for word in words)


def test_after_a_restart_all_is_as_it_was_and_without_the_keys_file_links_end(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    with nbchat.serve("again", history=path, process=False) as server:
        link = server.invite(once=True)
        bob = nbchat.connect(link, name="bob")
        bob.send("one").wait()
        word = session(bob)
    with nbchat.serve("again", history=path, process=False):
        assert bob.send("two").wait(PATIENCE).seq == 2
        assert session(bob) == word
        bob.close()
    keyfile.beside(path).unlink()
    with nbchat.serve("again", history=path, process=False) as server:
        with pytest.raises(nbchat.errors.NotTheServer):
            nbchat.connect(link, name="bob")
        with nbchat.connect(server, name="ada") as ada:
            assert [message.text for message in ada.messages] == ["one", "two"]


def test_renewed_keys_end_every_link_and_the_hosts_own_come_back(chat: nbchat.Server) -> None:
    ada = nbchat.connect(chat, name="ada")
    other = nbchat.connect("renewed", name="ada2")
    links = [chat.invite(), chat.invite(host=True), chat.invite(name="eve")]
    bob, cid = nbchat.connect(links[0], name="bob"), nbchat.connect(links[1], name="cid")
    assert chat._running is not None
    before = chat._running
    old = before.address.whole_link
    saw(ada, "ada", "ada2", "bob", "cid")
    chat.renew_keys()
    for member in (bob, cid):
        until(member, lambda member=member: member.status == "closed")  # type: ignore[misc]
        assert "new keys" in member._state.reason
        assert member._state.cause == "link_ended"
    for link in (*links, old):
        with pytest.raises(Refused, match="This link has ended") as refused:
            nbchat.connect(link, name="eve")
        assert refused.value.code == "link_ended"
    for own in (ada, other):
        assert own.send(f"back as {own.name}").wait(PATIENCE)
        assert own.role == "host"
    saw(ada, "ada", "ada2")
    assert chat._running.key != before.key
    eve = nbchat.connect(chat.invite(), name="eve")
    assert eve.role == "member"
    until(eve, lambda: len(eve.messages) == 2)


def test_renewed_keys_outlive_a_restart(tmp_path: Path, process: bool) -> None:
    path = tmp_path / "chat.sqlite"
    with nbchat.serve("renewed", history=path, process=process) as server:
        link = server.invite()
        assert server._running is not None
        old = server._running.address.whole_link
        server.renew_keys()
        new = server.invite()
        port = server.port
    with nbchat.serve("renewed", history=path, process=process) as server:
        assert server.port == port
        for ended in (link, old):
            with pytest.raises(Refused, match="This link has ended"):
                nbchat.connect(ended, name="bob")
        nbchat.connect(new, name="bob").close()


def test_keys_that_cannot_be_kept_are_not_renewed(
    chat: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chat._runner.store is None:
        pytest.skip("that is over there")
    link = chat.invite(host=True)
    ada = nbchat.connect(link, name="ada")

    def refuse(fileno: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keyfile.os, "fsync", refuse)
        with pytest.raises(StoreError, match="No space left on device"):
            chat.renew_keys()
    assert ada.send("still here").wait(PATIENCE)
    nbchat.connect(link, name="bob").close()
    chat.renew_keys()
    until(ada, lambda: ada.status == "closed")


def test_a_chat_in_memory_has_new_keys_too(process: bool) -> None:
    with nbchat.serve(port=0, history=None, process=process) as server:
        link = server.invite()
        ada = nbchat.connect(server, name="ada")
        server.renew_keys()
        with pytest.raises(Refused, match="This link has ended"):
            nbchat.connect(link, name="bob")
        assert ada.send("back").wait(PATIENCE)
