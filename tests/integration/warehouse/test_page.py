"""What docs/warehouse.md shows works, with nothing but the warehouse's root (spec.md W-4)."""

import re
from pathlib import Path

import duckdb
import pytest

from tests.kits.warehouse import publish_some
from warehouse import catalogue
from warehouse.datasets import DATASETS
from warehouse.described import PAGE
from warehouse.folder import Folder
from warehouse.layout import json_columns, said_of

TEXT = PAGE.read_text(encoding="utf-8")
SAID = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
QUESTIONS = [text for text in SAID if not text.startswith("SET ")]
PROGRAMS = [text for text in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "obstore" not in text]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(str(tmp_path_factory.mktemp("warehouse")))
    publish_some(folder)
    catalogue.refresh(folder)
    return folder


def opened(root: Folder) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(Path(root.location) / catalogue.NAME), read_only=True)


def test_every_question_has_an_answer(root: Folder) -> None:
    with opened(root) as conn:
        for question in QUESTIONS:
            assert conn.execute(question).fetchall(), question
    assert len(QUESTIONS) > 4


def test_every_program_runs(root: Folder) -> None:
    for program in PROGRAMS:
        exec(program, {"root": root.location})  # noqa: S102  the page's own
    assert len(PROGRAMS) > 2


def test_views_and_columns_say_in_comments_what_the_datasets_say(root: Folder) -> None:
    with opened(root) as conn:
        views = dict(
            conn.execute("SELECT view_name, comment FROM duckdb_views() WHERE comment <> ''").fetchall()
        )
        comments = conn.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE comment <> ''"
        ).fetchall()
        kinds = conn.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE data_type = 'JSON'")
        parsed = set(kinds.fetchall())
    assert views == {name: dataset.grain for name, dataset in DATASETS.items()}
    assert set(comments) == {
        (name, field.name, said_of(field)) for name, dataset in DATASETS.items() for field in dataset.schema
    }
    assert parsed == {(name, each) for name, dataset in DATASETS.items() for each in json_columns(dataset)}


def test_a_folder_that_was_moved_is_read_where_it_is_now(tmp_path: Path) -> None:
    before = Folder(str(tmp_path / "before"))
    publish_some(before)
    catalogue.refresh(before)
    after = (tmp_path / "before").rename(tmp_path / "it's after")
    with duckdb.connect(str(after / catalogue.NAME), read_only=True) as conn:
        with pytest.raises(duckdb.IOException, match="No files found"):
            conn.execute("FROM submissions")
        conn.execute("SET VARIABLE warehouse = $1", [str(after)])
        rows = {name: conn.execute(f"SELECT count(*) FROM {name}").fetchone() for name in DATASETS}
    assert set(rows.values()) == {(3,)}
