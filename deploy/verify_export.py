"""
Verify an exported Veritas ledger, or a candidate's receipt, without Veritas.

    python verify_export.py ledger.ndjson --key 'veritas/ledger+1a2b3c4d+AbCd…' [--witness FILE] [--head FILE]
    python verify_export.py --receipt receipt.json … --key …

A receipt is what a candidate fetches from /api/student/attempts/{attempt_id}/receipt, or the proof of any
one event.

Needs Python 3.9 or newer and the package `cryptography`, nothing of Veritas: read it before you trust it. The
key is the ledger's public one, as its operator has published it, or a PEM file; without --key an export's own
keys are used, which shows that it is whole but not whose it is. A witness's file, or a head (a signed note)
that you kept yourself, shows that nothing was rewritten since. Exit code 0: all holds; 1: something is wrong,
and the first line says what; 2: nothing could be checked.

Formats: RFC 6962 (hashes, proofs), C2SP signed-note and tlog-checkpoint (heads).
"""

import argparse
import base64
import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

Key = tuple[str, bytes, Ed25519PublicKey]  # name, its hash in signatures, the key


class WrongError(Exception):
    """What is wrong, in a sentence."""


class PendingError(Exception):
    """What is missing before anything can be checked."""


def leaf_hash(body: bytes) -> bytes:
    """RFC 6962: SHA-256(0x00 || leaf)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree: the roots of its complete subtrees, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash."""
        filled = self.size
        while filled & 1:
            leaf = node_hash(self.peaks.pop(), leaf)
            filled >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of_proof(leaf: bytes, position: int, size: int, hashes: list[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2)."""
    if not 0 <= position < size:
        raise WrongError("the position is not one of the tree")
    node, last, root = position, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            raise WrongError("the proof is too long")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise WrongError("the proof is too short")
    return root


def key_of_text(text: str) -> Key:
    """Return (name, key hash, key) of `name+hash+base64`."""
    name, _, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    return (
        name,
        hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4],
        Ed25519PublicKey.from_public_bytes(raw[1:]),
    )


def read_key(given: str, origin: str) -> Key:
    """Return a key given as text, or as a PEM file of the log `origin`."""
    path = Path(given)
    if not path.exists():
        return key_of_text(given)
    public = load_pem_public_key(path.read_bytes())
    if not isinstance(public, Ed25519PublicKey):
        raise TypeError(f"{path} holds no Ed25519 key")
    raw = b"\x01" + public.public_bytes_raw()
    return origin, hashlib.sha256(origin.encode() + b"\n" + raw).digest()[:4], public


def open_head(note: str, keys: list[Key]) -> tuple[int, bytes]:
    """Return (size, root) of a head that one of the keys has signed."""
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    for line in signatures.splitlines() if separator else []:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = base64.b64decode(encoded)
        if base64.b64encode(signature).decode() != encoded:  # another writing of the same bytes
            continue
        for key_name, key_hash, key in keys:
            if dash != "\u2014" or (name, lines[0], signature[:4]) != (key_name, key_name, key_hash):
                continue
            try:
                key.verify(signature[4:], text.encode())
            except InvalidSignature:
                continue
            return int(lines[1]), base64.b64decode(lines[2], validate=True)
    raise WrongError("no known key has signed this head: " + repr(note[:80]))


def known_heads(arguments: argparse.Namespace, keys: list[Key]) -> dict[int, dict[bytes, str]]:
    """Return {size: {root: who}} of the heads that the caller keeps."""
    known: dict[int, dict[bytes, str]] = {}
    notes = [(f"the head in {path}", Path(path).read_text(encoding="utf-8")) for path in arguments.head]
    for path in arguments.witness:
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            try:
                notes.append((f"the witness's line {number}", json.loads(line)))
            except ValueError:
                continue  # a line that a crash has torn
    for who, note in notes:
        size, root = open_head(note, keys)
        known.setdefault(size, {})[root] = who
    return known


def check_head(note: str, tree: Tree, keys: list[Key]) -> None:
    """Hold a head of the export against the events before it."""
    size, root = open_head(note, keys)
    if size != tree.size or root != tree.root():
        raise WrongError(f"the head of {size} events is not that of the {tree.size} before it")


def grow(tree: Tree, position: int, body: str, known: dict[int, dict[bytes, str]]) -> None:
    """Add an event, and hold the tree against the heads of this size that the caller keeps."""
    if position != tree.size:
        raise WrongError(f"position {position} stands where {tree.size} belongs")
    tree.append(leaf_hash(body.encode()))
    for root, who in known.pop(tree.size, {}).items():
        if root != tree.root():
            raise WrongError(f"{who}: the first {tree.size} events are not those that it was signed for")


def verify_export(path: str, arguments: argparse.Namespace) -> str:
    """Check an export from its first line to its last; return what to tell."""
    tree, heads, signed = Tree(), 0, 0
    with Path(path).open(encoding="utf-8") as file:
        header = json.loads(file.readline())
        keys = [read_key(each, header["origin"]) for each in arguments.key or header["keys"]]
        known = known_heads(arguments, keys)
        for number, line in enumerate(file, 2):
            row = json.loads(line)
            try:
                if "head" in row:
                    check_head(row["head"], tree, keys)
                    heads, signed = heads + 1, tree.size
                else:
                    grow(tree, row["position"], row["body"], known)
            except WrongError as error:
                raise WrongError(f"line {number}: {error}") from error
    if tree.size != header["size"]:
        raise WrongError(f"the export ends after {tree.size} of {header['size']} events")
    if known:
        size, roots = min(known.items())
        who = next(iter(roots.values()))
        raise WrongError(f"{who} has {size} events, the export {tree.size}: a fork, or an older export")
    unsigned = f"; {tree.size - signed} events stand after the last head" if tree.size > signed else ""
    whose = "" if arguments.key else "; the keys are the export's own"
    return f"{tree.size} events under {heads} signed heads: all holds{unsigned}{whose}"


def verify_proof(proof: dict[str, Any], given_keys: list[str]) -> str:
    """Check the proof of one event; return where it stands."""
    note = proof["head"]["note"]
    keys = [read_key(each, note.partition("\n")[0]) for each in given_keys]
    size, root = open_head(note, keys)
    head = proof["head"]
    stated = (head["origin"], head["size"], base64.b64decode(head["root"], validate=True))
    if stated != (note.partition("\n")[0], size, root):
        raise WrongError("the head is not what its signed note says")
    signed_at = [line.partition(" ")[2] for line in note.splitlines() if line.startswith("signed_at ")]
    if [moment(head["signed_at"] or "")] != [moment(each) for each in signed_at or [""]]:
        raise WrongError("the head was not signed when it says")
    hashes = [base64.b64decode(each, validate=True) for each in proof["hashes"]]
    leaf = leaf_hash(proof["body"].encode())
    if root_of_proof(leaf, proof["position"], size, hashes) != root:
        raise WrongError("the proof does not lead to the signed root")
    if json.loads(proof["body"])["event_id"] != proof["event_id"]:
        raise WrongError("the proof is another event's")
    return f"at position {proof['position']} of the {size} signed events"


def moment(text: str) -> float:
    """Return the time that a text says, however it is written, in seconds; 0 for an empty one."""
    read = datetime.fromisoformat
    return read(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def same(what: str, **values: tuple[object, object]) -> None:
    """Return when all pairs are equal; name the first that are not."""
    for name, (stated, found) in values.items():
        if stated != found:
            raise WrongError(f"{name} of the receipt is not that of {what}")


def verify_document(document: dict[str, Any], given_keys: list[str]) -> str:
    """Check a candidate's receipt: its text, the ledger's event about it, and that event's proof."""
    receipt, content, ledger = document["receipt"], document["content"], document["ledger"]
    if hashlib.sha256(content.encode()).hexdigest() != receipt["content_sha256"]:
        raise WrongError("the content does not hash to the receipt's content_sha256")
    names = ("submission_id", "attempt_id", "submitted_by", "finalised_at")
    said = json.loads(content)
    same("the content", **{name: (receipt[name], said[name]) for name in names})
    if ledger["status"] != "sealed":
        raise PendingError("the ledger has not sealed it yet: fetch the receipt again in a few seconds")
    if leaf_hash(ledger["event"].encode()).hex() != ledger["leaf_hash"]:
        raise WrongError("the ledger's event does not hash to its leaf_hash")
    event = json.loads(ledger["event"])
    same(
        "the ledger's event",
        event_id=(receipt["event_id"], event["event_id"]),
        submission_id=(receipt["submission_id"], event["aggregate_id"]),
        attempt_id=(receipt["attempt_id"], event["detail"]["attempt_id"]),
        content_sha256=(receipt["content_sha256"], event["detail"]["content_sha256"]),
        kind=("submission.finalised", event["kind"]),
    )
    proof = {name: ledger[name] for name in ("position", "hashes", "head")}
    proof |= {"body": ledger["event"], "event_id": receipt["event_id"]}
    return f"submission {receipt['submission_id']} stands {verify_proof(proof, given_keys)}"


def verify_receipt(path: str, given_keys: list[str]) -> str:
    """
    Check a saved receipt, or a saved reply of /api/ledger/events/{event_id}/proof; return what to tell.

    Raises WrongError for whatever does not hold or cannot be read, PendingError for one that is not sealed.
    """
    text = Path(path).read_text(encoding="utf-8")
    if not given_keys:
        raise PendingError("the ledger's public key is missing")
    for each in given_keys:
        read_key(each, "")  # a key that cannot be read is no fault of the receipt's
    try:
        document = json.loads(text)
        if "receipt" in document:
            return verify_document(document, given_keys)
        return f"event {document['event_id']} stands {verify_proof(document, given_keys)}"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise WrongError(f"the receipt cannot be read ({type(error).__name__}: {error})") from error


def verify_receipts(paths: list[str], given_keys: list[str]) -> int:
    """Check saved receipts and print a line about each; return the exit code."""
    wrong = 0
    for path in paths:
        where = f"{path}: " if len(paths) > 1 else ""
        try:
            print(where + verify_receipt(path, given_keys))
        except WrongError as error:
            print(f"WRONG: {where}{error}")
            wrong += 1
    return 1 if wrong else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", nargs="?", help="file that `veritas ledger export` has written")
    parser.add_argument("--receipt", nargs="+", help="saved receipts, or proofs of single events")
    parser.add_argument(
        "--key", action="append", default=[], help="public key, as text or a PEM file; may be repeated"
    )
    parser.add_argument("--head", action="append", default=[], help="file with a signed head that you kept")
    parser.add_argument("--witness", action="append", default=[], help="a witness's file")
    arguments = parser.parse_args()
    if (arguments.export is None) == (arguments.receipt is None) or (arguments.receipt and not arguments.key):
        parser.error("give an export, or --receipt with --key")
    try:
        if arguments.receipt:
            return verify_receipts(arguments.receipt, arguments.key)
        print(verify_export(arguments.export, arguments))
    except WrongError as error:
        print(f"WRONG: {error}")
        return 1
    except (PendingError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot check: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
