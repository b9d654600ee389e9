"""Content coding: inflate request bodies within a limit, compress responses whole and in chunks."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.web.errors import BodyTooLarge, UnsupportedEncoding
from pigeonhole.service.web.inference.content_coding import (
    MAX_HEADER_CHARACTERS,
    MIN_COMPRESS_BYTES,
    choose_coding,
    compress_response,
    decompress_body,
)
from pigeonhole.service.web.response import Response

COMPRESS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}

WINDOW_BITS = {"gzip": 31, "deflate": 15}

LONG = b"0123456789" * (MIN_COMPRESS_BYTES // 10 + 1)


# Request bodies.


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_uncompressed_body_is_returned_unchanged(encoding: str) -> None:
    assert decompress_body(b"plain", encoding, 3) == b"plain"


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(max_size=1000))
def test_compressed_body_is_restored(encoding: str, body: bytes) -> None:
    assert decompress_body(COMPRESS[encoding](body), encoding.upper(), 1000) == body


@pytest.mark.parametrize("encoding", COMPRESS)
def test_limit_applies_to_the_decompressed_body(encoding: str) -> None:
    compressed = COMPRESS[encoding](bytes(1000))
    assert len(decompress_body(compressed, encoding, 1000)) == 1000
    with pytest.raises(BodyTooLarge, match="999 bytes"):
        decompress_body(compressed, encoding, 999)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_decompression_bomb_takes_bounded_memory(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(100 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress_body(bomb, encoding, 2**20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20


BROKEN = {
    "not compressed": b"plain",
    "empty": b"",
    "cut short": gzip.compress(b"plain" * 100)[:-3],
    "extra bytes": gzip.compress(b"plain") + b"more",
    "wrong checksum": gzip.compress(b"plain")[:-8] + bytes(8),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_body_that_contradicts_its_encoding_is_rejected(body: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        decompress_body(body, "gzip", 1000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "\u017f", "x" * 9999])
def test_unknown_encoding_is_rejected_in_a_short_message(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="send gzip, deflate or none") as caught:
        decompress_body(b"plain", encoding, 1000)
    assert len(str(caught.value)) < 200


@given(body=st.binary(max_size=200), encoding=st.sampled_from(sorted(COMPRESS)))
def test_arbitrary_bytes_are_decompressed_or_rejected(body: bytes, encoding: str) -> None:
    with suppress(UnsupportedEncoding, BodyTooLarge):
        assert len(decompress_body(body, encoding, 100)) <= 100


# Responses.


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
        ("gzip;q=0.000, deflate ; q=0.1", "deflate"),
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
        ("gzip".ljust(MAX_HEADER_CHARACTERS), "gzip"),
        ("gzip".ljust(MAX_HEADER_CHARACTERS + 1), None),
    ],
)
def test_coding_of_the_highest_weight_is_chosen(accept: str | None, coding: str | None) -> None:
    assert choose_coding(accept) == coding


@given(st.text(st.sampled_from("gzipdeflate*,;=q.01 \t\u00e9")) | st.text())
def test_arbitrary_accept_encoding_is_parsed_or_ignored(accept: str) -> None:
    assert choose_coding(accept) in (None, "gzip", "deflate")


@pytest.mark.parametrize("coding", WINDOW_BITS)
def test_long_response_is_compressed_and_labeled(coding: str) -> None:
    response = compress_response(Response(200, LONG, "text/plain", (("A", "b"),)), coding)
    assert zlib.decompress(response.body, WINDOW_BITS[coding]) == LONG
    assert response.headers == (
        ("A", "b"),
        ("Vary", "Accept-Encoding"),
        ("Content-Encoding", coding),
    )
    assert len(response.body) < len(LONG) / 10


def test_long_uncompressed_response_has_a_vary_header() -> None:
    response = compress_response(Response(200, LONG, "text/plain"), None)
    assert (response.body, response.headers) == (LONG, (("Vary", "Accept-Encoding"),))


def test_short_response_is_not_compressed() -> None:
    response = Response(200, LONG[: MIN_COMPRESS_BYTES - 1], "text/plain")
    assert compress_response(response, "gzip") is response


class Chunks:
    """Chunks that record whether they were closed."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks, self.is_closed = iter(chunks), False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("coding", WINDOW_BITS)
@given(chunks=st.lists(st.binary(max_size=300), min_size=1))
def test_client_can_decompress_each_chunk_on_arrival(coding: str, chunks: list[bytes]) -> None:
    first, *others = chunks
    response = compress_response(Response(200, first, "text/plain", chunks=Chunks(*others)), coding)
    client = zlib.decompressobj(WINDOW_BITS[coding])
    assert client.decompress(response.body) == first
    for chunk in others:
        assert client.decompress(next(response.chunks)) == chunk
    assert client.decompress(next(response.chunks)) == b""
    assert client.eof
    assert list(response.chunks) == []


def test_closing_a_compressed_response_closes_its_chunks() -> None:
    chunks = Chunks(b"a")
    response = compress_response(Response(200, b"", "text/plain", chunks=chunks), "gzip")
    response.chunks.close()
    assert chunks.is_closed
