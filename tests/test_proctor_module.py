"""What proctor-module.txt lists is there: each line of its testing checklist as a test, each endpoint."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from core_api.app import routes
from ingest.routes import ROUTES
from kernel.access import ACCESS
from tests.kits.samples import MODULE

HERE = Path(__file__).parent
# The document's words for the roles of ours.
ROLES = {
    "Candidate": {"student"}, "Instructor": {"teacher"}, "Reviewer": {"reviewer"}, "Admin": {"admin"},
    "All": {"student", "teacher", "reviewer", "admin"},
}  # fmt: skip


SAYS = "testing checklist: "


def bearing() -> Iterator[tuple[str, str]]:
    """
    Yield name and first sentence of each test of the checklist: of the functions that pytest collects,
    those that look at something.
    """
    for path in HERE.rglob("test_*.py"):
        if path == Path(__file__) or SAYS not in (text := path.read_text()):
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                sentence = (ast.get_docstring(node) or "").partition("\n")[0]
                if any(isinstance(each, ast.Assert | ast.With) for each in ast.walk(node)):
                    yield node.name, sentence.partition(SAYS)[2]


def test_every_line_of_the_testing_checklist_is_a_test_that_bears_its_words() -> None:
    """In its name and in its first sentence."""
    tests = [*bearing()]
    missing = []
    for line in MODULE.checklist:
        words = "_".join(re.findall(r"[a-z0-9]+", line.lower()))
        found = [name for name, sentence in tests if words in name and f'"{line}"' in sentence]
        if len(found) != 1:
            missing.append((line, found))

    assert len(MODULE.checklist) == 22
    assert missing == []


def test_every_endpoint_is_there_for_the_roles_that_the_document_names_a4() -> None:
    """Whoever else may call one stands beside it, with the reason."""
    actions = {
        (route.method, re.sub(r"{\w+}", "{}", route.path)): route.action for route in [*routes(), *ROUTES]
    }
    assert len(MODULE.endpoints) == 28
    for endpoint in MODULE.endpoints:
        method, _, path = endpoint.request.partition(" /api")
        action = actions[method, re.sub(r"{\w+}", "{}", path)]
        assert action is not None
        named = set().union(*(ROLES[each] for each in endpoint.roles.split(", ")))

        assert (set(ACCESS[action]), endpoint.request) == (named | endpoint.also.keys(), endpoint.request)
