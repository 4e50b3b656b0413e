"""Settings of the face detector, where it is installed (spec.md V-4)."""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.analytics import Analytics


class Detector(Analytics, frozen=True, kw_only=True):
    """What one piece of evidence may cost that the face detector looks at."""

    detector_bytes_max: Annotated[
        int, about("Of a piece of evidence that the detector looks at, bytes from its beginning.", ge=1024)
    ] = 256 << 20
    detector_pixels_max: Annotated[
        int, about("Pixels of a picture, or of a video's frame, that the detector opens.", ge=1024)
    ] = 32 << 20
    detector_frame_every_s: Annotated[
        float, about("Seconds of a video between two frames that the detector looks at.", gt=0)
    ] = 5.0
    detector_frames_max: Annotated[
        int, about("Frames of one video that the detector looks at.", ge=1, le=10_000)
    ] = 360
    detector_piece_s: Annotated[
        float, about("Seconds that the detector takes for one piece of evidence.", gt=0, le=1800)
    ] = 60.0
    detector_memory_bytes_max: Annotated[
        int, about("Address space of the process that opens pictures, bytes.", ge=1 << 29)
    ] = 2 << 30
    detector_tries_max: Annotated[
        int, about("Times that the detector begins with a piece that breaks it.", ge=1, le=100)
    ] = 3
