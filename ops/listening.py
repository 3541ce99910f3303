"""Where the HTTP API listens, and by which names it may be called: loopback, or wider behind TLS."""

import ipaddress
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from domain.errors import InvalidInput


class Listening(NamedTuple):
    """`names` are further names it may be called by. TLS is by certificate and key, or ended by a proxy at the
    addresses `proxy` (comma-separated), whose word counts about who asks and how."""

    host: str
    port: int
    names: Collection[str] = ()
    certificate: Path | None = None
    key: Path | None = None
    proxy: str = ""

    def refuse_open(self) -> None:
        """Raises InvalidInput where tokens would travel in the clear."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput(
                "TLS needs a certificate and its key; give CDB_API_CERTIFICATE and CDB_API_KEY, or neither"
            )
        if not (is_loopback(self.host) or self.certificate or self.proxy):
            raise InvalidInput(
                f"CDB_API_HOST={self.host} is reached from other machines, and tokens would travel in the clear; "
                "give CDB_API_CERTIFICATE and CDB_API_KEY, or CDB_API_PROXY for a proxy that ends TLS, or listen on "
                "127.0.0.1"
            )

    @property
    def hosts(self) -> frozenset[str]:
        """Every name of the Host header that is taken. An address that stands for all of them is none."""
        address = f"[{self.host}]" if ":" in self.host else self.host
        own = {address, "127.0.0.1", "localhost", "[::1]"} if is_loopback(self.host) else {address}
        return frozenset({*own, *self.names} - {"0.0.0.0", "[::]"})


def is_loopback(host: str) -> bool:
    """Is this reached from this machine alone?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
