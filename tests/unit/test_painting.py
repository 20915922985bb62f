"""painting.py with an engine of plain numbers: which crop meets which source, seed and part. No ComfyUI here."""

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

import face_anonymizer
from face_anonymizer.modules.model.painting import Sitting, anonymize_crops, runs, swap_crops
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.model.sources import Sources
from face_anonymizer.modules.model.states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates

SIDE = 4


class NumberEngine:
    """Encodes a crop as the number in its first pixel, and paints the numbers of source, driving image and seed."""

    resolution = SIDE

    def __init__(self):
        self.encoded: list[list[float]] = []
        self.progresses: list[CountedProgress] = []
        self.read: dict[str, list[int]] = {SOURCE: [], DRIVING: []}  # how many states at a time

    def encode(self, images):
        self.encoded.append(images[:, 0, 0, 0].tolist())
        return images[:, :1, :1, 0].unsqueeze(1)

    def embed(self, images):
        return ImageEmbeds(images[:, :1, 0, :1])

    def source_states(self, latents, embeds):
        self.read[SOURCE].append(len(latents))
        return self._states(SOURCE, latents, embeds)

    def driving_states(self, latents, embeds):
        self.read[DRIVING].append(len(latents))
        return self._states(DRIVING, latents, embeds)

    @staticmethod
    def _states(role, latents, embeds):
        conditional = {"layer": latents.flatten(1).unsqueeze(2)}
        unconditional = {"layer": torch.zeros(1, 1, 1)} if role == SOURCE else {}
        size = (latents.shape[2], latents.shape[3])
        return ReferenceStates(role, conditional, unconditional, {"layer": "layer"}, size, 0.0, embeds.degree)

    def sample(self, references, seeds, sampler, on_step=None):
        faces = references.check("", 1)
        for step in range(sampler.steps):
            on_step(step, None, None, sampler.steps)
        source, driving = (
            states.conditional["layer"].flatten().expand(faces)
            for states in (references.source_states, references.driving_states)
        )
        embeds = references.source_embeds.embeds.flatten().expand(faces)
        return torch.stack([source, driving, embeds, torch.tensor(seeds, dtype=torch.float32)], dim=1)

    def decode(self, latents):
        return latents.view(-1, 1, 1, 4).expand(-1, SIDE, SIDE, -1)

    def progress(self, settings, runs, faces):
        self.progresses.append(CountedProgress(runs, faces))
        return self.progresses[-1]


class CountedProgress:
    def __init__(self, runs, faces=None):
        self.expected, self.runs, self.steps = runs, 0, 0
        self.faces, self.painted = faces, 0

    def add_runs(self, count):
        self.expected += count

    def start_run(self, faces, again=False):
        self.runs += 1
        self.painted += 0 if again else faces

    def step(self, step, denoised, x, steps):
        self.steps += 1


def crops_of(*numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, SIDE, SIDE, 3)


def painted(crops) -> list[list[float]]:
    """Source, driving image, source embedding and seed of each."""
    return crops[:, 0, 0].tolist()


def test_a_crop_is_its_own_source_at_its_degree():
    """Equations (1) and (2) with nothing as the unconditional state: a quarter of each, turned away."""
    engine, settings = NumberEngine(), PaintSettings(1.25, 100, SamplerSettings(steps=3), faces_at_once=2)
    found = anonymize_crops(engine, crops_of(4, 8, 12), [7, 0, 7], settings)
    assert painted(found) == [[-1, 4, -1, 107], [-2, 8, -2, 100], [-3, 12, -3, 107]]
    assert engine.encoded == [[4, 8], [12]], "a part's crops are encoded once, as source and driving image"
    (progress,) = engine.progresses
    assert (progress.expected, progress.runs, progress.steps) == (2, 2, 6) == (runs(3, settings), 2, 6)
    assert progress.painted == progress.faces == 3


def test_crops_that_are_painted_again_are_encoded_once():
    """Some of them at another degree: only their source states are read anew."""
    engine, sampler = NumberEngine(), SamplerSettings(steps=1)
    sitting = Sitting(engine, crops_of(4, 8, 12), sampler)
    first = sitting.paint([7, 0, 7], 1.25, lambda *_: None)
    assert torch.equal(first, anonymize_crops(NumberEngine(), crops_of(4, 8, 12), [7, 0, 7], PaintSettings(1.25)))
    assert painted(sitting.paint([3, 5], 1.25, lambda *_: None, [2, 0])) == [[-3, 12, -3, 3], [-1, 4, -1, 5]]
    assert painted(sitting.paint([3], 1.5, lambda *_: None, [1])) == [[-4, 8, -4, 3]]
    assert engine.encoded == [[4, 8, 12]] and engine.read == {SOURCE: [3, 1], DRIVING: [3]}


def test_one_source_serves_whichever_crops_are_painted_again():
    engine = NumberEngine()
    sitting = Sitting(
        engine, crops_of(7, 8, 9), SamplerSettings(steps=1), Sources(engine, crops_of(5), SIDE).of([0, 0, 0])
    )
    assert [row[:2] for row in painted(sitting.paint([0, 1, 2], 0.0, lambda *_: None))] == [[5, 7], [5, 8], [5, 9]]
    assert painted(sitting.paint([0, 1], 1.5, lambda *_: None, [2, 0])) == [[-2.5, 9, -2.5, 0], [-2.5, 7, -2.5, 1]]


def test_sources_meet_their_crops():
    settings = PaintSettings(0.0, 0, SamplerSettings(steps=1), faces_at_once=2)
    for which, expected in ((None, [(1, 7), (2, 8), (3, 9)]), ([2, 2, 0], [(3, 7), (3, 8), (1, 9)])):
        found = swap_crops(NumberEngine(), crops_of(1, 2, 3), crops_of(7, 8, 9), range(3), settings, which=which)
        assert [(source, driving) for source, driving, *_ in painted(found)] == expected
    engine = NumberEngine()
    found = swap_crops(engine, crops_of(5), crops_of(7, 8, 9), range(3), settings)
    assert [source for source, *_ in painted(found)] == [5, 5, 5]
    assert engine.encoded == [[7, 8], [5], [9]] and engine.read[SOURCE] == [1], "one source is read once for all parts"


def test_each_source_is_read_once_a_degree_for_all_parts_and_calls():
    """As "same face" does, whose people come in every batch of a clip; and their number in memory is bounded."""
    engine, settings = NumberEngine(), PaintSettings(0.0, 0, SamplerSettings(steps=1), faces_at_once=2)
    people = Sources(engine, crops_of(1, 2, 3), SIDE)
    for which in ([0, 1, 0], [1, 2, 1]):
        found = swap_crops(engine, people, crops_of(7, 8, 9), range(3), settings, which=which)
        assert [row[:2] for row in painted(found)] == [[which[i] + 1, 7 + i] for i in range(3)]
    assert engine.read[SOURCE] == [2, 1] and [1, 2] in engine.encoded and [3] in engine.encoded
    assert painted(swap_crops(engine, people, crops_of(7), [0], replace(settings, degree=2.0), which=[2]))[0][0] == -3
    assert engine.read[SOURCE] == [2, 1, 1] and engine.encoded.count([3]) == 1, "another degree, the same latents"
    crowd = Sources(engine, crops_of(*range(20)), SIDE)
    states, _ = crowd.read(range(20), 0.0)
    assert states.conditional["layer"].flatten().tolist() == list(range(20))
    assert len(crowd._faces) == 16 and 19 in crowd._faces
    states, embeds = crowd.read([0, 19, 0], 0.0)
    assert states.conditional["layer"].flatten().tolist() == [0, 19, 0] == embeds.embeds.flatten().tolist()
    assert engine.read[SOURCE][-2:] == [20, 1]


def test_a_progress_of_the_caller_counts_all_its_jobs():
    engine, settings, progress = NumberEngine(), PaintSettings(faces_at_once=2), CountedProgress(3)
    anonymize_crops(engine, crops_of(1), [0], settings, progress)
    swap_crops(engine, crops_of(1), crops_of(7, 8, 9), range(3), PaintSettings(0.0, faces_at_once=2), progress=progress)
    assert (progress.runs, progress.steps, progress.painted) == (3, 75, 4) and not engine.progresses


def test_counts_that_do_not_fit():
    engine = NumberEngine()
    with pytest.raises(ValueError, match="2 crops but 1 faces"):
        anonymize_crops(engine, crops_of(1, 2), [0], PaintSettings())
    with pytest.raises(ValueError, match="2 source faces for 3 crops"):
        swap_crops(engine, crops_of(1, 2), crops_of(1, 2, 3), range(3), PaintSettings())
    none = anonymize_crops(engine, torch.zeros(0, SIDE, SIDE, 4), [], PaintSettings())
    assert none.shape == (0, SIDE, SIDE, 3) and not engine.encoded


@pytest.fixture
def imported_anew(monkeypatch) -> Iterator[None]:
    """As in a process where nothing of the pack and of ComfyUI is imported yet, and where there is no ComfyUI."""
    before = {name: module for name, module in sys.modules.items() if re.match(r"face_anonymizer\.|comfy\b", name)}
    monkeypatch.setattr(face_anonymizer, "modules", face_anonymizer.modules)
    for name in before:
        del sys.modules[name]
    sys.modules["comfy"] = None
    yield
    for name in [name for name in sys.modules if re.match(r"face_anonymizer\.|comfy\b", name)]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("imported_anew")
def test_the_method_needs_no_comfyui():
    for name in ("modules.evaluation.painting", "modules.model.diffusers_engine.engine", "modules.headless.anonymizer"):
        assert importlib.import_module(f"face_anonymizer.{name}") is not None
    with pytest.raises(ModuleNotFoundError, match="comfy"):
        importlib.import_module("face_anonymizer.modules.model.comfy_engine")
