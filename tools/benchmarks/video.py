"""Measure the memory and time that a long video takes, beyond the model and what is loaded with it.

    python scripts/with_env.py tools/run.py benchmarks.video [--frames 600] [--track-frames 60] [--height 1080] [--gpu]

The synthetic clip of the tests, over and over, enlarged to the height, goes through the three jobs of
modules/video/jobs.py in this process: its first --track-frames are searched and followed by the real detector, which
takes seconds a frame on a CPU; then all frames are redacted and painted by the tiny random model in one step, with the
faces that are known to be there. Prints, a row a job, the peak resident memory beyond that before the job, a quarter of
the way and at its end: what grows with the length of the video shows as a difference of the two.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import psutil
import torch

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.host.process import prepare_host
from face_anonymizer.tools.busy import busy
from face_anonymizer.tools.pictures import synthetic_clip as synthetic

TINY = PACK / "tests" / "fixtures" / "face_anon" / "tiny"
STRIDE = 10  # every tenth frame of the clip is shown, each so many times
SHOTS = range(0, synthetic.LENGTH, STRIDE)


def write_video(path: Path, count: int, height: int) -> None:
    """`count` frames at 16:9 as H.264."""
    width = height * 16 // 9
    pictures = []
    for shot in SHOTS:
        frame = synthetic.render(range(shot, shot + 1)).movedim(-1, 1)
        frame = torch.nn.functional.interpolate(frame, (height, width), mode="bilinear")[0].movedim(0, -1)
        pictures.append((frame * 255).round().byte().numpy())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=30)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for i in range(count):
            picture = pictures[i // STRIDE % len(SHOTS)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def known_faces(types, count: int, height: int):
    """The faces of these frames, as a detector would give them."""
    scale, size = height / synthetic.HEIGHT, (height, height * 16 // 9)
    limit = np.array([size[1], size[0]] * 2)
    truth = synthetic.truth()
    faces = []
    for i in range(count):
        for shown in truth[SHOTS[i // STRIDE % len(SHOTS)]]:
            if shown.visible > 0.5:
                box = np.clip(shown.face.box * scale, 0, limit)
                faces.append(replace(shown.face, image_index=i, box=box, points=shown.face.points * scale))
    return types.Faces(count, *size, tuple(faces))


class Memory:
    """The peak resident memory of this process while its `with` block runs, by the second, in GiB."""

    def __enter__(self) -> Memory:
        self._process, self._done, self._samples = psutil.Process(), threading.Event(), []
        self._before = self._process.memory_info().rss
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self._samples.append(self._process.memory_info().rss - self._before)

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._started

    def peak(self, share: float = 1.0) -> float:
        """Over the first `share` of the time."""
        return max(self._samples[: max(1, round(len(self._samples) * share))]) / 2**30


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--track-frames", type=int, default=60)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--gpu", action="store_true", help="let ComfyUI choose its device")
    options = parser.parse_args()
    prepare_host(cpu=not options.gpu)
    from face_anonymizer.modules.faces import types
    from face_anonymizer.modules.faces.settings import (
        SAME_NOISE,
        DetectSettings,
        PasteSettings,
        RedactSettings,
        TrackSettings,
    )
    from face_anonymizer.modules.faces.track.tracking import track_faces
    from face_anonymizer.modules.model.loading import load_model_folder
    from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
    from face_anonymizer.modules.video import jobs as clip

    model = load_model_folder(TINY)
    pasting = PasteSettings()
    painting = PaintSettings(sampler=SamplerSettings("euler", steps=1))

    print("| job | frames | faces | seconds | GiB in the first quarter | GiB in all |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        for count in (options.track_frames, options.frames):
            write_video(folder / f"{count}.mp4", count, options.height)
        short = clip.Clip(str(folder / f"{options.track_frames}.mp4"), (0.0, 0.0))
        long = clip.Clip(str(folder / f"{options.frames}.mp4"), (0.0, 0.0))
        faces = known_faces(types, options.frames, options.height)
        cuts = range(STRIDE, options.frames, STRIDE)
        faces = track_faces(faces, list(cuts))

        def row(job: str, frames: int, work) -> None:
            with Memory() as memory:
                worked = work()
            shown = len(worked if isinstance(worked, types.Faces) else faces)
            figures = f"{memory.seconds:.0f} | {memory.peak(0.25):.2f} | {memory.peak():.2f}"
            print(f"| {job} | {frames} | {shown} | {figures} |", flush=True)

        def ignore(_done, _all):
            pass

        redaction = (RedactSettings(), ignore)
        row(
            "find and follow",
            options.track_frames,
            lambda: clip.track_video(short, DetectSettings(), TrackSettings(), ignore),
        )
        row(
            "redact",
            options.frames,
            lambda: clip.redact_video(long, folder / "redacted.mp4", faces, *redaction),
        )
        row(
            "anonymize",
            options.frames,
            lambda: clip.anonymize_video(
                long, folder / "painted.mp4", faces, model, painting=painting, pasting=pasting, identity=SAME_NOISE
            ),
        )
