"""A container stops, or loses a worker, while clients send requests without a pause."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.deploy.composed import until
from tests.deploy.containers import HARDENED
from tests.deploy.load import Load

pytestmark = pytest.mark.slow

STOP_S = 45

WORKERS = 2


@pytest.fixture
def service(run_container, service_image):
    container = run_container(
        service_image,
        *HARDENED,
        *("--publish", "127.0.0.1::8000", "--env", "PIGEONHOLE_ALLOW_ANONYMOUS=on"),
        *("--env", f"PIGEONHOLE_WORKERS={WORKERS}"),
    )
    container.until_ready(WORKERS)
    return container


def direct_address(container) -> str:
    """Return the URL without Docker's proxy, as clients reach a pod."""
    return f"http://{container.inspect()['NetworkSettings']['IPAddress']}:8000"


@pytest.mark.parametrize("pause", [0, 1.0], ids=["without a pause", "every second"])
def test_stop_under_load_rejects_new_connections_and_fails_no_request(service, pause) -> None:
    with Load(direct_address(service), pause=pause) as load:
        assert service.stop(STOP_S) == 0
        load.until_refused()
    assert not load.failures
    assert load.answered >= 100


def test_stop_under_load_fails_no_request_through_a_published_port(service) -> None:
    with Load(service.address(), through_proxy=True) as load:
        assert service.stop(STOP_S) == 0
        load.until_refused()
    assert not load.failures
    assert load.answered >= 100


def test_slow_reader_gets_its_whole_response_before_the_container_ends(service) -> None:
    """Bytes in the kernel's send buffer are lost if the container ends before it has sent them."""
    body = json.dumps({"instances": [[172, 95]] * 2000}).encode()
    host = service.inspect()["NetworkSettings"]["IPAddress"]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect((host, 8000))
        head = "POST /v1/models/bodymass:predict HTTP/1.1\r\nhost: a\r\ncontent-length: "
        client.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = client.recv(1000)
        stopping = threading.Thread(target=service.stop, args=(STOP_S,))
        stopping.start()
        try:
            head, _, rest = answer.lower().partition(b"\r\n\r\n")
            missing = int(head.partition(b"content-length:")[2].split()[0]) - len(rest)
            while missing:
                time.sleep(0.06)  # several seconds for the whole response
                piece = client.recv(4096)
                assert piece, f"{missing} bytes are missing"
                missing -= len(piece)
        finally:
            client.close()
            stopping.join()


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_killed_worker_loses_only_its_own_connections(service) -> None:
    parent = service.inspect()["State"]["Pid"]
    workers = children(parent)
    clients = 64
    with Load(direct_address(service), clients) as load:
        load.until_more(5000)  # by now each worker has its share of connections
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len(children(parent)) == WORKERS and workers[0] not in children(parent))
        load.until_more(2000)
    share = clients / WORKERS
    # A connection without a request in flight loses no response.
    assert load.failures.total() <= 1.25 * share, load
    assert load.refused == 0
