"""
A change that workers act on, recorded in the transaction that makes it.

Every use case that publishes, assigns, scores, … calls `record` before it commits: the change, its ledger
event and its outbox row are all there, or none of them is (spec.md L-1, S-1; evalium-data-flow.txt,
section 3). A hand-in appends such an entry and others with one statement (`submissions._record`).
"""

from uuid import UUID

import msgspec

from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry


async def record(conn: Connection, entry: Entry) -> UUID:
    """
    Record a change in the caller's transaction; return the id of its ledger event.

    Args:
        conn: in a transaction, which has made the change.
        entry: about a record with a UUID; its `detail` holds ids, hashes and numbers, never a name or a text
        of somebody's (spec.md, decision 13).
    """
    return await ledger.append(conn, msgspec.structs.replace(entry, told=True))
