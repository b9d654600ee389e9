"""Sends hostile requests to a server for as long as is wanted, and holds each answer to the promise.

python -m tests.service.hostile_soak [--count 1000000] [--seed 1] [--senders 4]

Half of the requests go to a server with the express door and half to one without. Whatever is
sent: no answer of 500 or above, every failure in the one shape, no growth of memory, no worker that
had to be replaced, no traceback in the log. A broken promise ends the run with the request in a file.
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
from tests.service.hostile_requests import Call, Hostile
from tests.tiny_models import write_bodymass_model, write_dated_model, write_mixed_model

TOKEN = "a-token-of-the-soak-and-of-nobody-else"  # noqa: S105 - it opens nothing

HANDLERS = ("fast", "flask")

BATCH = 16
"""Requests that are sent before the answer to the first is waited for."""

BATCH_BYTES = 64 * 1024

ANSWER_S = 60
"""After so long without a byte an answer is missing."""

WARM_UPS = 2
"""By each sender."""

BROKEN_SHARE = 0.01
"""Of requests whose HTTP itself is broken; each takes a connection of its own."""

MIB = 2**20

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_ENCODING = re.compile(rb"\r\ncontent-encoding: *(\w+)", re.IGNORECASE)
_JSON = re.compile(rb"\r\ncontent-type: application/json\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Broken(Exception):
    """A promise that was not kept."""


class Failure(msgspec.Struct):
    """The one shape of every failure."""

    error: str
    code: str


_FAILURE = msgspec.json.Decoder(Failure)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        head: status line and headers.
        body: the body, out of its chunks.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection behind it."""
        return _CLOSE.search(self.head) is not None

    def check(self, method: str, *, is_timed: bool = False) -> None:
        """Hold it to the promise.

        Args:
            method: of the request.
            is_timed: whether the request itself gave a time limit, which may have been over.

        Raises:
            Broken: saying how it is broken.
        """
        if self.status >= 500 and not (self.status == 504 and is_timed):
            raise Broken(f"status {self.status}: {self.body[:300]!r}")
        if self.status < 400 or method == "HEAD":
            return
        if not _JSON.search(self.head):
            raise Broken(f"a failure without JSON: {self.head!r}")
        body = self.body
        if (encoding := _ENCODING.search(self.head)) is not None:
            body = zlib.decompress(body, 31 if encoding[1] == b"gzip" else 15)
        failure = _FAILURE.decode(body)
        if not (failure.error and failure.code):
            raise Broken(f"a failure that says nothing: {body[:300]!r}")


class Connection:
    """A connection to the server that can be written to and read from at the same time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._received = bytearray()

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def answers(
        self, methods: list[str], request: bytes, *, half_close: bool = False
    ) -> Iterator[Answer]:
        """Send requests and yield the answers, until the last or until the server closes."""
        self._waiting = memoryview(request)
        self._half_close = half_close
        for method in methods:
            answer = self._answer(method)
            if answer is None:
                return
            yield answer
            if answer.is_last:
                return

    def _more(self) -> bool:
        """Send and receive what can be; False at the end of what the server sends."""
        writes = [self._socket] if self._waiting else []
        readable, writable, _ = select.select([self._socket], writes, [], ANSWER_S)
        if not readable and not writable:
            raise Broken(f"no answer within {ANSWER_S} s")
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
        """Where the next such bytes end; -1 where the server closed before."""
        while (at := self._received.find(end, start)) < 0:
            if not self._more():
                return -1
        return at + len(end)

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            if not self._more():
                raise Broken(f"an answer that breaks off: {bytes(self._received[:300])!r}")
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _answer(self, method: str) -> Answer | None:
        end = self._until(b"\r\n\r\n")
        if end < 0:
            if self._received:
                raise Broken(f"an answer that breaks off: {bytes(self._received)!r}")
            return None
        head = self._take(end)
        status = int(head[9:12])
        if status == 100:
            return self._answer(method)
        if method == "HEAD" or status in (204, 304):
            return Answer(status, head, b"")
        if (length := _LENGTH.search(head)) is not None:
            return Answer(status, head, self._take(int(length[1])))
        if not _CHUNKED.search(head):
            raise Broken(f"an answer without a length: {head!r}")
        body = bytearray()
        while True:
            size = int(self._take(max(self._until(b"\r\n"), 0)), 16)
            body += self._take(size + 2)[:size]
            if size == 0:
                return Answer(status, head, bytes(body))


@dataclass(frozen=True)
class Task:
    """What one sender does.

    Attributes:
        port: the server's.
        seed: of its requests.
        count: of requests.
        unkept: a file for a request that broke a promise.
    """

    port: int
    seed: str
    count: int
    unkept: Path


def warm_up(task: Task) -> None:
    """Have the server make itself the room that it needs at most, as often as the task counts."""
    for turn in range(task.count):
        connection = Connection(task.port)  # each may be another worker's
        for call in Hostile(f"{task.seed}-{turn}").heaviest():
            if _answers(task, connection, [call])[0].is_last:
                connection.close()
                connection = Connection(task.port)
        connection.close()


def send(task: Task) -> Counter[str]:
    """Send a share of the requests; how many answers of each protocol had which status."""
    chance = random.Random(task.seed)  # noqa: S311 - no secret is made of it
    calls = iter(Hostile(task.seed))
    counted: Counter[str] = Counter()
    connection = Connection(task.port)
    sent = 0
    while sent < task.count:
        batch = _batch(calls, task.count - sent)
        sent += len(batch)
        while batch:
            answers = _answers(task, connection, batch)
            counted.update(
                f"{call.protocol} {answer.status}"
                for call, answer in zip(batch, answers, strict=False)
            )
            batch = batch[len(answers) :]
            if answers[-1].is_last:  # what stood behind it is asked again
                connection.close()
                connection = Connection(task.port)
        if chance.random() < BROKEN_SHARE * BATCH:
            counted[f"broken HTTP {_send_broken(task, chance, next(calls))}"] += 1
            sent += 1
    connection.close()
    return counted


def _answers(task: Task, connection: Connection, batch: list[Call]) -> list[Answer]:
    """The answers to requests that are sent at once; all of them, or up to one that is the last."""
    written = [call.written(f"Bearer {TOKEN}") for call in batch]
    answers: list[Answer] = []
    try:
        for answer in connection.answers([call.method for call in batch], b"".join(written)):
            call = batch[len(answers)]
            answer.check(call.method, is_timed=call.is_timed)
            answers.append(answer)
        _refuse_silence(batch, answers)
    except (Broken, msgspec.MsgspecError, zlib.error) as error:
        task.unkept.write_bytes(written[len(answers)])
        at = batch[len(answers)]
        raise Broken(f"{error}; {at.method} {at.path[:200]} is in {task.unkept}") from None
    return answers


def _refuse_silence(batch: list[Call], answers: list[Answer]) -> None:
    if len(answers) < len(batch) and not (answers and answers[-1].is_last):
        raise Broken("the connection closed without an answer")


def _batch(calls: Iterator[Call], most: int) -> list[Call]:
    batch = [next(calls)]
    size = len(batch[0].body)
    while len(batch) < min(BATCH, most) and size < BATCH_BYTES:
        batch.append(next(calls))
        size += len(batch[-1].body)
    return batch


def _send_broken(task: Task, chance: random.Random, call: Call) -> str:
    """A request whose HTTP is damaged, on a connection of its own; the status or ``none``."""
    written = bytearray(call.written(f"Bearer {TOKEN}")[:BATCH_BYTES])
    head = written.find(b"\r\n\r\n") + 4
    match chance.randrange(5):
        case 0:  # a bit of the head
            written[chance.randrange(head)] ^= 1 << chance.randrange(8)
        case 1:  # an end that comes too early
            del written[chance.randrange(len(written)) :]
        case 2:  # another length than there is
            lie = chance.choice(
                (b"0", b"-1", b"99999999999999999999", b"5, 5", b"1e3", b"abc", b"")
            )
            written = bytearray(re.sub(rb"Content-Length: \d+", b"Content-Length: " + lie, written))
        case 3:  # chunks that are none
            chunked = b"Transfer-Encoding: " + chance.choice((b"chunked", b"gzip, chunked", b"x"))
            written = bytearray(re.sub(rb"Content-Length: \d+", chunked, written))
        case _:  # bytes where they should not be
            at = chance.randrange(head)
            written[at:at] = chance.randbytes(chance.randrange(1, 50))
    connection = Connection(task.port)
    status = "none"
    try:
        # What a damaged head asks for can't be told, so bodies are not held to a method.
        for answer in connection.answers(["POST"], bytes(written), half_close=True):
            answer.check("HEAD", is_timed=call.is_timed)
            status = str(answer.status)
    except (Broken, msgspec.MsgspecError) as error:
        if not written[:8].startswith(b"HEAD"):
            task.unkept.write_bytes(written)
            raise Broken(f"{error}; the request is in {task.unkept}") from None
    finally:
        connection.close()
    return status


def memory(server: RunningService) -> float:
    """MiB that the server's processes hold, shared pages counted once."""
    total = 0
    for pid in (server.process.pid, *server.workers()):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[1])  # type: ignore[index]
    return total / 1024


@dataclass(frozen=True)
class Soaked:
    """What a run found.

    Attributes:
        counted: answers by protocol and status.
        seconds: that the sending took.
        memory: MiB after each part of the run.
    """

    counted: Counter[str]
    seconds: float
    memory: list[float]


def soak(handler: str, count: int, *, seed: int, senders: int, parts: int, folder: Path) -> Soaked:
    """Send hostile requests to a server of its own.

    Args:
        handler: its door.
        count: of requests.
        seed: of the requests.
        senders: processes that send, each on one connection.
        parts: of the run; after each the memory is read.
        folder: for models, log and a request that broke a promise.

    Raises:
        Broken: at the first promise that is not kept.
    """
    models, keys = _models(folder / "models"), _keys(folder / "keys.toml")
    flags = (
        "--handler",
        handler,
        "--workers",
        "2",
        "--default-model",
        "bodymass",
        "--keys",
        str(keys),
    )
    server = RunningService(models, folder / "log", *flags)
    try:
        server.until(lambda: len(server.lines("model live")) >= 2 * 3)
        workers = server.workers()

        def tasks(part: str, each: int) -> list[Task]:
            return [
                Task(server.port, f"{seed}-{handler}-{part}-{i}", each, folder / f"unkept-{i}")
                for i in range(senders)
            ]

        counted: Counter[str] = Counter()
        found = []
        with ProcessPoolExecutor(senders, get_context("spawn")) as pool:
            list(pool.map(warm_up, tasks("warm-up", WARM_UPS)))
            started = time.monotonic()
            for part in range(parts):
                for share in pool.map(send, tasks(str(part), count // parts // senders)):
                    counted += share
                found.append(memory(server))
        seconds = time.monotonic() - started
        if server.workers() != workers:
            raise Broken("a worker had to be replaced")
        for line in server.lines():
            if line["level"] not in ("INFO", "WARNING") or "exc_info" in line:
                raise Broken(f"the log says {json.dumps(line)[:2000]}")
        return Soaked(counted, seconds, found)
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
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description="Send hostile requests to the service.")
    parser.add_argument("--count", type=int, default=1_000_000, help="requests, by both doors")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--senders", type=int, default=4, help="processes that send")
    parser.add_argument("--handler", choices=HANDLERS, action="append", help="one door alone")
    chosen = parser.parse_args()
    handlers = chosen.handler or list(HANDLERS)
    for handler in handlers:
        folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        try:
            soaked = soak(
                handler,
                chosen.count // len(handlers),
                seed=chosen.seed,
                senders=chosen.senders,
                parts=10,
                folder=folder,
            )
        except Broken as error:
            sys.stdout.write(f"{handler}: {error}\n")
            return 1
        shutil.rmtree(folder)
        _print(handler, soaked)
    return 0


def _print(handler: str, soaked: Soaked) -> None:
    answers = sum(soaked.counted.values())
    sys.stdout.write(
        f"{handler}: {answers} answers, {answers / soaked.seconds:.0f} a second; memory in MiB after "
        f"each tenth: {', '.join(f'{held:.0f}' for held in soaked.memory)}\n"
    )
    by_protocol: dict[str, list[str]] = {}
    for name, count in sorted(soaked.counted.items()):
        protocol, _, status = name.rpartition(" ")
        by_protocol.setdefault(protocol, []).append(f"{status}: {count}")
    for protocol, found in by_protocol.items():
        sys.stdout.write(f"  {protocol}: {', '.join(found)}\n")


if __name__ == "__main__":
    sys.exit(main())
