"""Measure the memory and time that a long clip takes beyond the model, as a file and as an image batch.

    python scripts/with_env.py scripts/benchmark_video.py [--frames 600] [--height 1080] [--redact]

Queues workflows/api/anonymize_long_video.json (with --frames-as-images anonymize_video.json; with --redact
redact_video.json) in a ComfyUI of its own, with the tiny random model: first on nine frames, so that the model and the
detector have been in memory, then on the whole clip. Prints the peak resident memory of ComfyUI's process in both,
their difference, and seconds. The clip is the synthetic one of the tests, repeated, enlarged to the height.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch
from _graph_parts import EXAMPLE_VIDEO
from _sample_clip import RATE
from _synthetic_clip import LENGTH, render
from comfy_server import Server
from host import PACK

TINY = PACK / "tests" / "fixtures" / "face_anon" / "tiny"


def write_long_clip(path: Path, count: int, height: int) -> None:
    """`count` frames of the synthetic clip, over and over, at 16:9; a frame in memory at a time."""
    import av

    width = height * 16 // 9
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for i in range(count):
            frame = render(range(i % LENGTH, i % LENGTH + 1)).movedim(-1, 1)
            frame = torch.nn.functional.interpolate(frame, (height, width), mode="bilinear", antialias=True)
            levels = (frame[0].movedim(0, -1) * 255).round().byte().numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format="rgb24")))
        container.mux(stream.encode(None))


class PeakMemory:
    """The highest resident memory of ComfyUI's process while its `with` block runs, in bytes."""

    def __init__(self, port: int):
        self._process = next(
            process
            for process in psutil.process_iter(["cmdline"])
            if (line := process.info["cmdline"] or []) and "main.py" in line[1:2] and str(port) in line
        )
        self._done = threading.Event()
        self.bytes = 0

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> "PeakMemory":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()


def make_prompt(name: str, file: str) -> dict:
    prompt = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        inputs = node["inputs"]
        values = {"file": file, "model": TINY.name, "steps": 2, "size": 128}
        inputs.update({key: value for key, value in values.items() if isinstance(inputs.get(key), str | int)})
    return prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--redact", action="store_true")
    parser.add_argument("--frames-as-images", action="store_true")
    options = parser.parse_args()
    name = "redact_video" if options.redact else "anonymize_long_video"
    if options.frames_as_images:
        name = "anonymize_video"
    with tempfile.TemporaryDirectory() as folder, Server(models={"face_anon": TINY.parent}) as server:
        peaks = []
        for count in (9, options.frames):
            clip = Path(folder) / EXAMPLE_VIDEO
            write_long_clip(clip, count, options.height)
            file = server.upload(clip, name=f"{count}.mp4")
            started = time.monotonic()
            with PeakMemory(server.port) as peak:
                history = server.run(make_prompt(name, file))
            reports = [output["face_anon_report"][0] for output in history["outputs"].values() if "text" in output]
            faces = len(reports[-1]["faces"])
            peaks.append(peak.bytes / 2**30)
            print(
                f"{name}, {count} frames of {options.height * 16 // 9}x{options.height}, {faces} faces: "
                f"peak {peaks[-1]:.2f} GiB, {time.monotonic() - started:.0f} s",
                flush=True,
            )
        print(f"beyond the nine frames: {peaks[1] - peaks[0]:.2f} GiB")


if __name__ == "__main__":
    main()
