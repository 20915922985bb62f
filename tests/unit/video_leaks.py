"""Searches a video file for what its source held and its viewers must not get: texts, pictures, sound, hidden or not.

Written beside the code that it judges, and apart from it: it shares no parser with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

# Boxes of MP4 and MOV that FFmpeg needs to play a file. Everything else has to be empty.
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"gmhd", b"wave"}
_NEEDED = _PARENTS | {
    *(b"ftyp", b"mdat", b"mvhd", b"tkhd", b"elst", b"mdhd", b"hdlr", b"vmhd", b"smhd", b"dref", b"stsd", b"stts"),
    *(b"stss", b"ctts", b"stsc", b"stsz", b"stco", b"co64", b"sgpd", b"sbgp", b"sdtp"),
}
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_HANDLERS = {b"VideoHandler", b"SoundHandler", b"DataHandler", b""}
# Elements of Matroska that can tell something, and those that hold others.
_MASTERS = {0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0xA0, 0x1254C367, 0x7373, 0x67C8, 0x63C0}
_TELLING = {
    0x1941A469: "attachments",
    0x1043A770: "chapters",
    0x7BA9: "title",
    0x536E: "track name",
    0x4461: "date",
    0x75A1: "block addition",
    0x7384: "file name",
    0x73A4: "segment's id",
}
_APPS, _TAG_NAME, _TAG_TEXT, _VOID, _TAG = {0x4D80, 0x5741}, 0x45A3, 0x4487, 0xEC, 0x67C8
_TAGS = {b"DURATION", b"DIGITAL_SOURCE_TYPE"}
_USER_DATA = {"SEI_UNREGISTERED", "A53_CC", "GOP_TIMECODE", "S12M_TIMECODE", "ICC_PROFILE"}


def find_leaks(
    path: Path | str, words: Iterable[str], pictures: Iterable[np.ndarray] = (), pitches: Iterable[float] = ()
) -> list[str]:
    """All that tells something of a source.

    Args:
        path: of an MP4, MOV, Matroska or WEBM file.
        words: texts that only the source holds.
        pictures: uint8 [H, W, 3], what no frame may show, in the frames' proportions.
        pitches: in Hz, of tones that must not be heard.
    """
    data = Path(path).read_bytes()
    leaks = [f"the bytes say {word!r}" for word in words if _says(data, word)]
    if data[:4] == b"\x1a\x45\xdf\xa3":
        leaks += _in_matroska(data)
    else:
        leaks += _in_mp4(data, 0, len(data))
    leaks += _in_streams(path, words)
    for options in ({}, {"ignore_editlist": "1"}):  # as players do, and as those do who look behind it
        leaks += _in_frames(path, options, list(pictures)) + _in_sound(path, options, list(pitches))
    return sorted(set(leaks))


def _says(data: bytes, word: str) -> bool:
    return any(word.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-16-be"))


def _in_mp4(data: bytes, start: int, end: int) -> list[str]:
    leaks = []
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        stop = end if size == 0 else start + size
        if size and (size < header or stop > end):
            return [*leaks, f"{end - start} bytes are no box"]
        content = data[start + header : stop]
        if name in _PARENTS:
            leaks += _in_mp4(data, start + header, stop)
        elif name == b"hdlr" and content[24:].strip(bytes(range(32))) not in _HANDLERS:
            leaks.append(f"a handler is called {content[24:]!r}")
        elif name in (b"mvhd", b"tkhd", b"mdhd") and any(content[4 : 12 if content[0] == 0 else 20]):
            leaks.append(f"{name.decode()} has a date")
        elif name in (b"free", b"skip", b"wide"):
            leaks += [f"{name.decode()} is not empty"] if any(content) else []
        elif name == b"uuid":
            leaks += [] if content[:16] == _XMP and b"DigitalSourceType" in content else ["an unknown uuid"]
        elif name in (b"udta", b"meta"):
            leaks += _in_mp4(data, start + header + (4 if name == b"meta" else 0), stop)
        elif name == b"ilst":
            leaks += ["a list of tags"] if content else []
        elif name not in _NEEDED:
            leaks.append(f"box {name.decode('latin-1')}")
        start = stop
    return leaks if start == end else [*leaks, f"{end - start} bytes at the end"]


def _in_matroska(data: bytes) -> list[str]:
    leaks: list[str] = []

    def number(at: int, keep: bool) -> tuple[int, int]:
        length = 9 - data[at].bit_length()
        value = int.from_bytes(data[at : at + length], "big")
        return (value if keep else value & ((1 << 7 * length) - 1)), at + length

    def walk(start: int, end: int) -> None:
        while start < end:
            element, at = number(start, True)
            size, at = number(at, False)
            content = data[at : at + size]
            if at + size > end:
                leaks.append(f"{end - start} bytes are no element")
                return
            if element in _TELLING:
                leaks.append(_TELLING[element])
            elif element in _APPS and content != b"Lavf":
                leaks.append(f"written by {content!r}")
            elif element == _TAG_NAME and content not in _TAGS:
                leaks.append(f"tag {content!r}")
            elif element == _VOID and any(content):
                leaks.append("void is not empty")
            elif element in _MASTERS:
                walk(at, at + size)
            start = at + size

    walk(0, len(data))
    return leaks


def _in_streams(path: Path | str, words: Iterable[str]) -> list[str]:
    leaks = []
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        if kinds.count("video") > 1 or set(kinds) - {"video", "audio"}:
            leaks.append(f"streams {kinds}")
        if container.chapters():
            leaks.append("chapters")
        for stream in container.streams:
            known = {"language": "und", "handler_name": None, "vendor_id": None, "DURATION": None, "ENCODER": None}
            told = {key: text for key, text in stream.metadata.items() if known.get(key, text) not in (None, text)}
            leaks += [f"metadata {key}" for key in stream.metadata if key not in known] + [
                f"metadata {k}" for k in told
            ]
            header = (stream.codec_context.extradata or b"") if stream.codec_context else b""
            limit = {"opus": 40, "flac": 42, "aac": 8, "h264": 200, "hevc": 400, "av1": 80}.get(stream.name, 10**5)
            if len(header) > limit:
                leaks.append(f"a header of {len(header)} bytes for {stream.name}")
            if stream.name == "vorbis" and b"\x03vorbis" + bytes(8) not in header:
                leaks.append("comments in the header of vorbis")
        for packet in container.demux():
            leaks += [f"a packet says {word!r}" for word in words if _says(bytes(packet), word)]
    return leaks


def _in_frames(path: Path | str, options: dict, pictures: list[np.ndarray]) -> list[str]:
    leaks, small = [], [_thumbnail(picture) for picture in pictures]
    with av.open(str(path), options=options) as container:
        for packet in container.demux(*container.streams.video):
            for frame in _pictures(packet):
                leaks += [f"side data {data.type.name}" for data in frame.side_data if data.type.name in _USER_DATA]
                shown = _thumbnail(frame.to_ndarray(format="rgb24"))
                leaks += [f"picture {i}" for i, one in enumerate(small) if np.corrcoef(one, shown)[0, 1] > 0.9]
    return leaks


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    """24 x 16 means of the brightness, in one row."""
    rows, columns = (np.linspace(0, n, k + 1).astype(int) for n, k in zip(picture.shape[:2], (16, 24), strict=True))
    gray = picture.mean(-1)
    blocks = np.add.reduceat(np.add.reduceat(gray, rows[:-1], 0), columns[:-1], 1)
    return (blocks / np.outer(np.diff(rows), np.diff(columns))).ravel()


def _pictures(packet) -> list:
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def _mono(frame) -> np.ndarray:
    samples = frame.to_ndarray().astype(float)
    return samples.mean(0) if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels)).mean(1)


def _in_sound(path: Path | str, options: dict, pitches: list[float]) -> list[str]:
    leaks = []
    with av.open(str(path), options=options) as container:
        tracks = len(container.streams.audio)
    for track in range(tracks if pitches else 0):
        with av.open(str(path), options=options) as container:
            rate = container.streams.audio[track].sample_rate
            sound = np.concatenate([_mono(frame) for frame in container.decode(audio=track)])
        for start in range(0, len(sound) - rate // 20, rate // 20):
            part = sound[start : start + rate // 10] * np.hanning(len(sound[start : start + rate // 10]))
            loudness = np.abs(np.fft.rfft(part))
            for pitch in pitches:
                near = loudness[max(0, round(pitch * len(part) / rate) - 1) :][:3].max()
                if near > 0.5 * loudness.max() > 1e-3 * len(part) * 0.01:
                    leaks.append(f"a tone of {pitch:.0f} Hz")
    return leaks
