"""Statements by name, and their arguments."""

import pytest

from sql import Statements

STATEMENTS = Statements(
    "things",
    {
        "insert_thing": "INSERT INTO things VALUES (:name, :id, lower(:name))",
        "fetch_thing": "SELECT name FROM things WHERE id = $1",
    },
)


def test_arguments_by_name_come_in_the_order_of_the_numbers() -> None:
    text, *arguments = STATEMENTS.bind("insert_thing", id=7, name="a")

    assert text == "INSERT INTO things VALUES ($1, $2, lower($1))"
    assert arguments == ["a", 7]


@pytest.mark.parametrize("given", [{"id": 7}, {"id": 7, "nam": "a"}, {"id": 7, "name": "a", "at": 1}, {}])
def test_a_name_too_few_too_many_or_misspelled_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"things\.insert_thing takes name, id; .* were given"):
        STATEMENTS.bind("insert_thing", **given)


def test_a_statement_with_names_is_not_handed_out_without_them() -> None:
    with pytest.raises(TypeError, match="by name"):
        STATEMENTS["insert_thing"]

    assert STATEMENTS["fetch_thing"].endswith("$1")


def test_a_statement_without_names_takes_none() -> None:
    with pytest.raises(TypeError):
        STATEMENTS.bind("fetch_thing", id=7)


def test_a_statement_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        STATEMENTS["drop_thing"]
    with pytest.raises(KeyError):
        STATEMENTS.bind("drop_thing")
