"""Evidence in a real S3-compatible object store, which clients reach by themselves (spec.md V-2)."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.opening import key_of, open_store, open_tiers
from kernel.storage.stores import INCOMING, MissingObjectError, Store
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.tiers import move_due
from sql.running import connect
from tests.conftest import emptied, logins_on, new_database
from tests.kits import evidence
from tests.kits.core import Core, DatabaseAs, running_core
from tests.kits.evidence import PNG, asked, confirm, film, send, sha256
from tests.kits.evidence_kept import held, keep, seat
from tests.kits.evidence_old import OLD, end, expire
from tests.kits.s3 import BUCKET, running_s3

HOT = f"s3://{BUCKET}/hot"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with running_s3(tmp_path_factory.mktemp("s3") / "server") as settings:
        yield settings


@pytest.fixture(scope="module")
def core(postgres: Any, template: Any, redis_server: Any, s3: dict[str, Any]) -> Iterator[Core]:
    with new_database(postgres) as url:
        logins = logins_on(url, template, emptied(redis_server))
        with running_core(
            url, logins, evidence_store=HOT, evidence_document_bytes_max=10_000, **s3
        ) as running:
            yield running


@pytest.fixture
def hot(s3: dict[str, Any]) -> Store:
    return open_store(HOT, Settings(**s3))


def stores(s3: dict[str, Any], tmp_path: Path) -> list[Store]:
    return [LocalStore(tmp_path), open_store(f"s3://{BUCKET}/contract", Settings(**s3))]


@pytest.mark.parametrize("which", [0, 1], ids=["folder", "s3"])
def test_every_store_does_what_a_store_can_do_v2(s3: dict[str, Any], tmp_path: Path, which: int) -> None:
    store, some = stores(s3, tmp_path)[which], film(700_000)
    store.put("a/1", (some[n : n + 99_999] for n in range(0, len(some), 99_999)))
    store.put("a/1", [some])
    store.copy("a/1", "a/b/2")

    assert b"".join(store.read("a/1")) == b"".join(store.read("a/b/2")) == some
    assert b"".join(store.read("a/1", 699_990)) == some[699_990:]
    assert b"".join(store.read("a/1", 100_000, 300_000)) == some[100_000:400_000]
    assert b"".join(store.read("a/1", 5, 0)) == b""
    assert max(len(each) for each in store.read("a/1")) <= 1 << 20
    assert {each.key: each.size_bytes for each in store.found("a/")} == {"a/1": 700_000, "a/b/2": 700_000}
    store.put("a0", [some[:9]])
    walked, at = [], ""
    while page := store.after(at, 2):
        walked += [each.key for each in page]
        at = page[-1].key
    assert [each for each in walked if each.startswith("a")] == ["a/1", "a/b/2", "a0"] == sorted(walked)
    store.delete(["a/1", "a/none"])
    assert [each.key for each in store.found("a/")] == ["a/b/2"]
    for missing in (lambda: store.read("a/1"), lambda: store.copy("a/1", "x")):
        with pytest.raises(MissingObjectError):
            missing()


def test_evidence_moves_from_a_folder_to_a_bucket_and_orphans_go_from_both_v2(
    s3: dict[str, Any], database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    settings = Settings(
        database_url=database_as("veritas_pipeline"), evidence_store=str(tmp_path),
        evidence_cold_store=f"s3://{BUCKET}/cold", **s3,
    )  # fmt: skip
    tiers, now = open_tiers(settings), datetime.now(UTC)
    hot, cold = tiers.values()
    piece = keep(seat(database), hot, [film(600_000, mark=1), film(9)])
    orphans = [key_of(piece.evidence_id, "00007-0123456789abcdef"), f"{INCOMING}{key_of(987_654_321, '1')}"]
    for store in (hot, cold):
        for key in orphans:
            store.put(key, [b"left by a crash"])
    with connect(settings.database_url) as conn:
        moved = move_due(conn, tiers, settings, threading.Event(), now=now)
        there = (held(hot, piece), held(cold, piece))
        swept = sweep_orphans(conn, tiers, settings, Walk(), now=now + timedelta(days=8))

    assert moved.moved == 1
    assert there == (piece.chunks, piece.chunks)
    assert swept == 2 * len(orphans) + len(piece.keys)
    assert (held(hot, piece), held(cold, piece)) == ([], piece.chunks)


def test_evidence_goes_by_policy_from_a_bucket_and_a_folder_v2(
    s3: dict[str, Any], database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    """spec.md G-1: from whichever tier, and what a move has left behind with it."""
    settings = Settings(
        database_url=database_as("veritas_pipeline"), evidence_store=f"s3://{BUCKET}/going",
        evidence_cold_store=str(tmp_path), evidence_hot_days=200, **s3,
    )  # fmt: skip
    tiers, whose = open_tiers(settings), seat(database)
    hot, cold = tiers.values()
    end(whose)
    old, young = keep(whose, hot), keep(whose, hot, closed_at=OLD)
    direct = f"{INCOMING}{key_of(old.evidence_id, '1')}"
    hot.put(direct, [b"sent by its client"])
    with connect(settings.database_url) as conn:
        moved = move_due(conn, tiers, settings, threading.Event(), now=datetime.now(UTC))
    there = [held(store, piece) for store, piece in ((hot, old), (cold, old), (hot, young))]
    swept, again = expire(settings), expire(settings)

    assert (moved.moved, there) == (1, [old.chunks, old.chunks, young.chunks])
    assert (swept.pieces, swept.deleted, again.deleted) == (2, 2, 0)
    assert [held(store, piece) for store in (hot, cold) for piece in (old, young)] == [[]] * 4
    assert hot.found(INCOMING + key_of(old.evidence_id)) == []


@pytest.mark.parametrize("which", [0, 1], ids=["folder", "s3"])
def test_what_breaks_off_is_no_object_v2(s3: dict[str, Any], tmp_path: Path, which: int) -> None:
    store = stores(s3, tmp_path)[which]

    def broken() -> Iterator[bytes]:
        yield bytes(100_000)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put("b/1", broken())

    assert store.found("b/") == store.found(INCOMING) == []


def put(url: str, some: bytes) -> int:
    request = urllib.request.Request(url, some, {"Content-Type": "video/webm"}, method="PUT")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


async def test_a_file_goes_to_the_store_and_is_read_back_before_it_counts_v1(core: Core, hot: Store) -> None:
    async with core.school() as api:
        some = film(600_000)
        evidence_id, where = await asked(api, await api.start_session())
        early = await confirm(api, evidence_id)
        stored = await send(api, where, some)
        confirmed = await confirm(api, evidence_id, checksum=sha256(some))
        replaced = put(where, film(9, mark=3))  # the address is good for a while still
        looked = await evidence.fetch(api, evidence_id)

        assert where.startswith("http://")
        assert (early.status, stored.status, confirmed.status) == (409, 200, 200)
        assert replaced == 200
        assert looked.body == some
        assert [kind for kind, _ in await evidence.events_of(api, evidence_id)][:3] == [
            "evidence.requested", "evidence.uploaded", "evidence.confirmed",
        ]  # fmt: skip
        assert len(hot.found(key_of(evidence_id))) == 1


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda url: url.replace(f"/{INCOMING}", "/other/"), "another key"),
        (lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"), "another signature"),
        (lambda url: url.replace("X-Amz-Expires=1800", "X-Amz-Expires=180000"), "a longer life"),
    ],
)
async def test_the_store_refuses_an_address_that_is_not_as_it_was_signed_v1(
    core: Core, spoil: Callable[[str], str], named: str
) -> None:
    async with core.school() as api:
        _, where = await asked(api, await api.start_session())

        assert (put(spoil(where), film()), named) == (403, named)


@pytest.mark.parametrize(
    ("some", "told", "status"),
    [
        (PNG + bytes(100), {}, 415),
        (film(mark=1), {"checksum": sha256(film())}, 422),
        (film(), {"fileSize": 999}, 422),
        (b"%PDF-" + bytes(20_000), {"type": 6, "contentType": "application/pdf"}, 413),
    ],
    ids=["another format", "another hash", "another size", "too large"],
)
async def test_what_is_not_as_it_was_said_is_thrown_away_and_may_be_sent_again_v1(
    core: Core, hot: Store, some: bytes, told: dict[str, Any], status: int
) -> None:
    async with core.school() as api:
        evidence_id, where = await asked(api, await api.start_session(), **told)
        assert put(where, some) == 200
        refused = await confirm(api, evidence_id)

        assert refused.status == status, refused.body
        assert hot.found(f"{INCOMING}{key_of(evidence_id)}") == []
        assert (await confirm(api, evidence_id)).status == 409


async def test_chunks_go_to_the_store_and_the_missing_ones_are_named_v1(core: Core, hot: Store) -> None:
    async with core.school() as api:
        evidence_id, _ = await asked(api, await api.start_session(), isChunked=True)
        chunks = {n: film(5000, mark=n) for n in range(1, 5)}
        given = (await evidence.announce(api, evidence_id, chunks)).body["data"]
        for each in given[:1] + given[2:]:
            assert put(each["uploadUrl"], chunks[each["number"]]) == 200
        listed = await api.get(f"/api/proctor/evidence/{evidence_id}/chunks", "student")
        again = await evidence.announce(api, evidence_id, {2: chunks[2]})
        put(again.body["data"][0]["uploadUrl"], chunks[2])
        confirmed = await confirm(
            api, evidence_id, chunkCount=4, checksum=evidence.manifest_hash(*chunks.values())
        )
        looked = await evidence.fetch(api, evidence_id, headers={"Range": "bytes=4990-10009"})

        assert listed.body["data"]["missing"] == [2]
        assert confirmed.status == 200, confirmed.body
        assert looked.body == b"".join(chunks.values())[4990:10010]
        assert len(hot.found(key_of(evidence_id))) == 4
