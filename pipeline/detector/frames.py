"""What the program that opens pictures is asked, and what it tells of them. Pure."""

from typing import Final

from msgspec import Struct

MODEL: Final = "mediapipe face_detection_full_range"
MODEL_VERSION: Final = "0.4.1657300184"
MODEL_SHA256: Final = "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"


class Bounds(Struct, frozen=True, kw_only=True):
    """
    What one piece of evidence may cost.

    `pixels_max` of a picture or frame; `frames_max` and `every_s` of a video; `seconds_max` of time, after
    which it tells what it has; `memory_bytes_max` of the process's addresses.
    """

    pixels_max: int
    frames_max: int
    every_s: float
    seconds_max: float
    memory_bytes_max: int


class Asked(Struct, frozen=True):
    """A file to look at."""

    path: str
    is_video: bool


class Face(Struct, frozen=True):
    """
    A face that may be there: its box in shares of the picture, which may reach out of it, and how sure the
    model is, 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    score: float

    @property
    def visible_share(self) -> float:
        """How much of the box lies within the picture."""
        across = max(0.0, min(1.0, self.x + self.width) - max(0.0, self.x))
        down = max(0.0, min(1.0, self.y + self.height) - max(0.0, self.y))
        whole = self.width * self.height
        return across * down / whole if whole > 0 else 0.0


class Frame(Struct, frozen=True, kw_only=True):
    """
    What is seen of a picture, or of a frame `at_s` seconds into a video.

    Attributes:
        at_s: seconds since the beginning.
        faces: those that the model finds more likely than SCORE_MIN, the likeliest first.
        best: the likeliest that it found at all, 0 to 1.
        luminance: mean of the picture, 0 to 255.
        sharpness: variance of the Laplacian at SHARPNESS_WIDTH pixels.
        fault: why nothing could be seen; empty where it could.
    """

    at_s: float = 0.0
    faces: list[Face] = []
    best: float = 0.0
    luminance: float = 0.0
    sharpness: float = 0.0
    fault: str = ""


class Seen(Struct, frozen=True):
    """The frames of a piece, at least one; `note` says what of it was not looked at."""

    frames: list[Frame]
    note: str = ""


def unseen(fault: str) -> Seen:
    """Return a piece of which nothing could be seen."""
    return Seen([Frame(fault=fault)])


SCORE_MIN: Final = 0.5
SHARPNESS_WIDTH: Final = 320
