"""
What candidates never see (spec.md, decision 6): names of members, and how replies are searched for secrets.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from tests.kits.persons import Heard

# Words of which a member's name says that it tells of risk, of decisions or of somebody else.
SECRET: Final = frozenset({
    "risk", "score", "scores", "peak", "level", "violation", "violations", "rule", "rules", "trace",
    "snapshot", "anomaly", "threshold", "trigger", "triggers", "fired", "upheld", "gap", "cause",
    "decision", "decided", "cleared", "invalidated", "overturned", "finalized", "reason", "reasons",
    "notes", "review", "reviewer", "recommended", "recommendation", "confidence", "flag", "flagged",
    "suspicious", "override", "overridden", "quarantined", "evidence", "event", "events", "staff",
    "proctor", "teacher", "author", "creator", "uploader", "owner", "by", "actor", "acted", "email",
    "name", "username", "claimed",
})  # fmt: skip
# The two that a deployment may switch on.
NUMBERS: Final = ("currentRiskScore", "totalViolations")
# The members that candidates get all the same, and why.
OPEN: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        NUMBERS, "the document shows it; null unless the deployment shows the number (decision 6)"
    ),
    "isViolation": "of an event that they have just sent themselves (sample 2 of the document)",
    "eventType": "of the same event",
    "eventTypeName": "of the same event",
    "score": "their mark, once it is final",
    "score_before": "their mark, before a key was put right",
    "max_score": "of the exam",
    "passing_score": "of the exam",
    "proctorSessionId": "their own",
    "candidateName": "their own",
    "full_name": "their own",
    "username": "their own",
    "email": "their own",
    "teacher": "their own details, of teachers who ask",
    "evidenceId": "of what they send themselves",
    "evidence_ids": "of a claim: which of what they have sent themselves is meant",
    "fileName": "as their own client named what it sent",
    "event": "of the ledger, about their own submission",
    "event_id": "of the same event",
    "submitted_by": "in which way: candidate, expiry or proctor",
    "modeName": "a word of ours",
    "statusName": "a word of ours",
    "browserName": "what their own client said",
}
# Those of the documents within a receipt: what was handed in, and the ledger's event about it.
QUOTED: Final[Mapping[str, str]] = {
    "actor_id": "who handed in: whoever is no candidate is found by their id",
    "actor_role": "as what",
    "version_snapshot": "the terms that their submission was made under",
    "snapshot_sha256": "of the questions that they answered",
    "rule_exemptions": "their own accommodation, as numbers",
}
# Those of learning records, as the standards name them: all about the candidate, whose own export it is.
RECORDED: Final[Mapping[str, str]] = {
    "actor": "themselves, under their pseudonym; of a grade the system",
    "name": "their pseudonym, their exam's title, or ours",
    "scoreGiven": "their mark",
    "maxScore": "of the exam or the item",
    "scoredBy": "the system's address",
    "eventTime": "when they did it",
}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+")
_CODED: Final = re.compile(r"[\w+/-]{24,}")


def tells(member: str) -> bool:
    """Say whether a member's name is of what candidates never see."""
    return member not in OPEN and not SECRET.isdisjoint(word.lower() for word in _WORD.findall(member))


def leaks_in(heard: Heard, words: Mapping[str, str], numbers: Collection[float] = ()) -> list[str]:
    """
    Return what of the secrets is in a reply or a message: in its headers, its body, and what is encoded or
    quoted there; what the asker has said in the address does not count.
    """
    told = "\n".join([*heard.headers.values(), heard.raw.decode(errors="replace")])
    told += "\n".join(_decoded(told))
    found = [what for what, word in words.items() if word in told and word not in heard.asked]
    known = QUOTED.keys() | (RECORDED.keys() if "ndjson" in heard.headers.get("Content-Type", "") else set())
    for member, value in _members(heard.body):
        if tells(member) and member not in known and value is not None:
            found.append(f"member {member}")
        if isinstance(value, float) and value in numbers:
            found.append(f"score {value} as {member}")
    return found


def _decoded(text: str) -> Iterator[str]:
    """Yield what stands in a text as base64: tokens' claims, proofs."""
    for coded in _CODED.findall(text):
        with_rest = coded.replace("-", "+").replace("_", "/") + "=" * (-len(coded) % 4)
        try:
            yield base64.b64decode(with_rest).decode(errors="replace")
        except binascii.Error:
            continue


def _members(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every member of JSON, and of the JSON in its texts."""
    match value:
        case dict():
            for member, each in value.items():
                yield member, each
                yield from _members(each, member)
        case list():
            for each in value:
                if not isinstance(each, dict | list):
                    yield name, each
                yield from _members(each, name)
        case str() if value[:1] in {"{", "["}:
            try:
                yield from _members(msgspec.json.decode(value), name)
            except msgspec.DecodeError:
                return
