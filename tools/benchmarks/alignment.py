"""Measure the face points, and the crops that they give, against the 68 points of an oracle.

    python tools/run.py benchmarks.alignment FOLDER oracle.json

FOLDER: pictures. oracle.json: {file name: [{"points": [[x, y] x 68], ...}]}, as alignment_oracle.py writes it.
Prints for each step of the refinement, over all faces of the oracle that the detector finds: mean distance of the five
points from those of the oracle (eye centres, tip of the nose, mouth corners; in per cent of the root of the box's
area), and how the crop of the five points differs from that of the oracle's points 17..48 and 54 (the paper's
alignment): mean |shift| of its centre in per cent of its side, mean |scale| in per cent, mean |rotation| in degrees;
and the worst of these two. "true five points" is what no detector of five points can beat; "68 landmarks" are those
that the reader of modules/recognition finds by the points of the line before, and their crop is by 33 of them. --turned
turns every face, cut from its picture, by each multiple of 30 degrees as well.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from face_anonymizer.modules.faces import alignment
from face_anonymizer.modules.faces.detect import detection, refinement
from face_anonymizer.modules.faces.detect.first_look import first_look
from face_anonymizer.modules.faces.types import FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.tools.busy import busy

CANVAS, FACE = 320, 100  # side of the picture of a turned face and the face's size in it, in pixels
Found = tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]  # picture, box, five points (edges), 68 true points


def read(path: Path) -> torch.Tensor:
    """[1, 3, H, W], 0..1."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return torch.from_numpy(np.array(picture)).float().permute(2, 0, 1)[None] / 255


def found_faces(networks, picture: torch.Tensor, truths: list[np.ndarray]) -> list[Found]:
    """The detector's box and points, before any refinement, for each face of the oracle that it finds."""
    boxes, _, points = first_look(networks.centerface, picture, 0.35)
    found = []
    for truth in truths:
        distance = np.hypot(*(points.mean(1) - 0.5 - truth[17:].mean(0)).T)
        if len(distance) and distance.min() < extent(boxes[distance.argmin()]) / 2:
            i = int(distance.argmin())
            found.append((picture, boxes[i], detection.image_left_first(points[i]), truth))
    return found


def turned(networks, found: list[Found]) -> tuple[list[Found], int]:
    """Each face turned by 30 to 330 degrees, those that are found; and how many were shown."""
    result, shown = [], 0
    for picture, box, _, truth in found:
        centre = (box[:2] + box[2:]) / 2
        for degrees in range(30, 360, 30):
            angle, scale = math.radians(degrees), FACE / extent(box)
            linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            matrix = np.column_stack([linear, CANVAS / 2 - linear @ centre])
            canvas = refinement.sample_patch(picture, matrix, CANVAS)
            result += found_faces(networks, canvas, [(truth + 0.5) @ linear.T + matrix[:, 2] - 0.5])
            shown += 1
    return result, shown


def extent(box: np.ndarray) -> float:
    return math.sqrt(np.prod(box[2:] - box[:2]))


def five_of(truth: np.ndarray) -> np.ndarray:
    return np.stack([truth[36:42].mean(0), truth[42:48].mean(0), truth[30], truth[48], truth[54]])


def errors(points: np.ndarray, truth: np.ndarray, box: np.ndarray) -> tuple[float, float, float, float]:
    """Of 5 or 68 points in pixel centres: distance, shift and scale in per cent, rotation in degrees."""
    ours = alignment.crop_matrix(points, FIVE_POINTS if len(points) == 5 else IBUG_68, box, 512)
    true = alignment.crop_matrix(truth, IBUG_68, box, 512)
    relative = ours[:, :2] @ np.linalg.inv(true[:, :2])
    centre = np.linalg.solve(true[:, :2], np.full(2, 255.5) - true[:, 2])
    shift = np.hypot(*(ours[:, :2] @ centre + ours[:, 2] - 255.5))
    return (
        100 * np.hypot(*((points if len(points) == 5 else five_of(points)) - five_of(truth)).T).mean() / extent(box),
        100 * shift / 512,
        100 * abs(math.sqrt(np.linalg.det(relative)) - 1),
        abs(math.degrees(math.atan2(relative[1, 0], relative[0, 0]))),
    )


def landmarks(reader: FaceReader, picture: torch.Tensor, box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The reader's 68 landmarks of a face, from its five points; pixel centres."""
    face = Face(0, box, 1.0, points, FIVE_POINTS, "benchmark")
    (reading,) = reader.read(picture.permute(0, 2, 3, 1), Faces(1, *picture.shape[2:], (face,)))
    return reading.landmarks


def report(networks, reader: FaceReader, title: str, found: list[Found]) -> None:
    names = ("true five points", "first look", "second look", "second look, O-Net", "68 landmarks")
    steps: dict[str, list] = {name: [] for name in names}
    for picture, box, points, truth in found:
        one = (picture, box[None], points[None])
        steps["true five points"].append(errors(five_of(truth), truth, box))
        steps["first look"].append(errors(points - 0.5, truth, box))
        for name, onet in (("second look", None), ("second look, O-Net", networks.onet)):
            refined = refinement.refine_points(networks.centerface, onet, *one)[0]
            steps[name].append(errors(refined - 0.5, truth, box))
        steps["68 landmarks"].append(errors(landmarks(reader, picture, box, refined - 0.5), truth, box))
    print(f"\n{title}\n\n| | points % | shift % | scale % | rotation | worst scale % | worst rotation |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, rows in steps.items():
        table = np.array(rows)
        figures = [*table.mean(0), *table.max(0)[2:]]
        print(f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("oracle", type=Path)
    parser.add_argument("--turned", action="store_true", help="also every face turned by 30 to 330 degrees")
    arguments = parser.parse_args()
    networks, reader = detection.load_face_networks(), FaceReader()
    oracle = json.loads(arguments.oracle.read_text(encoding="utf-8"))
    found, shown = [], 0
    for name, faces in oracle.items():
        truths = [np.array(face["points"], float) for face in faces]
        shown += len(truths)
        found += found_faces(networks, read(arguments.folder / name), truths)
    report(networks, reader, f"{len(found)} of {shown} faces found", found)
    if arguments.turned:
        around, shown = turned(networks, found)
        report(networks, reader, f"Turned by 30 to 330 degrees, {FACE} pixels: {len(around)} of {shown} found", around)
