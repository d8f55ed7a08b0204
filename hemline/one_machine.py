"""`hemline up`: everything that an installation needs, as one supervised group on one machine."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hemline import redis_server
from hemline.console import Console
from hemline.errors import PortTakenError
from hemline.home import Home, with_own_secrets
from hemline.make_parent import MakeParent
from hemline.orphans import MARK, end_orphans
from hemline.output import document
from hemline.provision import Prepared, make_first_admin, prepare
from hemline.readiness import ACCEPTING, READING, Ready, address, banner, sign_in, what_is_missing
from hemline.supervisor import Group, Program
from store.accounts import Credentials
from store.settings import ENV_PREFIX, Settings

STOP_ORDER = (("web",), ("worker", "trainer"), ("sweeper",), ("redis",))
# Together under the 30 s in which everything has to be gone; the workers drain for 20 s, side by side.
DRAIN_S = {"web": 3.0, "worker": 20.5, "trainer": 20.5, "sweeper": 2.0, "redis": 3.0, "starter": 0.5}
LOOK_EVERY_S = 0.25
SLOW_START_S = 60.0
ONE_REQUEST_S = 1.0  # make passes a SIGTERM on that its group got as well: what comes so soon is the same request


def up(settings: Settings, *, as_json: bool = False) -> int:
    """Run the installation until SIGINT or SIGTERM, and return the exit status.

    Args:
        settings: of the installation.
        as_json: once it is ready, print one JSON document to standard output, which the log then leaves free.

    Raises:
        HemlineError: it cannot start; nothing was started then.
    """
    home = Home.of(settings)
    home.create()
    with home.locked():
        orphans = end_orphans(home)  # before the port is looked at: one of them may hold it
        refuse_taken_port(settings.host, settings.port)
        console = Console(sys.stderr.fileno() if as_json else sys.stdout.fileno())
        if orphans:
            console.say(f"ended {orphans} processes that an earlier run had left behind")
        return asyncio.run(_run(settings, home, console, as_json=as_json))


async def _run(settings: Settings, home: Home, console: Console, *, as_json: bool) -> int:
    return await _Installation(settings, home, console, as_json=as_json).run()


def refuse_taken_port(host: str, port: int) -> None:
    """Make sure that the web server can listen.

    Raises:
        PortTakenError: it cannot; the message says where.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise PortTakenError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Stop what uses this port, or set HEMLINE_PORT to another one.",
        ) from None


def environment_of(settings: Settings, home: Home) -> dict[str, str]:
    """The environment of every child: ours, with what this installation decided for itself."""
    decided = with_own_secrets(settings)
    redis_url, secret_key = decided.redis_url, decided.secret_key
    assert redis_url is not None and secret_key is not None  # noqa: S101, PT018 (both were made before)
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        MARK: str(home.root),
        f"{ENV_PREFIX}HOME": str(home.root),
        f"{ENV_PREFIX}HOST": settings.host,
        f"{ENV_PREFIX}PORT": str(settings.port),
        f"{ENV_PREFIX}REDIS_URL": redis_url,
        f"{ENV_PREFIX}SECRET_KEY": secret_key.get_secret_value(),
    }


class _Installation:
    """One run of `hemline up`, inside the event loop."""

    def __init__(self, settings: Settings, home: Home, console: Console, *, as_json: bool) -> None:
        self._settings = settings
        self._home = home
        self._console = console
        self._as_json = as_json
        self._group = Group(console.line)
        self._stop = asyncio.Event()
        self._stop_asked_at = 0.0
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        began = time.monotonic()
        self._listen_for_signals()
        work: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(part)
            for part in (self._start_and_announce(began), self._watch_make(), self._stop.wait())
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for part in work:
                if part.done():
                    part.result()
        finally:
            await self._end(work)
        return 0

    async def _end(self, work: list[asyncio.Future[Any]]) -> None:
        self._ask_to_stop()
        for part in work:
            part.cancel()
        self._console.say("stopping")
        await self._group.stop(STOP_ORDER, self._hurry)
        await asyncio.wait(work)
        self._console.say("stopped")

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays respected
                loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        is_repeated = self._stop.is_set() and time.monotonic() > self._stop_asked_at + ONE_REQUEST_S
        if is_repeated and number == signal.SIGINT:
            self._hurry.set()
        self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if not self._stop.is_set():
            self._stop_asked_at = time.monotonic()
            self._stop.set()

    async def _watch_make(self) -> None:
        make = MakeParent()
        while not make.was_interrupted():
            await asyncio.sleep(LOOK_EVERY_S)

    async def _start_and_announce(self, began: float) -> None:
        if self._settings.redis_url is None:
            program, configuration = redis_server.find_program(), redis_server.configure(self._home)
            self._keep("redis", [str(program), str(configuration)], os.environ)
        self._home.secret("secret-key")
        prepared = await asyncio.to_thread(prepare, self._settings)
        environment = environment_of(self._settings, self._home)
        self._keep("web", _hemline("web"), environment)
        self._keep("sweeper", _hemline("sweeper"), environment)
        self._keep("trainer", _hemline("worker", "--long-jobs"), environment)
        # Whoever runs this has to get in even where no model can be installed.
        first_admin, _ = await asyncio.gather(self._welcome(began), self._start_reading(environment, prepared))
        await self._wait_until(READING, began)
        self._announce(Ready(address(self._settings), first_admin, time.monotonic() - began))
        await self._stop.wait()

    async def _start_reading(self, environment: Mapping[str, str], prepared: Prepared) -> None:
        if prepared.needs_starter:
            await self._install_starter(environment)
        self._keep("worker", _hemline("worker"), environment)

    async def _welcome(self, began: float) -> Credentials | None:
        await self._wait_until(ACCEPTING, began)
        return await asyncio.to_thread(self._make_and_show_admin)

    def _make_and_show_admin(self) -> Credentials | None:
        # Not before the site answers, and in one go: a start that fails or is interrupted must not lose the password.
        made = make_first_admin(self._settings)
        if made is not None:
            for line in sign_in(self._settings, made):
                self._console.line("hemline", line)
        return made

    async def _install_starter(self, environment: Mapping[str, str]) -> None:
        self._console.say("installing the starter model")
        if await self._group.run(_program("starter", _hemline("models", "install-starter"), environment)):
            self._console.say("no starter model: reviews wait until `hemline models install-starter` works")

    def _keep(self, name: str, argv: list[str], environment: Mapping[str, str]) -> None:
        self._group.keep(_program(name, argv, environment))

    async def _wait_until(self, what: str, began: float) -> None:
        slow_at = began + SLOW_START_S
        while (missing := await asyncio.to_thread(what_is_missing, self._settings, what)) is not None:
            if time.monotonic() > slow_at:
                self._console.say(f"not ready yet: {missing}")
                slow_at = time.monotonic() + SLOW_START_S
            await asyncio.sleep(LOOK_EVERY_S)

    def _announce(self, ready: Ready) -> None:
        if self._as_json:
            with suppress(OSError):  # nobody may be reading
                print(document(ready), flush=True)  # noqa: T201 (what the operator asked for)
        for line in banner(self._settings, ready):
            self._console.line("hemline", line)


def _program(name: str, argv: list[str], environment: Mapping[str, str]) -> Program:
    return Program(name, argv, environment, DRAIN_S[name])


def _hemline(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hemline", *arguments]
