"""An event is one line with a fixed name and its fields, for people or for machines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from seawall.telemetry import events


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("seawall")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_people_read_name_and_fields() -> None:
    stream = io.StringIO()
    events.setup("human", "info", "edge-ams", stream)
    events.info("cache.settled", key="http://a/ b", ttl=30.0, stored=True, reason=None)
    events.debug("unseen")
    time, rest = stream.getvalue().split(" ", 1)
    assert rest == 'info edge-ams cache.settled key="http://a/ b" ttl=30 stored=true reason=-\n'
    assert time.endswith("Z")


def test_machines_read_one_object_a_line() -> None:
    stream = io.StringIO()
    events.setup("json", "debug", "n", stream)
    events.debug("a.b", node="other", count=1)
    said = json.loads(stream.getvalue())
    assert (said["event"], said["level"], said["node"], said["node_"], said["count"]) == (
        "a.b",
        "debug",
        "n",
        "other",
        1,
    )


@pytest.mark.parametrize("style", ["human", "json"])
def test_no_field_forges_a_line(style: str) -> None:
    stream = io.StringIO()
    events.setup(style, "info", "n", stream)
    events.warning("a.b", text='x\n2026 info forged\x1b[2J"\x7f')
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\x7f" not in stream.getvalue()


def test_libraries_complain_in_the_same_shape() -> None:
    stream = io.StringIO()
    events.setup("json", "info", "n", stream)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed")
    logging.getLogger("asyncio").info("unseen")
    said = json.loads(stream.getvalue())
    assert (said["event"], said["logger"]) == ("Task failed", "asyncio")
    assert "ValueError: x" in said["trace"]


def test_a_second_setup_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    events.setup("human", "info", "n", first)
    events.setup("human", "info", "n", second)
    events.error("a.b")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
