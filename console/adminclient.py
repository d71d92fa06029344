"""Asking an admin port: the address, the token, one request, and what went wrong in words.

http.client, because a command that asks one question should not spend 200 ms on importing aiohttp.
"""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from seawall.admin.tokenfile import find_token
from seawall.config.places import state_directory

DEFAULT_ADMIN = "http://127.0.0.1:8081"
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 << 20


class AdminError(Exception):
    """The admin port gave no usable answer; the text says why and what to do."""


class AdminTimeout(AdminError):
    """It did not answer in time."""


class NotAnAdminUrl(Exception):
    """The text is no address of an admin port."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Where an admin port is."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def admin_at(text: str) -> Admin:
    """Reads an admin URL; a bare host:port is http. Raises NotAnAdminUrl."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise NotAnAdminUrl(f"'{text}' is not an admin URL such as {DEFAULT_ADMIN}") from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise NotAnAdminUrl(f"'{text}' is not an admin URL such as {DEFAULT_ADMIN}")
    return Admin(parts.scheme, parts.hostname, port or (80 if parts.scheme == "http" else 443))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an admin port said, without being refused."""

    status: int
    document: dict[str, object]


def get(admin: Admin, path: str, token: str | None) -> dict[str, object]:
    """The JSON object at a path. Without a token, one that a node of this user left is used. Raises AdminError."""
    answer = _ask(admin, "GET", path, token, None, TIMEOUT_SECONDS)
    if answer.status != 200:
        raise AdminError(f"what answers at {admin} is no admin port (status {answer.status})")
    return answer.document


def post(admin: Admin, path: str, token: str | None, body: object, seconds: float) -> Answer:
    """The answer to a JSON body, within `seconds`. Raises AdminError, for refusals too."""
    return _ask(admin, "POST", path, token, json.dumps(body).encode(), seconds)


def _ask(admin: Admin, method: str, path: str, token: str | None, body: bytes | None, seconds: float) -> Answer:
    if token is None:
        token = _left_token(admin)
    fields = {} if token is None else {"Authorization": f"Bearer {token}"}
    if body is not None:
        fields["Content-Type"] = "application/json"
    connect = http.client.HTTPSConnection if admin.scheme == "https" else http.client.HTTPConnection
    connection = connect(admin.host, admin.port, timeout=seconds)
    try:
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        said = response.read(MAX_ANSWER_BYTES)
    except TimeoutError as error:
        raise AdminTimeout(f"{admin} did not answer within {seconds:.0f} s") from error
    except OSError as error:
        raise AdminError(f"no node answers at {admin}: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise AdminError(f"what answers at {admin} is no admin port: {error!r}") from error
    finally:
        connection.close()
    return _understood(admin, response.status, said, token)


def _understood(admin: Admin, status: int, body: bytes, token: str | None) -> Answer:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AdminError(f"what answers at {admin} is no admin port (status {status}, not JSON)")
    if 200 <= status < 300:
        return Answer(status, answer)
    detail = str(answer.get("detail", "no reason given"))
    hint = ""
    if status == 401 and token is None:
        hint = "; give one with SEAWALL_TOKEN (no node of this user left one for this address)"
    raise AdminError(f"{admin} says {status}: {detail}{hint}")


def _left_token(admin: Admin) -> str | None:
    try:
        state = state_directory(os.environ)
    except RuntimeError:
        return None
    return find_token(state, admin.host, admin.port)
