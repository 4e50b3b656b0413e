"""Parameters by name: only what is one is numbered, whatever stands around it."""

from collections.abc import Sequence

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql.parameters import numbered
from sql.running import run

NAMES = st.sampled_from(["id", "at", "seen_at", "x9"])
# What looks like a parameter, a number or an end, and is text where it stands.
ANYTHING = st.text(alphabet=":ai$1'\"\\-/*; \n", max_size=12)


def in_dollars(tag: str, text: str) -> str:
    end = f"${tag}$"
    return f"{end}{text.replace('$', '')}{end}"


OTHERS = st.one_of(
    st.sampled_from(
        ["SELECT", "x", "1", "5.0", "(", ")", ",", "||", "f(y := 1)", "'{}'::text[]", "x[low:high]"]
    ),
    ANYTHING.map(lambda text: "'" + text.replace("'", "''") + "'"),
    ANYTHING.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    ANYTHING.map(lambda text: '"' + text.replace('"', '""') + '"'),
    ANYTHING.map(lambda text: "--" + text.replace("\n", " ") + "\n"),
    st.builds(in_dollars, st.sampled_from(["", "tag", "a1"]), ANYTHING),
)
PIECES = st.lists(
    st.tuples(st.just(""), OTHERS) | st.tuples(NAMES, st.sampled_from(["", "::text", "::int[]"]))
)


@given(PIECES)
def test_names_become_numbers_and_all_else_stays_as_it_is(pieces: Sequence[tuple[str, str]]) -> None:
    names = list(dict.fromkeys(name for name, _ in pieces if name))
    text = " ".join(f":{name}{rest}" if name else rest for name, rest in pieces)

    written = " ".join(f"${names.index(name) + 1}{rest}" if name else rest for name, rest in pieces)
    assert numbered(text) == (written, tuple(names))


@given(st.text(alphabet=":ab$1'\"E\\-/*;[]() \n", max_size=40))
def test_what_is_numbered_has_nothing_left_to_number(text: str) -> None:
    try:
        written, names = numbered(text)
    except ValueError:
        return

    assert numbered(written) == (written, ())
    assert bool(names) == (written != text)


@pytest.mark.parametrize(
    "text",
    ["SELECT :id, $1", "SELECT 'it", 'SELECT "it', "SELECT /* :id */ 1", "SELECT $$ it", "SELECT E'it\\'"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not both|is not read"):
        numbered(text)


def test_postgresql_reads_a_statement_as_the_loader_does(database: str) -> None:
    text, names = numbered(
        """
        SELECT :a::int + :b::int, ':a', E'\\':a', $$':a'$$, $t$:b$t$, (ARRAY[1, 2, 3])[:a:2], -- :a
               make_interval(days => :b::int)::text, '{"x": 1}'::jsonb ->> 'x', 7 AS ":a"
        """
    )
    with psycopg.connect(database) as conn:
        row = run(conn, text, 2, 5).fetchone()

    assert names == ("a", "b")
    assert row == (7, ":a", "':a", "':a'", ":b", [2], "5 days", "1", 7)
