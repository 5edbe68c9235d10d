"""Which names are names, and when two are the same."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core import confusables, names
from nbchat.core.errors import BadName

GOOD = [
    "a", "7", "ada", "Ada Lovelace", "x_y-z.'", "O'Neil", "José", "Jose\u0301", "李雷", "Ødegård", "नमस्ते",
    "Αλέξης", "ПЁТР", "محمد", "n" * 32, "0x2", "-a", "systems",
]  # fmt: skip
BAD = {
    "empty": "",
    "33 characters": "n" * 33,
    "a very long one": "n" * 100_000,
    "long before, short after normalising": "e\u0301" * 65,
    "only a space": " ",
    "space before": " ada",
    "space after": "ada ",
    "two spaces": "a  b",
    "only marks": "-._'",
    "newline": "a\nb",
    "tab": "a\tb",
    "NUL": "a\x00b",
    "escape": "\x1b[31mada",
    "C1 control": "a\x9bb",
    "bidi override": "a\u202eb",
    "bidi mark": "ada\u200f",
    "bidi isolate": "a\u2066b",
    "zero width space": "a\u200bda",
    "zero width joiner": "a\u200dda",
    "byte order mark": "\ufeffada",
    "soft hyphen": "a\u00adda",
    "no-break space": "a\u00a0b",
    "em space": "a\u2003b",
    "line separator": "a\u2028b",
    "Hangul filler": "a\u3164",
    "halfwidth filler": "a\uffa0",
    "grapheme joiner": "a\u034fda",
    "variation selector": "a\ufe0f",
    "supplementary selector": "a\U000e0100",
    "tag character": "a\U000e0041",
    "combining at the start": "\u0301da",
    "emoji": "ada😀",
    "colon": "boss: hi",
    "slash": "a/b",
    "angle": "<b>",
    "at": "ada@x",
    "private use": "a\ue000",
    "unassigned": "a\u0378",
    "half a surrogate pair": "a\ud800",
}
RESERVED = [
    "nbchat",
    "NBchat",
    "system",
    "System",
    "SERVER",
    "You",
    "everyone",
    "ｓｙｓｔｅｍ",
    "ⓢystem",
    "ſystem",
    "ＹＯＵ",
]

anything = st.text(max_size=200) | st.text(st.characters(categories=["L", "M", "N", "P", "Z"]), max_size=60)
some_name = anything.map(names.fit)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_given_back_in_nfc(name):
    assert names.check(name) == names.check_member(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("why", BAD)
def test_a_bad_name_is_refused(why):
    with pytest.raises(BadName) as caught:
        names.check(BAD[why])
    assert names.RULE in str(caught.value)
    str(caught.value).encode()  # what is told to others can be sent


@pytest.mark.parametrize("name", RESERVED)
def test_nobody_is_called_what_the_chat_itself_is_called(name):
    with pytest.raises(BadName):
        names.check_member(name)


def test_a_room_may_have_a_name_that_no_member_may():
    assert names.check("everyone", "room name") == "everyone"
    with pytest.raises(BadName, match="room name"):
        names.check("", "room name")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada", "ADA"),
        ("ada", "ａｄａ"),
        ("José", "Jose\u0301"),
        ("Straße", "STRASSE"),
        ("ﬁn", "fin"),
        ("Σ", "ς"),
    ],
)
def test_names_that_look_the_same_are_the_same(one, other):
    assert names.skeleton(one) == names.skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("ada", "ada2"), ("jose", "josé"), ("a b", "ab"), ("a.b", "a-b")])
def test_other_names_are_others(one, other):
    assert names.skeleton(one) != names.skeleton(other)


@given(some_name)
def test_a_skeleton_is_its_own_skeleton(name):
    assert names.skeleton(names.skeleton(name)) == names.skeleton(name)
    assert names.check(names.check(name)) == names.check(name)


def test_a_taken_name_gets_the_next_free_number():
    assert names.free("ada", {}) == "ada"
    assert names.free("Ada", names.marks("ada")) == "Ada2"
    assert names.free("ada", names.marks("ada") | names.marks("ada2") | names.marks("ada3")) == "ada4"
    assert names.free("ada2", names.marks("ada2")) == "ada22"
    assert names.free("n" * 32, names.marks("n" * 32)) == "n" * 31 + "2"
    assert names.free("n" * 30 + " x", names.marks("n" * 30 + " x")) == "n" * 30 + "2"
    assert names.free("system", {}) == "system2"


@given(some_name, st.sets(some_name, max_size=4), st.integers(1, 12))
def test_a_free_name_is_a_name_and_is_free(name, others, count):
    taken = set().union(*(names.marks(other) for other in others))
    for _ in range(count):
        free = names.free(name, taken)
        assert names.check_member(free) == free
        assert not names.marks(free) & taken
        taken |= names.marks(free)


@given(anything)
def test_anything_can_be_made_fit(raw):
    assert names.check_member(names.fit(raw)) == names.fit(raw)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("ada", "ada"),
        ("ada@example.org", "ada"),
        ("DOMAIN\\ada", "DOMAIN-ada"),
        ("--ada--", "ada"),
        ("", "guest"),
        ("@", "guest"),
        ("system", "guest"),
        ("a\ud800b", "a-b"),
        ("n" * 100_000, "n" * 32),
    ],
)
def test_a_login_name_becomes_a_name(raw, name):
    assert names.fit(raw) == name


# ── looks ───────────────────────────────────────────────────────────────────────────────────────

LOOK_THE_SAME = [
    ("ada", "Ada"),
    ("ada", "аdа"),  # Cyrillic
    ("Tom", "Тom"),  # only the capital looks like the Latin one
    ("BOB", "ВОВ"),
    ("BOB", "вoв".upper()),
    ("paypal", "рaypal"),
    ("alpha", "αlpha"),  # Greek
    ("Oscar", "Օscar"),  # Armenian
    ("Пётр", "Πётр"),  # Greek in Cyrillic
    ("Bill", "Bi11"),
    ("Bill", "BiIl"),
    ("Ian", "lan"),
    ("Otto", "0tto"),
    ("boss", "b०ss"),  # a digit of Devanagari
    ("Ănna", "Ǎnna"),
    ("nadir", "nadır"),
    ("Straße", "STRASSE"),
    # Only accents, dots, hyphens or spaces differ.
    ("Prof. Åsa Löfgren", "Prof. Asa Löfgren"),
    ("Prof. Åsa Löfgren", "prof asa lofgren"),
    ("Søren", "Soren"),
    ("Łukasz", "Lukasz"),
    ("jose", "josé"),
    ("Ilker", "İlker"),
    ("Αλέξης", "Αλεξης"),
    ("Пётр", "Петр"),
    ("Bill", "Bi.I1"),
    ("Mary-Ann", "Mary Ann"),
    ("O'Neil", "ONeil"),
    ("李雷", "李 雷"),
]
LOOK_DIFFERENT = [
    ("Elia", "Ella"),
    ("Ian", "Lan"),
    ("Ali", "All"),
    ("Erna", "Ema"),  # rn and m: real names differ by them
    # Marks are letters there.
    ("कमल", "कमला"),
    ("नम", "नमि"),
    ("أحمد", "احمد"),
    ("محمد", "محمود"),
    ("ไก่", "ไก"),
    ("ரமா", "ரம"),
    ("がく", "かく"),
    ("김", "긴"),
    ("Қанат", "Канат"),
    ("แดง", "แตง"),
    ("土", "士"),
    ("ada2", "ada3"),
    ("ada1", "ada7"),
    ("Олег", "Олен"),
    ("张伟", "张韦"),
]


@pytest.mark.parametrize(("one", "other"), LOOK_THE_SAME)
def test_a_name_that_looks_like_a_members_is_taken(one, other):
    for first, second in ((one, other), (other, one)):
        free = names.free(second, names.marks(first))
        assert free == second + "2"
        assert not names.marks(free) & names.marks(first)


@pytest.mark.parametrize(("one", "other"), LOOK_DIFFERENT)
def test_nobody_is_punished_for_a_name_that_its_readers_tell_apart(one, other):
    assert names.free(other, names.marks(one)) == other
    assert names.free(one, names.marks(other)) == one


@pytest.mark.parametrize(
    "name", ["Ѕystem", "ЅYЅTEM", "systern", "уou", "y0u", "servеr", "Everyοne", "еvеryоnе"]
)  # fmt: skip
def test_nobody_looks_like_the_chat_itself(name):
    with pytest.raises(BadName, match="the chat itself"):
        names.check_member(name)


@pytest.mark.parametrize(
    "name",
    [
        "sys tem",
        "s.ystem",
        "S-Y-S-T-E-M",
        "sÿstem",
        "The host",
        "THE SERVER",
        "the-system",
        "thе hоst",
        "n.b chat",
    ],
)
def test_dots_and_spaces_hide_no_name_of_the_chats_own(name):
    with pytest.raises(BadName, match="the chat itself"):
        names.check_member(name)


FOR_HOSTS = [
    "host", "Host", "h0st", "HÓST", "h.o s-t", "НОST", "host2", "Host 7", "admin", "Administrator", "adrnin",
    "moderator", "teacher", "The Teacher", "your host", "Teacher Mike", "Admin of cs101", "System Error",
    "The host cleared the room", "the server says", "server bot", "ada left the chat", "ada joined",
    "Ada Cleared the room", "bob was muted", "ada is typing", "You are banned", "y0u have been chosen",
]  # fmt: skip


@pytest.mark.parametrize("name", FOR_HOSTS)
def test_what_says_host_or_reads_like_the_chats_words_is_for_hosts(name):
    with pytest.raises(BadName, match=r"only a host can have|the chat itself"):
        names.check_member(name, is_host=False)


@pytest.mark.parametrize("name", ["host", "admin", "Teacher Mike", "ada left the chat"])
def test_a_host_can_have_it(name):
    assert names.check_member(name, is_host=True) == name


@pytest.mark.parametrize(
    "name",
    [
        "Hosta", "Anna Hostetler", "Left Eye", "Lefty", "You Zhang", "You-Jin Kim", "I Made Wirawan",
        "systems", "server1", "Theo", "The Anh", "Ann Teacherson", "Maria del Carmen de la Cruz", "7", "2024",
    ],
)  # fmt: skip
def test_real_names_are_for_everybody(name):
    assert names.check_member(name, is_host=False) == name


@given(some_name, some_name)
def test_the_same_spelling_is_always_the_same_name(one, other):
    assert len(names.marks(one)) <= 3
    if names.skeleton(one) == names.skeleton(other):
        assert names.marks(one) & names.marks(other)


def test_what_rooms_and_files_are_called_does_not_change_with_looks():
    assert names.skeleton("аda") != names.skeleton("ada")
    assert names.skeleton("CS101") == "cs101"


def test_names_in_ascii_need_no_table():
    program = (
        "import sys\nfrom nbchat.core import names\nnames.fit('ada@x')\nnames.free('Bi11', set())\n"
        "print('confusable_homoglyphs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


@given(st.text("abcxyzIlLoO01 -_.'", min_size=1, max_size=8))
def test_the_short_table_says_what_the_long_one_says(name):
    assert {ord(char): confusables.table()[ord(char)] for char in "01"} == confusables.ASCII
    assert name.translate(confusables.table()) == name.translate(confusables.ASCII)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a/b", r"has the character / \(U\+002F\) in it"),
        ("a\x1bb", r"has the character U\+001B in it"),
        ("a\N{NO-BREAK SPACE}b", r"has the character U\+00A0 in it"),
        (" bob", "begins or ends with a space"),
        ("bob  x", "has several spaces in a row"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(name, why):
    with pytest.raises(BadName, match=why):
        names.check(name)
