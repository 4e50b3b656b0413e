"""What a machine can hold of the pages that people read."""

import re
from pathlib import Path

import pytest

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
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    told = [block for block in blocks if block and not block.startswith(("#", "|", "<"))]

    assert [block[-80:] for block in told if re.search(r"\n#+ ", block)] == []
    assert [block[-80:] for block in told if not re.search(r"[.:;!?)`>|*]$", block)] == []
