"""Helpers of the push providers' adapters: the Retry-After header, and the verdict for a missing answer."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

from sut.adapters.push.h2_client import NoAnswer
from sut.ports import PushAnswer, Verdict


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, given as a number or a date; 0 when there is none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def unanswered(error: NoAnswer) -> PushAnswer:
    """Return LATER if only this push had no answer; UNREACHABLE if the whole connection failed."""
    return PushAnswer(Verdict.LATER if error.own else Verdict.UNREACHABLE, reason=str(error))
