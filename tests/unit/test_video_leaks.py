"""Results of videos tell nothing of their source: everything that a file can hide is planted, and looked for."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_leaks import find_leaks

from face_anonymizer.modules.video import containers, files, own_files
from face_anonymizer.modules.video.priority import ordinary_priority

WORD = "Karin 4711 Aspen Street"
UUID = bytes(range(16))
HIDDEN_HZ, SHOWN_HZ = 700.0, 1900.0
SIZE = (96, 64)
RATE = Fraction(20)
SECOND = 20  # frames
SEI = b"\0\0\0\1\x06\x05" + bytes([16 + len(WORD)]) + UUID + WORD.encode() + b"\x80"


def waves(kind: int, number: int) -> np.ndarray:
    """The original (0), what is shown (1): pictures that nobody takes for each other."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    value = np.sin(x / 5 + y / 9 + number / 9) if kind else np.sin(y / 4 - x / 14)
    return np.repeat((128 + 90 * value).astype(np.uint8)[..., None], 3, -1)


ORIGINAL = waves(0, 0)


def planted(path: Path, sound: str = "aac", hidden: int = SECOND) -> str:
    """A film of half a second, and in every other place of the file the original and its words.

    The first second is hidden in MP4 and MOV: an editor's list begins behind it.
    """
    shifts = path.suffix in (".mp4", ".mov")
    hidden = hidden if shifts else 0
    with av.open(str(path), "w") as output:
        output.metadata.update(title=WORD, comment=WORD, artist=WORD, location=WORD)
        video = output.add_stream(
            "libx264", rate=RATE, options={"crf": "20", "bf": "0", "g": "100", "sc_threshold": "0"}
        )
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        track = output.add_stream(sound, rate=48000, layout="stereo")
        cover = output.add_stream("mjpeg", rate=RATE)
        cover.width, cover.height, cover.pix_fmt = *SIZE, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        words = output.add_mux_stream("mov_text" if shifts else "subrip")
        if not shifts:
            output.add_attachment(f"{WORD}.txt", "text/plain", WORD.encode())
        for stream in (video, track, cover, words):
            stream.metadata["title"] = stream.metadata["handler_name"] = WORD
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": WORD}}]
        )
        output.start_encoding()
        picture = av.VideoFrame.from_ndarray(ORIGINAL, format="rgb24").reformat(format="yuvj420p")
        output.mux([*cover.encode(picture), *cover.encode(None)])
        for number in range(hidden + SECOND // 2):
            frame = av.VideoFrame.from_ndarray(ORIGINAL if number < hidden else waves(1, number), format="rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            _mux(output, video, video.encode(frame), hidden, SEI)
        _mux(output, video, video.encode(None), hidden, SEI)
        for start in range(0, (hidden + SECOND // 2) * 2400, 1024):
            times = np.arange(start, start + 1024)
            tone = 0.4 * np.sin(2 * np.pi * np.where(times < hidden * 2400, HIDDEN_HZ, SHOWN_HZ) * times / 48000)
            frame = av.AudioFrame.from_ndarray(
                np.stack([tone, tone]).astype(np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            _mux(output, track, track.encode(frame), hidden)
        _mux(output, track, track.encode(None), hidden)
        text = av.Packet((struct.pack(">H", len(WORD)) if shifts else b"") + WORD.encode())
        text.stream, text.pts, text.dts, text.duration, text.time_base = words, 0, 0, 300, Fraction(1, 1000)
        output.mux(text)
    if shifts:
        with path.open("ab") as file:
            for name, content in ((b"free", WORD.encode()), (b"uuid", UUID + WORD.encode()), (b"meow", WORD.encode())):
                file.write(struct.pack(">I4s", 8 + len(content), name) + content)
    return str(path)


def _mux(output, stream, packets, hidden: int, before: bytes = b"") -> None:
    for packet in packets:
        new = av.Packet(before + bytes(packet))
        shift = round(Fraction(hidden) / RATE / packet.time_base)
        new.pts, new.dts, new.time_base = packet.pts - shift, packet.dts - shift, packet.time_base
        new.duration, new.is_keyframe, new.stream = packet.duration, packet.is_keyframe, stream
        output.mux(new)


def leaks_in(path) -> list[str]:
    return find_leaks(path, [WORD], [ORIGINAL], [HIDDEN_HZ])


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("planted")
    return {suffix: planted(folder / f"source{suffix}") for suffix in (".mp4", ".mov", ".mkv")}


def test_the_search_finds_what_was_planted(sources):
    """Or it could not fail."""
    for suffix in (".mp4", ".mov"):
        found = leaks_in(sources[suffix])
        expected = ["picture 0", "a tone of 700 Hz", "side data SEI_UNREGISTERED", "chapters", "metadata name"]
        expected += ["free is not empty", "an unknown uuid", "box meow"]
        expected += [f"the bytes say {WORD!r}", f"a packet says {WORD!r}"]
        for leak in expected:
            assert leak in found, leak
        assert any(leak.startswith("streams ") for leak in found)
    found = leaks_in(sources[".mkv"])
    for leak in ("attachments", "chapters", "title", "track name", "picture 0", "side data SEI_UNREGISTERED"):
        assert leak in found, leak


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv"])
def test_a_result_tells_nothing(sources, tmp_path, suffix, target):
    result = tmp_path / f"new{target}"
    written = files.rewrite(sources[suffix], result, lambda frames, _: frames)
    assert leaks_in(result) == []
    assert (written.frames, written.problems) == (SECOND // 2, ())
    assert {"subtitle track", "chapter"} <= set(written.left_out)
    assert "cover picture" in written.left_out or suffix == ".mov"  # which FFmpeg writes none into


# each kind of file is read once and written once, and the rest with --long
PAIRS = [(".mp4", ".mp4"), (".mov", ".mkv"), (".mkv", ".mov"), (".mkv", ".webm")]
OTHERS = [
    pytest.param(suffix, target, marks=pytest.mark.long)
    for suffix in (".mp4", ".mov", ".mkv")
    for target in (".mp4", ".mkv", ".mov", ".webm")
    if (suffix, target) not in PAIRS
]


@pytest.mark.parametrize(("suffix", "target"), [*PAIRS, *OTHERS])
def test_a_clean_copy_tells_nothing(sources, tmp_path, suffix, target):
    files.copy_clean(sources[suffix], tmp_path / f"copy{target}", mark=True)
    assert leaks_in(tmp_path / f"copy{target}") == []


@pytest.mark.parametrize("name", ["copy.mp4", "copy.mkv"])
def test_encoders_of_this_machine_do_not_tell_their_names(tmp_path, name):
    """What ComfyUI encodes is copied; x264 and FFmpeg's AAC write their names into the packets."""
    plain_clip(tmp_path / "own.mp4")
    assert b"x264 - core" in (tmp_path / "own.mp4").read_bytes() and b"Lavc" in (tmp_path / "own.mp4").read_bytes()
    own_files.remember(tmp_path / "own.mp4")
    files.copy_clean(str(tmp_path / "own.mp4"), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert b"x264" not in data and b"Lavc" not in data
    before, after = decoded(tmp_path / "own.mp4"), decoded(tmp_path / name)
    assert before[0] == after[0] and len(before[0]) == FRAMES
    assert np.array_equal(before[1], after[1][:, -before[1].shape[1] :])  # Matroska keeps the silence in front


FRAMES = 3
_SECRET = b"KARIN4711@%d#"  # a word for each field


def word(number: int) -> bytes:
    return _SECRET % number


def escaped(data: bytes) -> bytes:
    return data.replace(b"\0\0", b"\0\0\3")


def avc_unit(kind: int, content: bytes) -> bytes:
    return b"\0\0\0\1" + bytes([kind]) + escaped(content)


def hevc_unit(kind: int, content: bytes) -> bytes:
    return b"\0\0\0\1" + bytes([kind << 1, 1]) + escaped(content)


def message(kind: int, number: int) -> bytes:
    content = UUID.replace(b"\0", b"\1") + word(number)
    return bytes([kind, len(content)]) + content + b"\x80"


def in_h264(packet: bytes) -> bytes:
    """A delimiter, messages of five types, a second header, a reserved unit, bytes behind the slice, filler, an end."""
    before = avc_unit(9, b"\xf0" + word(0))
    before += b"".join(avc_unit(6, message(kind, 1 + i)) for i, kind in enumerate((4, 5, 45, 47, 100)))
    before += avc_unit(7, word(6)) + avc_unit(24, word(7))
    return before + packet + b"\0\0\3" + word(8) + avc_unit(12, word(9)) + avc_unit(10, word(10))


def in_hevc(packet: bytes) -> bytes:
    before = hevc_unit(35, b"\x50" + word(0))
    before += b"".join(hevc_unit(39, message(kind, 1 + i)) for i, kind in enumerate((4, 5, 47, 140)))
    after = hevc_unit(40, message(47, 6)) + hevc_unit(38, word(7)) + hevc_unit(41, word(8)) + hevc_unit(48, word(9))
    return before + packet + b"\0\0\3" + word(5) + after


def in_av1(packet: bytes) -> bytes:
    """Behind the delimiter of a picture: metadata of two kinds, padding, a reserved unit."""
    kinds = ((5, b"\4\xb5\0\x01" + word(0)), (5, b"\x1f" + word(1)), (15, word(2)), (9, word(3)))
    units = b"".join(bytes([kind << 3 | 2, 1 + len(content)]) + content + b"\x80" for kind, content in kinds)
    return packet[:2] + units + packet[2:] if packet[:2] == b"\x12\0" else units + packet


def behind(packet: bytes) -> bytes:
    return packet + word(0)


def in_mpeg4(packet: bytes) -> bytes:
    return b"\0\0\1\xb2" + word(0) + packet + b"\0\0\1\xb2" + word(1)


def in_jpeg(packet: bytes) -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(word(0))) + word(0)
    return packet[:2] + comment + packet[2:] + word(1)


def bits_of(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def in_aac(packet: bytes) -> bytes:
    """ISO/IEC 14496-3: a stream of data and a fill element in front, bytes behind the end."""
    data = "100" + "0000" + "0" + f"{len(word(20)):08b}" + bits_of(word(20))
    bits = data + "110" + f"{len(word(21)):04b}" + bits_of(word(21)) + bits_of(packet)
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big") + word(22)


def in_mp3(packet: bytes) -> bytes:
    """A tag in front, and bytes behind the last frame; the sound is silent, so that the frame's own end is free too."""
    size = 10 + len(word(20))
    return b"ID3\4\0\0\0\0\0" + bytes([size]) + word(20).ljust(size) + packet[: -len(word(21))] + word(21) + word(22)


def in_ac3(packet: bytes) -> bytes:
    return packet[: -len(word(20)) - 4] + word(20) + packet[-4:] + word(21)


def in_opus(packet: bytes) -> bytes:
    """RFC 6716, 3.2.5: a packet of one frame and padding."""
    assert packet[0] & 3 == 0
    return bytes([packet[0] | 3, 0x41, len(word(20))]) + packet[1:] + word(20)


def behind_sound(packet: bytes) -> bytes:
    return packet + word(20)


PLANTED = {
    "a.mp4": ("libx264", in_h264, "aac", in_aac),
    "a.mkv": ("libx264", in_h264, "libmp3lame", in_mp3),
    "b.mp4": ("libx265", in_hevc, "alac", behind_sound),
    "c.mkv": ("libx265", in_hevc, "flac", behind_sound),
    "d.mkv": ("libsvtav1", in_av1, "ac3", in_ac3),
    "e.webm": ("libvpx-vp9", behind, "libopus", in_opus),
    "f.webm": ("libvpx", behind, "vorbis", behind_sound),
    "g.avi": ("huffyuv", behind, "ac3", behind_sound),
    "h.mkv": ("rawvideo", behind, "eac3", behind_sound),
    "i.avi": ("mpeg4", in_mpeg4, "ac3", in_ac3),
    "j.mkv": ("mjpeg", in_jpeg, "mp2", behind_sound),
}
# Which words stand in the file: below 20 in its pictures, from 20 on in its sound. Matroska leaves AV1's padding out.
FIELDS = {name: {0, 20} for name in PLANTED}
FIELDS |= {"a.mp4": {*range(11), 20, 21, 22}, "a.mkv": {*range(11), 20, 21, 22}, "d.mkv": {0, 1, 3, 20, 21}}
FIELDS |= {"b.mp4": {*range(10), 20}, "c.mkv": {*range(10), 20}, "i.avi": {0, 1, 20, 21}, "j.mkv": {0, 1, 20}}
PIXELS = {"mjpeg": "yuvj420p", "huffyuv": "yuv422p"}


def plain_clip(path: Path, codec="libx264", in_picture=None, sound="aac", in_sound=None) -> None:
    """Three pictures of 64x48, and silence; every packet is handed through a function."""
    options = {"libx265": {"x265-params": "log-level=none"}, "vorbis": {"strict": "-2"}}
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=RATE, options=options.get(codec, {}))
        video.width, video.height, video.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
        track = output.add_stream(sound, rate=48000, layout="stereo", options=options.get(sound, {}))
        packets = []
        for number in range(FRAMES):
            picture = waves(1, 3 * number)[:48, :64]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = number, 1 / RATE
            with ordinary_priority():
                packets += [(in_picture, packet) for packet in video.encode(frame)]
        packets += [(in_picture, packet) for packet in video.encode(None)]
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 7200), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        packets += [(in_sound, packet) for packet in [*track.encode(frame), *track.encode(None)]]
        for change, packet in packets:
            new = av.Packet(change(bytes(packet)) if change else bytes(packet))
            new.stream, new.pts, new.dts, new.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
            new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
            output.mux(new)


def decoded(path: Path) -> tuple[list[bytes], np.ndarray]:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)
    return pictures, sound


@pytest.fixture(scope="module")
def texts_in_packets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packets")
    for name, makers in PLANTED.items():
        plain_clip(folder / name, *makers)
    return folder


def words_in(data: bytes) -> set[int]:
    """The words that stand in a file, at whatever bit they begin."""
    whole, shifted = int.from_bytes(data, "big"), [data]
    shifted += [(whole << shift).to_bytes(len(data) + 1, "big") for shift in range(1, 8)]
    return {number for number in range(30) if any(word(number) in one for one in shifted)}


@pytest.mark.parametrize("name", PLANTED)
def test_texts_in_packets_stay_behind(texts_in_packets, tmp_path, name):
    """In every place of a packet that decoders do not look at."""
    source = texts_in_packets / name
    assert words_in(source.read_bytes()) == FIELDS[name]
    for target in ("new.mp4", "new.mkv", "new.webm"):
        files.copy_clean(str(source), tmp_path / target)
        assert words_in((tmp_path / target).read_bytes()) == set()
        assert find_leaks(tmp_path / target, [word(0)[:9].decode()]) == []
        with av.open(str(tmp_path / target)) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert files.probe(str(tmp_path / target), decode=True).frame_count == FRAMES
        assert 7200 <= samples <= 7200 + 2 * 1536


def test_what_ffmpeg_refuses_to_write_is_told_in_words(tmp_path):
    """And not with the hidden name of a file that nobody knows."""
    plain_clip(tmp_path / "a.mp4")
    with containers.opened(str(tmp_path / "a.mp4")) as source:
        stream = containers.video_stream(source)
        with (
            pytest.raises(ValueError, match=r"^The new video cannot be written \(FFmpeg: .*\).*broken\. Convert it"),
            containers.clean_output(tmp_path / "b.mp4", stream) as output,
        ):
            copy = containers.copied_stream(output, stream, tmp_path / "b.mp4")
            for time in (5, 3):
                packet = av.Packet(b"\0\0\0\1")
                packet.stream, packet.pts, packet.dts, packet.time_base = copy, time, time, stream.time_base
                output.mux(packet)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_sound_that_nobody_can_read_is_told(tmp_path):
    plain_clip(tmp_path / "a.mkv", sound="flac", in_sound=lambda packet: word(0) * 9)
    written = files.rewrite(str(tmp_path / "a.mkv"), tmp_path / "b.mp4", lambda frames, _: frames)
    assert (written.frames, written.problems) == (FRAMES, ("a sound track that cannot be read",))
