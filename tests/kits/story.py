"""
The examples of the public document, played on a running stack in the order of a story.

Ids and tokens of the examples stand for those that the stack gives: each reply says which.
"""

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import IO, Any, Final
from urllib.parse import urlencode

import jsonschema_rs
from msgspec import UNSET

from core_api.web.documentation import examples
from kernel.http.openapi import Example

WITHIN_S: Final = 60.0
# Numbers that stand for others, of `id` in replies too.
_NUMBERED: Final = ("proctorSessionId", "decisionId", "commandId", "evidenceId")
_NAMED: Final = re.compile(r"id$|.*(_id|_ids|Id|token|cursor)$")


def operations_in(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return every operation's method, path and description, by its name."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, entry in document["paths"].items()
        for method, operation in entry.items()
    }


def faults_of(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value, which may have no member that its schema does not know."""
    validator = jsonschema_rs.validator_for(
        {**schema, "components": {"schemas": _closed(document["components"]["schemas"])}},
        validate_formats=True,
    )
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def _closed(schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"additionalProperties": False, **schema} if "properties" in schema else schema
        for name, schema in schemas.items()
    }


def shown() -> Iterator[tuple[str, str, Example]]:
    """Return every example, with its operation's name and its own."""
    for operation, some in examples().items():
        for word, example in some.items():
            yield operation, word, example


class Story:
    """Who has which token, and what the ids of the examples stand for, as the stack has answered so far."""

    def __init__(self, url: str, tokens: dict[str, str], document: dict[str, Any]) -> None:
        self.url = url
        self.tokens = tokens
        self.document = document
        self.operations = operations_in(document)
        self.meant: dict[Any, Any] = {}

    def play(self, who: str, name: str, becomes: str | None = None) -> None:
        """Send an example as somebody, and hold the reply to what the document says and the example shows."""
        operation, _, word = name.partition(".")
        example = examples()[operation][word or "example"]
        method, path, described = self.operations[operation]
        deadline = time.monotonic() + WITHIN_S
        while True:
            status, headers, reply = self._send(method, path, example, self.tokens.get(who))
            wrong = self._differences(example, described, status, reply)
            wrong += [f"no {name}" for name in self._headers(described, status) if name not in headers]
            if not wrong or time.monotonic() > deadline or status >= 400:
                break
            time.sleep(0.2)  # what is stored and projected comes a moment later
        assert wrong == [], f"{name}.json: the server answered {status} {json.dumps(reply, indent=2)}"
        if reply is not None:
            self._bind(example.reply, reply, "")
        if becomes is not None:
            self.tokens[becomes] = reply["access_token"]

    def _send(self, method: str, path: str, example: Example, token: str | None) -> tuple[int, Message, Any]:
        for parameter, value in example.path.items():
            path = path.replace(f"{{{parameter}}}", str(self._live(value, "proctorSessionId")))
        if example.query:
            path += f"?{urlencode(self._live(example.query))}"
        headers = {"Content-Type": "application/json", **example.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = None if example.request is UNSET else json.dumps(self._live(example.request)).encode()
        if isinstance(example.request, str):  # a file
            body = base64.b64decode(example.request)
            headers["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
                kind = answer.headers.get_content_type()
                if kind == "text/event-stream":
                    return answer.status, answer.headers, _first_event(answer)
                read = answer.read()
                if kind.startswith("text/"):
                    return answer.status, answer.headers, read.decode() or None
                is_json = kind == "application/json"
                return answer.status, answer.headers, json.loads(read) if is_json else read or None
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, json.loads(refused.read() or b"null")

    def _headers(self, described: Any, status: int) -> list[str]:
        """Return the headers that every reply of a status has, as the document says."""
        headers = described["responses"].get(str(status), {}).get("headers", {})
        known = self.document["components"]["headers"]
        return [name for name in headers if known[name]["required"]]

    def _differences(self, example: Example, described: Any, status: int, reply: Any) -> list[str]:
        if status != example.status:
            return [f"status {status}"]
        content = described["responses"][str(status)].get("content")
        if isinstance(reply, bytes):
            is_alike = example.reply is UNSET or reply == base64.b64decode(example.reply)
            return [] if is_alike else ["other bytes"]
        if content is None:
            return [] if reply is None else ["a body"]
        (described,) = content.values()
        faults = faults_of(self.document, described["schema"], reply)
        return faults + list(_gone(example.reply, reply, "reply"))

    def _live(self, value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: self._live(each, name) for name, each in value.items()}
            case list():
                return [self._live(each, key) for each in value]
            case str():
                return self.meant.get(value, value)
            case int() if key in _NUMBERED:
                return self.meant.get(value, value)
            case _:
                return value

    def _bind(self, example: Any, live: Any, key: str) -> None:
        """Remember what the example's ids and tokens stand for."""
        match example, live:
            case dict(), dict():
                for name, each in example.items():
                    if name in live:
                        self._bind(each, live[name], name)
            case list(), list():
                for one, other in zip(example, live, strict=False):
                    self._bind(one, other, key)
            case (str(), str()) if "?grant=" in example:
                self.meant.setdefault(example.partition("=")[2], live.partition("=")[2])
            case (str(), str()) if _NAMED.match(key):
                self.meant.setdefault(example, live)
            case (int(), int()) if key in {"id", *_NUMBERED}:
                self.meant.setdefault(example, live)


def _first_event(stream: IO[bytes]) -> str:
    """Return what a stream begins with, up to the end of its first event that says something."""
    told = ""
    while not told.endswith("}\n\n"):
        told += stream.readline().decode()
    return told


def _gone(example: Any, live: Any, path: str) -> Iterator[str]:
    """Say what an example shows and a reply has not: members, and whatever is in a list."""
    match example, live:
        case dict(), dict():
            yield from (f"{path}.{name} is not there" for name in example if name not in live)
            for name in example.keys() & live.keys():
                yield from _gone(example[name], live[name], f"{path}.{name}")
        case list(), list():
            if len(live) < len(example):
                yield f"{path} has {len(live)} of {len(example)}"
            for n, (one, other) in enumerate(zip(example, live, strict=False)):
                yield from _gone(one, other, f"{path}[{n}]")
        case _ if example is not None and live is None:
            yield f"{path} is null"
