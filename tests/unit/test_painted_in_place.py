"""Behind a sampler hidden parts may be gone: only where nothing else happened to the picture before or after."""

import pytest

from face_anonymizer.modules.output.starts import is_painted_in_place


def graph(**more) -> dict:
    nodes = {
        "load": {"image": "cut.png"},
        "encode": {"pixels": ["load", 0], "vae": ["v", 0]},
        "masked": {"samples": ["encode", 0], "mask": ["load", 1]},
        "sample": {"latent_image": ["masked", 0], "model": ["m", 0], "steps": 4, "denoise": 1.0},
        "decode": {"samples": ["sample", 0], "vae": ["v", 0]},
        "save": {"images": ["decode", 0]},
        "v": {},
        "m": {},
        **more,
    }
    return {number: {"class_type": number, "inputs": inputs} for number, inputs in nodes.items()}


OTHERS = {
    "scaled after": {"scaled": {"image": ["decode", 0], "width": 9}, "save": {"images": ["scaled", 0]}},
    "scaled before": {
        "scaled": {"image": ["load", 0], "width": 9},
        "encode": {"pixels": ["scaled", 0], "vae": ["v", 0]},
    },
    "laid on what was painted": {
        "laid": {"destination": ["decode", 0], "source": ["load", 0], "mask": ["load", 1]},
        "save": {"images": ["laid", 0]},
    },
    "a mask laid over it": {"cut": {"image": ["decode", 0], "mask": ["load", 1]}, "save": {"images": ["cut", 0]}},
    "two samplers": {
        "again": {"latent_image": ["sample", 0], "model": ["m", 0], "steps": 4, "denoise": 1.0},
        "decode": {"samples": ["again", 0], "vae": ["v", 0]},
    },
    "no sampler": {"decode": {"samples": ["masked", 0], "vae": ["v", 0]}},
    "nothing connected": {"save": {}},
}


def test_encoded_sampled_decoded():
    assert is_painted_in_place(graph(), "save", "images")
    unmasked = graph(sample={"latent_image": ["encode", 0], "model": ["m", 0], "steps": 4, "denoise": 0.9})
    assert is_painted_in_place(unmasked, "save", "images")


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else(name):
    assert not is_painted_in_place(graph(**OTHERS[name]), "save", "images")
