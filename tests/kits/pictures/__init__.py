"""
Pictures for the face detector: `astronaut.jpg` is Eileen Collins, photographed by NASA, in the public domain,
as scikit-image ships it; everything else is made from it.
"""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

Image = Any  # height, width, blue green red
ASTRONAUT: Final = Path(__file__).parent / "astronaut.jpg"
WIDTH, HEIGHT = 640, 480  # of a webcam
FACE: Final = (225, 115, 97)  # middle and width of the face in the photograph
WALL: Final = (120, 130, 125)


def webcam(share: float = 0.25) -> Image:
    """Return a webcam's picture with the face in its middle, of such a share of its width."""
    middle_x, middle_y, width = FACE
    scale = WIDTH * share / width
    face = cv2.resize(cv2.imread(str(ASTRONAUT)), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    left, top = WIDTH // 2 - round(middle_x * scale), HEIGHT // 2 - round(middle_y * scale)
    across = slice(max(0, left), min(WIDTH, left + face.shape[1]))
    down = slice(max(0, top), min(HEIGHT, top + face.shape[0]))
    picture[down, across] = face[down.start - top : down.stop - top, across.start - left : across.stop - left]
    return picture


def room() -> Image:
    """Return a picture of a wall with a shelf, and of nobody."""
    picture = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    for place in range(12):
        colour = (40 + 15 * place, 90, 200 - 12 * place)
        cv2.rectangle(picture, (40 + 45 * place, 120), (75 + 45 * place, 300), colour, -1)
    cv2.line(picture, (20, 305), (620, 305), (30, 50, 70), 8)
    return picture


def lit(picture: Image, factor: float) -> Image:
    """Return it brighter, or darker."""
    return np.clip(picture * factor, 0, 255).astype(np.uint8)


def blurred(picture: Image, sigma: float) -> Image:
    """Return it out of focus."""
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def turned(picture: Image, degrees: float) -> Image:
    """Return it turned about its middle."""
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderValue=WALL)


def noisy(picture: Image, deviation: float) -> Image:
    """Return it as a poor sensor gives it."""
    noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def covered(picture: Image, top: int, bottom: int) -> Image:
    """Return it with something in front of the face, between these lines."""
    picture = picture.copy()
    picture[top:bottom, 240:400] = (90, 60, 40)
    return picture


def two(left: float = 0.25, right: float = 0.2) -> Image:
    """Return a picture of two people beside one another."""
    return np.hstack([webcam(left)[:, 160:480], webcam(right)[:, 160:480][:, ::-1]])


def encoded(picture: Image, kind: str = ".jpg") -> bytes:
    """Return a picture as a file of a kind."""
    return bytes(cv2.imencode(kind, picture)[1])


def film(path: Path, pictures: list[Image], *, seconds_each: int = 5, per_second: int = 2) -> bytes:
    """Return a film, webm, that shows each picture for a while; `path` is where it is made."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), per_second, (width, height))
    for picture in pictures:
        for _ in range(seconds_each * per_second):
            writer.write(picture)
    writer.release()
    return path.read_bytes()
