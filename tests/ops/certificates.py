"""Certificates for the tests of TLS: of any name, issued by somebody else, for as long as is wanted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Issued(NamedTuple):
    """A certificate with its issuer's behind it in one file, and its key."""

    certificate: Path
    key: Path


class Issuer:
    """Signs certificates, and its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed("issuer", self._key, days=1, signs=True)

    def issue(self, folder: Path, name: str = "desk.example", *, days: int = 1) -> Issued:
        """A certificate that ends in so many days; 0: it has ended."""
        key, said = ec.generate_private_key(ec.SECP256R1()), Issued(folder / f"{name}.pem", folder / f"{name}.key")
        parts = self._signed(name, key, days=days), self._certificate
        said.certificate.write_bytes(b"".join(part.public_bytes(PEM) for part in parts))
        form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        said.key.write_bytes(key.private_bytes(PEM, form, secret))
        return said

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, days: int, signs: bool = False
    ) -> x509.Certificate:
        now, subject, issuer = datetime.now(UTC), _named(name), _named("issuer")
        return (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days) - timedelta(minutes=1))
            .add_extension(x509.BasicConstraints(signs, None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
