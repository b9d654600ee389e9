"""Requests from bytes, within limits.

llhttp (through httptools) parses. It rejects most of what request smuggling needs: two lengths, a
length together with chunks, spaces in names, folded lines, bare line ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote_to_bytes

import httptools
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestURITooLarge,
    ServiceUnavailable,
    Unauthorized,
)

from .limits import LARGE_BODY_BYTES, BodyMemory
from .messages import Request

MAX_HEAD_BYTES = 32 * 1024
"""Limit of request line and headers together, without optional whitespace. Bytes that are parsed and
dropped (whitespace, chunk extensions, trailers) have twice this limit."""

MAX_TARGET_BYTES = 8 * 1024
"""Limit of path and query; RFC 9110, section 4.1, recommends at least 8,000."""

MAX_FEED_BYTES = 16 * 1024
"""Limit of the bytes in one call of `RequestParser.feed`."""

CACHED_TARGET_BYTES = 256
"""Longer targets are not cached, so that the cache stays small."""

MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; `int` fails on thousands of digits."""

KEY_REQUIRED = f"a body of more than {LARGE_BODY_BYTES} bytes needs a valid API key"

RETRY_AFTER_S = 1
"""Seconds after which a client may resend a body that was rejected for lack of memory."""

IDLE, HEAD, BODY = range(3)
"""Parser states: between requests, in a request's head, in its body."""

_PARSER_ERRORS = httptools.HttpParserError, httptools.HttpParserUpgrade


class Consumer(Protocol):
    """Receives the results of a `RequestParser`, each during a call of ``feed``."""

    def on_part(self) -> None:
        """Note that a head or a body begins."""

    def on_expect_continue(self) -> None:
        """Note that the client waits for status 100 before it sends the body."""

    def on_request(self, request: Request, keep_alive: bool) -> None:
        """Take a complete request; ``keep_alive``: whether the client may send another."""

    def on_error(self, error: HTTPException) -> None:
        """Take the error that ends parsing."""


class RequestParser:
    """Parses the requests of one connection.

    Args:
        consumer: receives requests and errors.
        max_body_bytes: limit of a request body.
        memory: counts large bodies, until the consumer releases them.
        is_authenticated: returns whether an Authorization header permits large bodies.

    Attributes:
        client: the client's address, for requests.
        state: IDLE, HEAD or BODY.
        is_stopped: whether further bytes are dropped.
    """

    __slots__ = (
        *("_body", "_consumer", "_headers", "_is_authenticated", "_llhttp", "_max_body_bytes"),
        *("_memory", "_overhead_bytes", "_url", "_version", "client", "is_stopped", "state"),
    )

    def __init__(
        self,
        consumer: Consumer,
        max_body_bytes: int,
        memory: BodyMemory,
        is_authenticated: Callable[[str | None], bool],
    ) -> None:
        self._consumer, self._max_body_bytes, self._memory = consumer, max_body_bytes, memory
        self._is_authenticated = is_authenticated
        self._llhttp = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._version = ""
        # Bytes that arrived and were not stored: of an incomplete head, or around chunks.
        self._overhead_bytes = 0
        self.client = ""
        self.state = IDLE
        self.is_stopped = False

    def feed(self, data: bytes | memoryview) -> None:
        """Parse bytes, at most `MAX_FEED_BYTES`."""
        if self.is_stopped:
            return
        try:
            self._llhttp.feed_data(data)
        except _PARSER_ERRORS as error:
            self._on_parser_error(error, data)
        if self.state:
            self._overhead_bytes += len(data)
            if self._overhead_bytes > MAX_HEAD_BYTES + MAX_FEED_BYTES:  # data may count twice
                self._reject_long_head()

    def reject(self, error: HTTPException) -> None:
        """Stop with an error, unless the parser has stopped already."""
        if not self.is_stopped:
            self.stop()
            self._consumer.on_error(error)

    def stop(self) -> None:
        """Drop an incomplete request and all further bytes."""
        self.is_stopped = True
        self.state = IDLE
        self._memory.release(len(self._body))
        self._body = b""

    def close(self) -> None:
        """Stop, and break the reference cycles with llhttp and the consumer."""
        self.stop()
        del self._llhttp, self._consumer

    def _on_parser_error(self, error: Exception, data: bytes | memoryview) -> None:
        """Continue after an Upgrade header, or reject invalid HTTP."""
        while isinstance(error, httptools.HttpParserUpgrade):
            if self.is_stopped:
                return
            data = self._without_upgrade(data[error.args[0] :])
            try:
                self._llhttp.feed_data(data)
            except _PARSER_ERRORS as next_error:
                error = next_error
            else:
                return
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error  # a bug in a callback: the loop logs it and closes the connection
        if "overflow" in str(error):  # of a Content-Length or a chunk size
            self.reject(RequestEntityTooLarge())
        else:
            self.reject(BadRequest(f"invalid HTTP: {error}"))

    def _without_upgrade(self, after_head: bytes | memoryview) -> bytes:
        """Return the current request without its Upgrade header, to be parsed again.

        The server supports no other protocol. llhttp assumes that a request with Upgrade has no
        body, but clients that prefer HTTP/2 send one.

        Args:
            after_head: the bytes behind the head.
        """
        method, version = self._llhttp.get_method(), self._version.encode()
        lines = "".join(
            f"{name}: {value}\r\n" for name, value in self._headers.items() if name != "upgrade"
        ).encode("latin-1")
        self._llhttp = httptools.HttpRequestParser(self)
        return b"%s %s HTTP/%s\r\n%s\r\n%s" % (method, self._url, version, lines, after_head)

    # Called by llhttp.

    def on_message_begin(self) -> None:
        """Start a request at its first byte."""
        self._url, self._headers, self._body = b"", {}, b""
        self._overhead_bytes = 0
        self.state = HEAD
        self._consumer.on_part()

    def on_url(self, url: bytes) -> None:
        """Add a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; drop a trailer."""
        if self.state == BODY:
            return
        key, text, headers = name.lower().decode("latin-1"), value.decode("latin-1"), self._headers
        headers[key] = f"{headers[key]},{text.rstrip()}" if key in headers else text.rstrip()

    def on_headers_complete(self) -> None:
        """Check the head, and the declared length of the body."""
        if self.is_stopped:
            return
        llhttp, headers = self._llhttp, self._headers
        in_one_call = not self._overhead_bytes  # then the head is short enough, and it began now
        if len(self._url) > MAX_TARGET_BYTES or not (in_one_call or self._head_is_short()):
            self._reject_long_head()
            return
        version = self._version = llhttp.get_http_version()
        if llhttp.should_upgrade():
            if "upgrade" not in headers:
                self.reject(BadRequest("the method CONNECT is not supported"))
            return  # the head is parsed again without Upgrade
        self.state = BODY
        self._overhead_bytes = 0
        if not in_one_call:
            self._consumer.on_part()
        if error := self._check_head(version, headers):
            self.reject(error)
        elif version == "1.1" and headers.get("expect", "").lower() == "100-continue":
            self._consumer.on_expect_continue()

    def on_body(self, data: bytes) -> None:
        """Add bytes of the body."""
        if self.is_stopped:
            return
        self._overhead_bytes = 0
        if not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data
        size = len(self._body)
        is_large = size > LARGE_BODY_BYTES or size > self._max_body_bytes
        if is_large and (error := self._check_size(size, len(data))):
            self.reject(error)

    def on_message_complete(self) -> None:
        """Give the complete request to the consumer."""
        if self.is_stopped or self.state == HEAD:
            return
        self.state = IDLE
        llhttp, body = self._llhttp, self._body
        try:
            path, query = _split_target(self._url)
        except httptools.HttpParserInvalidURLError:
            self.reject(BadRequest("the request target is not a valid path"))
            return
        request = Request(
            llhttp.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            body if type(body) is bytes else bytes(body),
            self._version,
            self.client,
        )
        self._body = b""
        self._consumer.on_request(request, self._version == "1.1" and llhttp.should_keep_alive())

    # Limits and rules.

    def _check_head(self, version: str, headers: dict[str, str]) -> HTTPException | None:
        """Return the first error in a head, or None."""
        host = headers.get("host")
        if version not in ("1.1", "1.0"):
            return BadRequest(f"HTTP/{version} is not supported: send HTTP/1.1 or HTTP/1.0")
        if (host is None and version == "1.1") or (host is not None and "," in host):
            return BadRequest("expected exactly one Host header")  # RFC 9112, section 3.2
        if "transfer-encoding" in headers and (
            version == "1.0" or headers["transfer-encoding"].lower() != "chunked"
        ):
            return BadRequest("Transfer-Encoding must be chunked, in HTTP/1.1")
        if "content-length" in headers:
            return self._check_length(headers["content-length"])
        return None

    def _check_length(self, declared: str) -> HTTPException | None:
        size = int(declared) if len(declared) <= MAX_LENGTH_DIGITS else sys.maxsize
        if size > self._max_body_bytes:
            return RequestEntityTooLarge()
        if size > LARGE_BODY_BYTES and self._is_anonymous():
            return Unauthorized(KEY_REQUIRED)
        return None

    def _check_size(self, size: int, added: int) -> HTTPException | None:
        """Count the added bytes of a large body; return an error, or None."""
        is_within_limit = self._memory.grow(size, added)
        if size > self._max_body_bytes:
            return RequestEntityTooLarge()
        if not is_within_limit:
            return ServiceUnavailable(
                "too many large request bodies are in memory: retry later",
                retry_after=RETRY_AFTER_S,
            )
        became_large = size - added <= LARGE_BODY_BYTES
        return Unauthorized(KEY_REQUIRED) if became_large and self._is_anonymous() else None

    def _head_is_short(self) -> bool:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        first = len(self._llhttp.get_method()) + len(self._url) + len("  HTTP/1.1\r\n")
        return first + lines + len("\r\n") <= MAX_HEAD_BYTES

    def _reject_long_head(self) -> None:
        is_target = len(self._url) > MAX_TARGET_BYTES
        self.reject(RequestURITooLarge() if is_target else RequestHeaderFieldsTooLarge())

    def _is_anonymous(self) -> bool:
        return not self._is_authenticated(self._headers.get("authorization"))


def _split_target(url: bytes) -> tuple[str, bytes]:
    """Return the decoded path and the raw query of a request target."""
    return _parse_target(url) if len(url) > CACHED_TARGET_BYTES else _cached_target(url)


def _parse_target(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    path = parsed.path or b"/"
    return unquote_to_bytes(path).decode("utf-8", "replace"), parsed.query or b""


_cached_target = lru_cache(1024)(_parse_target)
