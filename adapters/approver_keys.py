"""An approver's key file: an Ed25519 key under a passphrase, readable by its owner only, made once, never overwritten.

scrypt and ChaCha20-Poly1305, because what the library writes as PKCS8 or PKCS12 lets 2,048 rounds stand between a
stolen file and a short passphrase. The public half is legible without it, and sealed with the private one.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.approval import ApprovalBody, PublicKey, Signed, decoded, encoded, key_id, to_sign
from domain.approvers import PASSPHRASE_MIN
from domain.errors import InvalidInput

_WORK = 2**17  # scrypt's N with r = 8, p = 1: 128 MiB and a third of a second a guess
_BYTES_MAX = 4096


class _KeyFile(BaseModel):
    """`sealed` is the private key, encrypted, with the public key as associated data; all base64url."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cdb.approver-key.v1"] = "cdb.approver-key.v1"
    public_key: PublicKey
    salt: str = Field(pattern=r"^[A-Za-z0-9_-]{22}$")  # 16 bytes
    nonce: str = Field(pattern=r"^[A-Za-z0-9_-]{16}$")  # 12 bytes
    sealed: str = Field(pattern=r"^[A-Za-z0-9_-]{64}$")  # 32 bytes and a tag of 16


class ApproverKey:
    """An opened key. Keep it no longer than one decision takes."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    def sign(self, message: bytes) -> str:
        """The signature over bytes of `to_sign`, base64url."""
        return encoded(self._private.sign(message))

    def decide(self, body: ApprovalBody) -> Signed:
        """The signed verdict; InvalidInput when it names another key."""
        if body.key_id != self.key_id:
            raise InvalidInput(
                f"the verdict names key {body.key_id}, this file holds {self.key_id}; use the other file"
            )
        return Signed(body=body, signature=self.sign(to_sign(body)))


def create(path: Path, passphrase: str) -> bytes:
    """Make a key and its file, 0600 in a folder of 0700; the public key. What is there is never overwritten."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise InvalidInput(f"the passphrase has {len(passphrase)} characters; take at least {PASSPHRASE_MIN}")
    key = Ed25519PrivateKey.generate()
    public_key, salt, nonce = key.public_key().public_bytes_raw(), secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = ChaCha20Poly1305(_stretched(passphrase, salt)).encrypt(nonce, key.private_bytes_raw(), public_key)
    public, sealed_text = encoded(public_key), encoded(sealed)
    kept = _KeyFile(public_key=public, salt=encoded(salt), nonce=encoded(nonce), sealed=sealed_text)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _refuse_open(path.parent, path.parent.stat(), "700")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already, and a key is never overwritten; name another file") from None
    try:
        with open(descriptor, "wb") as file:
            file.write(kept.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    return public_key


def public_key(path: Path) -> bytes:
    """The public key of a file, without its passphrase."""
    return decoded(_read(path).public_key)


def unlock(path: Path, passphrase: str) -> ApproverKey:
    """The key of a file; InvalidInput when others can read the file, or for another passphrase."""
    kept = _read(path)
    key = ChaCha20Poly1305(_stretched(passphrase, decoded(kept.salt)))
    try:
        private = key.decrypt(decoded(kept.nonce), decoded(kept.sealed), decoded(kept.public_key))
    except InvalidTag:
        raise InvalidInput(f"{path} does not open: another passphrase, or the file was changed; try again") from None
    return ApproverKey(Ed25519PrivateKey.from_private_bytes(private))


def sign(path: Path, passphrase: str, body: ApprovalBody) -> Signed:
    """Sign a verdict with the key of a file. The body's `key_id` is that of `public_key(path)`."""
    return unlock(path, passphrase).decide(body)


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_WORK, r=8, p=1).derive(passphrase.encode())


def _read(path: Path) -> _KeyFile:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            _refuse_open(path, os.fstat(file.fileno()), "600")
            return _KeyFile.model_validate_json(file.read(_BYTES_MAX))
    except FileNotFoundError:
        raise InvalidInput(f"there is no key file {path}; make one with `cdb approver enrol`") from None
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no key file of an approver"
        raise InvalidInput(f"{path} cannot be used: {reason}; name the key file itself") from None


def _refuse_open(path: Path, state: os.stat_result, mode: str) -> None:
    """Raise InvalidInput when anybody else may read or change it, or it is somebody else's."""
    if state.st_uid != os.geteuid():
        raise InvalidInput(
            f"{path} belongs to another account ({state.st_uid}); keep approvers' keys in a folder of yours"
        )
    if stat.S_IMODE(state.st_mode) & 0o077:
        raise InvalidInput(
            f"{path} can be reached by others ({stat.filemode(state.st_mode)}); run `chmod {mode} {path}`"
        )
