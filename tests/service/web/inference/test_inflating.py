"""Compressed bodies: inflated up to a limit, refused when they are not what they say."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.web.errors import BodyTooLarge, UnsupportedEncoding
from pigeonhole.service.web.inference.content_coding import inflated

PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_body_that_is_not_compressed_is_left_as_it_is(encoding: str) -> None:
    assert inflated(b"plain", encoding, 3) == b"plain"


@pytest.mark.parametrize("encoding", PACK)
@given(body=st.binary(max_size=1000))
def test_a_compressed_body_comes_back_whole(encoding: str, body: bytes) -> None:
    assert inflated(PACK[encoding](body), encoding.upper(), 1000) == body


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(encoding: str) -> None:
    packed = PACK[encoding](bytes(1000))
    assert len(inflated(packed, encoding, 1000)) == 1000
    with pytest.raises(BodyTooLarge, match="999 bytes"):
        inflated(packed, encoding, 999)


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: str) -> None:
    bomb = PACK[encoding](bytes(100 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            inflated(bomb, encoding, 2**20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20


BROKEN = {
    "something else": b"plain",
    "nothing": b"",
    "cut short": gzip.compress(b"plain" * 100)[:-3],
    "bytes left over": gzip.compress(b"plain") + b"more",
    "a wrong checksum": gzip.compress(b"plain")[:-8] + bytes(8),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        inflated(body, "gzip", 1000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "\u017f", "x" * 9999])
def test_an_unknown_encoding_is_refused_in_few_words(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="send gzip, deflate or none") as caught:
        inflated(b"plain", encoding, 1000)
    assert len(str(caught.value)) < 200


@given(body=st.binary(max_size=200), encoding=st.sampled_from(sorted(PACK)))
def test_no_bytes_make_it_fail_otherwise(body: bytes, encoding: str) -> None:
    with suppress(UnsupportedEncoding, BodyTooLarge):
        assert len(inflated(body, encoding, 100)) <= 100
