"""
Signed tokens: JWT HS256 with several keys at once (spec.md A-1, A-7).

A token's `aud` says what it is for, so that a launch link is never taken for an access token.
"""

import base64
import binascii
import hmac
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import jwt
import msgspec
import uuid_utils

from kernel.errors import NotAuthenticatedError
from kernel.events import Role

ALGORITHM: Final = "HS256"
KEY_BYTES_MIN: Final = 32


class Audience(StrEnum):
    """What a token is for."""

    access = "access"
    launch = "launch"
    beacon = "beacon"
    ticket = "ticket"


class Wrong(msgspec.Struct, frozen=True):
    """What is said of a token that does not hold: of one that is not genuine, and of one that was."""

    not_valid: str
    expired: str


EXPIRED: Final = "It has expired: sign in again, or ask for a new link."
_TOKEN: Final = Wrong("The token is not valid.", EXPIRED)
_WRONG: Final = {
    Audience.access: _TOKEN,
    Audience.launch: _TOKEN,
    Audience.beacon: Wrong(
        "The beaconToken is not valid.", "The beaconToken has expired: each heartbeat's reply has a new one."
    ),
    Audience.ticket: Wrong(
        "The ticket is not valid: `POST …/ticket` makes one.",
        "The ticket has expired: `POST …/ticket` makes another.",
    ),
}


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    What a verified token says.

    `user_id`, `org`, `exam_id` and `login` are UUIDs as text; `iat` and `exp` are seconds since 1970; `jti`
    is unique per token. `login` is the sign-in that an access token comes from, `generation` the user's when
    it was signed: by either it can be taken back.

    `exam_id` is set on launch links and on the access tokens that come from them: they are good for that exam
    alone. `issuer` made a launch link; `standing` and `issuer_standing` are the student's and the issuer's
    when they made it, and a link is void once either has changed (a lock, another role).

    `session` is the proctor session that a beacon's token posts to, and all that it is good for. `opens` is
    the address that a ticket is good for, with what lies below it; what it opened lasts until `until`.
    """

    user_id: str
    email: str
    role: Role
    org: str
    iat: int
    exp: int
    jti: str
    aud: Audience
    exam_id: str | None = None
    login: str | None = None
    generation: int = 0
    issuer: str | None = None
    standing: int = 0
    issuer_standing: int = 0
    session: int | None = None
    opens: str | None = None
    until: int = 0


class Keyring:
    """HMAC keys by `kid`; the first signs, all verify, so a secret rotates without logging anybody out."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Take the keys in order; raises ValueError when there is none or one is shorter than 32 bytes."""
        if not keys or any(len(key) < KEY_BYTES_MIN for key in keys.values()):
            message = f"jwt_keys: at least one key, each of {KEY_BYTES_MIN} bytes or more"
            raise ValueError(message)
        self._keys = keys
        self._kid = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read `kid:base64[,kid:base64]`."""
        try:
            pairs = [entry.split(":", 1) for entry in text.split(",") if entry]
            return cls({kid: base64.b64decode(secret, validate=True) for kid, secret in pairs})
        except (binascii.Error, ValueError) as error:
            message = "jwt_keys: expected kid:base64[,kid:base64], each key of 32 bytes or more"
            raise ValueError(message) from error

    def derived(self, label: str) -> list[bytes]:
        """Return keys for another purpose, one of each key and in their order: no use tells of another's."""
        return [hmac.digest(key, label.encode(), "sha256") for key in self._keys.values()]

    def sign(self, claims: Claims) -> str:
        """Return the compact JWT."""
        payload: dict[str, Any] = msgspec.to_builtins(claims)
        return jwt.encode(payload, self._keys[self._kid], algorithm=ALGORITHM, headers={"kid": self._kid})

    def verify(self, token: str | bytes, *, audience: Audience, now: datetime) -> Claims:
        """
        Return the claims of a genuine, unexpired token for `audience`.

        Raises:
            NotAuthenticatedError: anything else; the reason is not told apart.
        """
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            # Expiry is compared with `now` below: the clock is an argument, not the library's.
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=audience.value,
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "jti"]},
            )
            claims = msgspec.convert(payload, Claims)
        except (jwt.PyJWTError, KeyError, UnicodeError, msgspec.ValidationError) as error:
            raise NotAuthenticatedError(_WRONG[audience].not_valid) from error
        if claims.exp <= now.timestamp():
            raise NotAuthenticatedError(_WRONG[audience].expired)
        return claims


def new_claims(
    *,
    user_id: str,
    email: str,
    role: Role,
    org: str,
    now: datetime,
    life_s: int,
    audience: Audience = Audience.access,
    exam_id: str | None = None,
    login: str | None = None,
    generation: int = 0,
    issuer: str | None = None,
    standing: int = 0,
    issuer_standing: int = 0,
) -> Claims:
    """Return fresh claims that live `life_s` seconds from `now`."""
    return Claims(
        user_id=user_id,
        email=email,
        role=role,
        org=org,
        iat=int(now.timestamp()),
        exp=int((now + timedelta(seconds=life_s)).timestamp()),
        jti=str(uuid_utils.uuid7()),
        aud=audience,
        exam_id=exam_id,
        login=login,
        generation=generation,
        issuer=issuer,
        standing=standing,
        issuer_standing=issuer_standing,
    )


def beacon_claims(claims: Claims, session: int, *, now: datetime, life_s: int) -> Claims:
    """
    Return the claims of a token that posts a candidate's events to one proctor session, and does nothing
    else: for a page that is being left, whose last request carries no header. It ends with the token that it
    comes from, and is taken back with it.
    """
    return msgspec.structs.replace(
        claims,
        email="",
        iat=int(now.timestamp()),
        exp=min(claims.exp, int(now.timestamp()) + life_s),
        jti=str(uuid_utils.uuid7()),
        aud=Audience.beacon,
        login=claims.login or claims.jti,
        session=session,
    )


def ticket_claims(claims: Claims, opens: str, *, now: datetime, life_s: int) -> Claims:
    """
    Return the claims of a ticket: a token for an address, where no header can carry one, that opens a
    connection there and does nothing else. What it opened ends with the token that it comes from; both are
    taken back with it.
    """
    return msgspec.structs.replace(
        claims,
        email="",
        iat=int(now.timestamp()),
        exp=min(claims.exp, int(now.timestamp()) + life_s),
        jti=str(uuid_utils.uuid7()),
        aud=Audience.ticket,
        login=claims.login or claims.jti,
        opens=opens,
        until=claims.exp,
    )
