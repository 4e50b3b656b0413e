"""
Files of evidence for an appeal: a claim's candidate fetches what was taken of them, where the exam's policy
releases it (spec.md M-2).

They are fetched as staff fetch them, by an address that is good for a while; that it was given, and that it
was used, is on the ledger. The bundle has their hashes: `verify_export.py --appeal` holds them against it.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from core_api.actors import Actor
from core_api.claims import own, policies
from core_api.database import Connection
from core_api.evidence import downloads
from core_api.evidence.downloads import DownloadUrl, WhichPart
from kernel.errors import ForbiddenError, NotFoundError
from kernel.settings import Settings
from kernel.tokens import Keyring
from sql import named

QUERIES: Final = named("appeals")


async def grant_file(
    conn: Connection,
    actor: Actor,
    claim_id: UUID,
    evidence_id: int,
    query: WhichPart,
    *,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> DownloadUrl:
    """
    Give an address from which the evidence is fetched; that it was given is on the ledger.

    Raises:
        NotFoundError: there is no such claim of the caller's, no such evidence of its attempt, or no such
            chunk.
        ForbiddenError: the exam's policy releases no files.
        ConflictError: nothing of it has arrived.
        GoneError: its file went by the organisation's policy.
    """
    claim = await own.fetch(conn, actor, claim_id)
    policy = await policies.of_exam(conn, claim.exam_id, settings)
    if not policy.releases_files:
        raise ForbiddenError("The exam's policy does not release files of evidence.")
    if not await conn.fetchval(QUERIES["is_of_attempt"], evidence_id, claim.attempt_id):
        raise NotFoundError("There is no such evidence of the claim's attempt.")
    return await downloads.grant_download(
        conn, actor, evidence_id, query, settings=settings, keyring=keyring, now=now
    )
