"""
From evidence to the stream: a piece that is due is claimed, fetched and looked at, and what was found is
noted for the stream, in one transaction with that it has been looked at.

A look lasts, so a claim is a lease and no lock: whoever dies at a piece leaves it to the next one, and who is
slower than their lease finds another try counted, and has done nothing. After a few tries that broke off, a
piece is one of which nobody could tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from kernel.events import EvidenceType
from kernel.running.runtime import DETECTOR_LOOKED
from kernel.settings import Settings
from kernel.storage.opening import open_tiers
from kernel.storage.stores import MissingObjectError, Store
from pipeline.detector.findings import EVENTS_MAX, RULES_VERSION, Told, is_looked_at, tell
from pipeline.detector.frames import MODEL, MODEL_VERSION, Asked, Seen, unseen
from pipeline.detector.looking import READY_S, DetectorError, Looker
from sql import named
from sql.running import Connection, connect, one, rows, run
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

DETECTIONS: Final = named("detections")
FETCH_S: Final = 120.0  # of a lease, for what is fetched
RETRY_S: Final = 5.0  # after a look that broke off
BROKE: Final = "The detector broke off at it, several times."
GONE: Final = "It is no longer stored."
BEGINNING: Final = "Only its beginning was looked at."


class Piece(Struct, frozen=True):
    """
    A piece of evidence of a session, and what is known of its candidate.

    It was taken between `started_at` and `until`, at `taken_at` as its sender says.
    """

    session_id: int
    type: int
    tier: str
    taken_at: datetime
    started_at: datetime
    until: datetime
    object_keys: list[str]
    exempt: frozenset[int]
    has_seen: bool

    @property
    def is_video(self) -> bool:
        """Whether it is more than one picture."""
        return self.type == EvidenceType.Video

    def moment(self, at_s: float) -> datetime:
        """Return when something in it took place, as far as its sender can be believed."""
        return max(self.started_at, min(self.until, self.taken_at + timedelta(seconds=at_s)))


def detect(settings: Settings, *, seconds_max: float, step: Step = no_step) -> int:
    """
    Look at what is due, piece by piece, until nothing is or the time is over; return at how many.

    Args:
        settings: where database and evidence are, and the bounds of a look.
        seconds_max: after which no further piece is begun.
        step: called with a name after each step that a crash could follow.

    Raises:
        DetectorError: the detector cannot work; nothing is lost, and no try is counted.
    """
    until, looked, stores = monotonic() + seconds_max, 0, open_tiers(settings)
    lease_s = settings.detector_piece_s + READY_S + FETCH_S
    with connect(settings.database_url) as conn, Looker(settings) as looker:
        while monotonic() < until:
            claimed = run(conn, DETECTIONS["claim_piece"], lease_s).fetchone()
            if claimed is None:
                break
            step("claimed")
            _take(conn, settings, stores, looker, claimed, step)
            looked += 1
    return looked


def _take(
    conn: Connection,
    settings: Settings,
    stores: Mapping[str, Store],
    looker: Looker,
    claimed: Sequence[int],
    step: Step,
) -> None:
    """Look at a claimed piece and settle it, or leave it for another try."""
    evidence_id, tries = claimed
    found = next(iter(rows(conn, DETECTIONS["read_piece"], evidence_id)), None)
    if found is None:  # it was deleted, and its claim with it
        return
    piece = Piece(**found | {"exempt": frozenset(found["exempt"])})
    try:
        seen = _seen(settings, stores[piece.tier], looker, piece) if is_looked_at(piece.exempt) else None
    except DetectorError:
        run(conn, DETECTIONS["give_back"], evidence_id, tries)
        raise
    except Exception:
        log.exception("evidence_not_looked_at", evidence_id=evidence_id)
        run(conn, DETECTIONS["put_off"], evidence_id, tries, settings.warehouse_retry_s_max)
        DETECTOR_LOOKED.labels("failed").inc()
        return
    step("looked")
    if seen is None and is_looked_at(piece.exempt):
        if tries < settings.detector_tries_max:
            log.warning("detector_broke_off", evidence_id=evidence_id, tries=tries)
            run(conn, DETECTIONS["put_off"], evidence_id, tries, RETRY_S)
            DETECTOR_LOOKED.labels("broke_off").inc()
            return
        seen = unseen(BROKE)
    _settle(conn, evidence_id, tries, piece, seen, step)


def _seen(settings: Settings, store: Store, looker: Looker, piece: Piece) -> Seen | None:
    """Return what is seen of a piece; None where looking broke off."""
    with TemporaryDirectory(prefix="veritas-look-") as folder:
        file = Path(folder) / "piece"
        try:
            is_whole = _fetch(store, piece.object_keys, file, settings.detector_bytes_max)
        except MissingObjectError:
            return unseen(GONE)
        seen = looker.look(Asked(str(file), piece.is_video))
    if seen is None or is_whole:
        return seen
    return replace(seen, note=f"{BEGINNING} {seen.note}".strip())


def _fetch(store: Store, keys: Sequence[str], file: Path, bytes_max: int) -> bool:
    """Write what objects hold into a file, one after the other, up to a bound; tell whether that is all."""
    left = bytes_max
    with file.open("wb") as into:
        for some in _pieces(store, keys):
            into.write(some[:left])
            left -= len(some)
            if left < 0:
                return False
    return True


def _pieces(store: Store, keys: Sequence[str]) -> Iterator[bytes]:
    for key in keys:
        yield from store.read(key)


def _settle(
    conn: Connection, evidence_id: int, tries: int, piece: Piece, seen: Seen | None, step: Step
) -> None:
    """Store what was found of a piece, once; of one that was not looked at that its candidate is exempt."""
    told: list[Told] = []
    has_seen = False
    if seen is not None:
        told, has_seen = tell(seen, exempt=piece.exempt, has_seen=piece.has_seen, evidence_id=evidence_id)
    with conn.transaction():
        if one(conn, DETECTIONS["settle_piece"], evidence_id, tries) is None:
            return
        step("settled")
        detection = {
            "evidence_id": evidence_id,
            "session_id": piece.session_id,
            "model": f"{MODEL} {MODEL_VERSION}, rules {RULES_VERSION}",
            "is_exempt": seen is None,
            "has_seen": has_seen,
            "frames": 0 if seen is None else len(seen.frames),
            "events": len(told),
        }
        run(conn, *DETECTIONS.bind("put_detection", **detection))
        run(conn, *DETECTIONS.bind("note_events", **_notices(evidence_id, piece, told)))
        step("noted")
    step("committed")
    DETECTOR_LOOKED.labels("exempt" if seen is None else "looked").inc()


def _notices(evidence_id: int, piece: Piece, told: Sequence[Told]) -> dict[str, Any]:
    """Return the columns of what the stream is to say."""
    moments = [piece.moment(each.at_s) for each in told]
    results = [replace(each.result, frame_at=at) for each, at in zip(told, moments, strict=True)]
    return {
        "session_id": piece.session_id,
        "places": [evidence_id * (EVENTS_MAX + 1) + place for place in range(len(told))],
        "severities": [int(each.severity) for each in told],
        "moments": moments,
        "types": [int(each.event_type) for each in told],
        "payloads": [msgspec.json.encode(result).decode() for result in results],
    }
