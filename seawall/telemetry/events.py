"""A node's life in events: one per decision, a fixed name and its fields, on standard error.

    events.info("node.ready", listen="127.0.0.1:8080", admin="127.0.0.1:8081")

Names are dotted nouns and past participles, fields hold what the decision was made from. Never one per hit: that
is counted. The standard library's logging carries them, so that libraries' own complaints arrive in the same shape.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

import msgspec

from seawall.telemetry.escape import escaped

Field = str | int | float | bool | None

_LOGGER = logging.getLogger("seawall")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def debug(event: str, **fields: Field) -> None:
    """For whoever looks for a fault."""
    _emit(logging.DEBUG, event, fields)


def info(event: str, **fields: Field) -> None:
    """Life-cycle and purges."""
    _emit(logging.INFO, event, fields)


def warning(event: str, **fields: Field) -> None:
    """An operator should look."""
    _emit(logging.WARNING, event, fields)


def error(event: str, **fields: Field) -> None:
    """Something is not done that should have been."""
    _emit(logging.ERROR, event, fields)


def _emit(level: int, event: str, fields: dict[str, Field]) -> None:
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, event, extra={"fields": fields})


def setup(style: str = "human", level: str = "info", node: str = "", stream: TextIO | None = None) -> None:
    """Sends all events of this process to `stream` (standard error). `style` is human or json; replaces a former setup.

    asyncio's and aiohttp's own loggers speak from warning on.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(Json(node) if style == "json" else Human(node))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, Human | Json):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(_LEVELS[level])


class Human(logging.Formatter):
    """`2026-11-23T05:08:14.123Z info edge-ams node.ready listen=127.0.0.1:8080`"""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record.created), record.levelname.lower()]
        if self._node:
            parts.append(self._node)
        parts.append(escaped(record.getMessage()))
        parts += [f"{name}={_value(value)}" for name, value in _fields(self, record).items()]
        return " ".join(parts)


class Json(logging.Formatter):
    """One object a line: ts, level, node, event, and the fields beside them."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Field] = {
            "ts": _time(record.created),
            "level": record.levelname.lower(),
            "node": self._node,
            "event": record.getMessage(),
        }
        for name, value in _fields(self, record).items():
            said[f"{name}_" if name in said else name] = value
        return msgspec.json.encode(said).decode().replace("\x7f", "\\u007f")


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Field]:
    fields: dict[str, Field] = dict(getattr(record, "fields", {}))
    if record.name != _LOGGER.name:
        fields["logger"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        fields["trace"] = formatter.formatException(record.exc_info)
    return fields


def _value(value: Field) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = escaped(str(value))
    return f'"{text}"' if text == "" or " " in text or "=" in text else text


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"
