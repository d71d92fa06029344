"""What one client may cost: time, connections, bytes. Defaults are an edge's, not a framework's (HAZARDS T14, T60)."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.http.wire import MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in seconds, sizes in bytes; None is without limit."""

    # From accept to the first byte, and from there to the end of the head: nginx and Varnish 60, HAProxy's advice 10.
    header_timeout: float = 10.0
    # Between two requests: nginx 75, Cloudflare 60, Varnish 5.
    idle_timeout: float = 60.0
    # Without one byte of a request body that is awaited: nginx 60, Apache 20.
    body_stall: float = 30.0
    # Without the client taking anything of what waits for it: nginx 60.
    send_stall: float = 60.0
    # Without a byte in either direction of a tunnel: nginx and Varnish 60, ALB 60; WebSocket pings come every 20-30.
    tunnel_idle: float = 300.0
    # How long the answer to a client that has ended its side may keep it waiting: it may be gone (nginx and
    # Envoy stop at once), or have half-closed and be listening (HAProxy and Node go on).
    half_close_grace: float = 1.0
    # How long a connection that we end is still read, so that the last reply is not lost to a reset: nginx 5.
    linger: float = 2.0
    # Varnish has no bound, nginx 512 a worker, HAProxy what its descriptors allow.
    max_connections: int = 8192
    max_head_bytes: int = MAX_HEAD_BYTES
    max_target_bytes: int = MAX_TARGET_BYTES
    max_fields: int = MAX_FIELDS
    # Uploads are the origin's business: nginx 1 MiB, Varnish none.
    max_body_bytes: int | None = None
    max_requests: int | None = None
