"""
The page that says what each number means: made of what the feature modules say of themselves.

`python -m pipeline.definitions > docs/analytics.md` writes it anew; a test holds page and modules equal, and
another runs every example.
"""

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

from pipeline import features
from pipeline.features.frames import Frame

HEAD: Final = """\
# What each number means

One section for each module of `pipeline/features/`, from its own words: `python -m pipeline.definitions`
writes this page. Nothing need run for any of them: import one, give it frames as the last section describes
them, and it returns the frame, or the row, that the warehouse holds. Examples run as tests, each with its
module's names at hand.

These rules hold for every number:

- It depends on its inputs alone: not on the order of rows, nor on how they are divided, nor on the hour.
- It is null where the evidence is insufficient.
- It comes with `metric_version`, the version of its definition; `coverage`, the share of its inputs that were
  there; and `reasons`: what makes it up, each with code, value, threshold, n, and a sentence.
- No demographics, country, centre or address is an input to a number about a person.
- The strongest automatic consequence of any number is that people look.
"""


def modules() -> list[ModuleType]:
    """Return the modules of features by name, and the frames that they take last."""
    names = sorted(each.name for each in iter_modules(features.__path__))
    return [
        import_module(f"{features.__name__}.{name}")
        for name in sorted(names, key=lambda name: name == "frames")
    ]


def page() -> str:
    """Return the page as Markdown."""
    found = modules()
    contents = "\n".join(f"- [{title_of(each)}](#{anchor_of(title_of(each))})." for each in found)
    return "\n".join([HEAD, contents, "", *(line for each in found for line in section(each))])


def title_of(module: ModuleType) -> str:
    """Return the first sentence of what a module says of itself, up to its colon."""
    first = (inspect.getdoc(module) or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"[:.](?: |$)", first)[0]


def anchor_of(title: str) -> str:
    """Return where a heading is found on its page."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def section(module: ModuleType) -> Iterator[str]:
    """Yield a module's section, line by line."""
    yield from (f"## {title_of(module)}", "", f"`{module.__name__}`", "")
    yield from (marked((inspect.getdoc(module) or "").removeprefix(f"{title_of(module)}.")), "")
    source = inspect.getsource(module)  # of the frames that are its own
    for name, each in vars(module).items():
        if isinstance(each, Frame) and f"\n{name}: Final = frame(" in source:
            yield from (f"### `{name}`", "", f"{each.grain.capitalize()}.", "")
            yield from ("| Column | Type | Meaning |", "|---|---|---|")
            yield from (
                f"| `{column}` | {each.schema[column]} | {about} |" for column, about in each.about.items()
            )
            yield ""


def marked(text: str) -> str:
    """Return a docstring as Markdown: its examples as code."""
    lines: list[str] = []
    code: list[str] = []
    for part in doctest.DocTestParser().parse(text):
        if isinstance(part, doctest.Example):
            code += [*prompted(part.source), *part.want.splitlines()]
        elif part.strip():
            lines += [*fenced(code), part.strip()]
            code = []
    return "\n\n".join([*lines, *fenced(code)])


def prompted(source: str) -> list[str]:
    """Return the lines of an example as an interpreter shows them."""
    first, *rest = source.splitlines()
    return [f">>> {first}", *(f"... {line}".rstrip() for line in rest)]


def fenced(code: list[str]) -> list[str]:
    """Return lines of code as one block, none as none."""
    return ["\n".join(["```python", *code, "```"])] if code else []


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  the module's one purpose when run
