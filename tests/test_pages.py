"""What a machine can hold of the pages that people read."""

import re
from pathlib import Path

import pytest

from core_api.app import routes
from ingest.routes import ROUTES as INGEST_ROUTES
from kernel import access

ROOT = Path(__file__).parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))


def test_the_printed_access_table_is_the_one_in_force() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    printed = text.partition("<!-- access table -->\n")[2].partition("<!-- end of access table -->")[0]

    assert printed == access.table()


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "docs/redis-keys.md"])
def test_every_path_that_a_page_names_exists(page: str) -> None:
    """A bare file name may be anywhere below a room."""
    text = (ROOT / page).read_text()
    paths = set(re.findall(r"`([\w./-]+(?:\.(?:py|lua|sql|md|toml|yaml)|/))`", text))
    missing = {path for path in paths if not path.startswith((".", "build/")) and not (ROOT / path).exists()}
    bare = {path for path in missing if "/" not in path.rstrip("/") and any(ROOT.glob(f"[a-z]*/**/{path}"))}

    assert paths, "the search must find paths"
    assert missing - bare == set()


@pytest.mark.parametrize("page", PAGES)
def test_no_paragraph_of_a_page_breaks_off(page: str) -> None:
    """It ends as a sentence, a list, a table or code does, and a heading begins after a blank line."""
    text = re.sub(r"(?ms)^```.*?^```$", "", (ROOT / page).read_text())
    text = re.sub(r"\n\n((?: {4}.*\n)+)\n", r"\n\1", text)  # a formula is part of its sentence
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    told = [block for block in blocks if block and not block.startswith(("#", "|", "<"))]

    assert [block[-80:] for block in told if re.search(r"\n#+ ", block)] == []
    assert [block[-80:] for block in told if not re.search(r"[.:;!?)`>|*]$", block)] == []


def test_every_request_that_a_page_names_has_its_route() -> None:
    """`…` stands for what comes before, a segment that is no plain word for any."""
    served = [(each.method, each.path) for each in (*routes(), *INGEST_ROUTES)]
    asked = [
        (page, method, path)
        for page in PAGES
        if page != "docs/decisions.md"
        for method, path in re.findall(
            r"\b(GET|POST|PUT|PATCH|DELETE) ((?:/api|/proctor|/student|/teacher|…)/[^\s`\",;)?]+)",
            (ROOT / page).read_text(),
        )
    ]

    assert len(asked) > 30, "the search must find requests"
    for page, method, path in asked:
        assert any(_matches(method, path, *route) for route in served), (page, method, path)


def _matches(method: str, named: str, served_method: str, served: str) -> bool:
    words = [word for word in named.removeprefix("/api").removeprefix("…").split("/") if word]
    route = served.removeprefix("/api").strip("/").split("/")
    if method != served_method or len(words) > len(route) or (len(words) < len(route) and named[0] != "…"):
        return False
    return all(
        word == other or (other.startswith("{") and not re.fullmatch("[a-z-]+", word))
        for word, other in zip(words, route[len(route) - len(words) :], strict=True)
    )
