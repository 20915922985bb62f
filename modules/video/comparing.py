"""Whether a film that is to be saved with a report shows faces as they were before. Touches the host: its videos."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from comfy_api.latest import InputImpl

from ..faces.comparing import Comparison, FindAnyway
from ..faces.report import Report
from .files import probe, read_frames

_LOOKED_AT = 64  # frames of a film, evenly over those with faces; the first ones of people among them
_SEARCHES = 16  # of them are searched for in the report's; the others lie as the last one


def compare_film(report: Report, video, find: FindAnyway | None = None) -> Report:
    """Look at some frames of a film, and compare them with the report that is saved beside it.

    What stands between them is decoded, not looked at: some milliseconds a frame.

    Args:
        report: of the film, or of another one.
        video: ComfyUI's VideoInput.
        find: as Comparison has it.

    Returns:
        The report, with a note where the frames are none of its own, as far as anybody can tell.

    Raises:
        ValueError: frames show faces as they were, which the report says were changed. All else as files.probe.
    """
    if not report.traces:
        return report
    count, frames = _frames(report, video)
    comparison = Comparison(report, count, _SEARCHES, find)
    for number, frame in frames:
        comparison.look_at(number, frame)
    return comparison.judged()


def _frames(report: Report, video) -> tuple[int, Iterator[tuple[int, torch.Tensor]]]:
    """How many frames a film has, and those that are looked at, with their numbers."""
    if isinstance(video, InputImpl.VideoFromFile):
        source, window = video.get_stream_source(), video.get_active_trim_window()
        count = probe(source, window).frame_count
        return count, read_frames(source, _chosen(report, count), window)
    images = video.get_components().images
    return len(images), ((number, images[number]) for number in _chosen(report, len(images)))


def _chosen(report: Report, count: int) -> list[int]:
    numbers = sorted({trace.image for trace in report.traces}) if count == report.images else list(range(count))
    firsts: dict[int, int] = {}
    for entry in report.entries:
        if entry.track is not None and entry.image < count:
            firsts[entry.track] = min(firsts.get(entry.track, count), entry.image)
    first = sorted(firsts.values())[: _LOOKED_AT // 2] if count == report.images else []
    rest = max(1, _LOOKED_AT - len(first))
    step = max(1.0, (len(numbers) - 1) / max(1, rest - 1))
    return sorted({*first, *(numbers[min(round(i * step), len(numbers) - 1)] for i in range(rest) if numbers)})
