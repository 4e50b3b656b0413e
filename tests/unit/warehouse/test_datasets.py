"""What every dataset says of itself, held for all of them at once (spec.md W-4)."""

import re
from collections import defaultdict

import pyarrow as pa
import pytest

from warehouse.datasets import DATASETS
from warehouse.described import PAGE, page
from warehouse.layout import Dataset, json_columns

ALL = pytest.mark.parametrize("dataset", DATASETS.values(), ids=list(DATASETS))
DERIVED = re.compile(r"UTC day of (\w+)")


def said(field: pa.Field) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


@ALL
def test_every_column_says_what_it_means_its_unit_and_what_null_says(dataset: Dataset) -> None:
    for field in dataset.schema:
        about = said(field)
        assert about["description"].endswith((".", ".)")), f"{field.name}: a sentence"
        assert not is_number(field.type) or about.get("unit"), f"{field.name}: a number without a unit"
        assert not pa.types.is_timestamp(field.type) or about.get("unit") == "UTC", field.name
        assert field.nullable == bool(about.get("null")), f"{field.name}: what null says, where it can be"
        assert not field.name.endswith("_id") or about.get("unit"), f"{field.name}: what kind of id"


@ALL
def test_rows_are_sorted_and_partitioned_by_what_is_there(dataset: Dataset) -> None:
    derived = DERIVED.fullmatch(dataset.partition_key)
    wanted = {*dataset.sort, derived[1] if derived else dataset.partition_key}
    assert wanted <= set(dataset.schema.names)
    assert not any(dataset.schema.field(name).nullable for name in wanted), "null has no place"
    assert all(pa.types.is_string(dataset.schema.field(name).type) for name in json_columns(dataset))


def test_columns_of_one_name_have_one_type_wherever_they_are_and_ids_one_unit() -> None:
    """So that whoever joins need not look, nor cast."""
    types, units = defaultdict(dict), defaultdict(dict)  # type: ignore[var-annotated]
    for dataset in DATASETS.values():
        for field in dataset.schema:
            types[field.name].setdefault(str(field.type), dataset.name)
            if field.name.endswith(("_id", "_ids")):
                units[field.name].setdefault(said(field).get("unit"), dataset.name)

    assert {name: found for name, found in types.items() if len(found) > 1} == {}
    assert {name: found for name, found in units.items() if len(found) > 1} == {}


def test_the_page_says_what_the_datasets_say() -> None:
    """Written anew by `python -m warehouse.described`."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text)
