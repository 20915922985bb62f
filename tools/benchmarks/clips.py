"""Cover the faces of clips of known truth, beside deface: CPU seconds a frame, and what stays open.

    python tools/run.py benchmarks.clips [--deface PYTHON] [--seed N] [--clips NAME ...] [--large] [--threads 1]

Clips: tools/pictures/known_clips.py, and with --large six walkers at 1920x1080. Ours is Track Faces in Video, without
points, and Redact Video. --deface: the Python of an environment that has deface 1.5.0
(python -m venv D && D/bin/pip install deface==1.5.0 onnx onnxruntime); it runs at its defaults, but solid and without a
change of the size, in the same minute, with as many threads of onnxruntime.

Both results are read as files. A face-frame is uncovered when less than 0.7 of what is seen of the face's ellipse is
black; only faces count that are visible to a half. A spot that was blackened where no face is counts as false.
Switches: changes of the track that lies on a face, and tracks that lie on two. CPU seconds are those of the process and
its children, without its start; wall seconds beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from face_anonymizer.modules.faces import boxes as box_math
from face_anonymizer.modules.host.process import prepare_host
from face_anonymizer.tools.busy import busy
from face_anonymizer.tools.pictures.known_clips import Clip, Shown, known_clips, large_clip

COVERED = 0.7  # share of a face's ellipse
VISIBLE = 0.5
BLACK, LIT = 40, 56  # levels, the largest of the three channels
LEAST_SPOT = 40  # pixels; smaller ones are the codec's
SAME_IOU = 0.3
DEFACE = """
import json, os, sys, time
import cv2, onnxruntime
threads = int(sys.argv[1])
cv2.setNumThreads(threads)
def limited(*arguments, original=onnxruntime.InferenceSession, **options):
    options["sess_options"] = onnxruntime.SessionOptions()
    options["sess_options"].intra_op_num_threads = threads
    return original(*arguments, **options)
onnxruntime.InferenceSession = limited
from deface import deface
network = deface.CenterFace()
for source, target in zip(sys.argv[2::2], sys.argv[3::2]):
    before, wall = os.times(), time.monotonic()
    deface.video_detect(
        source, target, network, threshold=0.2, enable_preview=False, cam=False, nested=False, replacewith="solid",
        mask_scale=1.3, ellipse=True, draw_scores=False, ffmpeg_config={"codec": "libx264", "macro_block_size": 2},
    )
    after = os.times()
    print("RESULT " + json.dumps([sum(after[:4]) - sum(before[:4]), time.monotonic() - wall]), flush=True)
"""


@dataclass(frozen=True)
class Result:
    """What became of a clip: seconds, face-frames left open of all, false spots; switches, where tracks are known."""

    cpu_s: float
    wall_s: float
    uncovered: int
    faces: int
    false: int
    switches: int | None = None


def write(clip: Clip, path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=clip.fps, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *clip.size, "yuv420p"
        for number in range(clip.length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clip.frame(number), format="rgb24")))
        container.mux(stream.encode(None))


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def judge(clip: Clip, before: list[np.ndarray], after: list[np.ndarray]) -> tuple[int, int, int]:
    """Uncovered face-frames, all face-frames, false spots."""
    uncovered = faces = false = 0
    y, x = np.mgrid[0 : clip.size[1], 0 : clip.size[0]]
    for number in range(clip.length):
        shown = clip.truth(number)
        lit = before[number].max(2) > LIT
        black = (after[number].max(2) < BLACK) & lit
        spots, _ = ndimage.label(ndimage.binary_opening(black))
        for face in shown:
            centre, half = face.box.reshape(2, 2).mean(0), (face.box[2:] - face.box[:2]) / 2
            ellipse = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 <= 1
            spots[np.isin(spots, np.unique(spots[ellipse]))] = 0
            if face.visible >= VISIBLE:
                faces += 1
                inside = ellipse & lit
                uncovered += bool(inside.any()) and black[inside].mean() < COVERED
        false += int((np.unique(spots, return_counts=True)[1][1:] >= LEAST_SPOT).sum())
    return uncovered, faces, false


def switches(truth: list[list[Shown]], faces) -> int:
    """Changes of the track on a face, and of the face under a track."""
    track_of, actor_of, count = {}, {}, 0
    by_frame: list[list] = [[] for _ in truth]
    for face in faces:
        by_frame[face.image_index].append(face)
    for shown, found in zip(truth, by_frame, strict=True):
        shown = [face for face in shown if face.visible >= VISIBLE]
        if not shown or not found:
            continue
        iou = box_math.iou(np.array([face.box for face in shown]), np.array([face.box for face in found]))
        for i, j in zip(*linear_sum_assignment(-np.where(iou >= SAME_IOU, iou, -1)), strict=True):
            if iou[i, j] >= SAME_IOU:
                actor, track = shown[i].actor, found[j].track
                count += track_of.setdefault(actor, track) != track
                count += actor_of.setdefault(track, actor) != actor
                track_of[actor], actor_of[track] = track, actor
    return count


def ours(clip: Clip, source: Path, target: Path) -> Result:
    from face_anonymizer.modules.faces.settings import DetectSettings, RedactSettings, TrackSettings
    from face_anonymizer.modules.video import jobs

    before, wall = os.times(), time.monotonic()
    with torch.inference_mode():
        job = jobs.Clip(str(source), (0.0, 0.0))
        faces = jobs.track_video(job, DetectSettings(points=False), TrackSettings(), lambda *_: None)
        tracked = sum(os.times()[:4]) - sum(before[:4])
        jobs.redact_video(job, target, faces, RedactSettings(), lambda *_: None)
    after = os.times()
    print(f"<!-- {clip.name}: of ours {tracked / clip.length:.3f} s a frame to find and follow -->", flush=True)
    changed = switches([clip.truth(number) for number in range(clip.length)], faces)
    seconds = sum(after[:4]) - sum(before[:4]), time.monotonic() - wall
    return Result(*seconds, *judge(clip, read(source), read(target)), changed)


def deface(python: str, threads: int, clip: Clip, source: Path, target: Path) -> Result:
    command = [python, "-c", DEFACE, str(threads), str(source), str(target)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    return Result(*json.loads(line[7:]), *judge(clip, read(source), read(target)))


def cells(result: Result, clip: Clip) -> str:
    changed = "" if result.switches is None else f" / {result.switches}"
    seconds = f"{result.cpu_s / clip.length:.3f} ({result.wall_s / clip.length:.3f})"
    return f"{seconds} | {result.uncovered} / {result.false}{changed}"


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deface", metavar="PYTHON", help="the Python of an environment with deface 1.5.0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--clips", nargs="*", help="beginnings of names; all where none is given")
    parser.add_argument("--large", action="store_true", help="1920x1080 too")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if not options.deface:
        print(
            "Without deface: --deface PYTHON, of python -m venv D && D/bin/pip install deface==1.5.0 onnx onnxruntime"
        )
    prepare_host(cpu=True)
    torch.set_num_threads(options.threads)
    clips = [
        clip
        for clip in known_clips(options.seed, options.frames).values()
        if not options.clips or clip.name.startswith(tuple(options.clips))
    ]
    clips += [large_clip(options.seed)] if options.large else []
    print(
        f"Seed {options.seed}, {options.threads} thread(s). CPU (wall) seconds a frame; open face-frames / false spots"
    )
    print(
        "| clip | face-frames | ours | open / false / switches | deface | open / false | ratio |\n" + "|---" * 7 + "|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if clips:  # networks and libraries are warm, as deface's are
            warm = Clip("warm", 2, 30, (320, 192), clips[0].background, clips[0].actors[:1])
            write(warm, folder / "warm.mp4")
            ours(warm, folder / "warm.mp4", folder / "warm_ours.mp4")
        for number, clip in enumerate(clips):
            source = folder / f"{number}.mp4"
            write(clip, source)
            result = ours(clip, source, folder / f"{number} ours.mp4")
            row = f"| {clip.name} | {result.faces} | {cells(result, clip)} |"
            if options.deface:
                other = deface(options.deface, options.threads, clip, source, folder / f"{number} deface.mp4")
                row += f" {cells(other, clip)} | {result.cpu_s / other.cpu_s:.2f} |"
            print(row, flush=True)
