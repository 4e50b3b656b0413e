"""
A world for requests that nobody thought of: what the access matrix has, a few things more, and for every
operation a request that succeeds.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

import msgspec
import psycopg
import requests
from requests.adapters import HTTPAdapter

from kernel.events import EventType
from kernel.http.web import API_PREFIX
from kernel.settings import load
from tests.fuzz.origin import Origin
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import Row, World, furnish, review_twice
from tests.kits.authoring import RIGHT, answer, save
from tests.kits.core import PASSWORD, school
from tests.kits.ingest.waiting import wait_until
from tests.kits.ledger import make_log
from tests.kits.pipeline_child import fold_now

ROLES: Final = ("student", "teacher", "reviewer", "observer", "admin", "service", None)
WITHIN_S: Final = 60
SEEN: Final = (EventType.TabSwitched, EventType.CopyAttempt)
Key = tuple[str, str]
numbers = count(1)


class From(HTTPAdapter):
    """Requests from an address of one's own, so that one world's refused sign-ins are not another's."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more, source_address=(self._address, 0))


class Place:
    """A world, and how its people ask."""

    def __init__(self, origin: Origin, world: World) -> None:
        self.url = origin.url
        self.world = world
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", From(world.api.address))
        self._database = origin.database
        self._generations: dict[str, int] = {}

    def token(self, role: str) -> str:
        return self.world.api.token(role, generation=self._generations.get(role, 0))

    def renew(self, role: str) -> None:
        """Let the role's tokens hold again, after what was signed out everywhere say."""
        with psycopg.connect(self._database) as conn:
            statement = "SELECT token_generation FROM users WHERE id = %s"
            row = conn.execute(statement, (self.world.api.people[role].id,)).fetchone()
        assert row is not None
        self._generations[role] = row[0]

    def post(self, path: str, body: Any, by: str | None = None) -> Any:
        """Return the reply to an act that succeeds."""
        headers = {} if by is None else {"Authorization": f"Bearer {self.token(by)}"}
        made = self.session.post(self.url + API_PREFIX + path, json=body, headers=headers, timeout=WITHIN_S)
        assert made.ok, made.text
        return made.json()

    def close(self) -> None:
        self.session.close()


def open_place(origin: Origin, *, whole: bool) -> Place:
    """Make a new world; where it is `whole`, with what the pipeline makes of it, too."""
    return asyncio.run(_open(origin, whole=whole))


async def _open(origin: Origin, *, whole: bool) -> Place:
    number = next(numbers)
    address = f"127.{100 + number // 250}.{number % 250}.1"
    async with school(origin.url, origin.database, label=f"-{number}", address=address) as api:
        world = await furnish(api)
        at = world.parameters
        opened = await api.call("PUT", "/api/admin/organisation", "admin", json={"registration_open": True})
        assert opened.status == 200, opened.body
        await save(api, at["attempt_id"], answer(at["question_id"], 1, **RIGHT["essay"]))
        if whole:
            await review_twice(world)
            asked = await api.post(f"/api/admin/users/{at['leaver_id']}/erasure", "admin")
            assert asked.status == 201, asked.body
            # By ingest: the writer may have stored events of its own already, of a silence.
            body = {"proctorSessionId": int(at["id"]), "events": [{"eventType": each} for each in SEEN]}
            sent = await api.post("/api/proctor/events/bulk", "student", json=body)
            assert sent.status < 300, sent.body
            await asyncio.to_thread(_project, origin, at)
    return Place(origin, world)


def _project(origin: Origin, at: Mapping[str, str]) -> None:
    """Let the pipeline do its work once the writer has stored what was seen."""

    def stored() -> bool:
        counted = "SELECT FROM events WHERE session_id = %s AND event_type = ANY(%s)"
        return conn.execute(counted, (at["id"], [int(each) for each in SEEN])).rowcount == len(SEEN)

    with psycopg.connect(origin.database, autocommit=True) as conn:
        wait_until(stored, "the writer to store the events")
    settings = load({}, database_url=origin.login("veritas_pipeline"))
    fold_now(settings)
    with psycopg.connect(origin.database) as conn:
        row = conn.execute(
            "SELECT events FROM reporting.attempt_activity WHERE attempt_id = %s", (at["attempt_id"],)
        )
        assert row.fetchone() is not None
    log = make_log(origin.database, origin.login, origin.folder)
    assert log.seal() > 0


def _open_link(place: Place) -> str:
    """Return the token of a launch link that nobody has used."""
    at = place.world.parameters
    links = place.post(
        f"/teacher/exams/{at['exam_id']}/launch-links", {"student_ids": [at["user_id"]]}, "teacher"
    )
    token: str = links["links"][0]["token"]
    return token


def _signed_in(place: Place) -> dict[str, Any]:
    signed_in: dict[str, Any] = place.post("/auth/login", _credentials(place))
    return signed_in


def _invitation(place: Place) -> str:
    """Return the token of an invitation that nobody has used, of somebody new."""
    body = {"email": f"invited-{next(numbers)}@here.example", "role": "student"}
    person = place.post("/admin/users", body, "admin")
    made = place.post("/admin/users/invitations", {"user_ids": [person["id"]]}, "admin")
    token: str = made["invitations"][0]["token"]
    return token


def _credentials(place: Place) -> dict[str, str]:
    return {"email": place.world.api.people["colleague"].email, "password": PASSWORD}


def _session(place: Place) -> int:
    return int(place.world.parameters["id"])


# What succeeds where the access matrix has no row, without a token and in ingest, or where it leaves a thing
# that is of no use to the next operation.
BODIES: Final[Mapping[Key, Callable[[Place], Any]]] = {
    ("POST", "/auth/register"): lambda place: {
        "organisation_id": str(place.world.api.people["student"].organisation_id),
        "email": f"new-{next(numbers)}@here.example",
        "password": PASSWORD,
    },
    ("POST", "/auth/login"): _credentials,
    ("POST", "/auth/refresh"): lambda place: {"refresh_token": _signed_in(place)["refresh_token"]},
    ("POST", "/auth/launch"): lambda place: {"token": _open_link(place)},
    ("PUT", "/teacher/evaluations/{evaluation_id}/draft"): lambda place: {
        "title": "Next", "items": [{"question_id": place.world.parameters["question_id"]}],
    },
    ("POST", "/auth/invitation"): lambda place: {"token": _invitation(place), "password": PASSWORD},
    ("POST", "/proctor/event"): lambda place: {"proctorSessionId": _session(place), "eventType": 102},
    ("POST", "/proctor/events/bulk"): lambda place: {
        "proctorSessionId": _session(place),
        "events": [{"eventType": 102, "severity": 1}, {"eventType": 1, "metadataJson": "{}"}],
    },
    ("POST", "/proctor/heartbeat"): lambda place: {"proctorSessionId": _session(place)},
    ("POST", "/monitor/events"): lambda place: {
        "attempt_id": place.world.parameters["attempt_id"], "event_type": "keystroke", "data": {"n": 1},
    },
}  # fmt: skip
PATHS: Final[Mapping[Key, dict[str, str]]] = {("GET", "/docs/{file}"): {"file": "docs.js"}}


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """A request that succeeds for somebody."""

    path: dict[str, str]
    headers: dict[str, str]
    body: Any


def good_request(place: Place, at: Key) -> Good:
    """Return a request that succeeds, made anew: what can be used once is new."""
    row = MATRIX.get(at) or Row(expected={})
    parameters = place.world.parameters
    path = parameters | {name: parameters[other] for name, other in row.path.items()} | PATHS.get(at, {})
    body = BODIES[at](place) if at in BODIES else row.body(place.world)
    return Good(path=path, headers=dict(row.headers), body=body)
