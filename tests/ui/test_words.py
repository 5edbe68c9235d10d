"""What the page says of times, people and states, what it takes for a mention, and what it knows of the chat:
in plain node."""

from __future__ import annotations

import json

import pytest

from nbchat.core.transcript import HOST, UNVERIFIED
from tests.ui.stage import in_node

BERLIN = {"TZ": "Europe/Berlin"}


def test_days_are_those_of_the_calendar_and_clocks_have_one_style() -> None:
    found = in_node(
        """
        const at = (...parts) => new Date(...parts).getTime();
        return [
            dayInWords(at(2026, 2, 29, 0, 30), at(2026, 2, 29, 12)), // a day of 23 hours …
            dayInWords(at(2026, 2, 28, 0, 5), at(2026, 2, 29, 23, 50)),
            dayInWords(at(2026, 2, 28, 23, 59), at(2026, 2, 30, 0, 10)), // not 24 hours ago
            dayInWords(at(2026, 9, 24, 23, 30), at(2026, 9, 25, 23, 59)), // … and one of 25
            dayInWords(at(2025, 11, 31, 23), at(2026, 0, 1, 1)),
            dayInWords(at(2025, 5, 1), at(2026, 0, 1)).includes("2025"),
            timeInWords(at(2026, 0, 1, 0, 5)), timeInWords(at(2026, 0, 1, 13, 30)),
            momentInWords(at(2026, 0, 1, 13, 30, 7)).endsWith(", 13:30:07"),
        ];""",
        LC_ALL="en_US.UTF-8", **BERLIN,
    )  # fmt: skip
    assert found == [
        "Today", "Yesterday", "Saturday, March 28", "Yesterday", "Yesterday", True, "00:05", "13:30", True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "called"),
    [
        ("@", ""), ("hi @b", "b"), ("hi @ada l", "ada l"), ("(@bo", "bo"), ("你好@小", "小"),
        ("見て@ケ", "ケ"),
        ("one\n@b", "b"), ("a@b", None), ("x1@b", None), ("имя@п", None), ("@ b", None), ("@@b", None),
        ("`@b", None), ("`x` @b", "b"), ("``a ` @b", None), ("a ` b\n\n@b", "b"),
        ("```\n@prop", None), ("```\ncode\n```\n@b", "b"), ("~~~py\n@b", None),
        ("https://medium.com/@ad", None), ("www.example.org/@ad", None), ("see https://x.org @b", "b"),
    ],
)  # fmt: skip
def test_what_calls_somebody(before: str, called: str | None) -> None:
    assert in_node(f"return calledIn({json.dumps(before)});") == called


def test_members_are_found_and_in_order_and_have_colours_of_their_own() -> None:
    found = in_node(
        """
        const names = ["ada lovelace", "José", "bob", "Łukasz", "小明"];
        const of = (typed) => names.filter((name) => foundIn(name, typed) >= 0);
        const member = (name, role = "member") => ({ name, role });
        const others = ["zoe", "Émile", "s10", "s9"].map((name) => member(name));
        const sorted = inOrder([...others, member("boss", "host")]);
        const many = Array.from({ length: 12 }, (_, n) => `student ${n}`);
        const known = new Map();
        const colours = many.map((name) => colourAmong(name, known, many));
        const before = colourAmong("student 3", known, []);
        return [
            of("love"), of("jose"), of("Jose"), of("luk"), of("小"), of("da"), of("ada l"),
            sorted.map((each) => each.name), new Set(colours).size, before === colours[3],
            colourAmong("bob", new Map(), ["bob"]) === colour("bob"),
        ];"""
    )
    assert found == [
        ["ada lovelace"], ["José"], ["José"], ["Łukasz"], ["小明"], [], ["ada lovelace"],
        ["boss", "Émile", "s9", "s10", "zoe"], 12, True, True,
    ]  # fmt: skip


def test_a_command_is_not_told_as_typing() -> None:
    typed = ["/", "/k", "/kick bob", "//etc", "/ 2", "/2", "a /b", ""]
    assert in_node(f"return {json.dumps(typed)}.map(isCommand);") == [True] * 3 + [False] * 5


STATE = {"status": "connected", "name": "ada", "room": "lobby", "chat": "cs101", "note": ["", False]}
RULES = {"muted": False, "until": None, "left": None, "announce": False, "slow": 0}


@pytest.mark.parametrize(
    ("state", "rules", "placeholder", "is_shut", "wait"),
    [
        ({}, {}, "Write a message…", False, 0),
        ({}, {"muted": True}, "A host has muted you", True, 0),
        ({}, {"muted": True, "until": 36_000_000, "left": 60.0}, "A host has muted you until 10:00", True, 0),
        ({}, {"muted": True, "until": 36_000_000, "left": 0.5}, "Write a message…", False, 0),
        ({}, {"announce": True}, "Only hosts may write now", True, 0),
        ({}, {"slow": 5}, "Slow room: wait for 3 s", False, 3),
        ({}, {"slow": 1.5}, "Write a message… (one every 1.5 s)", False, 0),
        ({"status": "reconnecting"}, {}, "Sent when the chat is back", False, 0),
        ({"status": "reconnecting"}, {"announce": True}, "Only hosts may write now", True, 0),
        ({"status": "closed"}, {}, "You are not in the chat", True, 0),
    ],
)
def test_what_the_box_says(
    state: dict[str, object], rules: dict[str, object], placeholder: str, is_shut: bool, wait: int
) -> None:
    told = json.dumps({**STATE, **state, "rules": {**RULES, **rules}})
    found = in_node(f"return boxInWords({told}, true, 1000, 2500);", TZ="UTC")
    assert found == {"words": placeholder, "isShut": is_shut, "wait": wait}


def test_what_the_page_says_of_the_connection() -> None:
    found = in_node(
        f"""
        const state = {json.dumps(STATE)};
        const closed = {{ ...state, status: "closed", note: ["The room is locked.", true] }};
        return [
            statusInWords(null, false), statusInWords(state, false), statusInWords(null, true),
            statusInWords(state, true), statusInWords(closed, true), canJoinAgain(closed, true),
            canJoinAgain(closed, false), canJoinAgain(state, true),
            titleOf(state), titleOf({{ ...state, chat: null }}), boxInWords(state, false, 0, 0).words,
        ];"""
    )
    assert found == [
        "This is a saved copy. Run the cell to join the chat.",
        "The kernel was restarted or has ended. Run the cell to join again.",
        "Connecting…", "Connected as ada", "The room is locked.", True, False, False,
        "cs101 · lobby", "lobby", "Run the cell to join again",
    ]  # fmt: skip


STORE = """
    const sent = [];
    const store = makeStore((message) => sent.push(message));
    let facts = 0;
    let newest = 0;
    const tell = (news) => {
        if (news.state || news.members || news.pending) facts += 1;
        if (news.rows) newest = news.rows.n + news.rows.rows.length - 1;
        store.receive({ type: "news", newest, facts, ...news });
    };
    const part = (n, ms, rows, at, first = false) => ({ after: n - 1, n, first, ms, rows, at });
    const members = [["ada"], ["bob"]];
    tell({ state: { name: "ada" }, members, pending: [], rows: part(1, 0, [], [], true) });
"""


def test_lines_of_who_came_stand_under_their_day() -> None:
    found = in_node(
        STORE
        + """
        const midnight = new Date(2026, 10, 28).getTime();
        const came = [["j", "bob"], ["l", "bob"], ["j", "eve"]];
        tell({ rows: part(1, midnight, came, [[0, -2], [1, -1], [2, 1]]) });
        tell({ rows: part(4, midnight, [["l", "eve"]], [[0, 5]]) });
        tell({ rows: part(5, 0, [["m", "a deed", 1, 1]], [[0, midnight]]) });
        return store.items.map((each) => [each.kind, each.steps?.length ?? each.text, each.ms - midnight]);"""
    )
    assert found == [["presence", 2, -2], ["presence", 2, 1], ["line", "a deed", 0]]


def test_what_is_refused_goes_back_into_the_box_where_it_was_typed() -> None:
    found = in_node(
        STORE
        + """
        const box = (isFree, got = []) => ({ got, refuse: (text) => isFree && got.push(text) > 0 });
        const boxes = [box(true), box(true), box(false)];
        for (const at of [1, 2]) store.say(`typed in ${at}`, boxes[at]);
        const marks = [...store.pending.keys()];
        const known = [...store.pending].map(([mark, each]) => [mark, each.text]);
        tell({ pending: [...known, ["f", "of another page"]] });
        for (const mark of [...marks, "f", "0"]) {
            tell({ refused: { mark, text: store.pending.get(mark)?.text ?? "x", why: "No." } });
        }
        tell({ pending: [] });
        const left = [...store.pending.values()].map((each) => [each.text, each.why]);
        return [boxes.map((each) => each.got), left];"""
    )
    assert found == [
        [[], ["typed in 1"], []],
        [["typed in 2", "not sent: No."], ["of another page", "not sent: No."]],
    ]


def test_a_page_asks_to_join_again_and_knows_when_its_member_spoke() -> None:
    found = in_node(
        STORE
        + """
        store.joinAgain();
        const before = store.saidAt;
        tell({ rows: part(1, 5, [["s", "bob", "x", 0, 1]]) });
        const still = store.saidAt;
        tell({ rows: part(2, 5, [["s", "ada", "x", 0, 2, 0, "mark"]]) });
        return [sent.at(-1), before === still, Date.now() - store.saidAt < 60000, sent.length];"""
    )
    assert found == [{"type": "join"}, True, True, 1]


def test_a_mark_is_one_word_beside_a_message_and_in_the_list() -> None:
    assert in_node("return [WORDS.host, WORDS.plain];") == [HOST, UNVERIFIED]
