"""Debian's Chromium without a screen: a fresh profile each, and what its network saw."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 20.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--no-proxy-server",
    "--disk-cache-size=1",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One response as the browser's network saw it."""

    url: str
    status: int
    headers: dict[str, str]  # lower-case names
    own_cache: bool  # the browser's cache answered, nobody else was asked


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, driver: webdriver.Chrome, base: str) -> None:
        self.driver = driver
        self._base = base

    def visit(self, path: str) -> list[Seen]:
        """Go there with an empty browser cache, so that whoever stands behind the address is asked; what came."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        self._drain()
        self.driver.get(self._base + path)
        return self.seen(path)

    def seen(self, path: str) -> list[Seen]:
        """The responses since the last visit, once that for the path is among them."""
        found: list[Seen] = []

        def complete(_: object) -> bool:
            found.extend(self._drain())
            return any(one.url == self._base + path for one in found)

        self._wait(complete, f"no response for {path}")
        return found

    def text(self, selector: str) -> str:
        """The text of the element, once it is there."""
        self._wait(lambda _: self.driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector}")
        return self.find(selector).text

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def submit(self, button: str, **fields: str) -> None:
        """Fill in the fields by id, press the button, and return once another page is there."""
        for name, value in fields.items():
            self.find(f"#{name}").send_keys(value)
        self._drain()
        old = self.driver.find_element(By.TAG_NAME, "html").id
        self.find(f"#{button}").click()
        self._wait(lambda _: self._page() not in (None, old), f"#{button} led nowhere")

    def titled(self, title: str) -> None:
        """Return once the page has this title."""
        self._wait(lambda _: self.driver.title == title, f"title is not {title!r}")

    def _page(self) -> str | None:
        found = self.driver.find_elements(By.TAG_NAME, "html")
        ready = self.driver.execute_script("return document.readyState") == "complete"
        return found[0].id if found and ready else None

    def _wait(self, condition: Callable[[object], object], message: str) -> None:
        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(condition, message)

    def _drain(self) -> list[Seen]:
        seen = []
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.responseReceived":
                response = message["params"]["response"]
                seen.append(
                    Seen(
                        response["url"],
                        response["status"],
                        {name.lower(): value for name, value in response["headers"].items()},
                        bool(response.get("fromDiskCache")),
                    )
                )
        return seen


def need_chromium() -> tuple[str, str]:
    """Paths of browser and driver. Without them: a failure in CI, elsewhere a skip that says what is missing."""
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if paths[0] is None or paths[1] is None:
        missing = "chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    return paths[0], paths[1]


@contextmanager
def browser(base: str, profile: Path) -> Iterator[Browser]:
    """A browser for the site at `base` (http://HOST:PORT), until the block ends."""
    chromium, driver_path = need_chromium()
    options = Options()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    try:
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        driver.execute_cdp_cmd("Network.enable", {})
        yield Browser(driver, base)
    finally:
        driver.quit()
