"""Authentication and scopes: which API key may use which route. Both handlers share one object.

Without a key file every route is open except those of the scope ``admin``. With a key file, a client
without a key learns nothing, not even which paths exist; health and static files stay open.
"""

from __future__ import annotations

from base64 import b64decode

import msgspec

from ..api_keys import ADMIN, METRICS, PREDICT, READ, KeyFile, Keyring
from ..errors import KeyRequired, ScopeRequired

OPEN = "open"
"""Needs no key: probes and browsers send none."""

ANY_KEY = "any"
"""Needs a key of any scope; also for unknown routes and wrong methods."""

SCOPES_OF_VIEWS: dict[str, str] = {
    "inference": PREDICT,
    "tensorflow_serving_models": READ,
    "tensorflow_serving_models.model_regress": PREDICT,
    "tensorflow_serving_models.model_explain": PREDICT,
    "exposition": METRICS,
    "health": OPEN,
    "openapi": READ,
    "pages": READ,
    # Clients with any key, or none, ask whether the service exists.
    "pages.home": OPEN,
    "pages.version": ANY_KEY,
    "pages.static": OPEN,
    "open_inference_models": READ,
    "open_inference_models.server_metadata": ANY_KEY,
    "open_inference_models.model_ready": ANY_KEY,
    "open_inference_repository": READ,
    "open_inference_repository.load": ADMIN,
    "open_inference_repository.unload": ADMIN,
}
"""The scope of each blueprint, and of single views that differ."""

MAX_AUTHORIZATION = 4096
"""Longer headers hold no valid key, in characters."""

MAX_CACHED = 1024
"""Cached headers with a valid key, per state of the key file."""


def scope_of(endpoint: str | None) -> str:
    """Return the scope of a Flask endpoint; None stands for an unknown route."""
    if endpoint is None:
        return ANY_KEY
    of_blueprint = SCOPES_OF_VIEWS.get(endpoint.rpartition(".")[0], READ)
    return SCOPES_OF_VIEWS.get(endpoint, of_blueprint)


class _Identity(msgspec.Struct, frozen=True):
    """The caller of a request.

    Attributes:
        name: of its key.
        scopes: of the key, as it was sent.
        is_password: whether it was sent as a password (Basic).
    """

    name: str
    scopes: frozenset[str]
    is_password: bool


class _KeyCache:
    """Headers whose key was found in one state of the key file.

    `Keyring` compares digests in constant time. The cache leaks no timing either: a dict compares texts
    only if their hashes, which differ in each process, are equal.
    """

    def __init__(self, ring: Keyring) -> None:
        self.ring = ring
        self.identities: dict[str, _Identity] = {}

    def find(self, authorization: str) -> _Identity | None:
        """Return the identity of a header's key and cache it; None for an unknown key."""
        token, is_password = _token(authorization)
        key = self.ring.find(token) if token else None
        if key is None:
            return None
        # A browser sends a password again by itself, also for another site's page.
        scopes = key.scopes - {ADMIN} if is_password else key.scopes
        identity = _Identity(key.name, scopes, is_password)
        if len(self.identities) >= MAX_CACHED:
            self.identities.clear()
        self.identities[authorization] = identity
        return identity


class Authenticator:
    """Authorizes requests by their API key.

    Args:
        keys: the key file; None for no authentication.
    """

    def __init__(self, keys: KeyFile | None) -> None:
        self._keys = keys
        self._cache = _KeyCache(keys.ring) if keys else None

    @property
    def has_keys(self) -> bool:
        """Whether requests need API keys."""
        return self._keys is not None

    def is_authenticated(self, authorization: str | None) -> bool:
        """Return whether a header holds a known key of any scope, or no key is needed."""
        try:
            self.authorize(authorization, ANY_KEY)
        except KeyRequired:
            return False
        return True

    def authorize(self, authorization: str | None, scope: str) -> str:
        """Return the name of the caller's key; empty if none is needed.

        Args:
            authorization: the ``Authorization`` header.
            scope: the needed scope.

        Raises:
            KeyRequired: if the key is absent or unknown.
            ScopeRequired: if the key lacks the scope.
        """
        keys, cache = self._keys, self._cache
        if scope == OPEN:
            return ""
        if keys is None or cache is None:
            if scope == ADMIN:
                raise ScopeRequired(scope, "the service has no keys: start it with --keys")
            return ""
        if cache.ring is not keys.ring:
            # Replaced as a whole, because another thread may still use the old cache.
            cache = self._cache = _KeyCache(keys.ring)
        if authorization is None:
            raise KeyRequired(is_sent=False)
        identity = cache.identities.get(authorization) or cache.find(authorization)
        if identity is None:
            raise KeyRequired(is_sent=True)
        if scope not in identity.scopes and scope != ANY_KEY:
            reason = (
                f"the key '{identity.name}' has the scopes "
                f"{', '.join(sorted(identity.scopes)) or 'none'}"
            )
            if identity.is_password and scope == ADMIN:
                reason = "a password is not enough, send it as 'Authorization: Bearer TOKEN'"
            raise ScopeRequired(scope, reason, identity.name)
        return identity.name


def _token(authorization: str) -> tuple[str, bool]:
    """Return the token of a header, empty if it has none, and whether it is a Basic password."""
    if len(authorization) > MAX_AUTHORIZATION:
        return "", False
    scheme, _, credentials = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip(" \t"), False
        case "basic":
            try:
                pair = b64decode(credentials.strip(" \t"), validate=True).decode("latin-1")
            except ValueError:
                return "", True
            return pair.partition(":")[2], True
        case _:
            return "", False
