"""Request bodies as bytes: inflated where they were compressed, never beyond the limit."""

from __future__ import annotations

import zlib

from service.web.errors import BodyTooLarge, UnsupportedEncoding

WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
"""What zlib wants to hear for each Content-Encoding (RFC 9110, section 8.4.1)."""


def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before its sender compressed it.

    Args:
        body: as received.
        encoding: the Content-Encoding header, empty where there was none.
        max_bytes: what comes out is cut off beyond this, before it takes memory.

    Raises:
        UnsupportedEncoding: for an unknown encoding, or a body that is not in it.
        BodyTooLarge: when more than ``max_bytes`` would come out.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW_BITS:
        raise UnsupportedEncoding(
            f"Content-Encoding {name[:40]!r} is not known; send gzip, deflate or none"
        )
    stream = zlib.decompressobj(WINDOW_BITS[name])
    try:
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise UnsupportedEncoding(f"the body is not {name}, as Content-Encoding says") from None
    if len(plain) > max_bytes:
        raise BodyTooLarge(max_bytes)
    if not stream.eof or stream.unused_data:
        raise UnsupportedEncoding(f"the {name} body ends too early or has bytes left over")
    return plain
