"""What a client knows of its room's rules, and how a closed one joins again."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

import nbchat
from nbchat.client.rejoin import join_again
from nbchat.core.frames import Held, Standing
from nbchat.core.transcript import Message
from tests.net.helpers import PATIENCE, until


def test_a_client_knows_the_chats_name_and_what_holds_for_it() -> None:
    with nbchat.serve("cs101", port=0, history=None) as server:
        server.announce_only()
        server.slow(5)
        with nbchat.connect(server.invite(), name="bob") as bob, nbchat.connect(server, name="ada") as ada:
            assert (bob.chat, bob.standing) == ("cs101", Standing(True, 5.0))
            assert ada.standing == Standing(), "a host may speak"
            server.mute("bob", 10)
            until(bob, lambda: bob.standing.muted is not None)
            muted = bob.standing.muted
            assert muted is not None
            assert muted.name == "bob"
            last = bob._state.transcript.seq
            assert last == 3
            server.announce_only(False)
            server.unmute("bob")
            until(bob, lambda: bob.standing == Standing(slow=5.0))
            server.make_host("bob")
            until(bob, lambda: bob.role == "host" and bob.standing == Standing())
        # A newcomer gets all of these deeds again, from the log: what they say is over.
        with nbchat.connect(server.invite(), name="eve") as eve:
            assert eve.standing == Standing(slow=5.0)
    with nbchat.serve(port=0, history=None) as server, nbchat.connect(server, name="ada") as ada:
        assert ada.chat is None


def test_who_was_muted_and_comes_again_knows_it() -> None:
    with nbchat.serve(port=0, history=None) as server:
        nbchat.connect(server.invite(), name="bob").close()
        server.mute("bob", None)
        with nbchat.connect(server.invite(), name="bob") as bob:
            assert bob.standing == Standing(muted=Held("bob"))


def test_who_was_kicked_joins_again_with_all_it_has(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server.invite(), name="bob") as bob:
        heard: list[str] = []
        bob.on_message(lambda message: heard.append(message.text))
        ada.send("before").wait()
        until(bob, lambda: bob.transcript() == ["ada: before"])
        join_again(bob)
        assert bob.status == "connected", "nothing is done where nothing has to be"
        ada.kick("bob")
        until(bob, lambda: bob.status == "closed")
        assert bob._state.cause == "kicked"
        ada.send("meanwhile").wait()
        join_again(bob)
        join_again(bob)
        until(bob, lambda: bob.status == "connected")
        ada.send("after").wait()
        until(bob, lambda: bob.transcript() == ["ada: before", "ada: meanwhile", "ada: after"])
        bob._state.wait(lambda: len(heard) == 3, PATIENCE)
        until(bob, lambda: len(heard) == 3)
        assert heard == ["before", "meanwhile", "after"]
        bob.send("mine").wait()
        assert sorted(server.members) == ["ada", "bob"]
        ada.ban("bob", 5)
        until(bob, lambda: bob.status == "closed")
        assert bob._state.cause == "banned"
        join_again(bob)
        until(bob, lambda: bob.status == "closed")
        assert (bob._state.cause, server.members) == ("banned", ["ada"])
    assert bob.status == "closed"


def test_what_was_not_confirmed_is_given_back_and_not_said_twice(server: nbchat.Server) -> None:
    with nbchat.connect(server.invite(), name="bob") as bob:
        receiver = bob._receiver
        receiver._hold = receiver._loop.call_later(3600, print)  # type: ignore[union-attr]
        message = bob.send("perhaps")
        server.kick("bob")
        until(bob, lambda: bob.status == "closed")
        with pytest.raises(nbchat.errors.Closed):
            message.wait(PATIENCE)
        join_again(bob)
        until(bob, lambda: bob.status == "connected")
        assert (bob.pending, bob.transcript()) == ([], [])
        assert list(bob._state.refused) == [message]
        assert "Look there before you send it again" in str(message.error)


def test_a_client_that_was_closed_here_and_joined_again_names_what_it_could_not_confirm(
    server: nbchat.Server,
) -> None:
    bob = nbchat.connect(server.invite(), name="bob")
    bob.close()
    join_again(bob)
    until(bob, lambda: bob.status == "connected")
    bob._receiver._hold = bob._receiver._loop.call_later(3600, print)  # type: ignore[union-attr]
    message = bob.send("perhaps")
    with pytest.raises(nbchat.errors.NotConfirmed) as lost:
        bob.close()
    assert lost.value.messages == [message]


def test_a_coroutine_that_only_waits_is_not_collected(
    server: nbchat.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    under_way, ended = threading.Event(), threading.Event()
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server.invite(), name="bob") as bob:

        @bob.on_message
        async def waits(message: Message) -> None:
            try:
                under_way.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        ada.send("first").wait()
        assert under_way.wait(PATIENCE)
        gc.collect()
        assert not ended.is_set()
    assert ended.wait(PATIENCE)
    assert bob.errors == []


def test_coroutines_of_the_time_before_end_also_if_a_handler_outlasts_it(
    server: nbchat.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    under_way, slow, go_on, ended = (threading.Event() for _ in range(4))
    heard: list[str] = []
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server.invite(), name="bob") as bob:

        @bob.on_message
        async def waits(message: Message) -> None:
            heard.append(message.text)
            if message.text == "first":
                under_way.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

        @bob.on_message
        def lasts(message: Message) -> None:
            slow.set()
            go_on.wait(PATIENCE)

        ada.send("first").wait()
        assert under_way.wait(PATIENCE)
        assert slow.wait(PATIENCE)
        server.kick("bob")
        until(bob, lambda: bob.status == "closed")
        join_again(bob)
        assert ended.wait(PATIENCE), "the loop of the time before goes on, and nobody ends it"
        go_on.set()
        until(bob, lambda: bob.status == "connected")
        ada.send("second").wait()
        until(bob, lambda: heard == ["first", "second"])
        assert bob.errors == [], "it was ended by us, and has not failed"
    assert "failed" not in capfd.readouterr().err


def test_who_came_as_a_member_joins_again_as_one(server: nbchat.Server) -> None:
    eve = nbchat.connect(server, name="eve", host=False)
    server.kick("eve")
    assert eve._state.wait(lambda: eve.status == "closed", 20)
    join_again(eve)
    assert eve._state.wait(lambda: eve.status == "connected", 20)
    assert eve.role == "member"
    eve.close()
