"""
An appeal's bundle: what is held of a claim and of the attempt that it is about, as one file that can be
checked without us (spec.md M-2).

Its parts are texts; a manifest names each with its SHA-256, and the ledger has an event with the manifest's.
So the signed head over that event covers every byte, and `deploy/verify_export.py --appeal` names the part
that was altered. What decision 6 keeps from candidates, verdicts with their reasons and the trace of the risk
score, is in it only where the exam's policy releases it for an appeal. Staff stand in it by their role.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import asyncpg
import msgspec
import orjson

from core_api.actors import Actor
from core_api.claims import moving, own, policies
from core_api.database import Connection, as_system, fetch_one
from core_api.ledger import entries as ledger
from core_api.submissions import receipts
from core_api.submissions.receipts import Place
from core_api.wire import as_json
from kernel.errors import ConflictError, TooLargeError
from kernel.events import DecisionStatus, EvidenceStatus, EvidenceType
from kernel.ledger.event import event_id_at
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("appeals")
VERSION: Final = 1
BUNDLES_MAX: Final = 10
BYTES_MAX: Final = 8 << 20
VIEWS_MAX: Final = 5000


class AppealBundle(msgspec.Struct, frozen=True, kw_only=True):
    """
    A bundle. `manifest` is the very text that `manifest_sha256` is of: JSON that names each of the `parts`,
    whose texts are JSON too, with the SHA-256 of its UTF-8 bytes. `ledger` proves the event about it.
    """

    veritas_appeal: Literal[1]
    claim_id: UUID
    number: int
    made_at: datetime
    manifest_sha256: str
    manifest: str
    parts: dict[str, str]
    event_id: UUID
    ledger: Place


async def make(
    conn: Connection, actor: Actor, claim_id: UUID, *, settings: Settings, now: datetime
) -> AppealBundle:
    """
    Make a bundle of how things stand now; its proof is there a second later.

    Raises:
        NotFoundError: there is no such claim of the caller's.
        ConflictError: there are as many bundles of it as there may be.
        TooLargeError: it is larger than one file may be.
    """
    async with conn.transaction():
        shown = await own.fetch(conn, actor, claim_id)
        claim = await moving.hold(conn, claim_id)
        policy = await policies.of_exam(conn, claim["exam_id"], settings)
        parts = {
            "claim": _text(msgspec.to_builtins(shown)),
            "receipt": _text(msgspec.to_builtins(await receipts.fetch(conn, actor, claim["attempt_id"]))),
            **await _own_parts(conn, claim),
        }
        async with as_system(conn, actor):
            parts |= await _kept_parts(conn, claim, releases=policy.releases_judgement)
        if sum(len(text) for text in parts.values()) > BYTES_MAX:
            raise TooLargeError(f"The bundle would have over {BYTES_MAX} characters.")
        await _write(conn, actor, claim, parts, now=now)
        return await fetch(conn, actor, claim_id)


async def fetch(conn: Connection, actor: Actor, claim_id: UUID) -> AppealBundle:
    """Return the newest bundle of an own claim; raises NotFoundError when there is none of the caller's."""
    row = await fetch_one(conn, "bundle", QUERIES["fetch_bundle"], claim_id, actor.user_id)
    return AppealBundle(
        veritas_appeal=VERSION,
        claim_id=claim_id,
        number=row["number"],
        made_at=row["made_at"],
        manifest_sha256=_hash(row["manifest"]),
        manifest=row["manifest"],
        parts=msgspec.json.decode(row["parts"], type=dict[str, str]),
        event_id=row["event_id"],
        ledger=await receipts.place(conn, row["event_id"], row["body"], row["position"]),
    )


async def _write(
    conn: Connection, actor: Actor, claim: asyncpg.Record, parts: Mapping[str, str], *, now: datetime
) -> None:
    number = 1 + await conn.fetchval(QUERIES["count_bundles"], claim["id"])
    if number > BUNDLES_MAX:
        raise ConflictError(f"There are {BUNDLES_MAX} bundles of this claim: that is all that may be made.")
    manifest = as_json(
        {
            "claim_id": claim["id"],
            "attempt_id": claim["attempt_id"],
            "number": number,
            "made_at": now,
            "parts": {name: _hash(text) for name, text in sorted(parts.items())},
        }
    )
    event_id = event_id_at(now)
    await QUERIES.run(
        conn.execute,
        "insert_bundle",
        claim_id=claim["id"],
        number=number,
        manifest=manifest,
        parts=as_json(parts),
        event_id=event_id,
        now=now,
    )
    detail = {"attempt_id": str(claim["attempt_id"]), "manifest_sha256": _hash(manifest)}
    event = ledger.by(
        actor, Kind.claim_bundled, claim["id"], now=now, subject_id=claim["candidate_id"], detail=detail
    )
    await ledger.record(conn, msgspec.structs.replace(event, event_id=event_id))


async def _own_parts(conn: Connection, claim: asyncpg.Record) -> dict[str, str]:
    """Return the part that the candidate sees anyway: what they sent."""
    attempt_id = claim["attempt_id"]
    evidence = await conn.fetch(QUERIES["list_evidence"], attempt_id)
    chunks = defaultdict[int, list[dict[str, object]]](list)
    for row in await conn.fetch(QUERIES["list_chunks"], attempt_id):
        chunk = {"number": row["number"], "size": row["size_bytes"], "sha256": row["sha256"]}
        chunks[row["evidence_id"]].append(chunk)
    sent = [
        dict(each)
        | {
            "type": EvidenceType(each["type"]).name,
            "status": EvidenceStatus(each["status"]).name,
            "chunks": chunks[each["evidence_id"]],
        }
        for each in evidence
    ]
    return {"evidence": _text(sent)}


async def _kept_parts(conn: Connection, claim: asyncpg.Record, *, releases: bool) -> dict[str, str]:
    """
    Return the parts that are read for the candidate: how the score came about, what happened, who looked, and
    what is released.
    """
    attempt_id = claim["attempt_id"]
    scores = await conn.fetch(QUERIES["list_revisions"], claim["submission_id"])
    timeline = await conn.fetch(QUERIES["list_timeline"], attempt_id)
    views = await conn.fetch(QUERIES["list_views"], attempt_id, VIEWS_MAX)
    parts = {
        "scores": _text([dict(each) | {"item_points": orjson.loads(each["item_points"])} for each in scores]),
        "timeline": _text([dict(each) for each in timeline]),
        "views": _text([dict(each) for each in views]),
    }
    if not releases:
        return parts
    decisions = await conn.fetch(QUERIES["list_verdicts"], attempt_id)
    traces = await conn.fetch(QUERIES["list_traces"], attempt_id)
    return parts | {
        "decisions": _text(
            [dict(each) | {"status": DecisionStatus(each["status"]).name} for each in decisions]
        ),
        "trace": _text([dict(each) | {"trace": orjson.loads(each["trace"])} for each in traces]),
    }


def _text(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z).decode()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
