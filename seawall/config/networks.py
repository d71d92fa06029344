"""Whose addresses: one kind of value, an address or a network in CIDR notation."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from seawall.config.kinds import Refused, scalar_text
from seawall.config.located import Node
from seawall.config.problems import Reading

Addresses = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Network:
    """An address, or a network whose host part is zero: 10.1.2.3/8 is one of the two, but which?"""

    expected: str = "an address or a network such as 127.0.0.1, 10.0.0.0/8 or fd00::/8"

    def read(self, node: Node, path: str, reading: Reading) -> Addresses:
        text = scalar_text(node)
        try:
            return ipaddress.ip_network(text)
        except ValueError as error:
            try:
                meant = ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise Refused from error
            raise Refused(f"the network is {meant}, the address {text.partition('/')[0]}") from error

    def show(self, value: Any) -> str:
        return str(value)
