"""Damage of HEVC: FFmpeg's decoder makes pictures of it and says nothing; where its slices end tells."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip

from face_anonymizer.modules.faces.detect.glance import Glance
from face_anonymizer.modules.faces.report import Report
from face_anonymizer.modules.faces.settings import RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.video import coded_ends, files, reading
from face_anonymizer.modules.video.clip_jobs import Clip, ClipJobs, Machine

FRAMES = 12
KINDS = {
    "as usual": {},
    "rows that cannot be read alone": {"parameters": "wpp=0"},
    "slices": {"parameters": "slices=4:ctu=16", "size": (160, 192)},
    "leading pictures": {"parameters": "keyint=6:min-keyint=6:open-gop=1:bframes=3"},
    "each by itself": {"parameters": "keyint=1"},
    "10 bits": {"pixels": "yuv420p10le"},
    "all colours": {"pixels": "yuv444p", "parameters": "cu-lossless=1:tskip=1"},
    "few bits": {"quality": 45},
    "cut rows": {"size": (150, 90)},
}


def hevc(path, parameters="", quality=8, **kind) -> str:
    parameters = ":".join(filter(None, ("log-level=none:repeat-headers=1", parameters)))
    options = {"crf": str(quality), "x265-params": parameters}
    return make_clip(path, FRAMES, rate=Fraction(25), codec="libx265", sound=(), options=options, **kind)


def packets_of(path) -> tuple[bytes, list[bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.extradata, [bytes(packet) for packet in container.demux(stream) if packet.size]


def told(header: bytes | None, packets: list[bytes]) -> list[int]:
    ends = coded_ends.CodedEnds(header)
    return [number for number, packet in enumerate(packets) if ends.refuses(av.Packet(packet))]


def shown(header: bytes | None, packets: list[bytes]) -> list[np.ndarray]:
    context = av.CodecContext.create("hevc", "r")
    context.extradata, context.thread_count = header, 1
    pictures = [frame.to_ndarray() for data in packets for frame in context.decode(av.Packet(data))]
    return pictures + [frame.to_ndarray() for frame in context.decode(None)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_whole_clips_are_not_damaged(tmp_path, name, kind):
    header, packets = packets_of(hevc(tmp_path / name, **kind))
    assert len(packets) == FRAMES and told(header, packets) == []


def flipped(packet: bytes, header: bytes | None, numbers: np.random.Generator) -> bytes:
    """The packet with another bit in the middle of its last slice."""
    *_, (_, data) = coded_ends.CodedEnds(header)._units(packet)
    changed = bytearray(packet)
    changed[len(packet) - numbers.integers(len(data) // 4, len(data) * 3 // 4)] ^= 1 << numbers.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "few bits"])
def test_a_flipped_bit_is_told_of_its_picture(tmp_path, kind):
    header, packets = packets_of(hevc(tmp_path / "a.mp4", **KINDS[kind]))
    whole, numbers = shown(header, packets), np.random.default_rng(1)
    seen = found = 0
    for _ in range(16):
        at = max(numbers.choice(len(packets), 3), key=lambda place: len(packets[place]))
        damaged = [*packets[:at], flipped(packets[at], header, numbers), *packets[at + 1 :]]
        try:
            pictures = shown(header, damaged)
        except av.error.FFmpegError:  # as it does where the flipped bit is one of 20 or more
            continue
        if any(np.abs(one.astype(int) - other).mean() > 0.5 for one, other in zip(pictures, whole, strict=False)):
            places = told(header, damaged)
            # the first picture may wait for another one
            assert places in ([], [at], [max(at, 1)]), "what builds on a damaged picture is whole itself"
            seen, found = seen + 1, found + bool(places)
    assert seen >= 12 and found >= seen - 1


def test_every_slice_of_a_picture_is_looked_at(tmp_path):
    header, packets = packets_of(hevc(tmp_path / "a.mp4", **KINDS["slices"]))
    units = list(coded_ends.CodedEnds(header)._units(packets[0]))
    slices = [place for place, unit in enumerate(units) if coded_ends._is_picture(unit)]
    assert len(slices) == 4
    for place in slices:
        size, data = units[place]
        changed = bytearray(data)
        changed[len(data) // 2] ^= 8
        damaged = [*units[:place], (size, bytes(changed)), *units[place + 1 :]]
        packet = b"".join(len(unit).to_bytes(size, "big") + unit for size, unit in damaged)
        assert told(header, [packet]) == [0]


def without(packet: bytes, header: bytes | None, number: int) -> bytes:
    """The packet without one of its slices."""
    units = list(coded_ends.CodedEnds(header)._units(packet))
    del units[[place for place, unit in enumerate(units) if coded_ends._is_picture(unit)][number]]
    return coded_ends._joined(units)


GONE = {
    "slices": KINDS["slices"],
    "two, that refer to later ones": {"parameters": "slices=2:ctu=32:bframes=3", "size": (160, 192)},
    "each by itself": {"parameters": "slices=3:ctu=16:keyint=1", "size": (160, 144)},
    "10 bits": {"parameters": "slices=4:ctu=16", "size": (160, 192), "pixels": "yuv420p10le"},
    "gray": {"parameters": "slices=4:ctu=16", "size": (160, 192), "pixels": "gray"},
    "red, green and blue": {"parameters": "slices=4:ctu=16", "size": (160, 192), "pixels": "gbrp"},
}


@pytest.mark.parametrize("kind", GONE.values(), ids=GONE)
def test_a_slice_that_is_gone_is_told_of_its_picture(tmp_path, kind):
    """The decoder shows an older picture's rows in its place. Without the first slice there is no picture at all."""
    header, packets = packets_of(hevc(tmp_path / "a.mkv", **kind))
    slices = sum(map(coded_ends._is_picture, coded_ends.CodedEnds(header)._units(packets[0])))
    assert slices > 1 and told(header, packets) == []
    for at in (0, 1, 2, FRAMES - 1):
        for number in range(1, slices):
            damaged = [*packets[:at], without(packets[at], header, number), *packets[at + 1 :]]
            assert told(header, damaged) == [max(at, 1)], "the first picture waits for another one"
    rest = [without(packet, header, 1) for packet in packets[2:]]
    assert told(header, [*packets[:2], *rest]) == [*range(2, FRAMES)]


@pytest.fixture
def log_level():
    """Of PyAV: what is set in a test is set back."""
    level = av.logging.get_level()
    yield av.logging.set_level
    av.logging.set_level(level)


@pytest.mark.parametrize("level", [None, av.logging.PANIC, av.logging.WARNING])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_slice_that_is_gone_is_told_of_its_file(tmp_path, log_level, number, level):
    """The decoder itself tells the first one, in its log, which another node may have set to silence."""
    source = hevc(tmp_path / "a.mkv", **KINDS["slices"])
    header, _ = packets_of(source)
    with av.open(source) as whole, av.open(str(tmp_path / "b.mkv"), "w") as output:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                data = bytes(packet) if packet.pts != 200 else without(bytes(packet), header, number)
                changed = av.Packet(data)
                changed.stream, changed.time_base = stream, packet.time_base
                changed.pts, changed.dts, changed.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
                output.mux(changed)
    log_level(level)
    written = files.rewrite(str(tmp_path / "b.mkv"), tmp_path / "c.mp4", lambda frames, first: frames)
    assert "the first at 0.20 s" in " ".join(written.problems) and av.logging.get_level() == level
    again = files.rewrite(str(tmp_path / "b.mkv"), tmp_path / "d.mp4", lambda frames, first: frames)
    assert again.problems == written.problems, "though the decoder says what it said last"
    assert files.rewrite(source, tmp_path / "e.mp4", lambda frames, first: frames).problems == ()


@pytest.mark.parametrize("pixels", ["yuv420p", "gray"])
def test_pictures_of_zeros_are_no_damage(tmp_path, pixels):
    """As a screen that is black in gray, or what a grabber without a signal writes."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        options = {"x265-params": "log-level=none:slices=2:ctu=16:cu-lossless=1", "crf": "0"}
        video = output.add_stream("libx265", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 64, pixels
        for number in range(FRAMES):
            shape = (64, 64) if pixels == "gray" else (96, 64)
            samples = np.full(shape, 90 if number in (5, 6) else 0, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(samples, format=pixels)))
        output.mux(video.encode(None))
    header, packets = packets_of(path)
    assert not shown(header, packets)[0].any()
    assert told(header, packets) == []


def test_what_may_stand_behind_a_slice_is_no_damage(tmp_path):
    """Words of zeros that fill a rate up, units of another layer, and of the maker's own."""
    header, packets = packets_of(hevc(tmp_path / "a.ts"))
    other_layer, own = b"\0\0\1\x02\x09" + bytes(range(4, 104)), b"\0\0\1\x60\x01" + bytes(range(4, 104))
    filled = [packet + b"\0\0\3" * 5 + b"\0" + other_layer + own for packet in packets]
    assert told(header, filled) == []
    at = max(range(1, FRAMES), key=lambda place: len(packets[place]))
    damaged = flipped(packets[at], header, np.random.default_rng(2))
    assert told(header, [packets[0], damaged + b"\0\0\3" * 5 + other_layer]) == [1]


def test_parameters_that_change_in_the_middle_are_followed(tmp_path):
    """As in what is cut together of two films, whose header is that of the first."""
    header, first = packets_of(hevc(tmp_path / "a.ts"))
    _, second = packets_of(hevc(tmp_path / "b.ts", parameters="ctu=16:wpp=0:amp=0:scaling-list=default"))
    assert told(header, [*first, *second]) == []
    at = max(range(1, FRAMES), key=lambda place: len(second[place]))
    damaged = [*second[:at], flipped(second[at], header, np.random.default_rng(3)), *second[at + 1 :]]
    assert told(header, [*first, *damaged]) == [FRAMES + at]


def redacted(source: Path, target: Path, count: int = FRAMES) -> Report:
    """The report of a clip with a face that is covered in each frame."""
    box = (30.0, 20.0, 70.0, 70.0)
    found = (Face(number, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test", track=0) for number in range(count))
    faces = Faces(count, 96, 160, tuple(found))

    def find(_picture, faces, _painted):
        return Glance((0.0,) * len(faces), ())

    jobs = ClipJobs(Machine(lambda *_: None, lambda: find, lambda: None, lambda: None))
    return jobs.redact(Clip(str(source), files.WHOLE), target, faces, RedactSettings(), lambda *_: None)[1]


def test_damage_that_is_told_by_its_end_is_in_the_report(tmp_path):
    source = Path(hevc(tmp_path / "a.mp4"))
    assert redacted(source, tmp_path / "b.mp4").incomplete == ""
    header, packets = packets_of(source)
    at = max(range(2, FRAMES), key=lambda place: len(packets[place]))
    data = source.read_bytes()
    assert data.count(packets[at]) == 1
    source.write_bytes(data.replace(packets[at], flipped(packets[at], header, np.random.default_rng(4))))
    report = redacted(source, tmp_path / "c.mp4")
    assert report.incomplete.startswith("damaged at 1 place, the first at 0.")
    assert "NOT WHOLE: damaged at 1 place" in report.to_text()


def test_that_nobody_looked_for_damage_is_in_the_report(tmp_path, monkeypatch):
    source = make_clip(tmp_path / "a.webm", 6, codec="libvpx-vp9", sound=(), options={"cpu-used": "8"})
    note = "whether this vp9 video is damaged was not looked at: no strict decoder reads it"
    assert note not in redacted(source, tmp_path / "b.mp4", 6).notes
    monkeypatch.setattr(reading, "_STRICT_DECODERS", {"vp9": "none such"})
    report = redacted(source, tmp_path / "c.mp4", 6)
    assert report.notes == (note,) and report.incomplete == "" and note in report.to_text()
    assert note in report.to_dict()["notes"]


class WithHeader:
    """A packet with side data, which PyAV reads and cannot make."""

    def __init__(self, data: bytes, header: bytes):
        self._data, self._header = data, header

    def __bytes__(self) -> bytes:
        return self._data

    def has_sidedata(self, kind: str) -> bool:
        return kind == "new_extradata"

    def get_sidedata(self, kind: str) -> bytes:
        return self._header


def test_a_track_of_two_headers_is_read_by_each(tmp_path):
    """What MP4 hands on of a second description: as side data of the first packet that needs it."""
    first = packets_of(hevc(tmp_path / "a.mp4", "repeat-headers=0"))
    other = packets_of(hevc(tmp_path / "b.mp4", "repeat-headers=0:ctu=16:amp=0:rect=0:sao=0"))
    ends = coded_ends.CodedEnds(first[0])
    assert not any(ends.refuses(av.Packet(data)) for data in first[1])
    assert not ends.refuses(WithHeader(other[1][0], other[0]))
    assert not any(ends.refuses(av.Packet(data)) for data in other[1][1:])


def test_noise_fits_into_the_length_of_a_unit():
    """Lengths of two bytes, and a slice that nearly fills them."""
    slice_ = bytes([19 << 1, 1]) + bytes(65_500)
    assert coded_ends._room(2, slice_) == 65_535 - len(slice_)
    assert coded_ends._room(4, slice_) == coded_ends._room(0, slice_) == 64
    assert coded_ends._room(4, bytes([33 << 1, 1, 0])) == 0
