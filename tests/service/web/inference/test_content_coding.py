"""Answers compressed for who asks for it, whole and piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.web.inference.content_coding import LEAST_BYTES, chosen_coding, compressed
from pigeonhole.service.web.reply import Response

LONG = b"0123456789" * (LEAST_BYTES // 10 + 1)

BITS = {"gzip": 31, "deflate": 15}


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip", "gzip"),
        ("deflate;q=0.9, gzip;q=0.8", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, deflate ; q = 0.1", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *;q=0.5", "deflate"),
        ("*;q=0", None),
        ("identity", None),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0", None),
        ("br, zstd", None),
        ("gzip;q=nonsense", None),
        ("gzip;q=nan", None),
        ("gzip;q=2", None),
        ("gzip;q=-1, deflate", "deflate"),
        ("gzip;level=9", "gzip"),
        (";;,,=q;q", None),
        ("a," * 5000 + "gzip", "gzip"),
    ],
)
def test_the_coding_is_the_one_that_its_reader_likes_best(accept, coding) -> None:
    assert chosen_coding(accept) == coding


@given(st.text(st.sampled_from("gzipdeflate*,;=q.01 \t\u00e9")) | st.text())
def test_any_header_is_understood_or_passed_over(accept: str) -> None:
    assert chosen_coding(accept) in (None, "gzip", "deflate")


@pytest.mark.parametrize("coding", BITS)
def test_a_long_answer_is_compressed_and_says_so(coding: str) -> None:
    reply = compressed(Response(200, LONG, "text/plain", (("A", "b"),)), coding)
    assert zlib.decompress(reply.body, BITS[coding]) == LONG
    assert reply.headers == (("A", "b"), ("Vary", "Accept-Encoding"), ("Content-Encoding", coding))
    assert len(reply.body) < len(LONG) / 10


def test_a_long_answer_that_nobody_wants_compressed_says_that_it_could_have_been() -> None:
    reply = compressed(Response(200, LONG, "text/plain"), None)
    assert (reply.body, reply.headers) == (LONG, (("Vary", "Accept-Encoding"),))


def test_a_short_answer_is_left_alone() -> None:
    reply = Response(200, LONG[: LEAST_BYTES - 1], "text/plain")
    assert compressed(reply, "gzip") is reply


class BodyChunks:
    """Pieces that know whether they were closed."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces, self.is_closed = iter(pieces), False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("coding", BITS)
@given(pieces=st.lists(st.binary(max_size=300), min_size=1))
def test_every_piece_can_be_read_when_it_is_there(coding: str, pieces: list[bytes]) -> None:
    first, *others = pieces
    reply = compressed(Response(200, first, "text/plain", rest=BodyChunks(*others)), coding)
    reader = zlib.decompressobj(BITS[coding])
    assert reader.decompress(reply.body) == first
    for piece in others:
        assert reader.decompress(next(reply.rest)) == piece
    assert reader.decompress(next(reply.rest)) == b""
    assert reader.eof
    assert list(reply.rest) == []


def test_what_is_compressed_piece_by_piece_is_closed_like_any_other() -> None:
    pieces = BodyChunks(b"a")
    reply = compressed(Response(200, b"", "text/plain", rest=pieces), "gzip")
    reply.rest.close()
    assert pieces.is_closed
