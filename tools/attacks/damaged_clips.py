"""Redact clips with flipped bits, and look for a face that is left open without a word in the report.

    python scripts/with_env.py tools/run.py attacks.damaged_clips [--count 100] [--seed 0] [--only CLIP] [--plant]
        [--keep FOLDER]

A face moves through short clips of six codecs. In each copy 1, 5 or 30 bits of the pictures' data are flipped, then its
faces are found, followed and covered, as Track Faces in Video and Redact Video do. A frame of the result is open where
the face's place still looks like the undamaged clip, or where the detector finds a face that is not covered. That is a
leak, unless the report says that the clip is not whole, which ends a folder run with exit status 1. A result of other
frames than the report counts is one, too. Refused clips have no result. --plant leaves two frames of clips that
are not damaged uncovered: the exit status has to be 1.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.host.process import prepare_host
from face_anonymizer.tools.attacks.tally import Tally

CLIPS = {
    "h264.mp4": ("libx264", {"g": "6", "bf": "2"}),
    "h264.mkv": ("libx264", {"g": "12"}),
    "hevc.mp4": ("libx265", {"g": "6", "x265-params": "log-level=none"}),
    "mpeg4.avi": ("mpeg4", {"g": "6"}),
    "mpeg2.ts": ("mpeg2video", {"g": "6"}),
    "vp9.webm": ("libvpx-vp9", {"g": "6", "deadline": "realtime", "cpu-used": "8"}),
}
FRAMES, SIZE, RATE = 6, 128, Fraction(25)
FACE = (40, 15, 80, 65)  # x0 y0 x1 y1 in the first frame
STEP = 2  # pixels to the right from frame to frame
FLIPPED = (1, 5, 30)
SAME = 0.6  # correlation with the undamaged face from which a place shows it
COVERED = 0.12  # brightness below which a pixel is the cover
FOUND = 0.5  # score from which the detector's word counts


def make_frames() -> list[np.ndarray]:
    """uint8 [SIZE, SIZE, 3] each: a portrait that moves to the right."""
    photo = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB").crop((90, 0, 346, 256)).resize((SIZE, SIZE))
    return [np.roll(np.asarray(photo), STEP * number, 1) for number in range(FRAMES)]


def write_clip(path: Path, codec: str, options: dict, frames: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.bit_rate = 800_000
        for picture in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")))
        output.mux(stream.encode(None))


def damaged(data: bytes, numbers: random.Random) -> bytes:
    """The file with bits flipped behind its first bytes; in MP4 inside the pictures alone."""
    start, end = 600, len(data)
    if b"mdat" in data:
        start = data.find(b"mdat") + 4
        end = data.find(b"moov") - 4 if data.find(b"moov") > start else end
    changed = bytearray(data)
    for _ in range(numbers.choice(FLIPPED)):
        changed[numbers.randrange(start, end)] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    """Seconds and picture of each frame."""
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def open_frames(shown: list[tuple[float, np.ndarray]], frames: list[np.ndarray], found) -> list[int]:
    """The frames of a result that show the face: at its place, or anywhere by the detector.

    Args:
        shown: seconds and picture of each.
        frames: the undamaged ones.
        found: the Faces that the detector finds in those that are shown.
    """
    opened = set()
    for index, (seconds, picture) in enumerate(shown):
        number = min(max(round(seconds * RATE), 0), FRAMES - 1)
        x0, y0, x1, y1 = FACE[0] + STEP * number, FACE[1], FACE[2] + STEP * number, FACE[3]
        place, original = (one[y0:y1, x0:x1].astype(float).mean(-1).ravel() for one in (picture, frames[number]))
        if place.std() > 1 and np.corrcoef(place, original)[0, 1] > SAME:
            opened.add(index)
    for face in found:
        left, top, right, bottom = (int(max(0, edge)) for edge in face.box)
        width, height = right - left, bottom - top
        inner = shown[face.image_index][1][
            top + height // 4 : bottom - height // 4, left + width // 4 : right - width // 4
        ]
        if inner.size and (inner.mean(-1) / 255 > COVERED).mean() > 0.5:
            opened.add(face.image_index)
    return sorted(opened)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="cases to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which bits are flipped (%(default)s)")
    parser.add_argument("--only", choices=CLIPS, help="of these cases, those of this clip alone")
    parser.add_argument("--plant", action="store_true", help="plant a leak, to see that it is found")
    parser.add_argument("--keep", type=Path, help="copy what leaked into this folder")
    options = parser.parse_args()
    prepare_host(cpu=True)
    with torch.inference_mode():
        return attack(options)


def attack(options: argparse.Namespace) -> int:
    # behind the host, which they touch
    from face_anonymizer.modules.faces.settings import DetectSettings, RedactSettings, TrackSettings
    from face_anonymizer.modules.host.detector import detector
    from face_anonymizer.modules.video import files, jobs

    numbers, count, tally = random.Random(options.seed), Counter(), Tally("damaged_clips")
    frames = make_frames()
    with tempfile.TemporaryDirectory() as folder, detector() as detect:
        sources = {}
        for name, (codec, settings) in CLIPS.items():
            write_clip(Path(folder) / name, codec, settings, frames)
            sources[name] = (Path(folder) / name).read_bytes()
        for case in range(options.count):
            name = list(sources)[case % len(sources)]
            path, target = Path(folder) / f"case_{name}", Path(folder) / "result.mp4"
            # a planted leak has to be found without the words that damage brings
            data = sources[name] if options.plant else damaged(sources[name], numbers)
            if name != (options.only or name):
                continue
            path.write_bytes(data)
            clip = jobs.Clip(str(path), files.WHOLE)
            case_name = f"{case} of seed {options.seed} ({name})"
            try:
                faces = jobs.track_video(clip, DetectSettings(thorough=False), TrackSettings(), lambda *_: None)
                if options.plant:
                    faces = replace(faces, faces=tuple(face for face in faces if face.image_index not in (2, 3)))
                written, report = jobs.redact_video(clip, target, faces, RedactSettings(), lambda *_: None)
            except (ValueError, OSError):
                count["refused"] += 1
                tally.count(case_name)
                continue
            shown, leak = decoded(written), ""
            if len(shown) != report.images:
                leak = f"{len(shown)} frames, but the report says {report.images}"
            elif not report.incomplete and any(picture.shape != (SIZE, SIZE, 3) for _, picture in shown):
                leak = "pictures of another size, and the report says nothing of it"
            pictures = torch.from_numpy(np.stack([picture for _, picture in shown])).float() / 255
            found = detect(pictures, DetectSettings(min_score=FOUND, thorough=False))
            opened = open_frames(shown, frames, found)
            count["told"] += bool(report.incomplete)
            count["open, told"] += bool(opened and report.incomplete)
            if opened and not report.incomplete:
                leak = f"frames {opened} are open, and the report says nothing of it"
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{options.seed}_{case}_{name}").write_bytes(path.read_bytes())
            tally.count(case_name, leak)
            written.unlink()
    print(", ".join(f"{what} {number}" for what, number in sorted(count.items())))
    return tally.close()
