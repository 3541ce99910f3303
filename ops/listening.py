"""Where the HTTP API listens, by which names it may be called, and how this machine reaches it: loopback, or wider
behind TLS."""

import ipaddress
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from domain.errors import InvalidInput

_END = "-----END CERTIFICATE-----"


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

    @property
    def reached_at(self) -> str:
        """The address that a process of this machine reaches it at."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def called(self) -> str:
        """One of the names that are taken."""
        return min(self.hosts, default=self.reached_at)

    def trust(self) -> ssl.SSLContext | None:
        """Trusts whoever has the key of the certificate, by whatever name it was issued, and nobody else; None without
        TLS. Raises OSError (ssl.SSLError is one) for a file that cannot be read, or holds no certificate."""
        if self.certificate is None:
            return None
        text = self.certificate.read_text("ascii", "ignore")
        own, end, _ = text.partition(_END)  # those behind it issued it, and others
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # also of one that did not sign itself
        context.load_verify_locations(cadata=f"{own}{end}\n")
        return context


def is_loopback(host: str) -> bool:
    """Is this reached from this machine alone?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
