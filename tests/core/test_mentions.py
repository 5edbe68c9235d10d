"""Whom a text calls."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core import mentions, names

CALLS = [
    "@ada", "hi @ada!", "(@ada)", "@ada: look", "@ada, @bob", "@ADA", "cc:@ada", "@ada's idea", "@ada’s", "@ada.", "@ada - no",
    "**@ada**", "_@ada_", "\n@ada\n", "> @ada said", "- @ada", "@everyone", "@Everyone: lunch", "你好@ada看", "叫@ada。", "你好＠ada 看",
    "@ada다", "@ａｄａ", "`x` @ada `y`", "a ` b @ada", "\\`@ada`", "x\n    @ada", "- a\n\n    @ada", "`a\n\n@ada `b`",
    "```\ncode\n```\n@ada", ">>> 1\n1\n\n@ada", "https://example.com/a。@ada", "see example.org/x @ada", "a/b @ada", "@bob/x @ada",
    "a@b.com @ada", "$5 @ada", "~~~\n@bob\n~~~ \n@ada", "    code\n\n@ada", "ที่@ada", "1. a\n2. @ada",
]  # fmt: skip
CALLS_NOT = [
    "", "ada", "x@ada", "x@ada.com", "7@ada", "@adam", "@ada2", "@ada_b", "@ada.b", "@ada-b", "@ada'b", "@@ada", "@ada@example.org",
    "@ad\u0301a", "@ada\u0301", "`@ada`", "`` ` @ada ``", "```\n@ada\n```", "~~~python\n@ada\ndef f(): pass\n~~~", "```\n@ada", "> ```\n> @ada\n> ```",
    "- ```\n  @ada\n  ```", "    @ada", "\t@ada", "text\n\n    @ada", ">>> @ada\n... def f(): ...\n", ">>> 1\n@ada", "https://medium.com/@ada",
    "http://@ada", "mailto:x@ada", "www.example.org/@ada", "medium.com/@ada", "see medium.com/x/@ada?", "/@ada", "éa@ada", "@ada\u200cb", "@ adam", "@a da",
    "````\n```\n@ada\n````", "`a\n@ada`", "@everyonesays", "你@ada.com", "``` @ada",
]  # fmt: skip


@pytest.mark.parametrize("text", CALLS)
def test_who_is_called(text: str) -> None:
    assert mentions.is_mentioned(text, "ada")


@pytest.mark.parametrize("text", CALLS_NOT)
def test_who_is_not(text: str) -> None:
    assert not mentions.is_mentioned(text, "ada")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("你好@小明 看", "小明"), ("@小明看这个", "小明"), ("@田中さん", "田中"), ("@민수야 봐", "민수"), ("@小明ok", "小明"), ("叫@สมชายครับ", "สมชาย"),
        ("@Jose\u0301 hi", "José"), ("@JOSÉ", "José"), ("@ada  lovelace @ada lovelace", "ada lovelace"), ("@O'Neil's", "O'Neil"), ("@STRASSE", "Straße"),
        ("@مريم، أين", "مريم"), ("(@שרה)", "שרה"), ("@ada_", "ada_"), ("@-a", "-a"),
    ],
)  # fmt: skip
def test_names_of_all_kinds(text: str, name: str) -> None:
    assert mentions.is_mentioned(text, name)


def test_the_longest_name_counts() -> None:
    others = ["ada", "ada lovelace", "bob", "bob2", "小明", "小明明"]
    for text, wanted in {"@ada lovelace": "ada lovelace", "@ada love": "ada", "@bob2": "bob2", "@小明明": "小明明"}.items():  # fmt: skip
        assert [name for name in others if mentions.is_mentioned(text, name, others)] == [wanted]
        assert mentions.spans(text, others) == [(0, 1 + len(wanted))]
    assert not mentions.is_mentioned("@bob2", "bob")


def test_where_they_are() -> None:
    text = "hi @ada and @Bob's `@ada` https://x.org/@ada, @everyone: 你@小明"
    found = [text[begin:end] for begin, end in mentions.spans(text, ["ada", "bob", "小明"])]
    assert found == ["@ada", "@Bob", "@everyone", "@小明"]
    assert mentions.spans(text, []) == [(46, 55)]


TEXT = st.lists(
    st.sampled_from(["@", "ada", "bob b", " ", "\n", "`", "``", "```\n", "    ", "\\", ">>> ", "- ", "http://", "x", "é", "小", ".", "_", "'s", "\u0301", "~~~"]),
    max_size=30,
).map("".join)  # fmt: skip


@given(TEXT | st.text(max_size=60))
def test_spans_are_in_order_and_name_somebody(text: str) -> None:
    known = ["ada", "bob b", "小", "x"]
    found = mentions.spans(text, known)
    assert found == sorted(found)
    assert all(begin >= end for (_, end), (begin, _) in pairwise(found))
    for begin, end in found:
        assert text[begin] in "@\uff20"
        assert names.skeleton(text[begin + 1 : end]) in {*known, "everyone"}


@given(TEXT | st.text(max_size=60))
def test_code_and_links_keep_the_places(text: str) -> None:
    left = mentions._without_code_and_links(text)
    assert len(left) == len(text)
    assert all(after in (before, " ") for before, after in zip(text, left, strict=True))


@pytest.mark.parametrize(
    "piece",
    [
        "@",
        "@ada ",
        "@a",
        "`@",
        "@小",
        "a.b.",
        "`` ` ",
        "x" * 80 + "@",
        "http://",
        "a.",
        "- ",
        "@\u0301",
        "\\`",
    ],
)
def test_the_work_grows_with_length_only(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    skeleton = names.skeleton

    def counted(name: str) -> str:
        nonlocal read
        read += len(name)
        return skeleton(name)

    monkeypatch.setattr(names, "skeleton", counted)
    text = (piece * 16_384)[:16_384]
    mentions.spans(text, ["nobody"])
    assert read < 70 * len(text)
