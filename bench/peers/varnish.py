"""Varnish with its working directory on a tmpfs and malloc storage: one pool of threads, all else as it comes.

Its log in shared memory stays on: it is part of Varnish, and cannot be had without. With the access log asked for,
varnishncsa writes it as operators have it do, on the same core, and counts as part of the system.
"""

from __future__ import annotations

from bench.peers.programs import path_of
from bench.peers.seawall import DEFAULT_STORAGE_BYTES
from bench.peers.system import System

CONFIGURATION = """\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin_port}"; }}
sub vcl_recv {{
  # Without this it would pass whatever carries a cookie; the other two store by what the response says.
  unset req.http.Cookie;
  if (req.url ~ "^/pass/") {{ return (pass); }}
}}
"""


class Varnish(System):
    name = "varnish"

    def start(self) -> None:
        setup = self.setup
        rules = setup.directory / "rules.vcl"
        rules.write_text(CONFIGURATION.format(origin_port=setup.origin_port))
        storage = (setup.storage_bytes or DEFAULT_STORAGE_BYTES) >> 20
        self.run(
            path_of("varnishd"),
            "-F",
            *("-n", str(setup.directory / "work")),
            *("-f", str(rules)),
            *("-a", f"127.0.0.1:{setup.port}"),
            *("-T", "none"),
            *("-j", "none"),
            *("-s", f"default=malloc,{storage}m"),
            *("-p", "thread_pools=1"),
            *("-p", "thread_pool_min=100"),
            *("-p", "timeout_idle=300"),
            *("-p", "listen_depth=4096"),
        )
        if setup.access_log:
            self._log()

    def _log(self) -> None:
        """varnishncsa finds the shared log only once varnishd has made it; -t is how long it may look for it."""
        setup = self.setup
        self.run(
            path_of("varnishncsa"),
            *("-n", str(setup.directory / "work")),
            *("-a", "-w", str(setup.log_file)),
            *("-t", "15"),
        )

    def memory_bytes(self) -> int:
        """Without the shared log: that is a ring of a fixed size, which fills with the first requests."""
        return sum(child.anonymous_bytes() for child in self.children)
