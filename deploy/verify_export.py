"""
Verify an exported Veritas ledger, candidates' receipts, an appeal's bundle, a programme's certificate, or the
custody of evidence, without Veritas.

    python verify_export.py ledger.ndjson --key 'veritas/ledger+1a2b3c4d+AbCd…' --witness FILE [--head FILE]
    python verify_export.py --receipt receipt.json … --key … --witness FILE
    python verify_export.py --appeal bundle.json [--file film.webm …] --key … --witness FILE
    python verify_export.py --certificate certificate.json --key … --witness FILE
    python verify_export.py --custody custody.json [--file film.webm …] --key … --witness FILE

A bundle is what a candidate fetches from /api/student/claims/{claim_id}/bundle: each of its parts has to be
what its manifest says, and the manifest what the ledger's event says; what was altered is named.

A certificate is what somebody fetches from /api/student/programmes/{enrolment_id}/certificate: its facts and
the holder's name have to be what the ledger's event says. It is of the moment that is printed: that a
completion was not revoked afterwards, a newer one says. One of a revoked completion is NOT VERIFIED.

A receipt is what a candidate fetches from /api/student/attempts/{attempt_id}/receipt, or the proof of any
one event. A custody is what staff fetch from /api/proctor/session/{id}/evidence/custody: the evidence has to
be what its events say. A file has to be evidence of the bundle or the custody, whole or a chunk. Names of
files, content types and the attempt are on no event of a custody, so nothing is said of them. That no view of
it was left out is seen in the whole export alone.

Needs Python 3.9 or newer and the package `cryptography`, nothing of Veritas: read it before you trust it. The
key is the ledger's public one, as its operator has published it, or a PEM file; without --key an export's own
keys are used, which shows that it is whole but not whose it is. A witness's file, or a head (a signed note)
that you kept yourself, shows that nothing was rewritten since.

Exit codes, the first that applies:

    1  WRONG         something does not hold, or cannot be read where it stands; each with its line
    2  CANNOT CHECK  a file, a key or the command line cannot be used
    3  NOT VERIFIED  no signed head covers it; or the witness that was named is not there, cannot be read, or
                     does not know the newest head
    4  NOT WITNESSED all holds, and nothing shows that anybody outside has seen it
    0  all holds, and a witness has seen it

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
Known = dict[int, dict[bytes, str]]  # roots by size, and who says so

VERIFIED, WRONG, CANNOT_CHECK, NOT_VERIFIED, NOT_WITNESSED = 0, 1, 2, 3, 4
EXPORT_VERSION = CUSTODY_VERSION = APPEAL_VERSION = CERTIFICATE_VERSION = 1
SHOWN_MAX = 100
SENTENCE_MAX = 200
# What documents hold; another member would be read beside what is signed, and be anybody's.
RECEIPT = "submission_id attempt_id submitted_by finalised_at content_sha256 event_id"
APPEAL = "veritas_appeal claim_id number made_at manifest_sha256 manifest parts event_id ledger"
CERTIFICATE = "veritas_certificate enrolment_id certified_at holder facts requirements event_id ledger"
HOLDER = "user_id full_name salt"
LEDGER = "status position event leaf_hash hashes head"
HEAD = "origin size root signed_at note"
# What reading something malformed may raise: it is named where it stands.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError)


class WrongError(Exception):
    """What is wrong, in a sentence."""


class Verdict:
    """What was found: sentences by what they mean, and whether somebody outside has seen the newest head."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.unusable: list[str] = []
        self.unproven: list[str] = []
        self.notes: list[str] = []
        self.holds: list[str] = []
        self.is_witnessed = True

    def take(self, other: "Verdict", where: str = "") -> None:
        """Add what another one found, each sentence with where that was."""
        for name in ("wrong", "unusable", "unproven", "notes", "holds"):
            getattr(self, name).extend(where + each for each in getattr(other, name))
        self.is_witnessed = self.is_witnessed and other.is_witnessed

    def code(self) -> int:
        """Return the exit code."""
        if self.wrong or self.unusable or self.unproven:
            return WRONG if self.wrong else CANNOT_CHECK if self.unusable else NOT_VERIFIED
        return VERIFIED if self.is_witnessed else NOT_WITNESSED

    def lines(self) -> list[str]:
        """Return what to print: at most `SHOWN_MAX` of each kind of fault, and a line a file that holds."""
        shown = []
        kinds = (
            ("note: ", self.notes), ("WRONG: ", self.wrong), ("CANNOT CHECK: ", self.unusable),
            ("NOT VERIFIED: ", self.unproven),
        )  # fmt: skip
        for word, sentences in kinds:
            shown += [word + each for each in sentences[:SHOWN_MAX]]
            if len(sentences) > SHOWN_MAX:
                shown.append(f"{word}{len(sentences) - SHOWN_MAX} more of these")
        return shown + self.holds


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
    """Return (size, root) of a head that one of the keys has signed; raises WrongError for anything else."""
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    for line in signatures.splitlines() if separator else []:
        if not has_signed(line, text, keys):
            continue
        try:
            size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
        except MALFORMED as error:
            raise WrongError("what was signed is no head: " + repr(note[:80])) from error
        return size, root
    raise WrongError("no known key has signed this head: " + repr(note[:80]))


def text_of(value: object) -> str:
    """Return a text as it is; raises WrongError for anything else."""
    if isinstance(value, str):
        return value
    raise WrongError("this is no signed note")


def has_signed(line: str, text: str, keys: list[Key]) -> bool:
    """Tell whether a signature line is one of these keys' for the text."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    if base64.b64encode(signature).decode() != encoded:  # another writing of the same bytes
        return False
    for key_name, key_hash, key in keys:
        if dash != "\u2014" or (name, text.split("\n", 1)[0], signature[:4]) != (
            key_name,
            key_name,
            key_hash,
        ):
            continue
        try:
            key.verify(signature[4:], text.encode())
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


class Outside:
    """The heads that somebody outside keeps, as the command line names them."""

    def __init__(self, witnesses: list[str], kept: list[str], keys: list[Key], verdict: Verdict) -> None:
        self.known: Known = {}
        self.is_named = bool(witnesses)
        for path in kept:
            self._add(f"the head in {path}", Path(path).read_text(encoding="utf-8"), keys, verdict)
        for path in witnesses:
            for number, line in self._lines(path, verdict):
                who = f"the witness's line {number}"
                try:
                    note = json.loads(line)
                except MALFORMED:
                    verdict.notes.append(f"{who}: torn, it holds no head")
                    continue
                self._add(who, note, keys, verdict)

    @staticmethod
    def _lines(path: str, verdict: Verdict) -> list[tuple[int, bytes]]:
        try:
            return list(enumerate(Path(path).read_bytes().splitlines(), 1))
        except OSError as error:
            verdict.unproven.append(f"the witness {path} cannot be read: {type(error).__name__}")
        return []

    def _add(self, who: str, note: object, keys: list[Key], verdict: Verdict) -> None:
        try:
            size, root = open_head(text_of(note), keys)
        except WrongError as error:
            verdict.wrong.append(f"{who}: {error}")
        else:
            self.known.setdefault(size, {})[root] = who

    def knows(self, size: int, root: bytes, verdict: Verdict) -> bool:
        """Tell whether this very head is known; another one of the same size is wrong."""
        others = [who for each, who in self.known.get(size, {}).items() if each != root]
        for who in others:
            verdict.wrong.append(f"{who}: the first {size} events are not those that it was signed for")
        return root in self.known.get(size, {}) and not others


class Export:
    """An export as it is read, line by line: the tree of its events, and the heads that hold it."""

    def __init__(self, keys: list[Key], outside: Outside, verdict: Verdict) -> None:
        self.keys, self.outside, self.verdict = keys, outside, verdict
        self.tree = Tree()
        self.is_whole = True  # until an event is missing or cannot be read
        self.positions = 0  # where the last event said that it stands, and one
        self.heads = 0
        self.covered = (0, 0, b"")  # events under the largest head that holds, the line after it, its root
        self.seen = 0  # events under the largest head that somebody outside keeps

    def read(self, number: int, line: bytes) -> None:
        """Take a line; what is wrong with it is named, and the next one is read all the same."""
        try:
            row = json.loads(line)
            if "head" in row:
                self._head(number, text_of(row["head"]))
            else:
                self._event(row["position"], row["body"])
        except WrongError as error:
            self.verdict.wrong.append(f"line {number}: {error}")
        except MALFORMED as error:
            self.is_whole = False
            self.verdict.wrong.append(f"line {number}: it cannot be read ({type(error).__name__})")

    def _event(self, position: object, body: object) -> None:
        if type(position) is not int or not isinstance(body, str):
            raise TypeError
        expected, self.positions = self.positions, position + 1
        leaf = leaf_hash(body.encode())
        if position != expected:
            self.is_whole = False
            raise WrongError(f"position {position} stands where {expected} belongs")
        if not self.is_whole:
            return
        self.tree.append(leaf)
        size = self.tree.size
        if size in self.outside.known and self.outside.knows(size, self.tree.root(), self.verdict):
            self.seen = size

    def _head(self, number: int, note: str) -> None:
        size, root = open_head(note, self.keys)
        if not self.is_whole:
            raise WrongError(f"the head of {size} events cannot be held against events that are not whole")
        if size != self.tree.size or not size or root != self.tree.root():
            raise WrongError(f"the head of {size} events is not that of the {self.tree.size} before it")
        self.heads += 1
        self.covered = (size, number + 1, root)


def verify_export(path: str, given_keys: list[str], witnesses: list[str], kept: list[str]) -> Verdict:
    """Check an export from its first line to its last."""
    verdict = Verdict()
    with Path(path).open("rb") as file:
        try:
            header = json.loads(file.readline())
            origin, size, own = str(header["origin"]), header["size"], [str(each) for each in header["keys"]]
            if type(size) is not int:
                raise TypeError
            if (version := header["veritas_ledger"]) != EXPORT_VERSION:
                verdict.wrong.append(f"line 1: an export of version {version!r:.20} is not known")
        except MALFORMED as error:
            verdict.wrong.append(f"line 1: it is no header of an export ({type(error).__name__})")
            origin, size, own = "", None, []
        try:
            keys = [read_key(each, origin) for each in given_keys or own]
        except MALFORMED as error:
            verdict.unusable.append(f"a key cannot be used ({type(error).__name__}: {error})")
            return verdict
        if own and any(name != origin for name, _, _ in keys):
            verdict.wrong.append(f"line 1: the export is of {origin!r:.100}, the key is not")
        export = Export(keys, Outside(witnesses, kept, keys, verdict), verdict)
        number = 1
        for number, line in enumerate(file, 2):
            export.read(number, line)
    _conclude(export, size, number, verdict)
    whose = "" if given_keys else "; the keys are the export's own"
    if verdict.code() in {VERIFIED, NOT_WITNESSED}:
        seen = "witnessed" if verdict.is_witnessed else "not witnessed"
        events = export.tree.size
        verdict.holds.append(f"{events} events under {export.heads} signed heads: all holds, {seen}{whose}")
    return verdict


def _conclude(export: Export, size: "int | None", last_line: int, verdict: Verdict) -> None:
    """Say what the export's end shows: whether it is cut, what no head covers, how far it was seen."""
    covered, next_line, _ = export.covered
    events, outside = export.tree.size, export.outside
    if size is not None and export.is_whole and size != events:
        verdict.wrong.append(f"the export ends after {events} of {size} events")
    if last_line == 1 and not verdict.wrong:
        verdict.unproven.append("line 1: the export holds no events: there is nothing to prove")
    elif covered < events or not export.is_whole:
        first = next_line if covered else 2
        verdict.unproven.append(f"lines {first} to {last_line}: no signed head covers these events")
    for beyond in sorted(outside.known):
        if beyond > events and export.is_whole:
            who = next(iter(outside.known[beyond].values()))
            verdict.wrong.append(
                f"{who} has {beyond} events, the export {events}: a fork, or an older export"
            )
    if outside.is_named and export.seen < covered:
        verdict.unproven.append(f"the witness reaches {export.seen} of the {covered} events under a head")
    verdict.is_witnessed = 0 < covered <= export.seen


def verify_proof(proof: dict[str, Any], given_keys: list[str]) -> tuple[str, int, bytes]:
    """Check the proof of one event; return where it stands, and size and root of the head over it."""
    size, root = open_stated(proof["head"], given_keys)
    check_place(proof, proof["event_id"], size, root)
    return f"at position {proof['position']} of the {size} signed events", size, root


def open_stated(head: dict[str, Any], given_keys: list[str]) -> tuple[int, bytes]:
    """Return (size, root) of a head that was signed, and is as it says of itself."""
    note = head["note"]
    size, root = open_head(note, keys_for(note, given_keys))
    stated = (head["origin"], head["size"], base64.b64decode(head["root"], validate=True))
    if stated != (note.partition("\n")[0], size, root):
        raise WrongError("the head is not what its signed note says")
    signed_at = [line.partition(" ")[2] for line in note.splitlines() if line.startswith("signed_at ")]
    if [moment(head["signed_at"] or "")] != [moment(each) for each in signed_at or [""]]:
        raise WrongError("the head was not signed when it says")
    return size, root


def check_place(proof: dict[str, Any], event_id: object, size: int, root: bytes) -> None:
    """Check that an event stands where its proof says, under that root."""
    hashes = [base64.b64decode(each, validate=True) for each in proof["hashes"]]
    leaf = leaf_hash(proof["body"].encode())
    if root_of_proof(leaf, proof["position"], size, hashes) != root:
        raise WrongError("the proof does not lead to the signed root")
    if json.loads(proof["body"])["event_id"] != event_id:
        raise WrongError("the proof is another event's")


def keys_for(note: str, given_keys: list[str]) -> list[Key]:
    """Return the keys, those of PEM files under the name that the note says it is of."""
    return [read_key(each, note.partition("\n")[0]) for each in given_keys]


def moment(text: str) -> float:
    """Return the time that a text says, however it is written, in seconds; 0 for an empty one."""
    read = datetime.fromisoformat
    return read(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def same(what: str, **values: tuple[object, object]) -> None:
    """Check that all pairs are equal; raises WrongError, which names the first that are not."""
    for name, (stated, found) in values.items():
        if stated != found:
            raise WrongError(f"{name} of the receipt is not that of {what}")


def proof_of(document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """
    Check a candidate's receipt: its text, and the ledger's event about it; return that event's proof. One
    that was fetched when the text was kept no longer proves that a text of this hash was handed in.
    """
    receipt, content, ledger = document["receipt"], document["content"], document["ledger"]
    check_ledger(ledger)
    if content is not None:
        if hashlib.sha256(content.encode()).hexdigest() != receipt["content_sha256"]:
            raise WrongError("the content does not hash to the receipt's content_sha256")
        names = ("submission_id", "attempt_id", "submitted_by", "finalised_at")
        said = json.loads(content)
        same("the content", **{name: (receipt[name], said[name]) for name in names})
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
    what = f"submission {receipt['submission_id']}"
    return (what if content is not None else f"{what}, without its content,"), proof


def document_of(saved: bytes) -> dict[str, Any]:
    """Return what a saved file says; raises WrongError where a member is there twice."""

    def once(pairs: "list[tuple[str, Any]]") -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise WrongError(f"a member is there twice, of {', '.join(sorted(found))}"[:SENTENCE_MAX])
        return found

    found: dict[str, Any] = json.loads(saved, object_pairs_hook=once)
    return found


def check_members(of: str, found: dict[str, Any], known: str) -> None:
    """Check that nothing stands there that no hash covers; raises WrongError."""
    if more := sorted(found.keys() - set(known.split())):
        raise WrongError(f"{of} has what nothing vouches for: {', '.join(more)}"[:SENTENCE_MAX])


def check_ledger(ledger: dict[str, Any]) -> None:
    """Check that a place in the ledger is one that is sealed, and no more than that; raises WrongError."""
    check_members("the proof", ledger, LEDGER)
    check_members("the head", ledger["head"], HEAD)
    if ledger["status"] != "sealed":
        raise WrongError("the proof is neither pending nor sealed")


def verify_receipt(path: str, given_keys: list[str], witnesses: list[str], kept: list[str]) -> Verdict:
    """Check a saved receipt, or a saved reply of /api/ledger/events/{event_id}/proof."""
    verdict = Verdict()
    saved = read_saved(path, given_keys, verdict)
    if saved is None:
        return verdict
    try:
        document = document_of(saved)
        if "receipt" in document:
            check_members("the document", document, "veritas_receipt receipt content ledger")
            check_members("the receipt", document["receipt"], RECEIPT)
        if "receipt" in document and document["ledger"]["status"] == "pending":
            verdict.unproven.append("the ledger has not sealed it yet: fetch it again in a few seconds")
            return verdict
        is_receipt = "receipt" in document
        what, proof = proof_of(document) if is_receipt else (f"event {document['event_id']}", document)
        where, size, root = verify_proof(proof, given_keys)
        outside = Outside(witnesses, kept, keys_for(proof["head"]["note"], given_keys), verdict)
        conclude_under(outside, f"{what} stands {where}", size, root, verdict)
    except WrongError as error:
        verdict.wrong.append(str(error))
    except MALFORMED as error:
        verdict.wrong.append(f"the receipt cannot be read ({type(error).__name__}: {error})")
    return verdict


def altered(said: dict[str, str], parts: dict[str, str]) -> list[str]:
    """Return a sentence for each part of a bundle that is not what its manifest says."""
    found = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}
    sentences = []
    for name in sorted(said.keys() | found.keys()):
        if name not in found:
            sentences.append(f"part {name}: it is not there")
        elif name not in said:
            sentences.append(f"part {name}: the manifest does not have it")
        elif found[name] != said[name]:
            sentences.append(f"part {name}: it was altered")
    return sentences


def manifest_of(document: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Check an appeal's bundle against its manifest, part by part; return the proof of the event about it."""
    if document["veritas_appeal"] != APPEAL_VERSION:
        raise WrongError(f"an appeal of version {document['veritas_appeal']!r:.20} is not known")
    manifest = document["manifest"]
    hashed = hashlib.sha256(manifest.encode()).hexdigest()
    if hashed != document["manifest_sha256"]:
        raise WrongError("the manifest does not hash to manifest_sha256")
    said = json.loads(manifest)
    names = ("claim_id", "number", "made_at")
    for name in names:
        if document[name] != said[name]:
            raise WrongError(f"{name} of the bundle is not that of its manifest")
    verdict.wrong += altered(said["parts"], document["parts"])
    event, proof = event_of(document, "claim.bundled", document["claim_id"])
    if event["detail"]["manifest_sha256"] != hashed:
        raise WrongError("the ledger's event is not about this bundle")
    return proof


def event_of(document: dict[str, Any], kind: str, aggregate_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the ledger's event in a document, and its proof; raises WrongError where it is another one."""
    ledger = document["ledger"]
    check_ledger(ledger)
    event = json.loads(ledger["event"])
    found = (event["kind"], event["event_id"], event["aggregate_id"])
    if found != (kind, document["event_id"], aggregate_id):
        raise WrongError("the ledger's event is not about this document")
    if leaf_hash(ledger["event"].encode()).hex() != ledger["leaf_hash"]:
        raise WrongError("the ledger's event does not hash to its leaf_hash")
    proof = {name: ledger[name] for name in ("position", "hashes", "head")}
    return event, {**proof, "body": ledger["event"], "event_id": document["event_id"]}


def facts_of(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check a certificate against its event; return the facts, and the proof of the event."""
    if document["veritas_certificate"] != CERTIFICATE_VERSION:
        raise WrongError(f"a certificate of version {document['veritas_certificate']!r:.20} is not known")
    event, proof = event_of(document, "programme_enrolment.certified", document["enrolment_id"])
    holder, facts = document["holder"], event["detail"]
    check_members("the holder", holder, HOLDER)
    name = hashlib.sha256(bytes.fromhex(holder["salt"]) + holder["full_name"].encode()).hexdigest()
    held = {
        "certified_at": (document["certified_at"], event["occurred_at"]),
        "the holder's id": (holder["user_id"], event["subject_id"]),
        "the holder's name": (name, event["commitments"]["holder"]),
        "requirements": (
            hashlib.sha256(document["requirements"].encode()).hexdigest(),
            facts["requirements_sha256"],
        ),
        **{
            name: (document["facts"].get(name), facts.get(name))
            for name in facts.keys() | document["facts"].keys()
        },
    }
    for name, (stated, found) in held.items():
        if stated != found:
            raise WrongError(f"{name}: not what the ledger's event says")
    return facts, proof


def whose_file(pieces: "dict[int, list[tuple[int, tuple[int, str]]]]", path: str) -> str:
    """Return which evidence a file is, whole or a chunk; raises WrongError where it is none."""
    size = Path(path).stat().st_size
    for number, chunks in sorted(pieces.items()):
        if size == sum(length for _, (length, _) in chunks) and is_of(path, [each for _, each in chunks]):
            return f"evidence {number}"
        for chunk, each in chunks:
            if size == each[0] and is_of(path, [each]):
                return f"chunk {chunk} of evidence {number}"
    raise WrongError(f"{path} is none of this evidence")


def appealed(document: dict[str, Any], files: list[str], verdict: Verdict) -> tuple[str, dict[str, Any]]:
    """Check a bundle, and files as its evidence; return what to say of it, and the proof of its event."""
    proof = manifest_of(document, verdict)
    pieces = {
        each["evidence_id"]: [(c["number"], (c["size"], c["sha256"])) for c in each["chunks"]]
        for each in json.loads(document["parts"]["evidence"])
    }
    verdict.holds += [f"{each} is {whose_file(pieces, each)}" for each in files]
    verdict.notes += [
        f"evidence {each['evidence_id']}: its file went by policy at {each['gone_at']}"
        for each in json.loads(document["parts"]["evidence"])
        if each.get("gone_at") is not None
    ]
    parts = f"{len(document['parts'])} parts"
    return f"bundle {document['number']} of claim {document['claim_id']}: {parts}", proof


def certified(document: dict[str, Any], _: list[str], verdict: Verdict) -> tuple[str, dict[str, Any]]:
    """Check a certificate as `appealed` does a bundle; a completion that was revoked is not verified."""
    facts, proof = facts_of(document)
    what = f"certificate of {document['holder']['full_name']}: {facts['title']}, version {facts['version']}"
    state, at = f"{facts['state']} {facts['state_at']}", document["certified_at"]
    if facts["state"] != "completed":
        verdict.unproven.append(f"{what}: {state}, certified at {at}")
    return f"{what}: {state}, not revoked when it was certified at {at}", proof


PROVEN = {"appeal": appealed, "certificate": certified}
KNOWN = {"appeal": APPEAL, "certificate": CERTIFICATE}


def verify_proven(
    kind: str, path: str, files: list[str], given_keys: list[str], witnesses: list[str], kept: list[str]
) -> Verdict:
    """Check a saved document that one event of the ledger is about: an appeal's bundle, or a certificate."""
    verdict = Verdict()
    saved = read_saved(path, given_keys, verdict)
    if saved is None:
        return verdict
    try:
        document = document_of(saved)
        check_members(f"the {kind}", document, KNOWN[kind])
        if document["ledger"]["status"] == "pending":
            if kind == "appeal":
                verdict.wrong += altered(json.loads(document["manifest"])["parts"], document["parts"])
            verdict.unproven.append("the ledger has not sealed it yet: fetch it again in a few seconds")
            return verdict
        what, proof = PROVEN[kind](document, files, verdict)
        where, size, root = verify_proof(proof, given_keys)
        outside = Outside(witnesses, kept, keys_for(proof["head"]["note"], given_keys), verdict)
        conclude_under(outside, f"{what}, {where}", size, root, verdict)
    except WrongError as error:
        verdict.wrong.append(str(error))
    except OSError as error:
        verdict.unusable.append(f"{type(error).__name__}: {error}")
    except MALFORMED as error:
        verdict.wrong.append(f"the {kind} cannot be read ({type(error).__name__}: {error})")
    return verdict


STATUSES = ("", "Pending", "Confirmed", "Incomplete", "Abandoned")
TYPES = ("", "Video", "Audio", "Image", "ScreenCapture", "ScreenRecording", "Document")


class Custody:
    """The custody of a session's evidence: what its events say, held to what it says itself."""

    def __init__(self, document: dict[str, Any]) -> None:
        if document["veritasCustody"] != CUSTODY_VERSION:
            raise WrongError(f"a custody of version {document['veritasCustody']!r:.20} is not known")
        self.session_id, self.exam_id = document["proctorSessionId"], document["examId"]
        self.stated = {each["evidenceId"]: each for each in document["evidence"]}
        self.found: dict[int, dict[str, Any]] = {}
        self.notes: list[str] = []
        if len(self.stated) != len(document["evidence"]):
            raise WrongError("a piece of evidence is listed twice")
        told = [(each, json.loads(each["body"])) for each in document["events"]]
        if len({event["event_id"] for _, event in told}) != len(told):
            raise WrongError("an event is there twice")
        for each, event in sorted(told, key=lambda both: str(both[1]["occurred_at"])):
            if (event["aggregate_type"], event["aggregate_id"]) != ("evidence", str(each["evidenceId"])):
                raise WrongError(f"event {event['event_id']} is not about evidence {each['evidenceId']}")
            self._take(each["evidenceId"], event["kind"], event["detail"], event["occurred_at"])

    def _take(self, number: int, kind: str, detail: dict[str, Any], at: str) -> None:
        piece = self.found.setdefault(
            number, {"type": [], "chunks": {}, "closed": [], "tier": "hot", "gone": None}
        )
        if kind == "evidence.requested":
            piece["type"].append(TYPES[detail["type"]])
            if (detail["session_id"], detail["exam_id"]) != (self.session_id, self.exam_id):
                raise WrongError(f"evidence {number} is another session's")
        elif kind == "evidence.uploaded":
            if detail["chunk"] in piece["chunks"]:
                raise WrongError(f"chunk {detail['chunk']} of evidence {number} arrived twice")
            piece["chunks"][detail["chunk"]] = (detail["size_bytes"], detail["sha256"])
        elif kind in {"evidence.confirmed", "evidence.closed"}:
            piece["closed"].append(detail)
        elif kind == "evidence.moved":
            piece["tier"] = detail["to"]
        elif kind == "evidence.expired":
            piece["gone"] = at
            self.notes.append(
                f"evidence {number}: its file went by policy, after {detail['days']} days ({detail['rule']})"
            )
        elif kind == "evidence.damaged":
            self.notes.append(
                f"evidence {number}: chunk {detail['chunk']} was found damaged ({detail['why']})"
            )

    def check(self) -> None:
        """Hold each piece to its events; raises WrongError for the first that is not what they say."""
        for number in self.found.keys() ^ self.stated.keys():
            missing = "events" if number in self.stated else "description"
            raise WrongError(f"evidence {number} has no {missing}")
        for number, piece in sorted(self.found.items()):
            if len(piece["type"]) != 1 or len(piece["closed"]) > 1:
                raise WrongError(f"evidence {number} was not asked for once and closed at most once")
            said, chunks = self.stated[number], sorted(piece["chunks"].items())
            closed = piece["closed"][0] if piece["closed"] else {"status": 1}
            values = {
                "chunks": ([(e["number"], (e["size"], e["checksum"])) for e in said["chunks"]], chunks),
                "type": (said["typeName"], piece["type"][0]),
                "status": (said["statusName"], STATUSES[closed["status"]]),
                "tier": (said["tier"], piece["tier"]),
                "checksum": (said["checksum"], closed.get("sha256")),
                "size": (said["fileSize"], closed.get("size_bytes")),
                "end": (moment_of(said.get("goneAt")), moment_of(piece["gone"])),
            }
            if piece["closed"]:
                hashes = [bytes.fromhex(hashed) for _, (_, hashed) in chunks]
                whole = (
                    hashlib.sha256(b"".join(hashes)).digest() if closed["is_chunked"] else b"".join(hashes)
                )
                values["hash of its chunks"] = (closed.get("sha256") or "", whole.hex() if hashes else "")
                values["sum of its chunks"] = (closed["size_bytes"], sum(size for _, (size, _) in chunks))
                values["number of its chunks"] = (closed["chunks"], len(chunks))
            for name, (stated, found) in values.items():
                if stated != found:
                    raise WrongError(f"evidence {number}: its {name} is not what its events say")

    def whose(self, path: str) -> str:
        """Return which evidence a file is, whole or a chunk; raises WrongError where it is none."""
        return whose_file(
            {number: sorted(each["chunks"].items()) for number, each in self.found.items()}, path
        )


def moment_of(text: "str | None") -> "datetime | None":
    """Return the moment that a text of a document or an event says, however it writes it."""
    return None if text is None else datetime.fromisoformat(text)


def is_of(path: str, parts: "list[tuple[int, str]]") -> bool:
    """Tell whether a file is made of parts of these sizes and hashes, one after the other."""
    with Path(path).open("rb") as file:
        for size, expected in parts:
            hashed, left = hashlib.sha256(), size
            while left and (some := file.read(min(left, 1 << 20))):
                hashed.update(some)
                left -= len(some)
            if left or hashed.hexdigest() != expected:
                return False
    return True


def verify_custody(
    path: str, files: list[str], given_keys: list[str], witnesses: list[str], kept: list[str]
) -> Verdict:
    """Check a saved custody of evidence, and files that should be that evidence."""
    verdict = Verdict()
    saved = read_saved(path, given_keys, verdict)
    if saved is None:
        return verdict
    try:
        document = document_of(saved)
        document = document.get("data", document)
        size, root = open_stated(document["head"], given_keys)
        for each in document["events"]:
            if each["position"] is None:
                verdict.unproven.append(f"event {each['eventId']} is not sealed yet: fetch it again")
            else:
                check_place(each, each["eventId"], size, root)
        custody = Custody(document)
        custody.check()
        verdict.notes += custody.notes
        verdict.holds += [f"{each} is {custody.whose(each)}" for each in files]
        outside = Outside(witnesses, kept, keys_for(document["head"]["note"], given_keys), verdict)
        what = f"evidence of session {custody.session_id}: {len(custody.found)} pieces"
        conclude_under(outside, f"{what}, {len(document['events'])} events", size, root, verdict)
    except WrongError as error:
        verdict.wrong.append(str(error))
    except OSError as error:
        verdict.unusable.append(f"{type(error).__name__}: {error}")
    except MALFORMED as error:
        verdict.wrong.append(f"the custody cannot be read ({type(error).__name__}: {error})")
    return verdict


def read_saved(path: str, given_keys: list[str], verdict: Verdict) -> "bytes | None":
    """Return a saved file's bytes; None, and why, where it or a key cannot be used."""
    try:
        for each in given_keys:
            read_key(each, "")
        return Path(path).read_bytes()
    except OSError as error:
        verdict.unusable.append(f"{type(error).__name__}: {error}")
    except MALFORMED as error:  # a key that cannot be read is no fault of the file's
        verdict.unusable.append(f"a key cannot be used ({type(error).__name__}: {error})")
    return None


def conclude_under(outside: Outside, what: str, size: int, root: bytes, verdict: Verdict) -> None:
    """Say whether somebody outside has seen the head over it, and that it holds."""
    verdict.is_witnessed = outside.knows(size, root, verdict)
    if outside.is_named and not verdict.is_witnessed and not verdict.wrong:
        verdict.unproven.append(f"the witness does not know the head of {size} events over it")
    if verdict.code() in {VERIFIED, NOT_WITNESSED}:
        verdict.holds.append(f"{what}, {'witnessed' if verdict.is_witnessed else 'not witnessed'}")
    else:
        verdict.holds.clear()


def verify_receipts(paths: list[str], keys: list[str], witnesses: list[str], kept: list[str]) -> Verdict:
    """Check saved receipts, each whatever the others are."""
    verdict = Verdict()
    for path in paths:
        verdict.take(verify_receipt(path, keys, witnesses, kept), f"{path}: " if len(paths) > 1 else "")
    return verdict


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", nargs="?", help="file that `veritas ledger export` has written")
    parser.add_argument("--receipt", nargs="+", help="saved receipts, or proofs of single events")
    parser.add_argument("--appeal", help="saved bundle of an appeal")
    parser.add_argument("--certificate", help="saved certificate of a programme")
    parser.add_argument("--custody", help="saved custody of a session's evidence")
    parser.add_argument("--file", nargs="+", default=[], help="files that should be this evidence")
    parser.add_argument(
        "--key", action="append", default=[], help="public key, as text or a PEM file; may be repeated"
    )
    parser.add_argument("--head", action="append", default=[], help="file with a signed head that you kept")
    parser.add_argument("--witness", action="append", default=[], help="a witness's file")
    given = parser.parse_args()
    several = (given.export, given.receipt, given.appeal, given.certificate, given.custody)
    kinds = [each is not None for each in several]
    if (
        sum(kinds) != 1
        or (given.export is None and not given.key)
        or (given.file and not (given.custody or given.appeal))
    ):
        parser.error(
            "give an export, or --receipt, --appeal, --certificate or --custody with --key; --file goes with"
            " --appeal and --custody"
        )
    try:
        if given.receipt:
            verdict = verify_receipts(given.receipt, given.key, given.witness, given.head)
        elif given.appeal:
            verdict = verify_proven("appeal", given.appeal, given.file, given.key, given.witness, given.head)
        elif given.certificate:
            verdict = verify_proven(
                "certificate", given.certificate, [], given.key, given.witness, given.head
            )
        elif given.custody:
            verdict = verify_custody(given.custody, given.file, given.key, given.witness, given.head)
        else:
            verdict = verify_export(given.export, given.key, given.witness, given.head)
    except (OSError, ValueError) as error:
        verdict = Verdict()
        verdict.unusable.append(f"{type(error).__name__}: {error}")
    print("\n".join(verdict.lines()).encode(errors="backslashreplace").decode())
    return verdict.code()


if __name__ == "__main__":
    sys.exit(main())
