"""Where a node keeps its own when the file does not say: the user's state directory (XDG base directories)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_directory(environ: Mapping[str, str]) -> Path:
    """Seawall's directory of the user who runs it.

    $STATE_DIRECTORY is systemd's (StateDirectory=), $XDG_STATE_HOME the desktop's; a relative one does not count
    (XDG Base Directory Specification). Raises RuntimeError where there is not even a home.
    """
    unit = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if unit.startswith("/"):
        return Path(unit)
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "seawall"
    home = environ.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / ".local" / "state" / "seawall"


def data_directory(data: str | None, name: str, environ: Mapping[str, str]) -> Path:
    """A node's data directory: what the file says, or its name in the state directory."""
    return state_directory(environ) / name if data is None else Path(data)
