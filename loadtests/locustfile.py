"""
Candidates for locust: bursts, heartbeats, think time, tab switches, lost replies, disconnects, resends.

    locust -f loadtests/locustfile.py                        # the local stack, links made on the way
    locust -f loadtests/locustfile.py --links links.txt --host https://… [--ingest-url https://…]

Each user spends one launch link (`python -m loadtests.client.links` makes them), and behaves like the demo's
candidates. Being told to wait (429, 503 with Retry-After) is no failure: the user waits and sends again.
Everything else but a 2xx is.
"""

import random
import subprocess
import sys
import time  # not `from time import sleep`: locust replaces the attribute
from argparse import ArgumentParser
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any, Final

import orjson
from locust import events, task
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment
from locust.exception import StopUser

from kernel.events import HEARTBEAT_INTERVAL_S, EventType, Mode
from loadtests.client.behaviour import Act, conduct, temper_of
from loadtests.client.log import Log
from loadtests.client.outbox import Held
from loadtests.client.stack import local_stack
from loadtests.client.tab import Tab

REPLIES_LOST: Final = 0.05  # share of requests whose reply the candidate never sees
BACKOFF_S: Final = 0.5
BACKOFF_S_MAX: Final = 5.0
STORED_WITHIN_S: Final = 30.0
PROBE_S: Final = 0.5


class Hall:
    """What all users of this process share: the links not yet spent, the log, ingest's address."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.log = Log()
        self.ingest_url = ""


hall = Hall()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # locust has no types there
def add_options(parser: ArgumentParser) -> None:
    """Add this file's own options to locust's."""
    parser.add_argument(
        "--links", default="", help="File of launch tokens, one a line; made on the local stack if absent"
    )
    parser.add_argument(
        "--candidates", type=int, default=50, help="Links to make on the local stack, for each process"
    )
    parser.add_argument("--state", default=".veritas", help="Folder of the local stack")
    parser.add_argument("--ingest-url", default="", help="Where events go; the host by default")
    parser.add_argument("--think", type=float, default=1.0, help="Think times are multiplied by this")
    parser.add_argument("--log", default="", help="Write the clients' own log here, for the checker")


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # as above
def gather_links(environment: Environment, **_: object) -> None:
    """Read the links, or make them on the local stack."""
    asked = environment.parsed_options
    assert asked is not None, "locust parses its command line first"
    hall.log = Log(Path(asked.log) if asked.log else None)
    if asked.links:
        text = Path(asked.links).read_text(encoding="utf-8")
    else:
        command = [sys.executable, "-m", "loadtests.client.links", "--state", asked.state]
        command += ["--candidates", str(asked.candidates)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our own module
        stack = local_stack(Path(asked.state))
        environment.host = environment.host or stack.url
        asked.ingest_url = asked.ingest_url or stack.ingest_url
    hall.links = text.split()
    random.shuffle(hall.links)  # processes that share the file rarely try the same one
    hall.ingest_url = asked.ingest_url or environment.host or ""


class Candidate(FastHttpUser):
    """One candidate from the launch link to the hand-in."""

    network_timeout = 15.0
    connection_timeout = 5.0
    token = ""

    def on_start(self) -> None:
        """Spend a link: the attempt begins, and this client takes its proctor session up."""
        launched = None
        while launched is None:
            if not hall.links:
                raise StopUser
            launched = self._call("/api/auth/launch", {"token": hall.links.pop()}, may_conflict=True)
        self.token = str(launched["access_token"])
        self.attempt_id = launched["attempt_id"]
        opening = {"attemptId": launched["attempt_id"], "mode": int(Mode.Soft)}
        session = self._call("/api/proctor/session", opening)
        assert session is not None, "only a launch may conflict"
        self.dice = random.Random(session["data"]["proctorSessionId"])
        self.tab = Tab(session["data"]["proctorSessionId"], hall.log)
        self.acts = conduct(self.dice, temper_of(self.dice))
        self.beat_at = monotonic() + self.dice.uniform(0, HEARTBEAT_INTERVAL_S)
        self.online_at = 0.0
        self.failures = 0

    def _call(
        self, path: str, body: dict[str, Any], name: str = "", *, may_conflict: bool = False
    ) -> dict[str, Any] | None:
        """Return the reply; None where another process has spent the link. Other refusals end the user."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with self.client.post(
            path, json=body, headers=headers, name=name or path, catch_response=True
        ) as response:
            if may_conflict and response.status_code == HTTPStatus.CONFLICT:
                response.success()
                return None
            if not response.ok:
                response.failure(f"{response.status_code} {response.text}")
                raise StopUser
            reply: dict[str, Any] = orjson.loads(response.content)
            return reply

    @task
    def act(self) -> None:
        """Think, do, and send what there is unless the network is away."""
        act: Act = next(self.acts)
        time.sleep(act.after_s * self.environment.parsed_options.think)
        for event_type, severity, metadata in act.events:
            self.tab.record(event_type, severity, metadata)
        if act.offline_s:
            self.online_at = monotonic() + act.offline_s
        if monotonic() < self.online_at:
            return
        if monotonic() >= self.beat_at:
            self.beat_at = monotonic() + HEARTBEAT_INTERVAL_S
            self.tab.record(EventType.Heartbeat)
        if batch := self.tab.outbox.next_batch():
            self._send(batch)
        if self.tab.stopped_by:
            raise StopUser

    def on_stop(self) -> None:
        """Send what is left, wait until all of it is stored, hand in: the session ends with the attempt."""
        if not hasattr(self, "tab"):
            return
        deadline = monotonic() + STORED_WITHIN_S
        while len(self.tab.outbox) and monotonic() < deadline and self.tab.stopped_by is None:
            if batch := self.tab.outbox.next_batch():
                self._send(batch)
            else:
                time.sleep(PROBE_S)
                self._send(self.tab.outbox.probe(), probe=True)
        path = f"/api/student/attempts/{self.attempt_id}/submit"
        self._call(path, {}, name="/api/student/attempts/[id]/submit")

    def _send(self, batch: list[Held], *, probe: bool = False) -> None:
        path, body = self.tab.request_of(batch)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.tab.sent(batch, probe=probe)
        name = f"{path} (what is stored?)" if probe else path
        with self.client.post(
            hall.ingest_url + path, data=body.decode(), headers=headers, name=name, catch_response=True
        ) as response:
            status = response.status_code
            if status == 0:  # no reply: locust counts the error, the candidate sends again
                self.tab.unanswered(batch, str(response.error))
                self._back_off()
            elif status == HTTPStatus.ACCEPTED and self.dice.random() < REPLIES_LOST:
                self.tab.unanswered(batch, "lost on the way")
            elif status == HTTPStatus.ACCEPTED:
                self.failures = 0
                self.tab.accepted(batch, response.content)
            elif self.tab.refused(batch, status, response.content or b""):
                response.failure(f"{status} {response.text}")
            else:
                response.success()  # told to wait: that is how overload is meant to look
                self._back_off(float(response.headers.get("Retry-After", 0)))

    def _back_off(self, at_least_s: float = 0.0) -> None:
        window = min(BACKOFF_S_MAX, BACKOFF_S * 2**self.failures)
        self.failures = min(self.failures + 1, 10)
        time.sleep(at_least_s + self.dice.uniform(0, window))
