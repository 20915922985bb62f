"""The whole method in one node: equal to the single nodes, in any number of parts, one person one seed."""

from dataclasses import replace

import numpy as np
import pipeline
import pytest
import torch

from face_anonymizer import nodes as pack
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.model.settings import DDPM

STEPS = 4


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_tiny()


def faces_of(tracks) -> Faces:
    """One face an image, as Crop Faces gives them."""
    box = np.array([10.0, 10, 60, 70])
    found = (Face(i, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test", track=track) for i, track in enumerate(tracks))
    return Faces(len(tracks), 128, 128, tuple(found))


def crops_of(model, crops, faces, **settings) -> torch.Tensor:
    settings = {"seed": 7, "steps": STEPS, "sampler_name": DDPM} | settings
    return pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, **settings)[0]


def test_equals_the_single_nodes(model):
    crops = pipeline.face_images(3)
    expected = model.vae.decode(pipeline.anonymize(model, crops, seed=7, steps=STEPS))
    assert torch.equal(crops_of(model, crops, faces_of([None] * 3)), expected)
    inputs = pipeline.references(model, crops, crops)
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=STEPS, faces=faces_of([None] * 3))[0]
    assert torch.equal(model.vae.decode(latents["samples"]), expected)


def test_parts_change_nothing_but_rounding(model):
    crops = pipeline.face_images(3)
    whole = crops_of(model, crops, faces_of([None] * 3))
    for at_once in (1, 2):
        parts = crops_of(model, crops, faces_of([None] * 3), faces_at_once=at_once)
        difference = (parts - whole).abs().max().item()
        print(f"{at_once} at once against 3: {difference:.1e}")
        assert difference < 2e-5


def test_a_person_keeps_one_seed_over_the_frames(model):
    crops = pipeline.face_images(1).repeat(4, 1, 1, 1)
    tracked = crops_of(model, crops, faces_of([0, 1, 0, 1]))
    assert torch.allclose(tracked[0], tracked[2], atol=2e-5) and torch.allclose(tracked[1], tracked[3], atol=2e-5)
    assert (tracked[0] - tracked[1]).abs().mean() > 0.01
    alone = crops_of(model, crops[:2], faces_of([None, None]))
    assert torch.allclose(alone, tracked[:2], atol=2e-5)


def test_one_synthetic_face_is_swapped_onto_every_frame(model):
    crops = pipeline.face_images(3)
    faces = faces_of([0, 0, 0])
    best = replace(faces.faces[1], score=1.0)
    faces = replace(faces, faces=(faces.faces[0], best, faces.faces[2]))
    swapped = crops_of(model, crops, faces, identity="same face")
    synthetic = crops_of(model, crops[1:2], faces_of([0]))
    expected = crops_of(model, crops, faces, degree=0.0, source=synthetic)
    assert torch.equal(swapped, expected)
    with pytest.raises(ValueError, match="Track Faces"):
        crops_of(model, crops, faces_of([None] * 3), identity="same face")
    with pytest.raises(ValueError, match="3 crops but 4 faces"):
        crops_of(model, crops, faces_of([0, 0, 0, 1]), identity="same face")


def test_a_source_is_swapped_as_the_single_nodes_swap_it(model):
    source, crops = pipeline.face_images(2).split(1)
    inputs = pipeline.references(model, source, crops, degree=0.0)
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=STEPS)[0]["samples"]
    swapped = crops_of(model, crops, faces_of([None]), degree=0.0, source=source)
    assert torch.equal(swapped, model.vae.decode(latents))
    larger = torch.nn.functional.interpolate(source.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    assert crops_of(model, crops, faces_of([None]), degree=0.0, source=larger).shape == crops.shape
    with pytest.raises(ValueError, match="2 source faces for 3 crops"):
        crops_of(model, pipeline.face_images(3), faces_of([None] * 3), source=pipeline.face_images(2))


@pytest.mark.parametrize("name", ["dpmpp_2m", "euler", "ddim", "dpmpp_sde"])
def test_samplers_of_the_host_paint(model, name):
    crops = pipeline.face_images(2)
    painted = crops_of(model, crops, faces_of([None, None]), sampler_name=name)
    again = crops_of(model, crops, faces_of([None, None]), sampler_name=name)
    assert painted.shape == crops.shape and painted.isfinite().all() and torch.equal(painted, again)
    assert (painted - crops).abs().mean() > 0.05


def test_no_crops_and_crops_of_other_faces(model):
    none = torch.zeros(0, 128, 128, 3)
    assert crops_of(model, none, faces_of([])).shape == none.shape
    with pytest.raises(ValueError, match="2 crops but 1 faces"):
        crops_of(model, pipeline.face_images(2), faces_of([None]))
