"""Signed heads: the note format's published example, rotation, forgeries (spec.md L-2)."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from deploy import verify_export
from kernel.ledger.checkpoints import (
    CheckpointError,
    Head,
    Keys,
    new_key_pem,
    open_head,
    open_note,
    parse_verifier_key,
    read_keys,
    sign_head,
    verifier_keys,
)

# The example of golang.org/x/mod/sumdb/note.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6"
    "RyyBwJnAM=\n"
)
ORIGIN = "veritas/test"
HEAD = Head(origin=ORIGIN, size=12, root=bytes(range(32)), signed_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))


def key_file(folder: Path, name: str) -> str:
    path = folder / name
    path.write_bytes(new_key_pem())
    return str(path)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return read_keys(ORIGIN, key_file(tmp_path, "first.pem"))


def test_the_published_note_is_genuine_and_a_changed_one_is_not() -> None:
    published = parse_verifier_key(PUBLISHED_KEY)

    assert open_note(PUBLISHED_NOTE, published).endswith("your problem is.\n")
    assert verifier_keys(published) == [PUBLISHED_KEY]
    with pytest.raises(CheckpointError):
        open_note(PUBLISHED_NOTE.replace("problem,", "problems,"), published)


def test_a_head_comes_back_as_it_was_signed(keys: Keys) -> None:
    note = sign_head(HEAD, keys)

    assert open_head(note, keys) == HEAD
    assert note.splitlines()[:3] == [ORIGIN, "12", base64.b64encode(HEAD.root).decode()]
    assert note.splitlines()[4:5] == [""]


def test_any_changed_character_of_a_head_is_refused(keys: Keys) -> None:
    note = sign_head(HEAD, keys)

    for at, character in enumerate(note):
        forged = note[:at] + ("x" if character != "x" else "y") + note[at + 1 :]
        with pytest.raises(CheckpointError):
            open_head(forged, keys)


def test_another_writing_of_the_same_signature_is_refused(keys: Keys) -> None:
    note = sign_head(HEAD, keys)
    encoded = note.split(" ")[-1].strip()
    last = encoded.rstrip("=")[-1]
    rewritten = encoded.rstrip("=")[:-1] + chr(ord(last) + 1) + "=" * encoded.count("=")
    assert base64.b64decode(rewritten) == base64.b64decode(encoded)

    forged = note.replace(encoded, rewritten)
    with pytest.raises(CheckpointError):
        open_head(forged, keys)
    with pytest.raises(verify_export.WrongError):
        verify_export.open_head(forged, [verify_export.key_of_text(verifier_keys(keys)[0])])


def test_after_rotation_the_first_key_signs_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    old_file, new_file = key_file(tmp_path, "old.pem"), key_file(tmp_path, "new.pem")
    old, new = read_keys(ORIGIN, old_file), read_keys(ORIGIN, new_file)
    retained = tmp_path / "old.pub"
    private = load_pem_private_key(Path(old_file).read_bytes(), password=None)
    retained.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    rotated = read_keys(ORIGIN, f"{new_file}, {retained}")

    assert open_head(sign_head(HEAD, old), rotated) == HEAD
    assert open_head(sign_head(HEAD, rotated), new) == HEAD
    with pytest.raises(CheckpointError):
        open_head(sign_head(HEAD, rotated), old)


def test_a_head_of_another_log_or_another_key_is_refused(keys: Keys, tmp_path: Path) -> None:
    elsewhere = read_keys("veritas/other", str(tmp_path / "first.pem"))
    stranger = read_keys(ORIGIN, key_file(tmp_path, "stranger.pem"))

    for note in (sign_head(HEAD, elsewhere), sign_head(HEAD, stranger)):
        with pytest.raises(CheckpointError):
            open_head(note, keys)


def test_who_holds_public_keys_only_cannot_sign(keys: Keys) -> None:
    with pytest.raises(CheckpointError):
        sign_head(HEAD, msgspec.structs.replace(keys, signer=None))


@pytest.mark.parametrize("text", ["", "a+b", "n+00000000+AAAA", PUBLISHED_KEY.replace("c74f", "c74e")])
def test_a_verifier_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        parse_verifier_key(text)


@pytest.mark.parametrize("note", ["", "a\n\n", "a\n12\nAAAA\n\n\u2014 veritas/test !\n", "x" * 5000])
def test_what_is_no_note_is_refused(keys: Keys, note: str) -> None:
    with pytest.raises(CheckpointError):
        open_head(note, keys)


def test_a_signed_text_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        open_head(PUBLISHED_NOTE, parse_verifier_key(PUBLISHED_KEY))
    keys = read_keys(ORIGIN, key_file(tmp_path, "k.pem"))
    for size, root in ((-1, HEAD.root), (12, b"short")):
        with pytest.raises(CheckpointError):
            open_head(sign_head(msgspec.structs.replace(HEAD, root=root, size=size), keys), keys)


def test_key_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    other_kind = tmp_path / "x25519.pem"
    other_kind.write_bytes(
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_bytes(b"no key")

    for path in (other_kind, nonsense, tmp_path / "missing.pem"):
        with pytest.raises(CheckpointError, match=path.name):
            read_keys(ORIGIN, str(path))
    with pytest.raises(CheckpointError):
        read_keys(ORIGIN, "")
    with pytest.raises(CheckpointError):
        read_keys("two words", key_file(tmp_path, "fine.pem"))


def test_the_key_object_of_a_file_is_an_ed25519_key(keys: Keys) -> None:
    assert isinstance(keys.signer, Ed25519PrivateKey)
    assert len(keys.verifiers) == 1
