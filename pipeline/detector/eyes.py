"""
The program that opens pictures and videos: `python -m pipeline.detector.eyes`. It gets lines of JSON, the
Bounds and then what is Asked, and answers each with a line, Seen.

What it opens was sent by strangers, and libraries of C take it apart. So it is a process of its own with
bounds of its own: of memory, of time, of what it may write, which is nothing. Whoever holds it must expect it
to die.
"""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final

import cv2
import msgspec
import numpy as np

from pipeline.detector.frames import (
    MODEL_SHA256,
    SCORE_MIN,
    SHARPNESS_WIDTH,
    Asked,
    Bounds,
    Face,
    Frame,
    Seen,
    unseen,
)

FILE: Final = Path(__file__).parent / "model" / "face_detection_full_range.tflite"
SIDE: Final = 192  # pixels, of the square that the model looks at
GRID: Final = 48  # of its anchors, one in the middle of each field
OVERLAP_MAX: Final = 0.3  # of two boxes that are two faces
SHARE_MIN: Final = 0.02  # of the picture's width that a face has at least
NICENESS: Final = 10
GRACE_S: Final = 5.0
Image = Any  # cv2's arrays: height, width, blue green red, uint8


class Model:
    """BlazeFace, full range: a picture of 192 by 192 in, 2,304 boxes and how likely each is out."""

    def __init__(self) -> None:
        """Read the model; a file that is another one is a fault of the installation."""
        read = FILE.read_bytes()
        assert sha256(read).hexdigest() == MODEL_SHA256, "another model has another name"
        self._net = cv2.dnn.readNetFromTFLite(np.frombuffer(read, np.uint8))
        self._outputs = self._net.getUnconnectedOutLayersNames()
        fields = (np.arange(GRID) + 0.5) / GRID
        self._middles = np.stack(np.meshgrid(fields, fields), axis=-1).reshape(-1, 2)

    def faces(self, image: Image) -> tuple[list[Face], float]:
        """Return the faces of a picture, the likeliest first, and how likely the likeliest anywhere is."""
        height, width = image.shape[:2]
        scale = SIDE / max(height, width)
        size = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
        off = (SIDE - size) // 2
        square = np.zeros((SIDE, SIDE, 3), np.uint8)
        small = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
        square[off[1] : off[1] + size[1], off[0] : off[0] + size[0]] = small
        self._net.setInput(cv2.dnn.blobFromImage(square, 1 / 127.5, (SIDE, SIDE), (127.5,) * 3, swapRB=True))
        logits, boxes = sorted(self._net.forward(self._outputs), key=lambda found: found.shape[-1])
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -50, 50)))
        likely = np.flatnonzero(scores >= SCORE_MIN)
        middles = self._middles[likely] * SIDE + boxes[0, likely, 0:2]
        extents = boxes[0, likely, 2:4]
        corners = (middles - extents / 2 - off) / size
        found = np.concatenate([corners, extents / size, scores[likely, None]], axis=1)
        kept = cv2.dnn.NMSBoxes(found[:, :4].tolist(), found[:, 4].tolist(), SCORE_MIN, OVERLAP_MAX)
        faces = [Face(*map(float, found[place])) for place in np.array(kept).reshape(-1)]
        wide = [face for face in faces if face.width >= SHARE_MIN]
        return sorted(wide, key=lambda face: -face.score), float(scores.max())


def frame_of(model: Model, image: Image, at_s: float) -> Frame:
    """Return what is seen of a picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height = max(1, round(SHARPNESS_WIDTH * grey.shape[0] / grey.shape[1]))
    small = cv2.resize(
        grey, (SHARPNESS_WIDTH, min(height, SHARPNESS_WIDTH * 4)), interpolation=cv2.INTER_AREA
    )
    faces, best = model.faces(image)
    return Frame(
        at_s=at_s,
        faces=faces,
        best=best,
        luminance=float(grey.mean()),
        sharpness=float(cv2.Laplacian(small, cv2.CV_64F).var()),
    )


def look(model: Model, asked: Asked, bounds: Bounds) -> Seen:
    """Return what is seen of a file; what cannot be opened is told as a fault."""
    try:
        if asked.is_video:
            return _look_at_video(model, asked.path, bounds)
        image = cv2.imdecode(np.fromfile(asked.path, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError):
        return unseen("It is larger than the detector opens, or broken.")
    if image is None:
        return unseen("It cannot be opened as a picture.")
    return Seen([frame_of(model, image, 0.0)])


def _look_at_video(model: Model, path: str, bounds: Bounds) -> Seen:
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not video.isOpened() or width * height <= 0:
            return unseen("It cannot be opened as a video.")
        if width * height > bounds.pixels_max:
            return unseen("Its frames are larger than the detector opens.")
        frames, until, note = [], monotonic() + bounds.seconds_max, ""
        for at_s, image in _samples(video, bounds.every_s, until):
            frames.append(frame_of(model, image, at_s))
            if len(frames) == bounds.frames_max:
                note = f"Only the first {at_s:.0f} seconds were looked at."
                break
        if monotonic() >= until and frames:
            note = f"Only the first {frames[-1].at_s:.0f} seconds were looked at."
    finally:
        video.release()
    return Seen(frames, note) if frames else unseen("There is no frame in it that can be shown.")


def _samples(video: "cv2.VideoCapture", every_s: float, until: float) -> Iterator[tuple[float, Image]]:
    """Yield a frame every so often, with its place in seconds, until the time is over."""
    due_s = 0.0
    while monotonic() < until and video.grab():
        at_s = max(0.0, video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        if at_s >= due_s:
            is_shown, image = video.retrieve()
            if is_shown:
                yield at_s, image
                due_s = at_s + every_s


def limit(bounds: Bounds) -> None:
    """Bound this process for good."""
    os.nice(NICENESS)
    cv2.setNumThreads(1)
    for which, most in (
        (resource.RLIMIT_AS, bounds.memory_bytes_max),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))


def main() -> None:
    """Answer until nobody asks any more."""
    bounds = msgspec.json.decode(sys.stdin.buffer.readline() or b"{}", type=Bounds)
    limit(bounds)
    model = Model()
    _answer({"ready": True})
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, bounds.seconds_max + GRACE_S)  # its holder may be gone
        seen = look(model, msgspec.json.decode(line, type=Asked), bounds)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(seen)


def _answer(some: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(some) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
