"""Whole clients are generated from the public document, without a warning (spec.md X-3)."""

import inspect
import json
import shutil
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from core_api.app import routes
from core_api.web.documentation import whole
from ingest.routes import ROUTES as INGEST_ROUTES
from tests.kits.generated import TOOLS, node, operations_of, python_client, typescript

DOCUMENT = whole([*routes(), *INGEST_ROUTES])
COMPILED = {
    "compilerOptions": {
        "noEmit": True, "strict": True, "target": "es2022", "module": "es2022",
        "moduleResolution": "bundler", "lib": ["es2022", "dom"], "types": [], "noUnusedLocals": True,
        "skipLibCheck": False,
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return python_client(DOCUMENT, tmp_path_factory.mktemp("python"), "veritas_generated")


def test_a_whole_python_client_is_generated_and_knows_every_reply_x3(client: ModuleType) -> None:
    operations = operations_of(client)
    documented = {
        each["operationId"]: each for entry in DOCUMENT["paths"].values() for each in entry.values()
    }

    assert set(operations) == set(documented)
    for name, operation in documented.items():
        module = operations[name]
        assert ("body" in inspect.signature(module.sync_detailed).parameters) == ("requestBody" in operation)
        read = inspect.getsource(module._parse_response)
        assert [status for status in operation["responses"] if f"== {status}:" not in read] == [], name


def test_what_is_refused_is_a_typed_problem_x3(client: ModuleType) -> None:
    module, asking = (
        operations_of(client)["get_exam"],
        client.Client(base_url="http://nowhere", verify_ssl=False),
    )
    shown = DOCUMENT["components"]["responses"]["NotFound"]["content"]["application/problem+json"]
    reply = httpx.Response(404, json=shown["examples"]["not_found"]["value"])

    problem = module._parse_response(client=asking, response=reply)

    assert (problem.code, problem.status, problem.success) == ("not_found", 404, False)


def test_types_for_typescript_are_generated_and_a_client_over_them_compiles_x3(tmp_path: Path) -> None:
    said = typescript(DOCUMENT, tmp_path)
    shutil.copy(TOOLS / "sample.ts", tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps(COMPILED | {"files": ["sample.ts"]}))

    assert [line for line in said.splitlines() if "⚠" in line or "arn" in line or "rror" in line] == []
    assert node("tsc", "--project", tmp_path) == ""
