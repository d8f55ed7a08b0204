"""Gunicorn's threaded worker with bounded patience: a client that dawdles or breaks HTTP holds no thread for long."""

import errno
import json
import socket
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any

import structlog
from gunicorn.http import errors
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

log = structlog.get_logger()

PATIENCE_S = 10.0  # that a thread waits, in all, for a request's bytes
SLOWEST_BYTES_PER_S = 32 * 1024  # what arrives earns more patience at this rate, so that a slow line can send 8 MB
SEND_TIMEOUT_S = 60.0
LINGER_S = 2.0  # without a byte, before a connection that is done is closed
MAX_LINGER_BYTES = 16 * 1024 * 1024  # read and thrown away, so that a client which still sends hears why it was refused
PIECE_BYTES = 64 * 1024


class SlowClientError(errors.ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The client did not send its request in time."""


_STATUS = {
    SlowClientError: HTTPStatus.REQUEST_TIMEOUT,
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


class PatientUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn is untyped
    """Reads a request from its socket, but waits `PATIENCE_S` in all; only waiting counts, not our own work."""

    patience_s = PATIENCE_S

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Wait for the next bytes.

        Raises:
            SlowClientError: patience is used up.
        """
        start = time.monotonic()
        self.sock.settimeout(max(self.patience_s, 0.001))
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise SlowClientError from None
        finally:
            self.sock.settimeout(SEND_TIMEOUT_S)
        self.patience_s += len(data) / SLOWEST_BYTES_PER_S - (time.monotonic() - start)
        return data


class Connection(TConn):  # type: ignore[misc]  # gunicorn is untyped
    """A connection whose every request is read with fresh patience."""

    def init(self) -> None:
        """Prepare for one request; called by the thread that serves it."""
        super().init()
        if not isinstance(self.parser.unreader, PatientUnreader):
            self.parser.unreader = PatientUnreader(self.sock)
        self.parser.unreader.patience_s = PATIENCE_S
        self.sock.settimeout(SEND_TIMEOUT_S)


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is untyped
    """One process of threads. A connection gets one when its first byte is there, and gives it back in bounded time."""

    def accept(self, listener: Any) -> None:
        """Take a connection and wait for its first byte in the poller; a browser opens some that it never uses."""
        try:
            client_sock, client_address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, client_sock, client_address, listener.getsockname())
        connection.timeout = time.monotonic() + PATIENCE_S
        self.pending_conns.append(connection)
        self.poller.register(client_sock, EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def handle(self, conn: Connection) -> Any:
        """Serve one request; the thread, not the loop that accepts, waits for the end of a connection that is done."""
        goes_on = super().handle(conn)
        if not goes_on:
            _part(conn.sock)
        return goes_on

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Run the application. Who does not take the answer has left."""
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            raise errors.NoMoreData from None

    def _keepalive_after(self, conn: Connection, keepalive: object) -> bool:
        """Whether another request may follow: what is left of a refused body is thrown away before it."""
        if not keepalive:
            return False
        deadline = time.monotonic() + PATIENCE_S
        try:
            return bool(conn.parser.finish_body(deadline=deadline, max_bytes=MAX_LINGER_BYTES))
        except errors.ParseException:
            return False  # broken chunks that nobody wanted to read: no reason for a second answer

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what never became a request that the application could answer."""
        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS):
            status = next((s for kind, s in _STATUS.items() if isinstance(exc, kind)), HTTPStatus.BAD_REQUEST)
            log.info("request_not_understood", status=int(status), error=type(exc).__name__)
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            log.error("request_broke_the_server", error=type(exc).__name__, exc_info=exc)
        try:
            client.sendall(_answer(status))
        except OSError:
            log.debug("client_left", status=int(status))


def _answer(status: HTTPStatus) -> bytes:
    """The whole HTTP answer for an error that the application never saw."""
    detail = status.description or status.phrase
    body = json.dumps({"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}).encode()
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    )
    return "\r\n".join(head).encode("ascii") + b"\r\n\r\n" + body


def _part(sock: socket.socket) -> None:
    """Say that no more will come, take what the client still sends for a while, and be done with it (RFC 9112, 9.6)."""
    deadline = time.monotonic() + PATIENCE_S
    left = MAX_LINGER_BYTES
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_S)
        while left > 0 and time.monotonic() < deadline and (data := sock.recv(min(left, PIECE_BYTES))):
            left -= len(data)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)  # so that the loop which closes it has nothing to wait for
