"""The server from the outside, by the byte: broken, endless and slow requests."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from store.settings import Settings
from tests.server import running_server
from tests.web.conftest import TOKEN

THREADS = 4
MB = 1024 * 1024
POST = (
    f"POST /api/v1/reviews HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
)
LOGIN = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("server")
    with running_server(home, redis_url, HEMLINE_WEB_THREADS=str(THREADS)) as settings:
        yield settings


@pytest.fixture
def log(server: Settings) -> Path:
    return server.home / "web.log"


def connect(server: Settings) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def chunks(body: bytes, size: int = MB) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def exchange(server: Settings, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes, and read the one answer to the end of the connection."""
    with connect(server) as client:
        for piece in pieces:
            client.sendall(piece)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_a_chunked_body_beyond_the_limit_is_413_and_not_cut(server: Settings) -> None:
    hidden = b'{"text": "hidden"}' + b" " * (8 * MB) + b"garbage"
    status, headers, _ = exchange(server, (POST + CHUNKED).encode(), *chunks(hidden))
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    exact = b'{"text": "just fits"}'.ljust(8 * MB)
    assert exchange(server, (POST + CHUNKED).encode(), *chunks(exact))[0] == 202


def test_a_chunked_form_beyond_the_limit_is_413(server: Settings) -> None:
    form = b"email=a&password=b&text=" + b"x" * (9 * MB)
    status, _, body = exchange(server, (LOGIN + CHUNKED).encode(), *chunks(form))
    assert status == 413
    assert b"larger than the 8 MB" in body


def test_a_data_file_may_be_larger_than_eight_megabytes(server: Settings) -> None:
    head = f"POST /api/v1/datasets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n" + CHUNKED
    form = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nlarge\r\n--x\r\n'
    form += b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ntext\n' + b"Fits.\n" * (2 * MB)
    status, headers, body = exchange(server, head.encode(), *chunks(form + b"\r\n--x--\r\n"))
    assert (status, headers["location"]) == (202, f"/api/v1/jobs/{json.loads(body)['id']}")
    assert json.loads(body)["total"] == 5 + 6 * 2 * MB


@pytest.mark.parametrize("wrong", [b"ZZ\r\nhello\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5;=\r\nhello\r\n0\r\n\r\n"])
def test_malformed_chunks_are_400_and_no_defect(server: Settings, log: Path, wrong: bytes) -> None:
    status, headers, body = exchange(server, (POST + CHUNKED).encode(), wrong)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["status"] == 400
    assert "Traceback" not in log.read_text()


def test_malformed_chunks_that_nobody_reads_get_one_answer(server: Settings) -> None:
    with connect(server) as client:
        client.sendall(b"POST /api/v1/reviews HTTP/1.1\r\nHost: x\r\n" + CHUNKED.encode() + b"ZZ\r\n")
        answer = b""
        while data := client.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("rest", ["Content-Length: 100\r\n\r\n{", CHUNKED + '5\r\n{"te'])
def test_a_client_that_leaves_in_mid_body_is_no_defect(server: Settings, log: Path, rest: str) -> None:
    with connect(server) as client:
        client.sendall((POST + rest).encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 400")
    with connect(server) as client:
        client.sendall((POST + rest).encode())
    assert exchange(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    assert "Traceback" not in log.read_text()


def test_clients_that_dawdle_give_their_threads_back(server: Settings, log: Path) -> None:
    begun = [
        b"GET / HTT",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        (LOGIN + "Content-Length: 1000\r\n\r\nemail=").encode(),
        (LOGIN + CHUNKED + "5\r\nema").encode(),
    ]
    assert len(begun) == THREADS
    with ExitStack() as held:
        slow = [held.enter_context(connect(server)) for _ in begun]
        for client, half in zip(slow, begun, strict=True):
            client.sendall(half)
        assert exchange(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        assert [client.recv(12) for client in slow] == [b"HTTP/1.1 408"] * THREADS
    assert "Traceback" not in log.read_text()


def test_connections_that_send_nothing_hold_no_thread(server: Settings) -> None:
    with ExitStack() as held:
        for _ in range(THREADS * 2):
            held.enter_context(connect(server))
        start = time.monotonic()
        assert exchange(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        assert time.monotonic() - start < 3


def test_dripping_bytes_earns_no_more_time(server: Settings) -> None:
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        client.settimeout(1)
        answer = b""
        while not answer and time.monotonic() - start < 25:
            client.sendall(b"X")
            try:
                answer = client.recv(100)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_idle_connections_hold_no_thread(server: Settings) -> None:
    with ExitStack() as held:
        kept = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in range(THREADS * 2)]
        for client in kept:
            held.callback(client.close)
            client.request("GET", "/healthz")
            assert client.getresponse().read()
        start = time.monotonic()
        assert exchange(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        kept[0].request("GET", "/healthz")
        assert kept[0].getresponse().status == 200
        assert time.monotonic() - start < 4


def test_a_connection_that_its_client_leaves_open_does_not_stop_the_others(server: Settings) -> None:
    with ExitStack() as held:
        for _ in range(3):
            client = held.enter_context(connect(server))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        start = time.monotonic()
        assert exchange(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("n_megabytes", [9, 15])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_client_that_sends_all_before_it_reads_hears_why(server: Settings, n_megabytes: int, connection: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Connection": connection}
    client.request("POST", "/api/v1/reviews", body=b"x" * (n_megabytes * MB), headers=headers)
    answer = client.getresponse()
    assert (answer.status, json.loads(answer.read())["status"]) == (413, 413)
    client.request("POST", "/api/v1/reviews", body=b"x" * MB, headers=headers | {"Authorization": "Bearer none"})
    assert client.getresponse().status == 401
    client.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET /api/v1/jobs?q={'x' * 9_000} HTTP/1.1\r\n\r\n", 414),
        (f"GET /api/v1/jobs HTTP/1.1\r\nX: {'x' * 9_000}\r\n\r\n", 431),
        ("GET /api/v1/jobs HTTP/1.1\r\n: x\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_gets_a_problem_too(server: Settings, head: str, status: int) -> None:
    found, headers, body = exchange(server, head.encode())
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert json.loads(body)["detail"]
