"""docs/analytics.md is what the feature modules say, and what they show is so (spec.md W-1)."""

import doctest
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.definitions import modules, page

PAGE = Path(__file__).parents[3] / "docs/analytics.md"


def name_of(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def test_the_page_says_what_the_modules_say() -> None:
    """Written anew by `python -m pipeline.definitions > docs/analytics.md`."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_a_feature_shows_an_example_and_says_its_source(module: ModuleType) -> None:
    text = inspect.getdoc(module) or ""

    assert doctest.DocTestParser().get_examples(text), "an example (>>>) in the module's docstring"
    assert "Source:" in text


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_every_example_of_a_feature_gives_what_it_shows(module: ModuleType) -> None:
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)

    assert found.attempted
    assert not found.failed
