"""Tokens as a stranger makes them: forged, altered, out of date, made for something else (spec.md A-1)."""

import base64
import hashlib
import hmac
import json
from typing import Any

from kernel.tokens import Audience, Keyring
from tests.kits.core import Person, signed_for

KID = "test"


def part(value: Any) -> str:
    """Return a token's part: JSON, or text as it is, in base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return header, claims and signature of a genuine token."""
    header, claims, signature = token.split(".")
    return _read(header), _read(claims), signature


def _read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def signed(header: Any, claims: Any, key: bytes, digest: Any = hashlib.sha256) -> str:
    """Return a token that is signed right, with the wrong key or in the wrong way."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.new(key, text.encode(), digest).digest())}"


def forgeries(keyring: Keyring, victim: Person, *, exam_id: str) -> dict[str, str]:
    """Return what to send as Authorization, by what is wrong with it; nothing of it may be believed."""
    token, again = signed_for(keyring, victim), signed_for(keyring, victim)
    header, claims, signature = parts_of(token)
    other = b"a key that the attacker made up, 32 bytes"
    stranger, elsewhere = Keyring({KID: other}), Keyring({"elsewhere": other})
    body = part(claims)
    altered = {
        "role": claims | {"role": "admin"},
        "user": claims | {"user_id": "00000000-0000-7000-8000-000000000000"},
        "life": claims | {"exp": 2**40},
        "audience": claims | {"aud": ["access", "launch"]},
    }
    bearers = {
        "nothing": "",
        "no token": "token",
        "dots": "..",
        "another key under our kid": signed_for(stranger, victim),
        "an unknown kid": signed_for(elsewhere, victim),
        "expired": signed_for(keyring, victim, life_s=-1),
        "a launch link": signed_for(keyring, victim, audience=Audience.launch, exam_id=exam_id),
        "a refresh token": base64.urlsafe_b64encode(b"r" * 32).decode(),
        "no signature": f"{part(header)}.{body}.",
        "half a signature": token[:-20],
        "another token's signature": f"{part(header)}.{body}.{again.rpartition('.')[2]}x",
        "five parts": f"{token}.{body}.{signature}",
        **{f"altered {name}": f"{part(header)}.{part(value)}.{signature}" for name, value in altered.items()},
        **{
            f"alg {name!r}": f"{part({**header, 'alg': name})}.{body}.{signature}"
            for name in ("none", "None", "NONE", "", None, "HS384", "HS512", "RS256", "ES256", 0, ["HS256"])
        },
        "alg none, unsigned": f"{part({'alg': 'none', 'typ': 'JWT', 'kid': KID})}.{body}.",
        "HS512 with another key": signed({**header, "alg": "HS512"}, claims, other, hashlib.sha512),
        **{
            f"kid {name!r}": signed({**header, "kid": name}, claims, key)
            for name, key in (
                ("../../../../dev/null", b""),
                ("/proc/self/environ", b""),
                ("test\x00", other),
                ("' UNION SELECT 'a' --", b"a"),
                ("test/../test", other),
                ("", b""),
                (None, b""),
                (0, b""),
                ([KID], other),
                ({KID: KID}, other),
                ("k" * 3000, other),
            )
        },
        "no kid": signed({"alg": "HS256", "typ": "JWT"}, claims, other),
        "a key in the header": signed(
            {**header, "jwk": {"kty": "oct", "k": part(other)}, "jku": "http://127.0.0.1:1/keys"},
            claims,
            other,
        ),
        "claims that are a list": signed(header, [claims], other),
        "claims that are no JSON": f"{part(header)}.{part(b'{')}.{signature}",
        "a header that nests": f"{part(b'[' * 2000)}.{body}.{signature}",
    }
    return {name: f"Bearer {value}" for name, value in bearers.items()} | {
        "another scheme": f"Basic {token}",
        "no scheme": token,
        "two tokens": f"Bearer {token} {token}",
        "no space": f"Bearer{token}",
        "a comma": f"Bearer {token},",
    }
