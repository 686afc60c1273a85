"""Ed25519 signatures of bundles: who made a model, not only whether it is whole.

A signature is the 64 bytes that openssl makes, of `manifest.json` as it stands in the `.ampedge` file.
The manifest names the SHA-256 of everything else, so one signature covers all of it.
"""

import os
import stat
from pathlib import Path
from typing import Any

from ampedge.errors import ConfigError, ModelRefusedError, UsageError, missing_extra

_LARGEST_KEY = 64 * 1024
_NEW_KEY = "Make one with: openssl genpkey -algorithm ed25519 -out KEY"
_PUBLIC_HALF = "Write its public half with: openssl pkey -in KEY -pubout -out PUBLIC"


def sign(data: bytes, key: Path) -> bytes:
    """The signature of `data` by the private key in the PEM file `key`; raises UsageError where it is none."""
    from_pem, ed25519 = _cryptography("To sign a model")
    try:
        pem = _read(key)
    except OSError as error:
        raise UsageError(f"--sign: {key} cannot be read: {error.strerror}.", _NEW_KEY) from error
    try:
        private = from_pem.load_pem_private_key(pem, None)
    except TypeError as error:
        raise UsageError(
            f"--sign: {key} is encrypted with a password.",
            "Decrypt it into a file that only you can read: openssl pkey -in KEY -out PLAIN",
        ) from error
    except Exception as error:  # the library names no common class for what it cannot read
        raise UsageError(f"--sign: {key} is no private key in PEM form.", _NEW_KEY) from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise UsageError(f"--sign: {key} is a private key of another kind than Ed25519.", _NEW_KEY)
    made: bytes = private.sign(data)
    return made


def verify(data: bytes, signature: bytes, key: Path) -> None:
    """Raise ModelRefusedError where `signature` of `data` is not by the other half of the public key in `key`.

    Raises ConfigError where that file holds no public Ed25519 key.
    """
    from_pem, ed25519 = _cryptography("verify_key")
    try:
        pem = _read(key)
    except OSError as error:
        raise ConfigError(f"verify_key: {key} cannot be read: {error.strerror}.", _PUBLIC_HALF) from error
    if b"PRIVATE KEY" in pem:
        raise ConfigError(
            f"verify_key: {key} is a private key, which belongs where models are signed, not where they run.",
            _PUBLIC_HALF,
        )
    try:
        public = from_pem.load_pem_public_key(pem)
    except Exception as error:  # as above
        raise ConfigError(f"verify_key: {key} is no public key in PEM form.", _PUBLIC_HALF) from error
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise ConfigError(f"verify_key: {key} is a public key of another kind than Ed25519.", _NEW_KEY)
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, data)
    except InvalidSignature as error:
        raise ModelRefusedError(
            f"Its signature is not by the key of {key}.", "Sign it with `ampedge export --sign KEY` and the right key."
        ) from error


def exposed(key: Path) -> bool:
    """Whether others than its owner may read this file."""
    return os.name == "posix" and bool(key.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _cryptography(what: str) -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing_extra(what, "sign") from error
    return serialization, ed25519


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_KEY)
