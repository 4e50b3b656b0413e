"""
A candidate's answer sheet as a good page keeps it: drafts saved while writing, all there is handed in.

What could not be saved, for the network was away, waits and is saved later; a sequence per question tells the
server which of two drafts is newer. A hand-in carries what was not saved yet and an Idempotency-Key, so that
it can be sent again until it is answered (spec.md D-1, S-1).
"""

import asyncio
import contextlib
import random
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import orjson

from loadtests.client.paper import HESITATES, Hand, guess, hand_of
from loadtests.client.stack import StackError, call

AUTOSAVE_S: Final = 3.0
TRIES_MAX: Final = 5
BACKOFF_S: Final = 0.5
DEADLINE: Final = aiohttp.ClientTimeout(total=10)


class Sheet:
    """The answers of one attempt."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, attempt_id: UUID, token: str, dice: random.Random
    ) -> None:
        """Prepare an empty sheet; `open` fetches the paper."""
        self.attempt_id = attempt_id
        self.drafts = 0  # that the server has accepted
        self.receipt: dict[str, Any] = {}
        self._http = http
        self.url = f"{url}/api/student/attempts/{attempt_id}"
        self._token = token
        self.hand: Hand = hand_of(dice)  # who answers
        self._dice = dice
        self._items: list[dict[str, Any]] = []
        self._written: dict[str, dict[str, Any]] = {}  # by question, as sent
        self._unsaved: set[str] = set()
        self._key = uuid4().hex
        self._body = b""

    async def open(self) -> None:
        """Fetch the questions."""
        reply = await call(self._http, "GET", f"{self.url}/paper", token=self._token)
        self._items = reply["paper"]["items"]

    def write(self, question: int, keys: int = 0) -> None:
        """Answer a question, given by its number from 1 on, or type so many keys more of a text."""
        item = self._items[(question - 1) % len(self._items)]
        before = self._answer_to(item)["response"]
        response = self.hand.final(item["kind"], item["content"])
        if item["kind"] == "essay":
            response = {"text": response["text"][: len(before.get("text", "")) + keys]}
        elif not before and self._dice.random() < HESITATES:
            response = guess(self._dice, item["kind"], item["content"])
        self._keep(item, response)

    def finish(self) -> None:
        """Answer what there was no time for, as everybody does in the last minute; a text stays as it is."""
        for item in self._items:
            before, final = self._answer_to(item)["response"], self.hand.final(item["kind"], item["content"])
            is_left_out = not before and self.hand.leaves_out(item["content"])
            if item["kind"] != "essay" and before != final and not is_left_out:
                self._keep(item, final)

    def answer_to(self, stem: str) -> dict[str, Any]:
        """Return what was last written of a question; nothing where it was left out."""
        found = [self._answer_to(item)["response"] for item in self._items if item["content"]["stem"] == stem]
        return dict(*found)

    def _answer_to(self, item: dict[str, Any]) -> dict[str, Any]:
        return self._written.get(item["question_id"], {"client_seq": 0, "response": {}})

    def _keep(self, item: dict[str, Any], response: dict[str, Any]) -> None:
        number, client_seq = item["question_id"], self._answer_to(item)["client_seq"] + 1
        self._written[number] = {"question_id": number, "client_seq": client_seq, "response": response}
        self._unsaved.add(number)

    async def save(self) -> None:
        """Save what was written since; what the network loses stays unsaved."""
        drafts = self._take_unsaved()
        if not drafts:
            return
        try:
            body = {"answers": drafts}
            saved = await call(self._http, "PUT", f"{self.url}/answers", token=self._token, body=body)
        except (StackError, TimeoutError, asyncio.CancelledError):
            self._unsaved |= {draft["question_id"] for draft in drafts}
            raise
        self.drafts += sum(each["accepted"] for each in saved["stored"])

    def _take_unsaved(self) -> list[dict[str, Any]]:
        drafts = [self._written[number] for number in sorted(self._unsaved)]
        self._unsaved.clear()
        return drafts

    async def hand_in(self) -> None:
        """Hand in and keep the receipt, trying again until it is answered; raises StackError."""
        self._body = self._body or orjson.dumps({"answers": self._take_unsaved()})
        for tried in range(1, TRIES_MAX + 1):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, reply = await self._submit()
                if status in {HTTPStatus.OK, HTTPStatus.CREATED}:
                    self.receipt = self.receipt or reply
                    return
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise StackError(f"the hand-in was refused: {status} {reply.get('detail')}")
            await asyncio.sleep(BACKOFF_S * tried * self._dice.uniform(0.5, 1.0))
        raise StackError("the hand-in was not answered")

    async def hand_in_again(self) -> bool:
        """Send the same hand-in once more, as after a lost reply; tell whether the receipt is the same."""
        status, reply = await self._submit()
        return status == HTTPStatus.OK and _without_place(reply) == _without_place(self.receipt)

    async def _submit(self) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Idempotency-Key": self._key,
        }
        url = f"{self.url}/submit"
        async with self._http.post(url, data=self._body, headers=headers, timeout=DEADLINE) as response:
            return response.status, orjson.loads(await response.read())

    async def fetch_receipt(self) -> dict[str, Any]:
        """Return the receipt as it is kept: the ledger's proof is in it once it is sealed."""
        return await call(self._http, "GET", f"{self.url}/receipt", token=self._token)


def _without_place(receipt: dict[str, Any]) -> dict[str, Any]:
    """Return what never changes of a receipt; where the ledger has it is known later."""
    return {name: value for name, value in receipt.items() if name != "ledger"}
