"""
The page about the warehouse: what stands in docs/warehouse.md above a line is written by hand, below it by
the datasets themselves.

`python -m warehouse.described` writes the lower part anew; a test holds page and datasets equal.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kernel.running.process import prepare_process
from warehouse.datasets import DATASETS
from warehouse.layout import Dataset

PAGE: Final = Path(__file__).parents[1] / "docs/warehouse.md"
LINE: Final = "\n## Every dataset and column\n"
SAID: Final = """
Below this line `python -m warehouse.described` writes what the datasets say of themselves
(`warehouse/datasets/`). Types are those of the Parquet files.
"""


def page(text: str) -> str:
    """Return the page with its lower part as the datasets have it."""
    above = text.partition(LINE)[0]
    return "\n".join([above + LINE + SAID, *(line for each in DATASETS.values() for line in _section(each))])


def _section(dataset: Dataset) -> Iterator[str]:
    yield f"### {dataset.name}"
    yield ""
    yield (
        f"{dataset.grain[0].upper()}{dataset.grain[1:]}. Version {dataset.version}; a file has rows of one "
        f"partition ({dataset.partition_key}), sorted by {', '.join(dataset.sort)}."
    )
    yield ""
    yield "| column | type | unit | what it says | null says |"
    yield "|---|---|---|---|---|"
    for field in dataset.schema:
        about = {key.decode(): value.decode().replace("|", "\\|") for key, value in field.metadata.items()}
        kind = str(field.type).replace("element: ", "")
        shown = (about.get("unit", ""), about["description"], about.get("null", ""))
        yield f"| `{field.name}` | {kind} | {' | '.join(shown)} |"
    yield ""


if __name__ == "__main__":
    prepare_process()
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
