"""
What comes after an exam, at its size: a remediation of 10,000 submissions, looked at beforehand, applied, and
taken back; a person erased and events that leave by policy, among ten million (`erasing`).

The core API runs as a program of its own on a PostgreSQL and Redis of its own; the submissions are imported.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp
import msgspec

from core_api import seeding
from deploy.local.roles import give_passwords
from deploy.local.server import free_port
from loadtests.bench import erasing, importing
from loadtests.bench.importing import ADMIN, PASSWORD
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    BenchError,
    Servers,
    new_jwt_keys,
    open_servers,
    private_folder,
    programs,
    wait_until_answers,
)
from loadtests.bench.organisation import Extent
from loadtests.client.stack import call

PATH: Final = "/api/teacher/remediations"
WORDS: Final = {
    "reason": "The key was wrong.",
    "note_en": "A key was wrong.",
    "note_ar": "كان أحد المفاتيح خاطئًا.",
}
LOOK_S: Final = 0.1  # between looks at how far it is
PREVIEW_S_MAX: Final = 10.0
APPLY_S_MAX: Final = 60.0


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How many hand in, how long the paper is; and the organisation that people and events go from."""

    submissions: int = 10_000
    items: int = 30
    organisation: Extent = erasing.EXTENT


QUICK: Final = Sizes(submissions=500, items=10, organisation=erasing.SMALL)


class Remediated(msgspec.Struct, frozen=True, kw_only=True):
    """
    Of a new key for one question. `remediation_s` is from the request to the last submission's new score, as
    whoever asks for its progress sees it; `undo_s` the same of taking it back. `changed` results are others.
    `load_average` is the machine's, of the minute before.
    """

    remediation_preview_s: float
    remediation_s: float
    remediation_submissions_per_s: float
    undo_s: float
    changed: int
    size: dict[str, Any]
    load_average: float
    fdatasync_ms: float


class LifecycleFigures(Remediated, frozen=True, kw_only=True):
    """
    All of them. `erasure_s` is from the request to the end, of a person with so many `erased_attempts`; by
    part: the `steps` of the erasure itself, the `numbers` that are computed again, what is `published`.
    `retention_rows_per_s` of events that leave by policy, having been compared with the archive.
    """

    erasure_s: float
    erasure_parts_s: dict[str, float]
    erased_attempts: int
    retention_rows_per_s: float


def hold(figures: LifecycleFigures) -> None:
    """Raise BenchError where something took longer than it may."""
    for name, bound_s in (("remediation_preview_s", PREVIEW_S_MAX), ("remediation_s", APPLY_S_MAX)):
        if (took_s := getattr(figures, name)) > bound_s:
            raise BenchError(f"lifecycle: {name} is {took_s:.1f}, of {bound_s:.0f}")


async def _applied(http: aiohttp.ClientSession, token: str, remediation_id: str) -> tuple[float, Any]:
    """Apply a remediation, wait for its end, and return how long that took, and what it is then."""
    path, began = f"{PATH}/{remediation_id}", perf_counter()
    await call(http, "POST", f"{path}/apply", token=token)
    while True:
        shown = await call(http, "GET", path, token=token)
        if shown["status"] == "applied":
            return perf_counter() - began, shown
        await asyncio.sleep(LOOK_S)


async def _remediate(url: str, sizes: Sizes, folder: Path, load: float) -> Remediated:
    async with aiohttp.ClientSession(url) as http:
        signed = {"email": ADMIN.email, "password": PASSWORD}
        token = (await call(http, "POST", "/api/auth/login", body=signed))["access_token"]
        exam = (await call(http, "GET", "/api/teacher/exams", token=token))["exams"][0]
        change = {"kind": "change_key", "position": 1, "key": {"choice": "a"}}
        other = {"kind": "change_key", "position": 2, "key": {"choice": "b"}}
        draft = {"evaluation_version_id": exam["evaluation_version_id"], "changes": [change, other], **WORDS}
        made = await call(http, "POST", PATH, token=token, body=draft)
        path, began = f"{PATH}/{made['remediation_id']}", perf_counter()
        preview = await call(http, "GET", f"{path}/preview", token=token)
        preview_s = perf_counter() - began
        apply_s, applied = await _applied(http, token, made["remediation_id"])
        undo = await call(http, "POST", f"{path}/undo", token=token, body=WORDS)
        undo_s, taken_back = await _applied(http, token, undo["remediation_id"])
    for each in (applied, taken_back):
        if (
            each["progress"]["rescored"] != sizes.submissions
            or each["progress"]["changed"] != preview["changed"]
        ):
            raise BenchError(f"lifecycle: {each['progress']}, where the preview says {preview}")
    return Remediated(
        remediation_preview_s=preview_s,
        remediation_s=apply_s,
        remediation_submissions_per_s=sizes.submissions / apply_s,
        undo_s=undo_s,
        changed=preview["changed"],
        size=msgspec.to_builtins(sizes),
        load_average=load,
        fdatasync_ms=machine.fdatasync_ms(folder),
    )


def _hand_in(url: str, servers: Servers, folder: Path, sizes: Sizes) -> None:
    now = datetime.now(UTC)
    organisation_id = seeding.create_organisation(servers.owner, "Lifecycle", now=now)
    seeding.create_users(servers.owner, organisation_id, [ADMIN], now=now)
    file = folder / "finals.csv"
    importing.write_file(file, importing.Sizes(candidates=sizes.submissions, items=sizes.items))
    importing.timed(url, file, f"{sizes.submissions:,} stored, 0 there already")


def measure(sizes: Sizes, screen: Screen, log: Path) -> LifecycleFigures:
    """
    Remediate, then erase and sweep, on servers of its own; what the core API says goes to `log`.

    Raises:
        BenchError: a submission was not rescored, or otherwise than the preview said; an erasure did not come
            to its end; nothing went by policy.
    """
    remediated = _remediated(sizes, screen, log)
    going = erasing.measure(sizes.organisation, screen)
    return LifecycleFigures(**msgspec.structs.asdict(remediated), **msgspec.structs.asdict(going))


def _remediated(sizes: Sizes, screen: Screen, log: Path) -> Remediated:
    log.parent.mkdir(parents=True, exist_ok=True)
    with private_folder() as folder, open_servers(folder) as servers:
        port = free_port()
        settings: dict[str, object] = {
            "database_url": give_passwords(servers.postgres.url)["veritas_core"],
            "redis_url": servers.redis.url,
            "jwt_keys": new_jwt_keys(),
            "http_port": port,
            "log_level": "warning",
        }
        url = f"http://127.0.0.1:{port}"
        with programs([("core", ["-m", "core_api"])], settings, log) as running:
            wait_until_answers(f"{url}/readyz", running, log)
            with screen.step("hand in"):
                _hand_in(url, servers, folder, sizes)
            load = os.getloadavg()[0]
            with screen.step("remediate"):
                return asyncio.run(_remediate(url, sizes, folder, load))
