"""Programs that some tests need and that `make test` does not install: a browser, Node.js, openssl.

Outside CI a test without its program is left out, loudly (tests/conftest.py lists it at the end). In CI it fails:
nothing is left out there without anybody noticing.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def in_ci() -> bool:
    """Whether this run is one that must not leave anything out (`CI=true`, as every CI service sets it)."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def program(*names: str) -> str:
    """The path of the first of these that is installed; without any, the calling test is left out, or fails in CI."""
    for name in names:
        if found := shutil.which(name):
            return found
    return missing(f"needs {' or '.join(names)}, which is not installed here")


def missing(why: str) -> NoReturn:
    """The calling test is left out, or fails in CI."""
    if in_ci():
        pytest.fail(why, pytrace=False)
    pytest.skip(why)
