"""Print the mean 3D face of modules/recognition/head_pose.py: the landmarks of drawn people, before any camera.

python tools/run.py convert.mean_face
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from face_anonymizer.modules.recognition.head_pose import ROWS
from face_anonymizer.modules.synthetic.features import Features
from face_anonymizer.modules.synthetic.geometry import Head, Pose, columns
from face_anonymizer.modules.synthetic.landmarks import place_landmarks
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_identities
from face_anonymizer.modules.synthetic.tables import ATTRIBUTES


class _Seen(Pose):
    """A camera that notes the points that it is shown, in the frame of the head."""

    def project(self, point):
        self.points = torch.stack([torch.broadcast_to(axis, point[2].shape) for axis in point], -1)
        return point[0], point[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    people = sample_identities(arguments.people, arguments.seed)
    still = Parameters.average(ATTRIBUTES, arguments.people)
    closed = {name: -1.0 for name in ("mouth_opening",)}
    attributes = columns(still.replace(**closed))
    identity = columns(people)
    head = Head(identity, attributes)
    camera = _Seen(attributes)
    place_landmarks(Features(identity, attributes, head), head, camera)
    mean = camera.points[:, 0, 0].mean(0).double().numpy()[ROWS]
    mean = (mean + mean[_mirrored()] * [-1, 1, 1]) / 2
    print(np.array2string(mean, precision=3, separator=", ", floatmode="fixed", suppress_small=True))


def _mirrored() -> list[int]:
    """For each of ROWS the place in it of its mirror image."""
    pairs = {17: 26, 18: 25, 19: 24, 20: 23, 21: 22, 31: 35, 32: 34, 36: 45, 39: 42, 48: 54}
    both = pairs | {b: a for a, b in pairs.items()}
    rows = list(ROWS)
    return [rows.index(both.get(row, row)) for row in rows]


if __name__ == "__main__":
    main()
