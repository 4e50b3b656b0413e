"""Whatever bytes a file holds: it is read or refused whole, and each of its rows is planned or named."""

import gzip
from pathlib import Path

import msgspec
import pytest
from backports import zstd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.files.findings import by_kind
from kernel.files.reading import UnreadableError
from kernel.files.rows import Options
from loadtests.replay.mapping import Mapping, read_mapping
from loadtests.replay.planning import line_of, plan
from tests.kits.dirty_files import CASES, MAPPING, NDJSON, table

# What tables and JSON are made of, beside anything at all.
PIECES = [
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"{",
    b"}",
    b":",
    b"1",
    b"c1",
    b"9" * 25,
    b"\xff",
    b"\xc3\xa9",
]
ENCODINGS = [None, "utf-8", "latin-1", "cp1252", "utf-16", "utf-7", "shift_jis", "idna", "punycode", "hex"]


@st.composite
def dirty(draw: st.DrawFn) -> bytes:
    """Return a file of the corpus with some of its bytes taken out, doubled or replaced; or any bytes."""
    content = draw(st.sampled_from([table().encode(), *(case.content[:2000] for case in CASES)]))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.integers(0, 20)))
        between = draw(
            st.sampled_from([b"", content[at:to] * 2]) | st.sampled_from(PIECES) | st.binary(max_size=9)
        )
        content = content[:at] + between + content[to:]
    return draw(st.sampled_from([content, gzip.compress(content), zstd.compress(content)]))


@pytest.fixture(scope="module")
def mappings(module_folder: Path) -> dict[str, Mapping]:
    found = {}
    for name, text in {"csv": MAPPING, "ndjson": NDJSON, "tsv": 'format = "tsv"\n' + MAPPING}.items():
        (module_folder / f"{name}.toml").write_text(text)
        found[name] = read_mapping(module_folder / f"{name}.toml")
    return found


@settings(max_examples=400)
@given(
    content=dirty() | st.binary(max_size=300),
    form=st.sampled_from(["csv", "ndjson", "tsv"]),
    encoding=st.sampled_from(ENCODINGS),
    zone=st.sampled_from([None, "Europe/Rome"]),
)
@example(content=b"\x1f\x8b", form="csv", encoding=None, zone=None)
@example(content=b"\x28\xb5\x2f\xfd", form="csv", encoding=None, zone=None)
def test_a_row_is_planned_or_named(
    module_folder: Path,
    mappings: dict[str, Mapping],
    content: bytes,
    form: str,
    encoding: str | None,
    zone: str | None,
) -> None:
    file = module_folder / "file"
    file.write_bytes(content)
    try:
        found = plan(file, mappings[form], Options(encoding=encoding, zone=zone))
    except UnreadableError:
        return

    planned = {line_of(event.marker) for some in found.sessions.values() for event in some}
    refused = [each.line for each in found.findings if each.refuses]
    assert found.rows == len(planned) + len(refused)
    assert len({*planned, *refused}) == found.rows, "a row is one or the other, and named once"
    assert all(found.sessions.values()), "nobody is seated for nothing"
    for each in found.findings:
        assert each.line >= 1
        assert str(each).isprintable()
    assert msgspec.json.encode(by_kind(found.findings))
