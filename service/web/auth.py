"""The guard: which key opens which route. One object for both doors.

Without a key file everything is open but what only an admin may do. With one, whoever has no key
learns nothing, not even which paths there are: but for health, and style and script of a page.
"""

from __future__ import annotations

from base64 import b64decode

import msgspec

from ..api_keys import ADMIN, METRICS, PREDICT, READ, KeyFile, Keyring
from ..errors import KeyRequired, ScopeRequired

OPEN = "open"
"""For everybody: probes and browsers ask for these without a key."""

ANY_KEY = "any"
"""For whoever has a key, whatever that is for: also what is no route, or takes another method."""

SCOPES_OF_VIEWS: dict[str, str] = {
    "inference": PREDICT,
    "catalogue": READ,
    "catalogue.model_regress": PREDICT,
    "catalogue.model_explain": PREDICT,
    "exposition": METRICS,
    "health": OPEN,
    "openapi": READ,
    "pages": READ,
    # Whether the service is there, clients ask whoever they are and whatever their key is for.
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
"""The scope of each blueprint's views, and of those single views that differ."""

LONGEST_AUTHORIZATION = 4096
"""Longer headers hold no key."""

MAX_REMEMBERED = 1024
"""Headers with a good key that are remembered, in each state of the key file."""


def scope_of(endpoint: str | None) -> str:
    """The scope that a Flask endpoint asks for; None is what is no route."""
    if endpoint is None:
        return ANY_KEY
    of_all = SCOPES_OF_VIEWS.get(endpoint.rpartition(".")[0], READ)
    return SCOPES_OF_VIEWS.get(endpoint, of_all)


class _Holder(msgspec.Struct, frozen=True):
    """Whose key it is, what it is good for as it was sent, and whether that was as a password."""

    name: str
    scopes: frozenset[str]
    is_password: bool


class _Remembered:
    """What was found in one state of the key file.

    The digests are compared in constant time. Nothing can be learnt from how long this table takes:
    text is compared only where its hash, which differs in each process, is the same.
    """

    def __init__(self, ring: Keyring) -> None:
        self.ring = ring
        self.holders: dict[str, _Holder] = {}

    def find(self, authorization: str) -> _Holder | None:
        """Look for a header's key, and remember it if there is one."""
        token, is_password = _token(authorization)
        key = self.ring.find(token) if token else None
        if key is None:
            return None
        # A browser sends a password again by itself, whoever's page asks it to.
        scopes = key.scopes - {ADMIN} if is_password else key.scopes
        holder = _Holder(key.name, scopes, is_password)
        if len(self.holders) >= MAX_REMEMBERED:
            self.holders.clear()
        self.holders[authorization] = holder
        return holder


class Authenticator:
    """Lets requests pass, or says what they need.

    Args:
        keys: the key file; None where there are no keys.
    """

    def __init__(self, keys: KeyFile | None) -> None:
        self._keys = keys
        self._remembered = _Remembered(keys.ring) if keys else None

    @property
    def has_keys(self) -> bool:
        """Whether keys are asked for at all."""
        return self._keys is not None

    def is_authenticated(self, authorization: str | None) -> bool:
        """Whether a key is known, whatever it is for, or none is needed."""
        try:
            self.authorize(authorization, ANY_KEY)
        except KeyRequired:
            return False
        return True

    def authorize(self, authorization: str | None, scope: str) -> str:
        """Whose key it is; empty where none was needed.

        Args:
            authorization: the header of that name.
            scope: what is asked for.

        Raises:
            KeyRequired: for no key, or one that is not known.
            ScopeRequired: for one that is not good for this.
        """
        keys, remembered = self._keys, self._remembered
        if scope == OPEN:
            return ""
        if keys is None or remembered is None:
            if scope == ADMIN:
                raise ScopeRequired(scope, "there are none, start the service with --keys")
            return ""
        if remembered.ring is not keys.ring:
            # Replaced as a whole: what another thread still finds in the old one stays there.
            remembered = self._remembered = _Remembered(keys.ring)
        if authorization is None:
            raise KeyRequired(is_sent=False)
        holder = remembered.holders.get(authorization) or remembered.find(authorization)
        if holder is None:
            raise KeyRequired(is_sent=True)
        if scope not in holder.scopes and scope != ANY_KEY:
            told = f"the key '{holder.name}' is for {', '.join(sorted(holder.scopes)) or 'nothing'}"
            if holder.is_password and scope == ADMIN:
                told = "a password is not enough, send it as 'Authorization: Bearer TOKEN'"
            raise ScopeRequired(scope, told, holder.name)
        return holder.name


def _token(authorization: str) -> tuple[str, bool]:
    """The token in a header, empty if there is none, and whether it is the password of Basic."""
    if len(authorization) > LONGEST_AUTHORIZATION:
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
