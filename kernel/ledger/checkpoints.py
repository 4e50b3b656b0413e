"""
Signed heads of the ledger, in the checkpoint and note formats of transparency logs; Ed25519.

    veritas/ledger                            origin: which log
    20852163                                  size of the tree
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx  root, base64
    signed_at 2026-11-21T08:00:00.000000Z     an extension line: when, under the signature too

    — veritas/ledger Az3grlgtzPICa5OS8npV…    key name, base64 of its 4-byte hash and the signature

Several keys may be in force under one name: the first signs, all verify. Source: C2SP tlog-checkpoint and
signed-note; spec.md L-2.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from kernel.ledger.merkle import HASH_BYTES

ED25519: Final = b"\x01"
KEY_HASH_BYTES: Final = 4
NOTE_CHARS_MAX: Final = 4096
NAME: Final = re.compile(r"[^\s+]{1,100}")
SIGNED_AT: Final = "signed_at "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(Exception):
    """A note that is malformed or not signed by a known key, or a key file that cannot be used."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """
    The ledger at one moment, in three lines: it held `size` events, and `root` is the 32-byte Merkle root
    over all of them, so that no other content or order of theirs has the same head. `signed_at` is when it
    was signed, None where the note does not say.
    """

    origin: str
    size: int
    root: bytes
    signed_at: datetime | None = None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The log's name, the key that signs (None where only public keys are at hand), and all that verify."""

    origin: str
    signer: Ed25519PrivateKey | None
    verifiers: dict[bytes, Ed25519PublicKey]  # by key hash, in the order of the files


def key_hash(name: str, public: Ed25519PublicKey) -> bytes:
    """Return the four bytes that name a key in a signature line."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public.public_bytes_raw()).digest()[
        :KEY_HASH_BYTES
    ]


def verifier_key(name: str, public: Ed25519PublicKey) -> str:
    """Return the public key as one line of text, `name+hash+key`, to be handed out."""
    encoded = base64.b64encode(ED25519 + public.public_bytes_raw()).decode()
    return f"{name}+{key_hash(name, public).hex()}+{encoded}"


def verifier_keys(keys: Keys) -> list[str]:
    """Return every key that verifies as one line of text each."""
    return [verifier_key(keys.origin, public) for public in keys.verifiers.values()]


def parse_verifier_key(text: str) -> Keys:
    """Return the key of `verifier_key`'s line; raises CheckpointError for any other text."""
    try:
        name, given_hash, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        if raw[:1] != ED25519:
            raise CheckpointError("the verifier key is not an Ed25519 key")
        public = Ed25519PublicKey.from_public_bytes(raw[1:])
    except (ValueError, binascii.Error) as error:
        raise CheckpointError("the verifier key is not of the form name+hash+key") from error
    if given_hash != key_hash(name, public).hex():
        raise CheckpointError("the verifier key does not fit its own hash")
    return Keys(origin=name, signer=None, verifiers={key_hash(name, public): public})


def new_key_pem() -> bytes:
    """Return a fresh private key as PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_keys(origin: str, paths: str) -> Keys:
    """
    Read the ledger's keys.

    Args:
        origin: the log's name, which is every key's name.
        paths: PEM files, private or public, separated by commas; the first signs, all verify.

    Raises:
        CheckpointError: no file, one that cannot be read, or not an Ed25519 key; or a name no note can carry.
    """
    if not NAME.fullmatch(origin):
        raise CheckpointError("the ledger's origin may not be empty or contain white space or `+`")
    loaded = [_read_key(Path(path.strip())) for path in paths.split(",") if path.strip()]
    if not loaded:
        raise CheckpointError("no key file is named")
    public = [key.public_key() if isinstance(key, Ed25519PrivateKey) else key for key in loaded]
    first = loaded[0]
    return Keys(
        origin=origin,
        signer=first if isinstance(first, Ed25519PrivateKey) else None,
        verifiers={key_hash(origin, key): key for key in public},
    )


def _read_key(path: Path) -> Ed25519PrivateKey | Ed25519PublicKey:
    try:
        pem = path.read_bytes()
        key = load_pem_public_key(pem) if b"PUBLIC KEY" in pem else load_pem_private_key(pem, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CheckpointError(f"the key file {path} cannot be used: {type(error).__name__}") from error
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise CheckpointError(f"the key file {path} holds no Ed25519 key")
    return key


def sign_note(text: str, name: str, signer: Ed25519PrivateKey) -> str:
    """Return a text (whole lines) with its signature line."""
    assert text.endswith("\n"), "a note is made of whole lines"
    signature = key_hash(name, signer.public_key()) + signer.sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(signature).decode()}\n"


def sign_head(head: Head, keys: Keys) -> str:
    """Return the head as a signed note; raises CheckpointError where no private key is at hand."""
    if keys.signer is None:
        raise CheckpointError("the first key file holds no private key")
    lines = [keys.origin, str(head.size), base64.b64encode(head.root).decode()]
    if head.signed_at is not None:
        at = head.signed_at.astimezone(UTC).isoformat(timespec="microseconds")
        lines.append(SIGNED_AT + at.replace("+00:00", "Z"))
    return sign_note("\n".join(lines) + "\n", keys.origin, keys.signer)


def open_note(note: str, keys: Keys) -> str:
    """Return a note's text when a known key of the name has signed it; raises CheckpointError otherwise."""
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or len(note) > NOTE_CHARS_MAX or not signatures.endswith("\n"):
        raise CheckpointError("this is no signed note")
    text += "\n"
    if any(_has_signed(line, text, keys) for line in signatures.splitlines()):
        return text
    raise CheckpointError("no known key has signed this")


def _has_signed(line: str, text: str, keys: Keys) -> bool:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\u2014" or name != keys.origin:
        return False
    try:
        raw = base64.b64decode(encoded, validate=True)
        public = keys.verifiers.get(raw[:KEY_HASH_BYTES])
        # Base64 leaves two bits of 68 bytes over: four writings, of which the signer wrote one.
        if public is None or base64.b64encode(raw).decode() != encoded:
            return False
        public.verify(raw[KEY_HASH_BYTES:], text.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def open_head(note: str, keys: Keys) -> Head:
    """Return the head that a known key has signed for this log; raises CheckpointError otherwise."""
    head = parse_head(open_note(note, keys))
    if head.origin != keys.origin:
        raise CheckpointError(f"this is a head of another log, {head.origin}")
    return head


def parse_head(text: str) -> Head:
    """Return what a checkpoint says, signed or not; raises CheckpointError when it is none."""
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
        if not NAME.fullmatch(origin) or not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
            raise CheckpointError("this is no checkpoint")
        return Head(origin=origin, size=int(size), root=root, signed_at=_signed_at(lines[3:]))
    except (IndexError, ValueError, binascii.Error) as error:
        raise CheckpointError("this is no checkpoint") from error


def _signed_at(lines: Iterable[str]) -> datetime | None:
    for line in lines:
        if line.startswith(SIGNED_AT):
            return datetime.fromisoformat(line.removeprefix(SIGNED_AT))
        if not line:
            break
    return None
