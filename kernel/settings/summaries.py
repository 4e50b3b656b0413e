"""Settings of summaries that a language model writes (spec.md, decision 16)."""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.detector import Detector


class Summaries(Detector, frozen=True, kw_only=True):
    """Which model is asked, and what asking it may cost."""

    llm_url: Annotated[
        str,
        about(
            "Base address of an OpenAI-compatible API whose model words summaries; none when empty.",
            pattern=r"^(https?://.*)?$(?!\n)",
        ),
    ] = ""
    llm_model: Annotated[str, about("The model that is asked there, and named beside what it wrote.")] = ""
    llm_api_key: Annotated[str, about("Sent there as a bearer token; none when empty.")] = ""
    llm_timeout_s: Annotated[float, about("Longest wait for one summary, seconds.", gt=0, le=300)] = 20.0
    llm_reply_bytes_max: Annotated[
        int, about("Of a model's reply; a longer one counts as none.", ge=1024, le=16 << 20)
    ] = 64 << 10
    llm_tokens_max: Annotated[int, about("That a model may write for one summary.", ge=16, le=8192)] = 600
