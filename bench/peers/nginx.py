"""nginx as it is tuned for hits: one worker, proxy_cache on a tmpfs, open files cached, upstream kept alive."""

from __future__ import annotations

import os
import resource

from bench.peers.child import files_bytes
from bench.peers.programs import path_of
from bench.peers.seawall import DEFAULT_STORAGE_BYTES
from bench.peers.system import System

# Each stored object that stays open costs a descriptor; beyond this the cache of open files is no help any more.
_OPEN_FILES = 150_000
_CONNECTIONS = 4096
_OTHER_FILES = _CONNECTIONS + 1000

CONFIGURATION = """\
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
worker_processes 1;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  access_log {access_log};
  default_type text/plain;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  reset_timedout_connection on;
  server_tokens off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  open_file_cache max={open_files} inactive=1h;
  open_file_cache_valid 1h;
  open_file_cache_min_uses 1;
  proxy_cache_path {directory}/cache levels=1:2 keys_zone=objects:{zone_mib}m max_size={size_mib}m inactive=1d
                   use_temp_path=off;
  upstream origin {{
    server 127.0.0.1:{origin_port};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_cache_key $scheme$host$request_uri;
    # What is never cached is not looked up either; with the lock below, requests for it would wait for each other.
    location /pass/ {{ proxy_pass http://origin; proxy_buffering on; }}
    location / {{
      proxy_pass http://origin;
      proxy_cache objects;
      proxy_cache_lock on;
      proxy_cache_use_stale updating error timeout;
    }}
  }}
}}
"""


class Nginx(System):
    name = "nginx"

    def start(self) -> None:
        setup = self.setup
        descriptors = _descriptors()
        storage = setup.storage_bytes or DEFAULT_STORAGE_BYTES
        (setup.directory / "nginx.conf").write_text(
            CONFIGURATION.format(
                directory=setup.directory,
                port=setup.port,
                origin_port=setup.origin_port,
                # Without this line root's worker would be a user that may not enter the directory.
                user="user root;" if os.geteuid() == 0 else "",
                descriptors=descriptors,
                connections=_CONNECTIONS,
                open_files=max(1, descriptors - _OTHER_FILES),
                access_log=f"{setup.log_file} combined buffer=64k flush=1s" if setup.access_log else "off",
                size_mib=storage >> 20,
                # 8,000 keys a MiB, says its manual; objects of 1 KiB are the smallest here.
                zone_mib=max(64, storage >> 23),
            )
        )
        self.run(
            path_of("nginx"), "-p", str(setup.directory), "-c", "nginx.conf", "-e", str(setup.directory / "error.log")
        )

    def memory_bytes(self) -> int:
        """With the files, which are memory too on a tmpfs."""
        return sum(child.private_bytes() for child in self.children) + files_bytes(self.setup.directory / "cache")


def _descriptors() -> int:
    """As many as it may have. What may raise the limit raises it here; a root without that capability may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
        except (OSError, ValueError):
            return hard
    return wanted
