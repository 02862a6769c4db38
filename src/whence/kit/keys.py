"""API keys: who may use a service."""

import hashlib
import hmac
from collections.abc import Sequence

from starlette.types import Scope

from whence.kit.health import HEALTH_PATHS

OPEN_PATHS = frozenset(HEALTH_PATHS)
"""Paths that never ask for a key: probes and scrapers have none."""


class ApiKeys:
    """The keys of a service, any of which opens it; none leaves it open."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_digest(key.encode()) for key in keys]

    def admit(self, scope: Scope) -> bool:
        """Whether a request may go on. Compares with every key in constant time, whichever matches."""
        if not self._keys or scope["path"] in OPEN_PATHS:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        digest = _digest(key.strip())
        matches = [hmac.compare_digest(digest, known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(matches)


def _digest(key: bytes) -> bytes:
    """Keys are compared as digests, so that their lengths do not show."""
    return hashlib.sha256(key).digest()
