"""
Types for TypeScript are generated from the public document, without a warning (spec.md X-3).

The Python client is generated, and looked at, where it drives an exam: `test_running_stack.py`.
"""

import json
import shutil
from pathlib import Path

from core_api.app import routes
from core_api.web.documentation import whole
from ingest.routes import ROUTES as INGEST_ROUTES
from tests.kits.generated import TOOLS, node, typescript

DOCUMENT = whole([*routes(), *INGEST_ROUTES])
COMPILED = {
    "compilerOptions": {
        "noEmit": True, "strict": True, "target": "es2022", "module": "es2022",
        "moduleResolution": "bundler", "lib": ["es2022", "dom"], "types": [], "noUnusedLocals": True,
        "skipLibCheck": False,
    }
}  # fmt: skip


def test_types_for_typescript_are_generated_and_a_client_over_them_compiles_x3(tmp_path: Path) -> None:
    said = typescript(DOCUMENT, tmp_path)
    shutil.copy(TOOLS / "sample.ts", tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps(COMPILED | {"files": ["sample.ts"]}))

    assert [line for line in said.splitlines() if "⚠" in line or "arn" in line or "rror" in line] == []
    assert node("tsc", "--project", tmp_path) == ""
