"""Running wrk, and reading what it found."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.peers.exchange import HOST
from bench.peers.programs import path_of

_LUA = Path(__file__).parent / "lua"
_MARK = "figures "
# What it may take beyond its duration: connecting, drawing requests beforehand, ending.
_SLACK_SECONDS = 30.0


class WrkFailed(Exception):
    """wrk did not run to its end. Says what it wrote."""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line that lua/figures.lua prints. `status` counts answers of 400 and above, `bytes` all octets received."""

    requests: int
    bytes: int
    microseconds: int
    connect: int
    read: int
    write: int
    status: int
    timeout: int

    @property
    def rate(self) -> float:
        return self.requests / (self.microseconds / 1e6)

    @property
    def socket_errors(self) -> int:
        return self.connect + self.read + self.write + self.timeout


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk is to do; `script` is a file of lua/ without its ending, and gets the arguments."""

    url: str
    seconds: float
    connections: int
    threads: int = 1
    fields: Sequence[tuple[str, str]] = ()
    script: str | None = None
    arguments: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ran:
    figures: Figures
    cpu_seconds: float  # of wrk itself


def read(output: str) -> Figures:
    """The figures in what wrk printed. WrkFailed where there are none: it never came to its end."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise WrkFailed(f"wrk printed no figures:\n{output[-2000:]}")
    try:
        return msgspec.json.decode(lines[0].removeprefix(_MARK), type=Figures)
    except msgspec.DecodeError as error:
        raise WrkFailed(f"wrk printed figures that cannot be read ({error}):\n{lines[0]}") from error


def run(load: Load, core: int) -> Ran:
    """Pinned to the core; WrkFailed where it ends badly or not at all."""
    parts = ["figures"] if load.script is None else [load.script, "figures"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join((_LUA / f"{part}.lua").read_text() for part in parts))
        script.flush()
        command = [
            *("taskset", "--cpu-list", str(core), path_of("wrk")),
            f"-t{load.threads}",
            f"-c{load.connections}",
            f"-d{load.seconds:g}s",
            *("--timeout", "10s", "--script", script.name),
            *(word for name, value in (("Host", HOST), *load.fields) for word in ("--header", f"{name}: {value}")),
            load.url,
            *(("--", *load.arguments) if load.arguments else ()),
        ]
        before = os.times()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=load.seconds + _SLACK_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise WrkFailed(f"wrk did not end: {' '.join(command)}") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        after = os.times()
    if process.returncode != 0:
        raise WrkFailed(f"wrk ended with {process.returncode}:\n{output[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(read(output), spent)
