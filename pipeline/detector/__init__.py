"""
The reference detector: it looks at photographs and videos of candidates for faces, and adds events; it
decides nothing (spec.md V-4). An optional install (`make detector`).

`frames` are what is seen of a picture, `findings` what is made of that, both pure; `eyes` is the program that
opens what strangers sent, in a process of its own; `looking` holds that process, and `turns` carries results
from evidence to the stream.
"""

from importlib.util import find_spec
from typing import Final

LIBRARY: Final = "cv2"
MISSING: Final = "the face detector is not installed; `make detector` does it"


def is_installed() -> bool:
    """Tell whether the detector's library is there."""
    return find_spec(LIBRARY) is not None
