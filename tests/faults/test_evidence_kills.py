"""kill -9 between any two steps of evidence's way: upload, confirmation, move (spec.md V-1, V-2)."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from core_api.actors import Actor
from core_api.evidence.pieces import RequestUpload, request_upload
from core_api.evidence.storage import Storage
from kernel.access import Scope
from kernel.events import EvidenceType, Role
from kernel.postgres import open_pool
from kernel.settings import Settings, load
from kernel.storage.opening import open_tiers
from kernel.tokens import Keyring
from pipeline.evidence_files import MARK
from tests.kits.core import JWT_KEYS
from tests.kits.evidence import film
from tests.kits.evidence_child import STAGES, Way, walker
from tests.kits.evidence_kept import Seat, seat

STEPS = ["evidence.requested", "evidence.uploaded", "evidence.confirmed", "evidence.moved"]
STATE = """
SELECT e.status, e.tier, c.object_key, coalesce((SELECT sum(size_bytes) FROM evidence_usage), 0)::bigint,
       (SELECT array_agg(kind ORDER BY occurred_at, id) FROM ledger_events WHERE aggregate_type = 'evidence')
FROM evidence e JOIN evidence_chunks c ON c.evidence_id = e.id
"""


async def asked(whose: Seat, settings: Settings) -> tuple[Actor, int, str]:
    """Ask to send a film as the candidate; return who they are, its number, and where to send it."""
    actor = Actor(
        user_id=whose.user_id, organisation_id=whose.organisation_id, email="", role=Role.student,
        scope=Scope.own,
    )  # fmt: skip
    command = RequestUpload(
        proctor_session_id=whose.session_id, type=EvidenceType.Video, file_name="film.webm",
        content_type="video/webm",
    )  # fmt: skip
    storage = Storage(settings)
    async with await open_pool(settings) as pool:
        reply = await request_upload(
            pool, actor, command, settings=settings, keyring=Keyring.parse(JWT_KEYS), storage=storage,
            now=datetime.now(UTC),
        )  # fmt: skip
    storage.close()
    return actor, reply.evidence_id, reply.upload_url


def check(url: str, settings: Settings, some: bytes) -> tuple[str, ...]:
    """Hold rows, ledger and files to one another; return what has happened."""
    with psycopg.connect(url) as conn:
        (row,) = conn.execute(STATE).fetchall()
    status, tier, key, used, kinds = row

    assert kinds == STEPS[: len(kinds)]
    assert (status == 2, tier == "cold") == ("evidence.confirmed" in kinds, "evidence.moved" in kinds)
    assert (key is not None, used) == ("evidence.uploaded" in kinds, len(some) if key else 0)
    if key is not None:
        assert b"".join(open_tiers(settings)[tier].read(key)) == some
    return tuple(kinds)


@pytest.mark.slow("a process for each of some fifty steps")
async def test_evidence_whose_process_dies_at_any_call_is_whole_or_not_there_and_arrives_once_v1(
    database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    places: dict[str, Any] = {
        "evidence_store": str(tmp_path / "hot"),
        "evidence_cold_store": str(tmp_path / "cold"),
    }
    core = load({}, database_url=database_as("veritas_core"), jwt_keys=JWT_KEYS, **places)
    pipeline = load({}, database_url=database_as("veritas_pipeline"), evidence_hot_days=0, **places)
    some, deaths = film(400_000, mark=1), dict[str, int]()
    actor, evidence_id, address = await asked(seat(database), core)
    with walker() as walk:
        for n, stage in enumerate(STAGES, 1):
            way = Way(core, pipeline, actor, evidence_id, address, some, stage)
            before, after, passed = tuple(STEPS[:n]), tuple(STEPS[: n + 1]), list[str]()
            found = [before]
            while door := walk.go(msgspec.structs.replace(way, passed=passed)):
                assert door not in passed
                passed.append(door)
                found.append(check(database, pipeline, some))
            deaths[stage] = len(passed)

            assert found == sorted(found, key=len)
            assert {*found} <= {before, after}
            assert check(database, pipeline, some) == after

    assert min(deaths.values()) >= 8, deaths
    hot, cold = ([each.key for each in store.after("", 100)] for store in open_tiers(pipeline).values())
    assert ([each for each in hot if each != MARK], len([each for each in cold if each != MARK])) == ([], 1)
