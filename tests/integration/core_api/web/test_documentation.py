"""The OpenAPI document, its page, and health (spec.md X-1, X-3)."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from msgspec import UNSET
from openapi_spec_validator import validate
from structlog.testing import capture_logs

from core_api.app import build, routes
from core_api.web.documentation import FILES, whole
from deploy.local.postgres import Postgres
from ingest.routes import ROUTES as INGEST_ROUTES
from kernel.http.web import API_PREFIX
from kernel.settings import load
from tests.kits.core import JWT_KEYS, Core, DatabaseAs, core_api
from tests.kits.story import faults_of, operations_in, shown

OPERATIONS = Path(__file__).parent / "operations.txt"
# What a name begins with; one more needs a reason.
VERBS = re.compile(
    "(accept|acknowledge|act|add|adjust|amend|announce|apply|archive|assign|calculate|cancel|change|claim|confirm"
    "|connect|create|delete|dispute|download|draft|end|erase|escalate|export|finalise|flag|get|grade|grant|import"
    "|invite|launch|lift|list|lock|log|login|logout|make|negotiate|open|override|pause|place|preview|publish"
    "|refresh|register|release|remove|request|resume"
    "|resolve|review|revoke|save|send|set|show|start|stream|submit|terminate|toggle|try|undo|unflag|unlock|unpublish"
    "|update|upload|warn|withdraw)(_|$)"
)
WHOLE_LISTS = {  # a hundred at most, twenty, a hundred, two hundred and two
    "list_drafts",
    "list_commands",
    "list_risk_rules",
    "list_risk_adjustments",
    "list_session_reviews",
}
DOCUMENT = whole([*routes(), *INGEST_ROUTES])


async def test_the_document_is_served_whole_and_holds_every_route_x3(core: Core) -> None:
    """That it is valid is seen below, where the routes of both rooms are in it."""
    async with core.school() as api:
        answer = await api.get("/api/openapi.json")
        kept = await api.get("/api/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})

        assert answer.body == orjson.loads(orjson.dumps(whole(routes())))
        assert (kept.status, kept.body, kept.headers["ETag"]) == (304, b"", answer.headers["ETag"])
        for route in routes():
            assert route.method.lower() in answer.body["paths"][API_PREFIX + route.path]


@pytest.mark.slow("the validator walks the whole document")
async def test_the_document_of_both_rooms_is_valid_and_is_what_is_served_x3() -> None:
    settings = load({}, database_url="postgresql://nowhere", jwt_keys=JWT_KEYS)
    app = await build(settings, beside=INGEST_ROUTES)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    aliases = {(route.method, route.path) for route in [*routes(), *INGEST_ROUTES] if route.also_bare}
    validate(DOCUMENT)
    documented = {(method.upper(), path) for path, entry in DOCUMENT["paths"].items() for method in entry}

    assert served - documented - aliases == {("GET", path) for path in ("/", "/livez", "/readyz", "/metrics")}
    assert aliases <= served - documented
    assert documented <= served


def test_no_schema_is_named_after_where_its_type_lies_x3() -> None:
    """Two types of one name would be told apart by their modules, and a move would change the document."""
    assert [name for name in DOCUMENT["components"]["schemas"] if not name.isidentifier()] == []


def test_operations_keep_their_names_and_every_tag_is_described_x3() -> None:
    """The functions of generated clients are named after them: a new one gets a line, an old one stays."""
    named = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, entry in DOCUMENT["paths"].items()
        for method, operation in entry.items()
    }
    kept = dict(line.split(maxsplit=1) for line in OPERATIONS.read_text().splitlines())
    tags = {tag for entry in DOCUMENT["paths"].values() for each in entry.values() for tag in each["tags"]}

    assert named == kept
    assert [name for name in named if not VERBS.match(name)] == []
    assert {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]} == tags


def test_every_list_comes_in_pages_of_one_kind_in_its_family_x3() -> None:
    """Each takes `limit` and `cursor` and says the next one; what else there was is marked as deprecated."""
    schemas = DOCUMENT["components"]["schemas"]
    other = []
    for name, (_, path, operation) in operations_in(DOCUMENT).items():
        if not name.startswith("list_") or name in WHOLE_LISTS:
            continue
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        members = schemas[schema["$ref"].rpartition("/")[2]]
        asked = {
            each["name"]
            for each in operation["parameters"]
            if "name" in each and not each.get("deprecated", False)
        }
        if path.startswith("/api/proctor/"):
            says_next = "paging" in members["properties"] and "nextCursor" in schemas["Paging"]["required"]
        else:
            says_next = "next_cursor" in members["required"]
        if not (says_next and asked >= {"limit", "cursor"} and asked.isdisjoint({"page", "size", "after"})):
            other.append(name)

    assert other == []


def test_proctor_routes_answer_in_an_envelope_and_speak_camel_case_decision_4() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    wrong = []
    for name, (_, path, operation) in operations_in(DOCUMENT).items():
        if not path.startswith("/api/proctor/"):
            continue
        replies = [each for status, each in operation["responses"].items() if status < "300"]
        told = [each["content"]["application/json"]["schema"] for each in replies if is_json(each)]
        variants = [followed(one)["properties"].keys() for each in told for one in each.get("anyOf", [each])]
        wrong += [(name, "no envelope") for each in variants if not {"success", "data"} <= each]
        below = schemas_below([told, operation.get("requestBody", {})], schemas)
        members = {member for each in below for member in schemas[each].get("properties", ())}
        wrong += [(name, each) for each in members if "_" in each]

    assert wrong == [("export_evidence_custody", "signed_at")], "a signed head is the same everywhere"


def is_json(reply: dict[str, Any]) -> bool:
    return "application/json" in reply.get("content", {})


def test_no_body_has_a_member_that_nobody_knows_but_for_events_x3() -> None:
    """A name that is spelled wrong is a fault, and not silently nothing: every object of a body is closed."""
    schemas = DOCUMENT["components"]["schemas"]
    names = {
        name
        for _, _, operation in operations_in(DOCUMENT).values()
        if operation["tags"] != ["Events"]  # of which `ack.ignored` names what nobody knows
        for name in schemas_below(operation.get("requestBody", {}), schemas)
    }

    assert names > {"Login", "NewExam", "CreateSession", "ChoiceContent", "SingleChoice"}
    assert [name for name in sorted(names) if not is_closed(schemas[name])] == []


def followed(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document, or what it refers to."""
    found = DOCUMENT
    for name in part.get("$ref", "").split("/")[1:]:
        found = found[name]
    return found if "$ref" in part else part


def test_a_reply_names_the_headers_that_it_has_by_status_and_kind_x3() -> None:
    """What every reply has, but for the coding of a body that is not there; and what belongs to some."""
    of_status = {
        "304": {"ETag"},
        "401": {"WWW-Authenticate"},
        "415": {"Accept-Encoding"},
        "429": {"Retry-After"},
        "503": {"Retry-After"},
    }
    of_one = {
        ("get_openapi_document", "200"): {"ETag"},
        ("show_documentation", "200"): {"ETag"},
        ("get_documentation_file", "200"): {"ETag"},
        ("get_receipt", "200"): {"Content-Disposition"},
        **{
            (f"export_{each}", "200"): {"Content-Disposition"}
            for each in (
                *("exam_csv", "exam_parquet", "exam_xapi", "exam_caliper"),
                *("own_csv", "own_xapi", "own_caliper", "own_data", "person"),
            )
        },
        ("get_ledger_proof", "409"): {"Retry-After"},
        ("export_evidence_custody", "409"): {"Retry-After"},
    }
    wrong = []
    for name, (_, _, operation) in operations_in(DOCUMENT).items():
        for status, reply in operation["responses"].items():
            expected = {"Cache-Control", "Content-Encoding", "Vary", "X-Request-Id"}
            expected |= of_status.get(status, set()) | of_one.get((name, status), set())
            expected |= {"X-Ingest-Load"} if operation["tags"] == ["Events"] else set()
            expected -= {"Content-Encoding"} if status in {"101", "204", "304"} else set()
            if set(followed(reply)["headers"]) != expected:
                wrong.append((name, status, expected ^ set(followed(reply)["headers"])))

    assert wrong == []


def test_everything_that_operations_share_is_used_and_named_briefly_x3() -> None:
    said = orjson.dumps(DOCUMENT).decode()
    shared = [
        (kind, name)
        for kind in ("headers", "parameters", "responses", "schemas")
        for name in DOCUMENT["components"][kind]
    ]

    assert [each for each in shared if f'"#/components/{"/".join(each)}"' not in said] == []
    assert [name for _, name in shared if len(name) > 60] == []


def test_every_connection_that_stays_names_its_messages_x3() -> None:
    """Their types are held to what is told where streams and sockets are tested; the hub speaks SignalR's."""
    kept = [each for each in routes() if each.media_type in {"text/event-stream", "websocket"}]
    unsaid = []
    for route in kept:
        operation = DOCUMENT["paths"][API_PREFIX + route.path]["get"]
        told = operation.get("x-messages", {}).get("toClient", {}).get("anyOf", [])
        named = [each["$ref"].rpartition("/")[2] for each in told]
        if not named or any(f"(`{name}`): " not in operation["description"] for name in named):
            unsaid.append(route.name)

    assert unsaid == ["connect_to_proctor_hub"]


def schemas_below(value: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of all schemas that a part of the document leads to."""
    found, ahead = set[str](), [value]
    while ahead:
        match ahead.pop():
            case {"$ref": str(where)} if (name := where.rpartition("/")[2]) not in found:
                found.add(name)
                ahead.append(schemas[name])
            case dict(part):
                ahead += part.values()
            case list(part):
                ahead += part
    return found


def is_closed(schema: dict[str, Any]) -> bool:
    """Tell whether a schema is no object with named members, or takes no other members."""
    return "properties" not in schema or schema.get("additionalProperties") is False


def test_every_operation_has_an_example_that_is_as_its_schemas_say_x3() -> None:
    """That the server takes them and answers like them is seen where the whole stack runs."""
    operations = operations_in(DOCUMENT)
    wrong = []
    for name, word, example in shown():
        _, path, operation = operations[name]
        where = {each["name"]: each["in"] for each in operation["parameters"] if "$ref" not in each}
        assert set(re.findall(r"{(\w+)}", path)) == set(example.path), (name, word)
        assert all(where.get(each) == "query" for each in example.query), (name, word)
        reply = operation["responses"][str(example.status)].get("content", {})
        held = [
            (operation.get("requestBody", {}).get("content", {}), example.request),
            (reply, example.reply),
        ]
        for content, value in held:
            if value is not UNSET and "application/octet-stream" not in content:  # whose examples are base64
                wrong += [
                    (name, word, each)
                    for (of_kind,) in [content.values()]
                    for each in faults_of(DOCUMENT, of_kind["schema"], value)
                ]

    assert wrong == []
    successes = {
        (name, status)
        for name, (_, _, operation) in operations.items()
        for status in map(int, operation["responses"])
        if status < 300 and operation["tags"] != ["Documentation"]
    }
    assert successes == {(name, each.status) for name, _, each in shown() if each.status < 300}


def test_operations_have_a_name_a_description_and_described_parameters_x3() -> None:
    paths = DOCUMENT["paths"]
    operations = [operation for entry in paths.values() for operation in entry.values()]

    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for parameter in map(followed, operation["parameters"]):
            assert "schema" in parameter
            assert parameter.get("description"), (operation["operationId"], parameter["name"])
    listing = paths["/api/proctor/session/{id}/events"]["get"]
    described = {
        parameter["name"]: parameter for parameter in listing["parameters"] if "$ref" not in parameter
    }
    assert {"id", "limit", "cursor", "severity", "severityMin", "violation", "from", "to"} == set(described)
    assert described["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert all(parameter["description"] for parameter in described.values())


async def test_the_page_asks_no_other_host_for_anything_x3(core: Core) -> None:
    async with core.school() as api:
        page = await api.get("/api/docs")
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        wanted = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.body.decode())
        assert {name.removeprefix("docs/") for name in wanted} == set(FILES)
        for name in wanted:
            assert (await api.get(f"/api/{name}")).status == 200
        for name in ("nothing.js", "..%2Fdocs.html", "%2e%2e%2f%2e%2e%2fapp.py"):
            assert (await api.get(f"/api/docs/{name}")).status == 404


async def test_a_database_that_refuses_is_told_by_readiness_and_is_a_503_until_it_is_back_x1(
    database: str, database_as: DatabaseAs, postgres: Postgres
) -> None:
    administering = asyncpg.create_pool(postgres.url, min_size=1, max_size=1)
    async with administering as admin, core_api(database, database_as) as api:
        assert (await api.get("/readyz")).status == 200
        name = database.rpartition("/")[2]
        await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        await admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = $1 AND usename = 'veritas_core'",
            name,
        )
        ready = await api.get("/readyz")
        with capture_logs() as lines:
            refused = await api.get("/api/me", "student")
        await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")

        assert (ready.status, ready.body["wrong"]) == (503, ["PostgreSQL does not answer."])
        assert (refused.status, refused.body["code"]) == (503, "unavailable")
        assert refused.headers["Retry-After"] == "2"
        assert [line["cause"] for line in lines if line["event"] == "request_refused"] == [
            "TooManyConnectionsError"
        ]
        assert (await api.get("/livez")).status == 200
        assert (await api.get("/api/me", "student")).status == 200
