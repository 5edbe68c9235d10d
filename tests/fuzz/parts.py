"""The pure parts: whatever they are given, they answer, or raise what their documentation says."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from nbchat.core import names, plain, texts, wire
from nbchat.core.errors import BadLink, BadName, BadText, ProtocolError
from nbchat.net import discovery
from nbchat.render import html
from tests.fuzz import bytes as some
from tests.fuzz.bytes import given_all

reads = st.lists(some.stream(some.requests | some.events), max_size=6)
anything = (
    st.text(max_size=300) | some.text | some.documents.map(lambda each: each.decode("utf-8", "replace"))
)
markdown = st.lists(
    st.sampled_from(
        ["*", "**", "_", "`", "```", "~~~", "\n", "\n\n", " ", "    ", "[", "](", ")", "<", ">", "&", "&#0;", "$", "$$",
         "\\", "|", "-", "#", "1. ", "> ", "- ", "http://a.b/", "javascript:", "data:", "![", "<a href=", "\\frac{", "}",
         "python\n", ">>> ", "\u202e", "\U0001f600", "é", "x", ":", "//", "www.", "@", "\x00", "\u0301", "\t"]
    ),
    max_size=60,
).map("".join)  # fmt: skip


@given_all(reads, st.integers(1, 3000))
def lines_are_cut_and_decoded(reads: list[bytes], limit: int) -> None:
    lines = wire.Lines(limit)
    for read in reads:
        for line in lines.feed(read):
            assert len(line) <= limit
            assert b"\n" not in line
            for decode in (wire.decode_request, wire.decode_event):
                with suppress(ProtocolError):
                    decode(line)


@given_all(reads)
def plain_bytes_are_read_and_written(reads: list[bytes]) -> None:
    plain.sniff(b"".join(reads))
    reader, server = plain.Reader(), plain.ServerReader()
    with suppress(UnicodeDecodeError):
        reader.name(b"".join(reads))
    for read in reads:
        for text in reader.messages(read):
            assert text == texts.visible(text)
            for write in plain.writes([f"eve: {plain.indented(text)}"], 64):
                assert len(write) <= 64
                write.decode()
        server.feed(read)


@given_all(anything)
def names_texts_and_links_are_checked(text: str) -> None:
    with suppress(BadName):
        name = names.check(text)
        assert names.check(name) == name
        assert names.marks(name)
        free = names.free(name, names.marks(name))
        assert not names.marks(free) & names.marks(name)
    with suppress(BadText):
        texts.check(text, 100).encode()
    assert names.check_member(names.fit(text))
    for link in (text, f"nbchat://{text}", f"nbchat://h:1/{text}", f"nbchat://h/#k={text}"):
        with suppress(BadLink):
            discovery.parse(link)


@given_all(anything | markdown)
def texts_are_shown(text: str) -> None:
    made = html.html(text)
    made.encode(errors="surrogatepass")
    assert not any(
        bad in made.lower() for bad in ("<script", 'href="javascript', "<iframe", "<img", "<style")
    ), made
