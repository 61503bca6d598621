"""Digests by which files and ranks recognise data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib


def blake2b(data: bytes = b"", size: int = 64) -> hashlib.blake2b:
    """Return a BLAKE2b hash object over `data`, of so many bytes."""
    import hashlib  # loads OpenSSL, a sixth of what importing asymfast takes

    return hashlib.blake2b(data, digest_size=size)
