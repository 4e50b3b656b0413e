"""The local stack's ledger, from an append to a proof that needs nothing of ours (spec.md L-2, X-2)."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from core_api.ledger.entries import record
from deploy import verify_export
from tests.integration.deploy.test_stack import answer, running_stack
from tests.kits.clusters import laid_state
from tests.kits.ledger import entry


def get(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  loopback
            return json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=60
    )


async def append_to(url: str, count: int) -> None:
    conn = await asyncpg.connect(url)
    await record(conn, *(entry(number) for number in range(count)))
    await conn.close()


@pytest.mark.slow("the whole stack, and commands beside it")
def test_the_stack_seals_its_ledger_under_a_key_of_its_own_and_anybody_can_check_it(
    server_folder: Path, tmp_path: Path
) -> None:
    state, export, witness = server_folder / "state", tmp_path / "ledger.ndjson", tmp_path / "witness.jsonl"
    ledger = ["-m", "deploy.commands.cli", "ledger"]
    with running_stack(laid_state(state)) as (_, local):
        asyncio.run(append_to(local["database_url"], 20))
        account = next(each for each in local["accounts"] if each["role"] == "student")
        signed_in = answer(
            f"{local['url']}/api/auth/login", {"email": account["email"], "password": account["password"]}
        )
        deadline = time.monotonic() + 20
        head: dict[str, Any] = {}
        while head.get("size", 0) < 20:
            assert time.monotonic() < deadline, head
            time.sleep(0.1)
            head = get(f"{local['url']}/api/ledger/head", signed_in["access_token"])
        verified = command(*ledger, "verify", "--state", str(state))
        exported = command(*ledger, "export", str(export), "--state", str(state))
        # As far as the export goes: a head of events that came after it makes it an older one.
        newest = json.loads(export.read_bytes().splitlines()[-1])["head"]
        seen = [json.loads(line) for line in (state / "ledger_witness.jsonl").read_bytes().splitlines()]
        witness.write_text("".join(json.dumps(note) + "\n" for note in seen[: seen.index(newest) + 1]))
        (key,) = command(*ledger, "keys", "--state", str(state)).stdout.splitlines()

    assert (state / "ledger_key.pem").stat().st_mode & 0o777 == 0o600
    assert (verified.returncode, "all holds" in verified.stdout) == (0, True), (
        verified.stdout + verified.stderr
    )
    assert exported.returncode == 0
    kept = tmp_path / "head"
    kept.write_text(head["note"])
    given = ["--key", key, "--head", str(kept), "--witness", str(witness)]
    done = command("-I", verify_export.__file__, str(export), *given)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert command(*ledger, "verify", "--state", str(tmp_path)).returncode == 2
