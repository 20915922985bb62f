"""tools/benchmarks/clip_reuse.py: what it draws, and that it measures reuse and nothing else."""

import torch

from face_anonymizer.modules.model.checkpoint import read_settings
from face_anonymizer.modules.model.loading import load_model_folder
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.tools.benchmarks import clip_reuse


def test_clips_go_there_and_back():
    still, moved = (clip_reuse.draw_clip(3, clip_reuse.MOVES[name], 64) for name in ("at rest", "turns"))
    assert still.shape == moved.shape == (clip_reuse.FRAMES, 64, 64, 3)
    noise = clip_reuse.difference(still[1:], still[:-1])[0]
    # the mean of what two noises differ by: 2 / sqrt(pi) deviations, of three channels together less
    assert 0.5 * clip_reuse.NOISE < noise < 1.5 * clip_reuse.NOISE
    last = clip_reuse.FRAMES - 1
    far = clip_reuse.difference(moved[:1], moved[last // 2 : last // 2 + 1])[0]
    assert far > 3 * noise
    assert clip_reuse.difference(moved[:1], moved[last:])[0] < 1.5 * noise, "the last frame is the first again"


def table(monkeypatch, noise: float = clip_reuse.NOISE) -> dict[str, list[float]]:
    """The figures for one person by the demo model."""
    folder = clip_reuse.find_model("demo")
    sampler = SamplerSettings("dpmpp_2m", "karras", 2, read_settings(folder).guidance_scale)
    monkeypatch.setattr(clip_reuse, "NOISE", noise)
    monkeypatch.setattr(clip_reuse, "LAGS", (1, 4))
    monkeypatch.setattr(clip_reuse, "MOVES", {name: clip_reuse.MOVES[name] for name in ("at rest", "turns")})
    with torch.inference_mode():
        lines = clip_reuse.measure(load_model_folder(folder), 1, sampler)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {f"{row[0]} {row[1]}".strip(): [float(cell) for cell in row[2:] if cell] for row in cells}


def test_reuse_of_an_older_frame_changes_more(monkeypatch):
    rows = table(monkeypatch)
    assert rows["turns 4"][0] > rows["turns 1"][0] > 0, "the crop"
    assert rows["turns 4"][1] > rows["turns 1"][1] > 0, "what is painted"
    assert rows["turns 1"][1] > rows["at rest 1"][1]
    assert all(value > 0 for row in rows.values() for value in row)


def test_where_nothing_moves_reuse_changes_nothing(monkeypatch):
    rows = table(monkeypatch, noise=0)
    assert rows["at rest 1"] == rows["at rest 4"] == [0] * 5
    assert rows["turns 1"][1] > 0
