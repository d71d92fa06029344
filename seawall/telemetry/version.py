"""Which Seawall this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Of the installed package; "unknown" where it runs from a bare checkout."""
    try:
        return version("seawall")
    except PackageNotFoundError:
        return "unknown"
