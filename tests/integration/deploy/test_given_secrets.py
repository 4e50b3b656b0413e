"""Who is given which secrets, and what a proxy that nobody named is told of (spec.md A-1, A-3)."""

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.commands.doctor import examine
from deploy.local.stack import SECRETS, Local, Servers, tiers_of
from kernel.settings import PREFIX, load
from kernel.tokens import Audience, Keyring
from tests.kits.core import JWT_KEYS, DatabaseAs, core_api

LOCAL = Local(
    url="http://127.0.0.1:8080",
    ingest_url="http://127.0.0.1:8081",
    database_url="",
    redis_url="",
    warehouse="",
    accounts=[],
    metrics={},
)
KEYS = ("jwt_keys", "launch_keys", "ledger_key_files", "owner_database_url")


def test_each_tier_has_its_own_keys_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in the environment of whoever starts them."""
    for name in KEYS:
        monkeypatch.setenv(PREFIX + name.upper(), JWT_KEYS if "keys" in name else "somewhere")
    settings = load(database_url="postgresql://nowhere", redis_url="redis://nowhere")
    servers = Servers(postgres=None, redis=None, owner_url="", redis_url=settings.redis_url)
    tiers = {tier.name: tier.environment for tier in tiers_of(settings, tmp_path, servers, LOCAL)}
    given = {name: {each for each in KEYS if PREFIX + each.upper() in env} for name, env in tiers.items()}

    assert given == {
        "writer": set(),
        "pipeline": {"ledger_key_files"},
        "origin": {"jwt_keys", "launch_keys"},
        "ingest-1": {"jwt_keys"},
    }
    assert set(SECRETS) == {name.partition("-")[0] for name in tiers}


async def test_whoever_has_ingests_keys_makes_no_launch_links(database: str, database_as: DatabaseAs) -> None:
    other = f"links:{base64.b64encode(b'another key that ingest does not have, 32 bytes or more').decode()}"
    async with core_api(database, database_as, launch_keys=other) as api:
        path = f"/api/teacher/exams/{api.exam_id}/launch-links"
        made = await api.post(path, "teacher", json={"emails": [api.people["student"].email]})
        genuine = made.body["links"][0]["token"]
        now = datetime.now(UTC)
        claims = Keyring.parse(other).verify(genuine, audience=Audience.launch, now=now)
        forged = api.keyring.sign(claims)

        assert (await api.post("/api/auth/launch", json={"token": forged})).status == 401
        assert (await api.post("/api/auth/launch", json={"token": genuine})).status == 200


async def test_doctor_tells_of_a_proxy_that_is_not_trusted(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    async with core_api(database, database_as) as api:
        host, port = api.url.removeprefix("http://").split(":")
        settings = load({}, http_host=host, http_port=int(port), state=str(tmp_path))
        body = {"email": "nobody@x.example", "password": "wrong"}
        await api.post("/api/auth/login", json=body, headers={"X-Forwarded-For": "192.0.2.7"})
        found = {each.check: each for each in await asyncio.to_thread(examine, settings)}
        named = load(
            {}, http_host=host, http_port=int(port), state=str(tmp_path), trusted_proxies="10.0.0.0/8"
        )
        fine = {each.check: each for each in await asyncio.to_thread(examine, named)}

        assert (found["proxies"].ok, found["proxies"].required, fine["proxies"].ok) == (False, False, True)
        assert "VERITAS_TRUSTED_PROXIES" in found["proxies"].mend
