"""
The benchmark of evidence: recordings of many candidates at once, sent chunk by chunk through the core API.

Every chunk must be in the store with the hash that its sender took, or the benchmark fails. Beside it stand
the memory of the core API, and how long other routes take, alone and meanwhile.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from kernel.running.tasks import cancel
from kernel.settings import Settings
from kernel.storage.opening import open_tiers
from loadtests.bench.core_loads import head, once_each, send
from loadtests.bench.core_world import Core, running_core
from loadtests.bench.ingest import describe
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, make_sessions, open_servers, private_folder
from loadtests.bench.sending.loads import Plan
from loadtests.bench.sending.wire import Target
from sql import named
from sql.running import run

EVIDENCE: Final = named("bench_evidence")
WEBM: Final = b"\x1aE\xdf\xa3"  # what a recording begins with
LOOK_EVERY_S: Final = 0.1
TRIES_MAX: Final = 100
PATH: Final = "/proctor/evidence"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done; the defaults are what docs/benchmarks.md reports."""

    candidates: int = 200
    chunks: int = 2_000
    chunk_bytes: int = 1 << 20
    probe_s: float = 15.0
    probe_per_s: float = 50.0
    core_processes: int = 1


QUICK: Final = Sizes(candidates=20, chunks=60, chunk_bytes=200_000, probe_s=2.0)


class EvidenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures.

    `chunks_per_s` and `mib_per_s` from the first request to the last confirmation; `memory_mib` is what the
    core API holds for itself: before, at most meanwhile, after. `others_p99_ms` are other routes, alone and
    meanwhile; `others_ratio` the one over the other. `refused` chunks were sent again.
    """

    chunks_per_s: float
    mib_per_s: float
    memory_mib: dict[str, float]
    others_p99_ms: dict[str, float]
    others_ratio: float
    refused: int
    machine: dict[str, str | int | float]


class Sender:
    """One candidate's client: it asks, announces, sends what is missing, and confirms."""

    def __init__(self, http: aiohttp.ClientSession, target: Target, number: int, sizes: Sizes) -> None:
        """Remember whose recording it is, and its hashes; its chunks are made when they are needed."""
        self._http, self._target = http, target
        self._numbers = range(1, sizes.chunks // sizes.candidates + 1)
        self._first, self._bytes = number * len(self._numbers), sizes.chunk_bytes
        # taken beforehand: candidates hash on machines of their own
        self._hashes = [hashlib.sha256(self._chunk(n)).digest() for n in self._numbers]
        self.refused = 0

    def _chunk(self, n: int) -> bytes:
        """Return a chunk that no other one equals."""
        return (WEBM + (self._first + n).to_bytes(8, "big")).ljust(self._bytes, b"\xa5")

    async def record(self) -> None:
        """Send the whole recording; raises BenchError where something is not as it was sent."""
        asked = {
            "proctorSessionId": int(self._target.key), "type": 5, "fileName": "screen.webm",
            "contentType": "video/webm", "isChunked": True,
        }  # fmt: skip
        evidence_id = (await self._post(f"{PATH}/request-upload", asked))["evidenceId"]
        announced = [
            {"number": n, "checksum": hashed.hex(), "size": self._bytes}
            for n, hashed in zip(self._numbers, self._hashes, strict=True)
        ]
        given = await self._post(f"{PATH}/{evidence_id}/chunks", {"chunks": announced})
        for n, address in zip(self._numbers, given, strict=True):
            await self._ask("PUT", address["uploadUrl"], self._chunk(n), {"Content-Type": "video/webm"})
        whole = hashlib.sha256(b"".join(self._hashes)).hexdigest()
        said = {"checksum": whole, "chunkCount": len(self._hashes)}
        await self._post(f"{PATH}/{evidence_id}/confirm", said)

    async def _post(self, path: str, body: Any) -> Any:  # noqa: ANN401  what the API answers
        headers = {"Authorization": f"Bearer {self._target.token}", "Content-Type": "application/json"}
        return (await self._ask("POST", f"/api{path}", msgspec.json.encode(body), headers))["data"]

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:  # noqa: ANN401
        for _ in range(TRIES_MAX):
            async with self._http.request(method, path, data=body, headers=headers) as answer:
                text = await answer.read()
                if answer.status < 300:
                    return msgspec.json.decode(text)
                if "Retry-After" not in answer.headers:
                    raise BenchError(f"{method} {path}: {answer.status} {text.decode()}")
                self.refused += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
        raise BenchError(f"{method} {path}: refused {TRIES_MAX} times")


@asynccontextmanager
async def senders_of(core: Core, targets: list[Target], sizes: Sizes) -> AsyncIterator[list[Sender]]:
    """Give a client for each candidate, ready to send."""
    connector = aiohttp.TCPConnector(limit=0)
    base = f"http://127.0.0.1:{core.port}"
    async with aiohttp.ClientSession(base, connector=connector, timeout=aiohttp.ClientTimeout()) as http:
        yield [Sender(http, target, n, sizes) for n, target in enumerate(targets)]


async def record_all(senders: list[Sender]) -> tuple[float, int]:
    """Let all candidates send at once; return the seconds it took, and how often one was refused."""
    started = time.monotonic()
    await asyncio.gather(*(each.record() for each in senders))
    return time.monotonic() - started, sum(each.refused for each in senders)


@asynccontextmanager
async def memory_of(pid: int) -> AsyncIterator[dict[str, float]]:
    """Give a process's private memory, MiB: `before`, `most` meanwhile, and at the end `after`."""
    found = {"before": _mib(pid)}
    found["most"] = found["before"]

    async def look() -> None:
        while True:
            found["most"] = max(found["most"], _mib(pid))
            await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.create_task(look())
    try:
        yield found
        found["after"] = _mib(pid)
    finally:
        await cancel([looking])


def _mib(pid: int) -> float:
    sizes = machine.memory_bytes(pid)
    if sizes is None:
        raise BenchError("the core API has ended")
    return sizes[1] / 2**20


def check_stored(core: Core, folder: Path, count: int) -> None:
    """Read every chunk back from the store; raises BenchError where one is missing or differs."""
    rows = run(core.servers.owner, EVIDENCE["list_stored"]).fetchall()
    if len(rows) != count:
        raise BenchError(f"{len(rows)} of {count} chunks are stored")
    store = open_tiers(stores_in(folder))["hot"]
    for key, sha256 in rows:
        hashed = hashlib.sha256()
        for piece in store.read(key):
            hashed.update(piece)
        if hashed.digest() != sha256:
            raise BenchError(f"{key} is not what was sent")


def stores_in(folder: Path) -> Settings:
    """Return settings with the stores that `running_core` makes in a folder."""
    return Settings(
        evidence_store=str(folder / "evidence"), evidence_cold_store=str(folder / "evidence-cold")
    )


def probe(core: Core, targets: list[Target], sizes: Sizes, seconds: float) -> Plan:
    """Return the plan to ask what else candidates ask, so often a second."""
    heads = [
        head("GET", "/student/exams/available", targets[n % len(targets)].token)
        for n in range(int(seconds * sizes.probe_per_s))
    ]
    plan = once_each(core, heads, b"", 200, connections=64, seconds=seconds)
    return msgspec.structs.replace(
        plan, retry_spread_s=0.0
    )  # what is refused counts with the time until it is not


async def measure(sizes: Sizes, screen: Screen, log: Path) -> EvidenceReport:
    """
    Run the benchmark on servers of its own; what the programs say goes to `log`.

    Raises:
        BenchError: a request failed, or a chunk is not in the store as it was sent.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        private_folder() as folder,
        open_servers(folder) as servers,
        running_core(servers, folder, log, 1, processes=sizes.core_processes) as core,
    ):
        about = describe(servers) | {"fdatasync_ms": machine.fdatasync_ms(folder)}
        targets = make_sessions(servers.owner, core.keyring, sizes.candidates, datetime.now(UTC))
        one = msgspec.structs.replace(sizes, candidates=1, chunks=1)
        async with senders_of(core, targets[:1], one) as warming:
            await record_all(warming)
        alone = await send("other routes alone", probe(core, targets, sizes, sizes.probe_s), screen)
        async with (
            senders_of(core, targets, sizes) as senders,
            memory_of(core.programs[0].process.pid) as memory,
        ):
            sending = asyncio.create_task(record_all(senders))
            within = await send("other routes meanwhile", probe(core, targets, sizes, sizes.probe_s), screen)
            seconds, refused = await sending
        await asyncio.to_thread(check_stored, core, folder, sizes.chunks + 1)
    screen.say(f"{sizes.chunks:,} chunks in {seconds:.1f} s, each read back and as it was sent")
    return EvidenceReport(
        chunks_per_s=sizes.chunks / seconds,
        mib_per_s=sizes.chunks * sizes.chunk_bytes / 2**20 / seconds,
        memory_mib=memory,
        others_p99_ms={"alone": alone.latency_ms["p99"], "meanwhile": within.latency_ms["p99"]},
        others_ratio=within.latency_ms["p99"] / alone.latency_ms["p99"],
        refused=refused,
        machine=about,
    )
