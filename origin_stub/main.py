"""The command `origin-stub`: arguments, signals, the lines it prints. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

import origin_stub
from origin_stub.units import seconds

if TYPE_CHECKING:
    from origin_stub.stub import OriginStub


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line said."""

    listen: tuple[str, int]
    control: tuple[str, int] | str  # "same" or "off" instead of an address
    drain: float
    keepalive: float
    json: bool


def main(words: list[str] | None = None) -> None:
    """Run with these arguments (None: those of the process) until SIGTERM or SIGINT."""
    arguments = parse(sys.argv[1:] if words is None else words)
    try:
        _runner()(_serve(arguments))
    except OSError as failed:
        print(f"origin-stub: {failed.strerror or failed}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def parse(words: list[str]) -> Arguments:
    """The arguments; SystemExit with code 2 and one line of explanation if they cannot be read."""
    parser = argparse.ArgumentParser(
        prog="origin-stub",
        description="A scriptable origin for trying and testing caches.",
        epilog=_epilog() if {"-h", "--help"} & set(words) else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:3000", help="default: %(default)s")
    parser.add_argument(
        "--control",
        metavar="HOST:PORT|same|off",
        default="same",
        help="where /_stub/ is heard; a port of its own must be on loopback. Default: %(default)s",
    )
    parser.add_argument("--drain", metavar="TIME", default="10s", help="patience after SIGTERM, default %(default)s")
    parser.add_argument("--keepalive", metavar="TIME", default="75s", help="of idle connections, default %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")
    found = parser.parse_args(words)
    try:
        control = found.control if found.control in ("same", "off") else _address(found.control)
        if not isinstance(control, str) and not _loopback(control[0]):
            raise ValueError(f"--control {found.control}: not a loopback address")
        return Arguments(_address(found.listen), control, seconds(found.drain), seconds(found.keepalive), found.json)
    except ValueError as wrong:
        parser.error(str(wrong))


async def _serve(arguments: Arguments) -> None:
    from origin_stub.stub import ControlAt, OriginStub

    control = arguments.control
    stub = OriginStub(
        arguments.listen,
        control=ControlAt(control) if isinstance(control, str) else control,
        keepalive=arguments.keepalive,
    )
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        # The same signal once more finds its default action and ends the process at once. Only the same: Ctrl-C
        # reaches a supervisor and us, and what the supervisor then sends should not cut the draining short.
        loop.remove_signal_handler(number)
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    await stub.start()
    _announce(stub, arguments.json)
    await asked_to_stop.wait()
    await stub.stop(arguments.drain)


def _announce(stub: OriginStub, as_json: bool) -> None:
    if as_json:
        ready = {"event": "ready", "listen": stub.address, "control": stub.control_address, "pid": os.getpid()}
        print(json.dumps(ready), flush=True)
        return
    print(f"origin-stub listens on {stub.url}")
    if stub.control_address is not None:
        print(f"control: http://{stub.control_address}/_stub/tally")
    print(f"try: curl -i '{stub.url}/make/hello?size=1KiB&max-age=60&etag'", flush=True)


def _runner() -> Callable[[Coroutine[None, None, None]], None]:
    # uvloop halves what a small answer costs; the stub also works without it.
    with contextlib.suppress(ImportError):
        import uvloop

        return lambda work: uvloop.run(work)
    return lambda work: asyncio.run(work)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:3000")
    return host.strip("[]") or "127.0.0.1", int(port)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _epilog() -> str:
    from origin_stub.grammar import options_help

    readme = (origin_stub.__doc__ or "").partition("\n\n")[2]
    return f"{readme}\nOptions of /make URLs and of scripted replies:\n{options_help()}\n"
