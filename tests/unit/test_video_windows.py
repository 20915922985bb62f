"""A window of a video has all frames that are shown in it, in files without an index, too."""

from fractions import Fraction

import numpy as np
import pytest
from clips import make_clip, read_clip

from face_anonymizer.modules.video import files, reading

FRAMES, RATE = 80, Fraction(25)
CODECS = {
    "mpeg2video": ["a.ts", "a.mpg", "a.vob", "a.mkv"],
    "mpeg1video": ["a.mpg"],
    "libx264": ["a.ts", "a.m2ts", "a.mp4", "a.mkv"],
    "libx265": ["a.ts", "a.mkv"],
    "mpeg4": ["a.ts", "a.avi"],
}


def same(frames, first):
    return frames


def shown(path, window=reading.WHOLE) -> tuple[Fraction, list[tuple[int, np.ndarray]]]:
    """Seconds a tick, and ticks and picture of each frame, in turn."""
    with reading.opened(str(path)) as container:
        stream = reading.video_stream(container)
        return stream.time_base, [(one.pts, one.to_ndarray()) for one in reading.frames(container, stream, window)]


@pytest.mark.parametrize("group", [12, 600], ids=["groups", "one group"])
@pytest.mark.parametrize(("codec", "name"), [(codec, name) for codec, names in CODECS.items() for name in names])
def test_a_window_has_all_its_frames(tmp_path, codec, name, group):
    """A broadcast is read from the group before; the frames up to the next one were left out without a word."""
    options = {"g": str(group), "bf": "0" if name == "a.avi" else "2", "sc_threshold": "1000000000"}
    if codec == "libx265":
        options = {"x265-params": f"log-level=none:keyint={group}:min-keyint={min(group, 12)}"}
    source = make_clip(tmp_path / name, FRAMES, rate=RATE, codec=codec, sound=("mp2",), options=options)
    tick, whole = shown(source)
    assert len(whole) == FRAMES
    for start_s, duration_s in ((0.9, 0.4), (2.0, 0.8), (2.61, 0.0)):
        start, end = int(start_s / tick), int((start_s + (duration_s or 100)) / tick)  # as ComfyUI rounds them
        expected = [(time, frame) for time, frame in whole if start <= time < end]
        _, found = shown(source, (start_s, duration_s))
        assert [time for time, _ in found] == [time for time, _ in expected] and len(expected) > 8
        assert all((one == other).all() for (_, one), (_, other) in zip(found, expected, strict=True))
    written = files.rewrite(source, tmp_path / "b.mkv", same, window=(2.0, 0.8))
    assert written.frames == 20 and written.problems == () and len(read_clip(tmp_path / "b.mkv").times) == 20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.mxf"])
@pytest.mark.parametrize("kind", ["intra-refresh=1:keyint=12", "open-gop=1:keyint=12"])
def test_a_window_has_the_frames_whose_key_pictures_are_none(tmp_path, name, kind):
    """What the file names key pictures was the begin of a refresh, or was shown behind others of the window."""
    options = {"bf": "3", "preset": "veryfast", "x264-params": kind}
    source = make_clip(tmp_path / name, 40, rate=Fraction(25), sound=(), options=options)
    tick, whole = shown(source)
    begin = float(whole[0][0] * tick)
    for start_s in (0.42, 0.501, 0.981):
        window = (begin + start_s, 0.4)
        start, end = int(window[0] / tick), int(sum(window) / tick)
        expected = [(time, frame) for time, frame in whole if start <= time < end]
        _, found = shown(source, window)
        expected = expected[: len(found)] if name == "a.mxf" else expected  # its times are not in turn
        assert [time for time, _ in found] == [time for time, _ in expected] and len(expected) > 7
        assert all((one == other).all() for (_, one), (_, other) in zip(found, expected, strict=True))


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.h264"), ("libx265", "a.hevc")])
def test_a_window_of_a_bare_stream_is_refused_with_a_next_step(tmp_path, codec, name):
    """It ended with *Operation not permitted*. The whole of it is read."""
    source = make_clip(tmp_path / name, 12, rate=RATE, codec=codec, sound=())
    assert files.rewrite(source, tmp_path / "b.mp4", same).frames == 12
    for window in ((0.2, 0.2), (0.0, 0.2)) if codec == "libx264" else ((0.2, 0.2),):
        with pytest.raises(ValueError, match="without times, of which no window can be read: take the whole of it"):
            files.rewrite(source, tmp_path / "c.mp4", same, window=window)


@pytest.mark.parametrize("name", ["a.mpg", "a.vob"])
@pytest.mark.parametrize("crf", range(18, 34, 2))
def test_pictures_without_times_do_not_pass_the_ends_of_a_window(tmp_path, name, crf):
    """Of one frame that was asked for 26 were written: few pictures of H.264 say there when they are shown.

    Which of them do, and which have the time of another one, is up to how many bytes each takes.
    """
    options = {"g": "12", "bf": "2", "crf": str(crf), "threads": "1"}
    source = make_clip(tmp_path / name, 60, rate=Fraction(25), sound=(), options=options)
    tick, whole = shown(source)
    assert len(whole) == 60 and any(time is None for time, _ in whole)
    begin = float(whole[0][0] * tick)
    for first, count in ((0, 4), (13, 1), (31, 12), (40, 4), (50, 10)):
        _, found = shown(source, (begin + first / 25 - 0.01, count / 25))
        assert [time for time, _ in found] == [whole[0][0] + 3600 * (first + n) for n in range(count)]
        assert all((one == other).all() for (_, one), (_, other) in zip(found, whole[first:], strict=False))
    written = files.rewrite(source, tmp_path / "b.mkv", same, window=(begin + 1.23, 0.04))
    assert written.frames == 1 and len(read_clip(tmp_path / "b.mkv").times) == 1


@pytest.mark.parametrize("group", [20, 300])
@pytest.mark.parametrize("name", ["a.mpg", "a.vob"])
def test_large_pictures_whose_times_are_told_are_all_in_a_window(tmp_path, name, group):
    """FFmpeg goes to where a picture is decoded: to go to when the first one is shown left out its whole group."""
    options = {"g": str(group), "bf": "3", "crf": "1", "threads": "1", "preset": "ultrafast"}
    source = make_clip(tmp_path / name, 60, size=(640, 368), rate=Fraction(25), sound=(), options=options)
    tick, whole = shown(source)
    assert len(whole) == 60 and sum(time is not None for time, _ in whole) > 30
    begin = float(whole[0][0] * tick)
    for first, count in ((1, 5), (13, 1), (31, 12), (50, 10)):
        _, found = shown(source, (begin + first / 25 - 0.01, count / 25))
        assert [time for time, _ in found] == [whole[0][0] + 3600 * (first + n) for n in range(count)]
        assert all((one == other).all() for (_, one), (_, other) in zip(found, whole[first:], strict=False))


def test_a_window_beside_the_video_is_refused_with_its_times(tmp_path):
    """A broadcast's first frame is not at zero, but at when it was sent."""
    times = [900_000 + number for number in range(30)]
    source = make_clip(tmp_path / "a.ts", 30, times=times, time_base=1 / RATE, rate=RATE, sound=())
    times_s = r"no frame in this window: its times go from 360\d\d\.\d\d to 360\d\d\.\d\d s\. Choose another start or"
    for window in ((2.0, 1.0), (50_000.0, 0.0)):
        with pytest.raises(ValueError, match=times_s):
            files.rewrite(source, tmp_path / "b.mp4", same, window=window)
    tick, frames = shown(source)
    begin = float(frames[0][0] * tick)
    assert files.rewrite(source, tmp_path / "b.mp4", same, window=(begin + 0.42, 0.4)).frames == 10
