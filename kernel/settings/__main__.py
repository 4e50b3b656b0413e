"""
`python -m kernel.settings` prints every setting with its default and what it is.
"""

from kernel.settings import described

for variable, default, text in described():
    print(f"{variable}={default}\n    {text}")  # noqa: T201  the module's one purpose
