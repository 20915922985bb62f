"""Clips with flipped bits: covered, or told to be damaged. A few of those that tools/attacks/damaged_clips.py tries."""

from argparse import Namespace

import torch

from face_anonymizer.tools.attacks import damaged_clips


def attacked(count: int, plant: bool) -> int:
    with torch.inference_mode():
        return damaged_clips.attack(Namespace(count=count, seed=4, only=None, plant=plant, keep=None))


def test_no_face_stays_open_without_a_word():
    assert attacked(2, plant=False) == 0


def test_a_planted_leak_is_found(capsys):
    assert attacked(1, plant=True) == 1
    assert "frames [2, 3] are open" in capsys.readouterr().out
