"""The face detector on real pictures, broken ones and bombs, from evidence to the stream (spec.md V-4)."""

import os
import random
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest

from kernel.events import EventType, EvidenceType
from kernel.settings import Settings, load
from kernel.storage.opening import key_of, open_tiers
from pipeline.detector.findings import Finding, finding_of
from pipeline.detector.frames import Asked
from pipeline.detector.looking import Looker
from pipeline.detector.turns import BEGINNING, BROKE, GONE, detect
from tests.kits import pictures
from tests.kits.pictures import covered, encoded, film, lit, noisy, room, turned, two, webcam
from tests.kits.pipeline_child import STEPS, fold_now, kill_at
from tests.kits.pipeline_world import Sitting, event, make_sittings, rows_of, store_now

NOISE: Final = random.Random(1).randbytes(2_000)
NOTICES: Final = """
SELECT event_type, severity, payload ->> 'result', payload -> 'reasons', (payload ->> 'evidenceId')::bigint
FROM session_notices ORDER BY minute
"""
DONE: Final = "SELECT evidence_id, is_exempt, has_seen, frames, events FROM detections ORDER BY evidence_id"
WAITING: Final = "SELECT count(*) FROM detector_claims"
FACE: Final = webcam()
SHOWN: Final[dict[str, tuple[pictures.Image, Finding]]] = {
    "near": (webcam(0.5), Finding.one),
    "usual": (FACE, Finding.one),
    "far": (webcam(0.07), Finding.one),
    "dim": (lit(FACE, 0.15), Finding.one),
    "bright": (lit(FACE, 1.5), Finding.one),
    "out of focus": (pictures.blurred(FACE, 8), Finding.one),
    "noisy": (noisy(FACE, 50), Finding.one),
    "turned left": (turned(FACE, 45), Finding.one),
    "turned right": (turned(FACE, -45), Finding.one),
    "a mask": (covered(FACE, 250, 330), Finding.one),
    "dark glasses": (covered(FACE, 190, 240), Finding.one),
    "a quarter cut off": (FACE[:, 280:], Finding.out_of_frame),
    "two": (two(), Finding.several),
    "one far behind": (two(0.25, 0.1), Finding.several),
    "nobody": (room(), Finding.none),
    "nobody, dark": (lit(room(), 0.2), Finding.unclear),
    "nobody, blurred": (pictures.blurred(room(), 12), Finding.unclear),
    "black": (lit(FACE, 0), Finding.unclear),
}


@pytest.fixture(scope="module")
def looker() -> Iterator[Looker]:
    with Looker(load({}, detector_pixels_max=4_000_000)) as looker:
        yield looker


def test_faces_are_found_in_real_pictures_as_the_documents_say(looker: Looker, tmp_path: Path) -> None:
    found = {}
    for name, (picture, _) in SHOWN.items():
        (tmp_path / "picture").write_bytes(encoded(picture))
        seen = looker.look(Asked(str(tmp_path / "picture"), is_video=False))
        assert seen is not None
        found[name] = finding_of(seen.frames[0])[0]

    assert found == {name: finding for name, (_, finding) in SHOWN.items()}


def png(width: int, height: int) -> bytes:
    """Return a picture of one colour: however large, a few kilobytes."""

    def chunk(kind: bytes, some: bytes) -> bytes:
        return struct.pack(">I", len(some)) + kind + some + struct.pack(">I", zlib.crc32(kind + some))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 3 * width)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_what_is_broken_or_a_bomb_is_one_of_which_nobody_could_tell(looker: Looker, tmp_path: Path) -> None:
    photo, shown = encoded(FACE), film(tmp_path / "film.webm", [FACE] * 2)
    broken: dict[str, tuple[bytes, bool]] = {
        "a bomb": (png(2_500, 2_000), False),
        "one that lies": (png(10, 10)[:16] + struct.pack(">II", 2**30, 2**30) + png(10, 10)[24:], False),
        "nothing": (b"", False),
        "a beginning": (photo[:200], False),
        "noise": (photo[:20] + NOISE, False),
        "a picture as a film": (photo, True),
        "a film's beginning": (shown[:300], True),
        "noise as a film": (shown[:40] + NOISE, True),
        "a list of files": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", True),
    }
    faults = {}
    for name, (some, is_video) in broken.items():
        (tmp_path / "piece").write_bytes(some)
        seen = looker.look(Asked(str(tmp_path / "piece"), is_video))
        faults[name] = seen is None or bool(seen.frames[0].fault)
    (tmp_path / "piece").write_bytes(photo)
    after = looker.look(Asked(str(tmp_path / "piece"), is_video=False))

    assert faults == dict.fromkeys(broken, True)
    assert after is not None
    assert finding_of(after.frames[0])[0] is Finding.one


def test_a_look_that_broke_off_is_followed_by_others(looker: Looker, tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(encoded(FACE))
    asked = Asked(str(tmp_path / "piece"), is_video=False)
    looker.look(asked)
    assert looker._process is not None
    os.kill(looker._process.pid, signal.SIGKILL)
    looker._process.wait()

    broken, after = looker.look(asked), looker.look(asked)

    assert broken is None
    assert after is not None


# -- from evidence to the stream


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        evidence_store=str(tmp_path / "hot"),
        evidence_cold_store=str(tmp_path / "cold"),
        detector_bytes_max=300_000,
    )


def keep(
    database: str,
    settings: Settings,
    sitting: Sitting,
    *chunks: bytes,
    kind: EvidenceType = EvidenceType.Image,
) -> int:
    """Store a piece of evidence, and confirm it."""
    with psycopg.connect(database) as conn:
        [evidence_id] = conn.execute(
            "INSERT INTO evidence (session_id, exam_id, organisation_id, uploader_id, type, is_chunked,"
            " file_name, content_type, start_at, requested_at, expires_at)"
            " SELECT id, exam_id, organisation_id, candidate_id, %s, %s, 'f', 'image/jpeg', started_at,"
            " now(), now() FROM proctor_sessions WHERE id = %s RETURNING id",
            (kind, len(chunks) > 1, sitting.session_id),
        ).fetchone() or (0,)
        for number, some in enumerate(chunks, 1):
            key = key_of(evidence_id, str(uuid4()))
            open_tiers(settings)["hot"].put(key, [some])
            conn.execute(
                "INSERT INTO evidence_chunks (evidence_id, number, size_bytes, sha256, object_key, stored_at)"
                " VALUES (%s, %s, %s, sha256(%s), %s, now())",
                (evidence_id, number, len(some), some, key),
            )
        conn.execute(
            "UPDATE evidence SET status = 2, closed_at = now(), sha256 = sha256('f') WHERE id = %s",
            (evidence_id,),
        )
    return int(evidence_id)


def due_again(database: str) -> None:
    """Let every lease have run out."""
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE detector_claims SET due_at = now()")


def noted(database: str) -> list[tuple[Any, ...]]:
    return [(row[0], row[1], row[2], row[4]) for row in rows_of(database, NOTICES)]


def test_what_is_found_in_confirmed_pictures_is_noted_once_for_the_stream(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    first, second = make_sittings(database, attempts=2)
    shown = film(tmp_path / "film.webm", [FACE, FACE, room(), room(), room()])
    pieces = [
        keep(database, settings, first, encoded(room())),
        keep(database, settings, first, encoded(FACE[::2, ::2], ".png")),
        keep(database, settings, first, encoded(room())),
        keep(database, settings, first, encoded(two())),
        keep(database, settings, second, shown[:9_000], shown[9_000:], kind=EvidenceType.Video),
    ]
    keep(database, settings, second, encoded(FACE), kind=EvidenceType.ScreenCapture)

    assert detect(settings, seconds_max=60) == len(pieces)
    assert detect(settings, seconds_max=60) == 0

    assert noted(database) == [
        (107, 0, "not_seen", pieces[0]),  # no face was seen before
        (107, 0, "seen", pieces[1]),
        (52, 1, "not_seen", pieces[2]),
        (53, 2, "seen", pieces[3]),
        (107, 0, "seen", pieces[4]),
        (52, 1, "not_seen", pieces[4]),
    ]
    assert [row[0] for row in rows_of(database, DONE)] == pieces
    assert rows_of(database, WAITING) == [(0,)]
    [(at, frame_at, started)] = rows_of(
        database,
        "SELECT n.noted_at, (payload ->> 'frameAt')::timestamptz, s.started_at FROM session_notices n"
        " JOIN proctor_sessions s ON s.id = n.session_id WHERE n.event_type = 53",
    )
    assert at == frame_at == started


def test_what_is_found_feeds_the_rules_as_any_event_does(settings: Settings, database: str) -> None:
    """P's defaults: a second face is worth 35 points, a missing one 25 at the third time within a minute."""
    [sitting] = make_sittings(database, attempts=1)
    for picture in (FACE, two(), room(), room(), room()):
        keep(database, settings, sitting, encoded(picture))
    detect(settings, seconds_max=60)
    found = rows_of(database, "SELECT noted_at, event_type, severity FROM session_notices ORDER BY minute")
    said = [event(at, EventType(kind), severity=severity) for at, kind, severity in found]
    store_now(database, sitting, [each | {"effective_at": each["occurred_at"]} for each in said])

    fold_now(settings)

    peak = "SELECT peak_risk_score::float8, risk_level FROM reporting.session_risk"
    assert rows_of(database, peak) == [(60.0, "High")]
    [(trace,)] = rows_of(database, "SELECT trace FROM risk_snapshots WHERE risk_score = 60")
    assert [each["events"] for each in trace] == [[3, 4, 5], [2]]


def test_a_candidate_who_is_exempt_is_not_looked_at_r6(settings: Settings, database: str) -> None:
    sitting, other = make_sittings(database, attempts=2)
    with psycopg.connect(database) as conn:
        for attempt, types in ((sitting.attempt_id, [52, 53]), (other.attempt_id, [52])):
            conn.execute(
                "INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)"
                " SELECT a.id, v.rule_id, 0, 'A veil', a.student_id, now() FROM exam_attempts a JOIN exams e"
                " ON e.id = a.exam_id JOIN risk_rule_versions v USING (organisation_id)"
                " WHERE a.id = %s AND v.event_type = ANY (%s)",
                (attempt, types),
            )
    exempt = keep(database, settings, sitting, encoded(two()))
    in_part = [keep(database, settings, other, encoded(each)) for each in (FACE, room(), two())]

    detect(settings, seconds_max=60)

    assert rows_of(database, DONE)[0] == (exempt, True, False, 0, 0)
    assert [(row[0], row[3]) for row in noted(database)] == [(107, in_part[0]), (53, in_part[2])]


def test_a_piece_that_is_gone_or_larger_than_is_looked_at_is_told_with_the_reason(
    settings: Settings, database: str
) -> None:
    [sitting] = make_sittings(database, attempts=1)
    keep(database, settings, sitting, encoded(FACE) + bytes(400_000))
    gone = keep(database, settings, sitting, encoded(FACE))
    keys = [
        key
        for (key,) in rows_of(database, f"SELECT object_key FROM evidence_chunks WHERE evidence_id = {gone}")
    ]
    open_tiers(settings)["hot"].delete(keys)

    detect(settings, seconds_max=60)

    reasons = [row[3] for row in rows_of(database, NOTICES)]
    assert reasons == [[BEGINNING], [GONE]]


def break_eyes(step: str) -> None:
    """Kill the process that opens pictures, where it has been started, before it looks at another one."""
    for folder in Path("/proc").iterdir() if step == "claimed" else ():
        with suppress(OSError):  # a process that has just ended
            is_ours = f"PPid:\t{os.getpid()}\n" in (folder / "status").read_text()
            if (
                folder.name.isdigit()
                and is_ours
                and b"pipeline.detector.eyes" in (folder / "cmdline").read_bytes()
            ):
                os.kill(int(folder.name), signal.SIGKILL)


def test_a_piece_that_breaks_the_detector_is_given_up_after_a_few_tries(
    settings: Settings, database: str
) -> None:
    [sitting] = make_sittings(database, attempts=1)
    first, breaking = (keep(database, settings, sitting, encoded(FACE)) for _ in range(2))
    detect(settings, seconds_max=60, step=break_eyes)
    before = noted(database)
    later = keep(database, settings, sitting, encoded(FACE))
    with psycopg.connect(database) as conn:
        conn.execute(
            "UPDATE detector_claims SET tries = 2, due_at = now() WHERE evidence_id = %s", (breaking,)
        )

    detect(settings, seconds_max=60, step=break_eyes)

    assert before == [(107, 0, "seen", first)]
    assert [row[3:] for row in rows_of(database, NOTICES)] == [([], first), ([BROKE], breaking), ([], later)]


def test_a_detector_that_is_killed_at_any_step_has_looked_once(settings: Settings, database: str) -> None:
    [sitting] = make_sittings(database, attempts=1)
    pieces = [keep(database, settings, sitting, encoded(two())) for _ in STEPS["detect"]]

    assert [kill_at("detect", settings, at) for at in STEPS["detect"]] == [True] * len(pieces)
    due_again(database)
    detect(settings, seconds_max=60)

    assert noted(database) == [(53, 2, "seen", piece) for piece in pieces]
    assert [row[0] for row in rows_of(database, DONE)] == pieces
    assert rows_of(database, WAITING) == [(0,)]
