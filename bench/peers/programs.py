"""The programs that are compared, and the one that asks: found or installed, and their versions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.peers.figures import Machine

# A command, and the Debian package that brings it.
_PACKAGES = {
    "nginx": "nginx-light",
    "varnishd": "varnish",
    "varnishncsa": "varnish",
    "wrk": "wrk",
    "taskset": "util-linux",
}
# Servers stand where a user who is not root does not look.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_ROOT = Path(__file__).parents[2]


class Missing(Exception):
    """What is needed is not installed, and why it could not be. Says what to do."""


def find(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def path_of(name: str) -> str:
    found = find(name)
    if found is None:
        raise Missing(f"{name} is not installed; on Debian: apt-get install {_PACKAGES[name]}")
    return found


def install_missing() -> list[str]:
    """Brings what is not there with apt; the packages that it took. Missing where that is not possible."""
    packages = sorted({package for name, package in _PACKAGES.items() if find(name) is None})
    if not packages:
        return []
    wanted = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise Missing(f"{', '.join(packages)} are needed and not installed, and there is no apt-get here")
    if os.geteuid() != 0:
        raise Missing(f"{', '.join(packages)} are needed and not installed; as root: {wanted}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "--yes", "--quiet", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing(f"apt-get {command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}\nBy hand: {wanted}")
    if left := sorted(name for name in _PACKAGES if find(name) is None):
        raise Missing(f"apt-get brought no {', '.join(left)}")
    return packages


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def _matched(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "unknown"


def versions() -> dict[str, str]:
    """Of everything that has a part in the figures."""
    found = {
        "seawall": _distribution("seawall") + _revision(),
        "nginx": _matched(r"nginx/(\S+)", _said(path_of("nginx"), "-v")),
        "varnish": _matched(r"varnish-(\S+)", _said(path_of("varnishd"), "-V")),
        "wrk": _matched(r"wrk (\S+)", _said(path_of("wrk"), "-v")),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return found | {name: _distribution(name) for name in ("uvloop", "httptools") if _distribution(name) != "absent"}


def _distribution(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _revision() -> str:
    """The commit, and whether files differ from it; nothing outside a checkout."""
    if shutil.which("git") is None:
        return ""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=_ROOT, capture_output=True, text=True
    )
    return f" ({described.stdout.strip()})" if described.returncode == 0 else ""


def machine(pinned: str) -> Machine:
    cpu = _matched(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    total = int(_matched(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()))
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return Machine(cpu, os.cpu_count() or 1, round(total / 2**20, 1), platform.release(), system, pinned)
