"""A real application behind a real edge, each a process of its own.

SEAWALL_TEST_DIRECT=1 leaves the edge out: the same tests then show that application and browser are as they should
be, and what fails only with the edge is the edge's doing.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.webapp.browser import Browser, browser, need_chromium
from tests.webapp.processes import started


@dataclass(frozen=True, slots=True)
class Site:
    """Where a site is, and whether an edge stands in front of it."""

    address: str
    edge: bool

    @property
    def url(self) -> str:
        return f"http://{self.address}"


def _through_edge(origin: str, directory: Path) -> Iterator[Site]:
    if os.environ.get("SEAWALL_TEST_DIRECT") == "1":
        yield Site(origin, edge=False)
        return
    if importlib.util.find_spec("console.main") is None:
        pytest.fail("there is no console.main to serve the site (SEAWALL_TEST_DIRECT=1 goes without an edge)")
    words = ["-m", "console.main", "serve", "--origin", f"http://{origin}", "--listen", "127.0.0.1:0"]
    words += ["--admin", "127.0.0.1:0", "--data", str(directory / "data"), "--json"]
    with started(directory / "edge.log", *words) as ready:
        yield Site(ready["listen"], edge=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application, through an edge."""
    directory = tmp_path_factory.mktemp("site")
    with started(directory / "app.log", "tests/webapp/app.py") as ready:
        yield from _through_edge(f"127.0.0.1:{ready['port']}", directory)


@pytest.fixture(scope="module")
def echo_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The origin stub with its WebSocket, through an edge of its own."""
    directory = tmp_path_factory.mktemp("echo")
    with started(directory / "stub.log", "-m", "origin_stub", "--listen", "127.0.0.1:0", "--json") as ready:
        yield from _through_edge(ready["listen"], directory)


@pytest.fixture(scope="module")
def alice(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that nobody has logged in with; tests share it, as people do."""
    need_chromium()
    with browser(site.url, tmp_path_factory.mktemp("alice")) as one:
        yield one


@pytest.fixture(scope="module")
def bob(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A second browser, with a profile of its own."""
    need_chromium()
    with browser(site.url, tmp_path_factory.mktemp("bob")) as one:
        yield one
