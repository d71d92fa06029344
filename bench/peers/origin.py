"""The origin of all three: an nginx that answers from its configuration, with a counter of what it was asked.

What it answers is in the path: `/o/...` 1 KiB to keep for a day; `/miss/...` the same; `/pass/...` 1 KiB that
must not be stored; `/size/N` the file of N octets, to keep for a day. What may be stored has
an ETag. Much cheaper than what stands
before it, so it may share the generator's core; the harness asks it directly too, and shows how fast that goes.
"""

from __future__ import annotations

import os
import re

from bench.peers.exchange import Unexpected, ask
from bench.peers.programs import path_of
from bench.peers.system import System

SMALL_BYTES = 1024
SIZES = (1024, 16 << 10, 128 << 10, 1 << 20)
ETAG = '"as-ever"'

CONFIGURATION = """\
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
worker_processes 1;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  default_type text/plain;
  sendfile on;
  tcp_nopush on;
  etag off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  open_file_cache max=100;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ add_header Cache-Control "public, max-age=86400"; add_header ETag '{etag}'; return 200 "{small}"; }}
    location /pass/ {{ add_header Cache-Control "no-store"; return 200 "{small}"; }}
    location /size/ {{
      add_header Cache-Control "public, max-age=86400";
      add_header ETag '{etag}';
      root {directory}/files;
    }}
  }}
  server {{ listen 127.0.0.1:{spare_port}; location / {{ stub_status; }} }}
}}
"""


class Origin(System):
    name = "origin"

    def start(self) -> None:
        setup = self.setup
        self._looks = 0
        files = setup.directory / "files" / "size"
        files.mkdir(parents=True)
        for size in SIZES:
            (files / str(size)).write_bytes(b"x" * size)
        (setup.directory / "nginx.conf").write_text(
            CONFIGURATION.format(
                directory=setup.directory,
                port=setup.port,
                spare_port=setup.spare_port,
                user="user root;" if os.geteuid() == 0 else "",
                etag=ETAG,
                small="x" * SMALL_BYTES,
            )
        )
        self.run(
            path_of("nginx"), "-p", str(setup.directory), "-c", "nginx.conf", "-e", str(setup.directory / "error.log")
        )

    def memory_bytes(self) -> int:
        return sum(child.private_bytes() for child in self.children)

    def asked(self) -> int:
        """Requests until now, those for this counter left out."""
        heard = ask(self.setup.spare_port, "/")
        counters = re.search(rb"\n +\d+ +\d+ +(\d+)", heard.body)
        if counters is None:
            raise Unexpected(f"not nginx's counters: {heard.body!r}")
        self._looks += 1
        return int(counters[1]) - self._looks
