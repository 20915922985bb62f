"""Results of videos tell nothing of their source: everything that a file can hide is planted, and looked for."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_leaks import find_leaks

from face_anonymizer.modules.video import codec_texts, files

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


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".mov"])
def test_a_clean_copy_tells_nothing(sources, tmp_path, target):
    files.copy_clean(sources[".mkv"], tmp_path / f"copy{target}", mark=True)
    assert leaks_in(tmp_path / f"copy{target}") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_an_editor_cut_off_is_not_copied(sources, tmp_path, suffix):
    with pytest.raises(files.CannotHold, match="players do not show"):
        files.copy_clean(sources[suffix], tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def vorbis_header(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.extradata


def test_comments_and_pictures_in_sound_headers_are_emptied(tmp_path):
    tags = b"\x03vorbis" + struct.pack("<I", 4) + b"Lavf" + struct.pack("<II", 1, len(WORD)) + WORD.encode() + b"\x01"
    first, third = b"\x01vorbis" + bytes(23), b"\x05vorbis" + bytes(400)
    header = bytes([2, len(first), len(tags)]) + first + tags + third
    cleaned = codec_texts.clean_header("vorbis", header)
    assert WORD.encode() not in cleaned and cleaned.endswith(third) and first in cleaned
    assert codec_texts.clean_header("vorbis", cleaned) == cleaned
    opus = b"OpusHead\x01\x02" + bytes(8) + b"\0"
    assert codec_texts.clean_header("opus", opus + WORD.encode()) == opus
    block = b"\x84\0\0\x23" + WORD.encode()
    assert codec_texts.clean_header("flac", b"fLaC\0\0\0\x22" + bytes(34) + block) == bytes(34)
    assert codec_texts.clean_header("mp3", WORD.encode()) == b""
    for codec, bad in (("aac", b"\x11\x90" + WORD.encode()), ("alac", bytes(36) + WORD.encode()), ("speex", b"Speex"),
                       ("theora", b"\x80theora"), ("vorbis", WORD.encode())):  # fmt: skip
        with pytest.raises(codec_texts.CannotClean):
            codec_texts.clean_header(codec, bad)


def test_user_data_in_pictures_is_taken_out():
    slice_unit = b"\x65" + bytes(range(1, 40))
    timing = b"\x06\x01\x02\x11\x22\x80"
    both = b"\x06\x01\x02\x11\x22\x05" + bytes([16 + len(WORD)]) + UUID.replace(b"\0", b"\1") + WORD.encode() + b"\x80"
    clean = codec_texts.packet_cleaner("h264", b"")
    started = b"".join(b"\0\0\0\1" + unit for unit in (both, b"\x1e" + WORD.encode(), slice_unit))
    assert clean(started) == b"".join(b"\0\0\0\1" + unit for unit in (timing, slice_unit))
    header = b"\x01\x42\0\x0a\xff\xe1\0\x04\x67\x42\0\x0a\x01\0\x02\x68\xce"
    assert codec_texts.clean_header("h264", header + WORD.encode()) == header
    sized = codec_texts.packet_cleaner("h264", header)
    units = b"".join(struct.pack(">I", len(unit)) + unit for unit in (both, slice_unit))
    assert sized(units) == b"".join(struct.pack(">I", len(unit)) + unit for unit in (timing, slice_unit))
    hevc = codec_texts.packet_cleaner("hevc", b"")
    second_layer = bytes([1 << 1, 1 << 3 | 1]) + WORD.encode()
    picture = bytes([19 << 1, 1]) + bytes(range(1, 20))
    words = bytes([39 << 1, 1]) + both[5:]
    assert hevc(b"".join(b"\0\0\1" + unit for unit in (words, second_layer, picture))) == b"\0\0\0\1" + picture
    metadata = bytes([5 << 3 | 2, 1 + len(WORD), 4]) + WORD.encode()
    frame = bytes([6 << 3 | 2, 3, 1, 2, 3])
    assert codec_texts.packet_cleaner("av1", b"")(metadata + frame) == frame
