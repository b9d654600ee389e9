"""Send hostile requests to the service and check each response.

python -m tests.service.hostile_soak [--count 1000000] [--seed 1] [--senders 4]

Half of the requests go to a service with the fast handler, half to one with the flask handler. The
service promises: no status of 500 or above, one shape for all errors, no growth of memory, no lost
worker and no traceback in the log. A broken promise ends the run and leaves the request in a file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import select
import shutil
import socket
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import msgspec

from tests.running_service import RunningService
from tests.service.hostile_requests import HostileRequests, HttpRequest
from tests.tiny_models import write_bodymass_model, write_dated_model, write_mixed_model

TOKEN = "a-token-of-the-soak-and-of-nobody-else"  # noqa: S105 - valid in this test only

HANDLERS = ("fast", "flask")

BATCH = 16
"""Most requests sent before the first response is read."""

BATCH_BYTES = 64 * 1024

RESPONSE_S = 60
"""Seconds without a byte after which a response counts as missing."""

WARM_UPS = 2
"""Warm-up rounds of each sender."""

BROKEN_SHARE = 0.01
"""Share of requests whose HTTP itself is damaged; each needs its own connection."""

MIB = 2**20

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_ENCODING = re.compile(rb"\r\ncontent-encoding: *(\w+)", re.IGNORECASE)
_JSON = re.compile(rb"\r\ncontent-type: application/json\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class BrokenPromiseError(Exception):
    """The service broke a promise."""


class Failure(msgspec.Struct):
    """The common shape of errors."""

    error: str
    code: str


_FAILURE = msgspec.json.Decoder(Failure)


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: the HTTP status.
        head: status line and headers.
        body: the body without chunk framing.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection after the response."""
        return _CLOSE.search(self.head) is not None

    def check(self, method: str, *, is_timed: bool = False) -> None:
        """Check the status and the shape of an error.

        Args:
            method: the method of the request.
            is_timed: whether the request has a time limit, so that 504 is allowed.

        Raises:
            BrokenPromiseError: the response breaks a promise.
        """
        if self.status >= 500 and not (self.status == 504 and is_timed):
            raise BrokenPromiseError(f"status {self.status}: {self.body[:300]!r}")
        if self.status < 400 or method == "HEAD":
            return
        if not _JSON.search(self.head):
            raise BrokenPromiseError(f"an error without JSON: {self.head!r}")
        body = self.body
        if (encoding := _ENCODING.search(self.head)) is not None:
            body = zlib.decompress(body, 31 if encoding[1] == b"gzip" else 15)
        failure = _FAILURE.decode(body)
        if not (failure.error and failure.code):
            raise BrokenPromiseError(f"an error without text: {body[:300]!r}")


class Connection:
    """A connection that sends and receives at the same time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._received = bytearray()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def responses(
        self, methods: list[str], request: bytes, *, half_close: bool = False
    ) -> Iterator[Response]:
        """Send requests and yield the responses, until the last or until the server closes."""
        self._waiting = memoryview(request)
        self._half_close = half_close
        for method in methods:
            response = self._response(method)
            if response is None:
                return
            yield response
            if response.is_last:
                return

    def _more(self) -> bool:
        """Send and receive without blocking; return False when the server has closed."""
        writes = [self._socket] if self._waiting else []
        readable, writable, _ = select.select([self._socket], writes, [], RESPONSE_S)
        if not readable and not writable:
            raise BrokenPromiseError(f"no response within {RESPONSE_S} s")
        if writable:
            try:
                self._waiting = self._waiting[self._socket.send(self._waiting) :]
            except (ConnectionResetError, BrokenPipeError):
                self._waiting = memoryview(b"")
            if not self._waiting and self._half_close:
                self._half_close = False
                try:
                    self._socket.shutdown(socket.SHUT_WR)
                except OSError:
                    return False
        if readable:
            try:
                received = self._socket.recv(MIB)
            except ConnectionResetError:
                return False
            self._received += received
            return bool(received)
        return True

    def _until(self, end: bytes, start: int = 0) -> int:
        """Return where the next occurrence of these bytes ends; -1 if the server closed before."""
        while (at := self._received.find(end, start)) < 0:
            if not self._more():
                return -1
        return at + len(end)

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            if not self._more():
                raise BrokenPromiseError(f"an incomplete response: {bytes(self._received[:300])!r}")
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _response(self, method: str) -> Response | None:
        end = self._until(b"\r\n\r\n")
        if end < 0:
            if self._received:
                raise BrokenPromiseError(f"an incomplete response: {bytes(self._received)!r}")
            return None
        head = self._take(end)
        status = int(head[9:12])
        if status == 100:
            return self._response(method)
        if method == "HEAD" or status in (204, 304):
            return Response(status, head, b"")
        if (length := _LENGTH.search(head)) is not None:
            return Response(status, head, self._take(int(length[1])))
        if not _CHUNKED.search(head):
            raise BrokenPromiseError(f"a response without a length: {head!r}")
        body = bytearray()
        while True:
            size = int(self._take(max(self._until(b"\r\n"), 0)), 16)
            body += self._take(size + 2)[:size]
            if size == 0:
                return Response(status, head, bytes(body))


@dataclass(frozen=True)
class Task:
    """The work of one sender.

    Attributes:
        port: the port of the service.
        seed: seed of the requests.
        count: number of requests.
        evidence: file for a request that broke a promise.
    """

    port: int
    seed: str
    count: int
    evidence: Path


def warm_up(task: Task) -> None:
    """Send the heaviest requests, so that the workers allocate the most that they ever need."""
    for turn in range(task.count):
        connection = Connection(task.port)  # may reach another worker
        for request in HostileRequests(f"{task.seed}-{turn}").heaviest():
            if _send_batch(task, connection, [request])[0].is_last:
                connection.close()
                connection = Connection(task.port)
        connection.close()


def send(task: Task) -> Counter[str]:
    """Send a task's requests; return the number of responses by protocol and status."""
    chance = random.Random(task.seed)  # noqa: S311 - not for secrets
    requests = iter(HostileRequests(task.seed))
    counts: Counter[str] = Counter()
    connection = Connection(task.port)
    sent = 0
    while sent < task.count:
        batch = _batch(requests, task.count - sent)
        sent += len(batch)
        while batch:
            responses = _send_batch(task, connection, batch)
            counts.update(
                f"{request.protocol} {response.status}"
                for request, response in zip(batch, responses, strict=False)
            )
            batch = batch[len(responses) :]
            if responses[-1].is_last:  # the rest of the batch goes to a new connection
                connection.close()
                connection = Connection(task.port)
        if chance.random() < BROKEN_SHARE * BATCH:
            counts[f"broken HTTP {_send_broken(task, chance, next(requests))}"] += 1
            sent += 1
    connection.close()
    return counts


def _send_batch(task: Task, connection: Connection, batch: list[HttpRequest]) -> list[Response]:
    """Send requests at once; return the responses up to the last one on this connection."""
    encoded = [request.encode(f"Bearer {TOKEN}") for request in batch]
    responses: list[Response] = []
    try:
        for response in connection.responses(
            [request.method for request in batch], b"".join(encoded)
        ):
            request = batch[len(responses)]
            response.check(request.method, is_timed=request.is_timed)
            responses.append(response)
        _check_any_response(batch, responses)
    except (BrokenPromiseError, msgspec.MsgspecError, zlib.error) as error:
        task.evidence.write_bytes(encoded[len(responses)])
        at = batch[len(responses)]
        raise BrokenPromiseError(
            f"{error}; {at.method} {at.path[:200]} is in {task.evidence}"
        ) from None
    return responses


def _check_any_response(batch: list[HttpRequest], responses: list[Response]) -> None:
    if len(responses) < len(batch) and not (responses and responses[-1].is_last):
        raise BrokenPromiseError("the connection closed without a response")


def _batch(requests: Iterator[HttpRequest], most: int) -> list[HttpRequest]:
    batch = [next(requests)]
    size = len(batch[0].body)
    while len(batch) < min(BATCH, most) and size < BATCH_BYTES:
        batch.append(next(requests))
        size += len(batch[-1].body)
    return batch


def _send_broken(task: Task, chance: random.Random, request: HttpRequest) -> str:
    """Send a request with damaged HTTP; return the status, or ``none`` without a response."""
    encoded = bytearray(request.encode(f"Bearer {TOKEN}")[:BATCH_BYTES])
    head = encoded.find(b"\r\n\r\n") + 4
    match chance.randrange(5):
        case 0:  # flip a bit of the head
            encoded[chance.randrange(head)] ^= 1 << chance.randrange(8)
        case 1:  # cut the request
            del encoded[chance.randrange(len(encoded)) :]
        case 2:  # change the length
            length = chance.choice(
                (b"0", b"-1", b"99999999999999999999", b"5, 5", b"1e3", b"abc", b"")
            )
            encoded = bytearray(
                re.sub(rb"Content-Length: \d+", b"Content-Length: " + length, encoded)
            )
        case 3:  # claim chunks
            chunked = b"Transfer-Encoding: " + chance.choice((b"chunked", b"gzip, chunked", b"x"))
            encoded = bytearray(re.sub(rb"Content-Length: \d+", chunked, encoded))
        case _:  # insert bytes
            at = chance.randrange(head)
            encoded[at:at] = chance.randbytes(chance.randrange(1, 50))
    connection = Connection(task.port)
    status = "none"
    try:
        # The damaged head may have another method, so bodies are not checked.
        for response in connection.responses(["POST"], bytes(encoded), half_close=True):
            response.check("HEAD", is_timed=request.is_timed)
            status = str(response.status)
    except (BrokenPromiseError, msgspec.MsgspecError) as error:
        if not encoded[:8].startswith(b"HEAD"):
            task.evidence.write_bytes(encoded)
            raise BrokenPromiseError(f"{error}; the request is in {task.evidence}") from None
    finally:
        connection.close()
    return status


def memory_mib(server: RunningService) -> float:
    """Return the memory of all processes of a service; shared pages count once."""
    total = 0
    for pid in (server.process.pid, *server.workers()):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[1])  # type: ignore[index]
    return total / 1024


@dataclass(frozen=True)
class SoakResult:
    """The result of a run.

    Attributes:
        counts: responses by protocol and status.
        seconds: duration.
        memory_mib: memory after each part of the run.
    """

    counts: Counter[str]
    seconds: float
    memory_mib: list[float]


def soak(
    handler: str, count: int, *, seed: int, senders: int, parts: int, folder: Path
) -> SoakResult:
    """Start a service and send hostile requests to it.

    Args:
        handler: the setting of the service.
        count: number of requests.
        seed: seed of the requests.
        senders: number of sending processes, each with one connection.
        parts: number of parts of the run; memory is read after each.
        folder: for models, log and a request that broke a promise.

    Raises:
        BrokenPromiseError: at the first broken promise.
    """
    models, keys = _models(folder / "models"), _keys(folder / "keys.toml")
    flags = (
        *("--handler", handler, "--workers", "2"),
        *("--default-model", "bodymass", "--keys", str(keys)),
    )
    server = RunningService(models, folder / "log", *flags)
    try:
        server.until(lambda: len(server.lines("model live")) >= 2 * 3)
        workers = server.workers()

        def tasks(part: str, each: int) -> list[Task]:
            return [
                Task(server.port, f"{seed}-{handler}-{part}-{i}", each, folder / f"evidence-{i}")
                for i in range(senders)
            ]

        counts: Counter[str] = Counter()
        memory: list[float] = []
        with ProcessPoolExecutor(senders, get_context("spawn")) as pool:
            list(pool.map(warm_up, tasks("warm-up", WARM_UPS)))
            started = time.monotonic()
            for part in range(parts):
                for share in pool.map(send, tasks(str(part), count // parts // senders)):
                    counts += share
                memory.append(memory_mib(server))
        seconds = time.monotonic() - started
        if server.workers() != workers:
            raise BrokenPromiseError("a worker had to be replaced")
        for line in server.lines():
            if line["level"] not in ("INFO", "WARNING") or "exc_info" in line:
                raise BrokenPromiseError(f"the log says {json.dumps(line)[:2000]}")
        return SoakResult(counts, seconds, memory)
    finally:
        server.stop()


def _models(folder: Path) -> Path:
    write_bodymass_model(folder)
    write_mixed_model(folder)
    write_dated_model(folder)
    return folder


def _keys(path: Path) -> Path:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    path.write_text(f'[soak]\nsha256 = "{digest}"\nscopes = ["predict", "read", "metrics"]\n')
    return path


def main() -> int:
    """Run the soak and print its result."""
    parser = argparse.ArgumentParser(description="Send hostile requests to the service.")
    parser.add_argument(
        "--count", type=int, default=1_000_000, help="Number of requests, half to each handler."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--senders", type=int, default=4, help="Number of sending processes.")
    parser.add_argument(
        "--handler", choices=HANDLERS, action="append", help="Test one handler only."
    )
    options = parser.parse_args()
    handlers = options.handler or list(HANDLERS)
    for handler in handlers:
        folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        try:
            result = soak(
                handler,
                options.count // len(handlers),
                seed=options.seed,
                senders=options.senders,
                parts=10,
                folder=folder,
            )
        except BrokenPromiseError as error:
            sys.stdout.write(f"{handler}: {error}\n")
            return 1
        shutil.rmtree(folder)
        _print(handler, result)
    return 0


def _print(handler: str, result: SoakResult) -> None:
    responses = sum(result.counts.values())
    sys.stdout.write(
        f"{handler}: {responses} responses, {responses / result.seconds:.0f} per second; memory in MiB after "
        f"each tenth: {', '.join(f'{mib:.0f}' for mib in result.memory_mib)}\n"
    )
    by_protocol: dict[str, list[str]] = {}
    for name, count in sorted(result.counts.items()):
        protocol, _, status = name.rpartition(" ")
        by_protocol.setdefault(protocol, []).append(f"{status}: {count}")
    for protocol, statuses in by_protocol.items():
        sys.stdout.write(f"  {protocol}: {', '.join(statuses)}\n")


if __name__ == "__main__":
    sys.exit(main())
