"""What the connection says on its own account: a small problem document (RFC 9457), never stored by anybody."""

from __future__ import annotations

import json
from http import HTTPStatus

from seawall.downstream.exchange import Reply
from seawall.http.headers import headers
from seawall.http.message import ResponseHead


def problem(status: int, detail: str) -> Reply:
    """A reply that says what went wrong. `detail` is ours and quotes nothing of the request (HAZARDS T53)."""
    title = HTTPStatus(status).phrase
    document = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    fields = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    if status == 503:
        fields.append(("Retry-After", "1"))
    return Reply(ResponseHead(status, title, headers(fields)), (document.encode(),))
