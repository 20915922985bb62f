"""What a picture was painted with, read off the graphs that ship."""

import json
import math
from pathlib import Path

import pytest

from face_anonymizer.modules.output.upstream import is_swap, nodes_upstream, numbers_upstream

GRAPHS = Path(__file__).resolve().parents[2] / "workflows" / "api"
EXPECTED = {
    "anonymize_photo": (1.25, [], False),
    "anonymize_chosen_faces": (1.25, [], False),
    "anonymize_with_ksampler": (1.25, [1.0], False),
    "swap_faces": (0.0, [], True),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_degree_denoise_and_swaps_of_the_shipped_graphs(name):
    prompt = json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
    (paste,) = (number for number, node in prompt.items() if node["class_type"] == "FaceAnonPasteFaces")
    degree, denoise, swap = EXPECTED[name]
    assert max(numbers_upstream(prompt, paste, "crops", "degree")) == degree
    assert numbers_upstream(prompt, paste, "crops", "denoise") == denoise
    assert is_swap(prompt, paste, "crops") == swap


def test_loops_values_and_missing_nodes_are_no_trouble():
    prompt = {"1": {"inputs": {"a": ["2", 0]}}, "2": {"inputs": {"b": ["1", 0], "degree": ["3", 0], "c": ["9", 0]}}}
    prompt["3"] = {"inputs": {"value": 0.4}}
    assert nodes_upstream(prompt, "1", "a") == {"2", "3"}
    assert numbers_upstream(prompt, "1", "a", "degree") == [0.4]
    assert numbers_upstream(prompt, "7", "a", "degree") == [] and not is_swap({}, "1", "a")


def test_what_made_the_picture_is_not_what_was_done_to_its_faces():
    """A photo of img2img at denoise 0.4, whose faces are anonymized in the same graph."""
    prompt = {
        "made": {"inputs": {"denoise": 0.4}},
        "crops": {"inputs": {"image": ["made", 0]}},
        "painted": {"inputs": {"degree": 1.25, "denoise": 1.0, "image": ["crops", 0]}},
        "paste": {"inputs": {"image": ["made", 0], "crops": ["painted", 0]}},
    }
    assert sorted(numbers_upstream(prompt, "paste", "crops", "denoise")) == [0.4, 1.0]
    assert numbers_upstream(prompt, "paste", "crops", "denoise", "image") == [1.0]
    assert numbers_upstream(prompt, "paste", "crops", "degree", "image") == [1.25]


def test_a_degree_that_another_node_works_out_is_not_taken_for_the_driving_sides_zero():
    prompt = {
        "maths": {"inputs": {"a": 1.25, "expression": "a"}},
        "source": {"inputs": {"degree": ["maths", 0]}},
        "driving": {"inputs": {"degree": 0}},
        "paste": {"inputs": {"crops": ["painted", 0]}},
        "painted": {"inputs": {"source_states": ["source", 0], "driving_states": ["driving", 0]}},
    }
    assert sorted(numbers_upstream(prompt, "paste", "crops", "degree")) == [0.0, math.inf]
