"""Video files: frames in chunks, a file rewritten with exact times and sound, copies that tell nothing."""

import io
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import av
import numpy as np
import pytest
import torch
from clips import NTSC, SECRET, make_clip, picture, read_clip

from face_anonymizer.modules.output.xmp import DIGITAL_SOURCE_TYPE
from face_anonymizer.modules.video import files as video

IRREGULAR = [0, 3003, 4504, 9009, 9100, 30000, 30001, 45045]  # of 90000 a second
CLIPS = {
    "ntsc": {"frames": 47},  # with B-frames
    "irregular": {"times": IRREGULAR, "time_base": Fraction(1, 90000), "options": {"bf": "0"}},
    "one_frame": {"frames": 1, "sound": ()},
    "odd_size": {"size": (161, 97), "pixels": "yuv444p"},
    "two_tracks": {"sound": ("aac", "aac")},
    "late_start": {"times": list(range(25, 60)), "time_base": 1 / NTSC, "options": {"bf": "0"}},
}


def same(frames, first):
    return frames


def heard(path, track: int) -> tuple[float, np.ndarray]:
    """When a sound track begins, in seconds, and its samples [channels, n]."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=track))
    samples = [frame.to_ndarray().astype(float) for frame in frames]
    samples = [part if len(part) > 1 else part.reshape(-1, 2).T for part in samples]  # all clips here are in stereo
    scale = {"s16": 32768, "s32": 2**31}.get(frames[0].format.name.removesuffix("p"), 1)
    return float(frames[0].pts * frames[0].time_base), np.concatenate(samples, 1) / scale


def sounds_alike(before, after, exact: bool = False, late_s: float = 0.0) -> int:
    """How many sound tracks two files have, which sound the same, at the same time and as long."""
    tracks = len(read_clip(after).sound)
    for track in range(tracks):
        (starts, samples), (begins, sound) = heard(before, track), heard(after, track)
        assert begins == pytest.approx(starts + late_s, abs=0.0011)
        assert 0 <= sound.shape[1] - samples.shape[1] <= (0 if exact else 1024)
        error = np.abs(sound[:, : samples.shape[1]] - samples)
        assert error.max() == 0 if exact else error[:, 512:-512].max() < 0.02
    return tracks


def leaves_nothing_but(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / f"{SECRET}.mp4")


def test_probe(tmp_path):
    info = video.probe(make_clip(tmp_path / "a.mp4", rotation=90))
    assert info == video.VideoInfo(96, 160, 23)
    ten = video.probe(make_clip(tmp_path / "b.mkv", 5, pixels="yuv420p10le", sound=()))
    assert (ten.width, ten.height, ten.frame_count) == (160, 96, 5)


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.3, 0.35), (0.0, 0.2)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),  # with B-frames
        ("a.mkv", {"options": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"}}),
        ("a.avi", {"codec": "mpeg4", "sound": ("pcm_s16le",)}),
        ("a.gif", {"codec": "gif", "pixels": "rgb8", "rate": Fraction(20), "sound": ()}),
    ],
)
def test_as_many_frames_are_counted_as_are_read(tmp_path, name, options, window):
    source = make_clip(tmp_path / name, **options)
    chunks = list(video.read_chunks(source, 5, window))
    count = video.probe(source, window).frame_count
    assert count == sum(len(frames) for _, frames in chunks) > 3
    assert [first for first, _ in chunks] == list(range(0, count, 5))
    if window == video.WHOLE:
        assert count == 23


def test_frames_are_the_pictures(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 9, options={"crf": "1"})
    for buffered in (source, io.BytesIO(Path(source).read_bytes())):
        chunks = list(video.read_chunks(buffered, 4))
        assert [(first, frames.shape) for first, frames in chunks] == [
            (0, (4, 96, 160, 3)),
            (4, (4, 96, 160, 3)),
            (8, (1, 96, 160, 3)),
        ]
        pictures = np.stack([picture(number, 160, 96) for number in range(9)]) / 255
        frames = torch.cat([frames for _, frames in chunks])
        assert frames.dtype == torch.float32
        assert np.abs(frames.numpy() - pictures).mean() < 0.006


def test_a_few_frames_are_those_of_the_chunks_and_nothing_is_read_after_them(clip, monkeypatch):
    passed = []
    skip = video.FrameReader.skip  # every frame goes through it
    monkeypatch.setattr(video.FrameReader, "skip", lambda self, frame: passed.append(frame.pts) or skip(self, frame))
    for window in (video.WHOLE, (0.25, 0.3)):
        frames = torch.cat([frames for _, frames in video.read_chunks(clip, 8, window)])
        found = dict(video.read_frames(clip, [7, 2, 2], window))
        assert list(found) == [2, 7]
        assert all(torch.equal(found[number], frames[number]) for number in found)
    passed.clear()
    list(video.read_frames(clip, [1]))
    assert len(passed) == 2
    assert list(video.read_frames(clip, [])) == []
    assert [number for number, _ in video.read_frames(clip, [22, 500])] == [22]


@pytest.mark.parametrize("name", CLIPS)
def test_rewritten_times_and_sound_are_the_sources(tmp_path, name):
    source = make_clip(tmp_path / f"{SECRET}.mp4", **CLIPS[name])
    target, seen, steps = tmp_path / "new.mp4", [], []

    def change(frames, first):
        seen.append((first, len(frames)))
        return frames

    video.rewrite(source, target, change, chunk=8, progress=lambda *step: steps.append(step))
    before, after = read_clip(source), read_clip(target)
    assert after.times == before.times
    assert sounds_alike(source, target) == len(before.sound)
    assert after.duration == pytest.approx(before.duration, abs=22000)  # microseconds: a packet of AAC
    count = len(before.times)
    assert seen == [(first, min(8, count - first)) for first in range(0, count, 8)]
    assert steps == [(first + number, count) for first, number in seen]
    assert after.pixels == ("yuv444p" if name == "odd_size" else "yuv420p")
    data = target.read_bytes()
    assert SECRET.encode() not in data and SECRET not in after.texts and DIGITAL_SOURCE_TYPE.encode() not in data
    assert leaves_nothing_but(tmp_path, "new.mp4", f"{SECRET}.mp4")


def test_irregular_durations_stay(tmp_path):
    source = make_clip(tmp_path / "a.mp4", **CLIPS["irregular"])
    video.rewrite(source, tmp_path / "b.mp4", same)
    after = read_clip(tmp_path / "b.mp4")
    assert after.times == [Fraction(tick, 90000) for tick in IRREGULAR]
    assert after.durations == read_clip(source).durations


def test_frames_are_changed_and_the_rest_hardly(clip, tmp_path):
    def change(frames, first):
        frames = frames.clone()
        for i, frame in enumerate(frames):
            frame[:48] = (first + i) / 23
        return frames

    video.rewrite(clip, tmp_path / "b.mp4", change, chunk=10)
    before, after = (torch.cat([f for _, f in video.read_chunks(str(p), 50)]) for p in (clip, tmp_path / "b.mp4"))
    assert after[:, :40].mean(dim=(1, 2, 3)).sub(torch.arange(23) / 23).abs().max() < 0.004
    assert (after - before)[:, 56:].abs().mean() < 0.008


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotated_frames_become_upright(tmp_path, rotation):
    source = make_clip(tmp_path / "a.mp4", 5, rotation=rotation, options={"crf": "1"})
    upright = np.rot90(picture(0, 160, 96), rotation // 90) / 255
    _, frames = next(video.read_chunks(source, 1))
    assert frames[0].shape == upright.shape and np.abs(frames[0].numpy() - upright).mean() < 0.006
    video.rewrite(source, tmp_path / "b.mp4", same)
    _, frames = next(video.read_chunks(str(tmp_path / "b.mp4"), 1))
    assert read_clip(tmp_path / "b.mp4").rotations == {0}
    assert frames[0].shape == upright.shape and np.abs(frames[0].numpy() - upright).mean() < 0.009


@pytest.mark.parametrize(
    ("pixels", "colours"),
    [
        ("yuv420p", (1, 1, 1, 1)),  # BT.709
        ("yuv420p", (6, 1, 6, 6)),  # BT.601, NTSC
        ("yuv420p", (2, 0, 2, 2)),  # nothing told
        ("yuv420p", (1, 2, 1, 13)),  # full range, sRGB
        ("yuv420p10le", (9, 1, 9, 16)),  # BT.2020, PQ
        ("yuv420p10le", (9, 1, 9, 18)),  # BT.2020, HLG
    ],
)
def test_colours_and_depth_stay(tmp_path, pixels, colours):
    source = make_clip(tmp_path / "a.mp4", 5, pixels=pixels, colours=colours, options={"crf": "1"})
    assert read_clip(source).colours == colours
    video.rewrite(source, tmp_path / "b.mp4", same)
    after = read_clip(tmp_path / "b.mp4")
    assert after.colours == colours
    assert after.pixels.replace("yuvj", "yuv") == pixels
    planes = [_first_planes(path) for path in (source, tmp_path / "b.mp4")]
    for before, now in zip(*planes, strict=True):  # in 1/1023 of the range
        assert abs((now - before).mean()) < 3 and np.abs(now - before).mean() < 5


def _first_planes(path):
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    deep = frame.format.components[0].bits > 8
    data = (np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1) for plane in frame.planes)
    return [
        rows[:, : plane.width].astype(float) * (1 if deep else 1023 / 255)
        for rows, plane in zip(data, frame.planes, strict=True)
    ]


@pytest.mark.parametrize("muxer", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("sound", ["aac", "pcm_s16le", "flac"])
def test_sound_stays_in_every_container_and_exact_where_it_was_exact(tmp_path, muxer, sound):
    source = make_clip(tmp_path / "a.mkv", 6, sound=(sound,))
    video.rewrite(source, tmp_path / f"b{muxer}", same)
    assert sounds_alike(source, tmp_path / f"b{muxer}", exact=sound != "aac" and muxer != ".webm") == 1


@pytest.mark.parametrize(
    ("sound", "name", "codec"),
    [
        ("pcm_s24le", "b.mp4", "pcm_s24le"),
        ("pcm_f32le", "b.mkv", "pcm_f32le"),
        ("pcm_s16be", "b.mov", "pcm_s16le"),
        ("alac", "b.mp4", "alac"),
    ],
)
def test_exact_sound_of_other_kinds_stays_exact(tmp_path, sound, name, codec):
    source = make_clip(tmp_path / ("a.mov" if sound == "pcm_s16be" else "a.mkv"), 6, sound=(sound,))
    video.rewrite(source, tmp_path / name, same)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.audio[0].codec.canonical_name == codec
    assert sounds_alike(source, tmp_path / name, exact=True) == 1


@pytest.mark.parametrize(("name", "container"), [("a.mp4", "b.mp4"), ("a.mkv", "b.mp4"), ("a.mkv", "b.webm")])
def test_sound_gets_as_many_bits_as_it_had(tmp_path, name, container):
    """Noise, of which an encoder makes use of all that it may."""
    noise = np.random.default_rng(0).standard_normal((2, 48000)).astype(np.float32) / 5
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = output.add_stream("aac", rate=48000, layout="stereo")
        track.bit_rate = 320_000
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(picture(number, 64, 48), format="rgb24")
            output.mux(stream.encode(frame))
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        output.mux([*stream.encode(None), *track.encode(frame), *track.encode(None)])
    video.rewrite(str(tmp_path / name), tmp_path / container, same)
    sizes = [sum(len(data) for _, data in read_clip(tmp_path / file).sound[0]) for file in (name, container)]
    assert sizes[0] > 36_000 and sizes[1] > 0.96 * sizes[0]


def test_a_window_starts_at_zero_and_cuts_sound_at_packets(clip, tmp_path):
    video.rewrite(clip, tmp_path / "b.mp4", same, window=(0.25, 0.3))
    before, after = read_clip(clip), read_clip(tmp_path / "b.mp4")
    start = Fraction(7500, 30000)
    kept = [time for time in before.times if start <= time < start + Fraction(9000, 30000)]
    assert len(kept) == 9 and after.times == [time - start for time in kept]
    inside = [time - start for time, _ in before.sound[0] if start <= time < start + Fraction(3, 10)]
    (_, samples), (begins, sound) = heard(clip, 0), heard(tmp_path / "b.mp4", 0)
    assert len(inside) == 14 and begins == 0
    assert 0 <= sound.shape[1] - 14 * 1024 <= 1024
    end = round(float(inside[-1]) * 48000)
    apart = sound[:, :end] - samples[:, round(float(start) * 48000) :][:, :end]
    assert np.abs(apart[:, 2048:]).max() < 0.02  # AAC fades in
    with pytest.raises(ValueError, match="no frame in this window"):
        video.rewrite(clip, tmp_path / "c.mp4", same, window=(5.0, 1.0))
    assert not (tmp_path / "c.mp4").exists()


def test_broadcast_files_start_at_zero(tmp_path):
    source = make_clip(tmp_path / "a.ts")
    video.rewrite(source, tmp_path / "b.mp4", same)
    before, after = read_clip(source), read_clip(tmp_path / "b.mp4")
    assert before.times[0] > 0 and heard(tmp_path / "b.mp4", 0)[0] == 0
    assert np.ptp([float(b - a) for a, b in zip(before.times, after.times, strict=True)]) == 0
    shift = before.times[0] - after.times[0]
    assert sounds_alike(source, tmp_path / "b.mp4", late_s=-float(shift)) == 1


@pytest.mark.parametrize(("rotation", "aspect"), [(0, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_pixel_aspect_stays(tmp_path, rotation, aspect):
    source = make_clip(tmp_path / "a.mp4", 3, aspect=Fraction(4, 3), rotation=rotation)
    video.rewrite(source, tmp_path / "b.mp4", same)
    assert (read_clip(source).aspect, read_clip(tmp_path / "b.mp4").aspect) == (Fraction(4, 3), aspect)


@pytest.mark.parametrize("failing", ["change", "progress", "shape"])
def test_an_error_or_interrupt_leaves_nothing(clip, tmp_path, failing):
    class Interrupted(BaseException):
        pass

    def stop(*_):
        raise Interrupted

    arguments = {
        "change": ({"change": lambda frames, first: stop() if first else frames}, Interrupted),
        "progress": ({"change": same, "progress": stop}, Interrupted),
        "shape": ({"change": lambda frames, first: frames[:, ::2]}, ValueError),
    }
    given, error = arguments[failing]
    with pytest.raises(error):
        video.rewrite(clip, tmp_path / "b.mp4", **given)
    assert leaves_nothing_but(tmp_path, f"{SECRET}.mp4")


def test_nothing_is_replaced(clip, tmp_path):
    (tmp_path / "b.mp4").write_text("mine")
    for write in (lambda target: video.rewrite(clip, target, same), lambda target: video.copy_clean(clip, target)):
        with pytest.raises(FileExistsError, match=r"b\.mp4 is in .* already"):
            write(tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_text() == "mine"
    assert leaves_nothing_but(tmp_path, "b.mp4", f"{SECRET}.mp4")


# What a process of its own begins with, so that it can import the pack.
IMPORTABLE = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'scripts')!r}); import _pack"


def test_a_full_disk_leaves_nothing_and_a_kill_a_hidden_part_at_most(clip, tmp_path):
    """A process whose files may have 0 or 9000 bytes at most: writing fails as on a full disk.

    And before, as most of the time goes into imports, a fork of it, which kills itself in the middle.
    """
    killed = tmp_path.with_name(f"{tmp_path.name}_killed")
    killed.mkdir()
    script = f"""
import os, pathlib, resource, signal
{IMPORTABLE}
from face_anonymizer.modules.video import files as video
def change(frames, first):
    if first >= 16:
        os.kill(os.getpid(), signal.SIGKILL)
    return frames
if not (child := os.fork()):
    video.rewrite({clip!r}, {str(killed / "b.mp4")!r}, change)
    os._exit(0)
print("ended by", -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = pathlib.Path({str(tmp_path)!r})
for limit, name in ((9000, "b.mp4"), (9000, "b.mkv"), (0, "b.mp4")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for write in (lambda *files: video.rewrite(*files, lambda frames, first: frames), video.copy_clean):
        try:
            write({clip!r}, folder / name)
        except OSError as error:
            print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count(f"in {tmp_path}; nothing was left there. Free some space") == 6
    assert leaves_nothing_but(tmp_path, f"{SECRET}.mp4")
    assert f"ended by {signal.SIGKILL:d}\n" in done.stdout
    (part,) = killed.iterdir()
    assert part.name.startswith(".face_anonymizer-") and part.suffix == ".part"


def packets_of(path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


@pytest.mark.parametrize("sound", ["aac", "flac"])
@pytest.mark.parametrize(("target", "mark"), [("c.mp4", True), ("c.mov", False), ("c.mkv", True), ("d.mkv", False)])
def test_of_files_that_were_just_written_the_packets_are_copied(tmp_path, sound, target, mark):
    """What a node for videos gave to the one that saves it: nothing is encoded twice."""
    own = tmp_path / "b.mp4"
    video.rewrite(make_clip(tmp_path / "a.mkv", sound=(sound,)), own, same)
    video.copy_clean(str(own), tmp_path / target, mark)
    before, after = read_clip(own), read_clip(tmp_path / target)
    assert packets_of(tmp_path / target, "video") == packets_of(own, "video")
    if (sound, target) != ("flac", "c.mov"):  # which cannot hold it
        assert packets_of(tmp_path / target, "audio") == packets_of(own, "audio")
    late = after.times[0] - before.times[0]  # Matroska counts milliseconds, from the start of the sound on
    assert late == (Fraction(21, 1000) if target.endswith("mkv") and sound == "aac" else 0)
    times = [float(time + late) for time in before.times]
    assert [float(time) for time in after.times] == pytest.approx(times, abs=0.0011 if ".mkv" in target else 0)
    starts, sound = heard(tmp_path / target, 0)
    silence = round(float(late) * 48000)  # in front, for a codec that needs it
    assert starts == 0 and np.array_equal(sound[:, -heard(own, 0)[1].shape[1] :], heard(own, 0)[1])
    assert sound.shape[1] - heard(own, 0)[1].shape[1] == (1024 if late else 0) and abs(silence - 1024 * bool(late)) < 48
    data = (tmp_path / target).read_bytes()
    assert (DIGITAL_SOURCE_TYPE.encode() in data) is mark


def test_a_file_that_others_wrote_to_is_not_copied(tmp_path):
    own = tmp_path / "b.mp4"
    video.rewrite(make_clip(tmp_path / "a.mkv", 5), own, same)
    with own.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    video.copy_clean(str(own), tmp_path / "c.mp4")
    assert packets_of(tmp_path / "c.mp4", "audio") != packets_of(own, "audio")


@pytest.mark.parametrize(
    ("name", "target", "options"),
    [
        ("a.mp4", "b.mp4", {"rotation": 90}),
        ("a.mp4", "b.mkv", {"options": {"bf": "0"}}),
        ("a.mkv", "b.mkv", {}),  # B-frames, whose first packets have no decoding time in Matroska
        ("a.webm", "b.webm", {"codec": "libvpx-vp9", "sound": ("libopus",)}),
        ("a.mp4", "b.webm", {"pixels": "yuv420p10le", "colours": (9, 1, 9, 16)}),
        ("a.mov", "b.mov", {"sound": ("pcm_s16le", "aac")}),
    ],
)
def test_of_other_files_a_clean_copy_looks_and_sounds_alike_and_has_no_texts(tmp_path, name, target, options):
    source = make_clip(tmp_path / name, 11, **options)
    video.copy_clean(source, tmp_path / target, mark=False)
    before, after = read_clip(source), read_clip(tmp_path / target)
    rounded = target.endswith((".mkv", ".webm"))
    times = [float(time) for time in before.times]
    assert [float(time) for time in after.times] == pytest.approx(times, abs=0.0011 if rounded else 0)
    assert sounds_alike(source, tmp_path / target) == len(before.sound)
    assert (after.rotations, after.pixels) == ({0}, before.pixels)
    if "colours" in options:
        assert after.colours == before.colours
    shown = [torch.cat([frames for _, frames in video.read_chunks(str(p), 8)]) for p in (source, tmp_path / target)]
    assert shown[0].sub(shown[1]).abs().mean() < 0.012
    data = (tmp_path / target).read_bytes()
    assert SECRET.encode() not in data and SECRET not in after.texts
    assert DIGITAL_SOURCE_TYPE.encode() not in data


WATCHED = """
import os, sys, _pack
from pathlib import Path
from face_anonymizer.modules.video import files

seen = set()
def watch(frames, first):
    seen.update(os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task"))
    return frames

files.rewrite(sys.argv[1], Path(sys.argv[2]), watch, chunk=8)
watch(None, 0)
print(sorted(seen), os.SCHED_OTHER)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="priorities as Linux has them")
def test_no_encoder_takes_the_machine_for_itself(tmp_path, request):
    """SVT-AV1 does, where root runs it: its caller and its threads got the highest priority of real time."""
    source = make_clip(tmp_path / "a.mp4", 20, pixels="yuv420p10le", sound=())
    command = [sys.executable, "-c", WATCHED, source, str(tmp_path / "b.webm")]
    run = subprocess.run(command, cwd=request.config.rootpath / "scripts", check=True, capture_output=True, text=True)
    assert run.stdout.split("\n")[-2] == "[0] 0" and read_clip(tmp_path / "b.webm").streams == ["video"]


def test_tracks_that_tell_are_left_out(clip, tmp_path):
    """A cover picture, a second camera, subtitles."""
    rich = tmp_path / "rich.mkv"
    with av.open(clip) as source, av.open(str(rich), "w") as output:
        copies = {stream: output.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        second = output.add_stream("mjpeg", rate=NTSC)
        second.width, second.height, second.pix_fmt = 64, 64, "yuvj420p"
        subtitles = output.add_mux_stream("subrip")
        output.add_attachment(f"{SECRET}.jpg", "image/jpeg", b"\xff\xd8" + SECRET.encode())
        output.start_encoding()
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream]
                output.mux(packet)
        words = av.Packet(SECRET.encode())
        words.stream, words.pts, words.dts, words.duration = subtitles, 0, 0, 500
        words.time_base = Fraction(1, 1000)
        output.mux(words)
        output.mux(second.encode(av.VideoFrame(64, 64, "yuvj420p")))
        output.mux(second.encode(None))
    assert rich.read_bytes().count(SECRET.encode()) >= 3
    video.copy_clean(str(rich), tmp_path / "copy.mkv")
    video.rewrite(str(rich), tmp_path / "new.mp4", same)
    for name in ("copy.mkv", "new.mp4"):
        assert read_clip(tmp_path / name).streams == ["video", "audio"]
        assert SECRET.encode() not in (tmp_path / name).read_bytes()


def test_bad_files_and_names(clip, tmp_path):
    deep = make_clip(tmp_path / "deep.mkv", 1, (49, 33), pixels="yuv444p10le", sound=())
    with pytest.raises(video.CannotHold, match=r"\.webm file cannot hold .*\.mkv"):
        video.rewrite(deep, tmp_path / "b.webm", same)
    with pytest.raises(ValueError, match=r"b\.avi should end in"):
        video.rewrite(clip, tmp_path / "b.avi", same)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        video.rewrite(clip, tmp_path / "none" / "b.mp4", same)
    with pytest.raises(FileNotFoundError):
        video.probe(str(tmp_path / "none.mp4"))
    (tmp_path / "broken.mp4").write_bytes(bytes(5000))
    with pytest.raises(ValueError, match="is no video, or one whose end is missing"):
        video.rewrite(str(tmp_path / "broken.mp4"), tmp_path / "b.mp4", same)
    make_clip(tmp_path / "cut.mp4", 60)
    data = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="is no video, or one whose end is missing"):  # its index stood at the end
        video.rewrite(str(tmp_path / "cut.mp4"), tmp_path / "b.mp4", same)
    assert leaves_nothing_but(tmp_path, "broken.mp4", "cut.mp4", "deep.mkv", f"{SECRET}.mp4")


def test_a_file_that_ends_inside_its_list_of_frames_is_refused(tmp_path, monkeypatch):
    """FFmpeg's end of a file is no ValueError: it ended a whole folder run. Nor is one without memory for a size."""
    data, ended = Path(make_clip(tmp_path / "a.mp4", 5)).read_bytes(), 0
    for place in range(data.find(b"moov") + 4, len(data), 31):
        (tmp_path / "cut.mp4").write_bytes(data[:place])
        try:
            av.open(str(tmp_path / "cut.mp4")).close()
        except (EOFError, ValueError) as error:
            ended += isinstance(error, EOFError)
            with pytest.raises(ValueError, match="is no video, or one whose end is missing"):
                video.probe(str(tmp_path / "cut.mp4"))
    assert ended
    for kind in (MemoryError, EOFError, av.error.ExternalError):
        monkeypatch.setattr(av, "open", broken := Mock(side_effect=kind(1, "words")))
        with pytest.raises(ValueError, match="copy it anew, or repair it first"):
            video.probe("a.mp4")
        assert broken.called
