"""Measure the look at the result: what still shows the original, up to which strength, and how near strangers come.

    python tools/run.py benchmarks.look FOLDER_OR_PICTURE ... [--every 9] [--strangers 5] [--painted demo]

Finds the faces of the pictures and cuts their crops. Every so many of them go through each kind and strength of
tools/benchmarks/kinds.py: for each kind the strongest of which all are refused, and what happens beyond. Each face
also gets so many other people's, warped onto it (files whose names differ by a number alone show the same people).
With --painted a model of models/face_anon paints them, in ComfyUI: its VAE alone, KSampler at low denoise, degrees 0
to 1.25, and a swap. Limits are set on the half of the files with even numbers; the other half stands beside it.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.originals import CELLS
from face_anonymizer.modules.faces.paste.detail import Detail, compare_detail
from face_anonymizer.modules.faces.paste.likeness import BANDS, LIMITS, Likeness, compare
from face_anonymizer.modules.faces.paste.miniature import WORTH, find_miniature
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.tools.benchmarks.kinds import COPIES, KINDS, MIXED, PARTS, SINGLE, swapped
from face_anonymizer.tools.busy import busy

_SIDE = 192  # of the crops
_LEAST, _LONGEST = 60, 1600  # pixels of a face, and to which a picture is reduced
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_VISIBLE = np.ones((CELLS, CELLS), bool)


class Person:
    """A face: its crop, the five points in it, and the file it is from."""

    def __init__(self, file: Path, number: int, crop: np.ndarray, points: np.ndarray):
        self.scene = re.sub(r"[-_ ]?\d+$", "", file.stem)
        self.half, self.crop, self.points = number % 2, crop, points
        self.cells = _cells(crop)

    def likeness(self, crop: np.ndarray) -> Likeness:
        """Of another crop with this one."""
        return compare(self.cells, _cells(np.clip(crop, 0, 1).astype(np.float32)), _VISIBLE)

    def details(self, crop: np.ndarray) -> tuple[Detail, ...]:
        """What of this one's fine detail another crop has."""
        return compare_detail(self.cells, _cells(np.clip(crop, 0, 1).astype(np.float32)), _VISIBLE)

    def is_shown_by(self, crop: np.ndarray) -> bool:
        """Whether another crop shows this one, as a whole or in parts."""
        return self.likeness(crop).is_original or any(detail.is_original for detail in self.details(crop))

    def has_copy_in(self, crop: np.ndarray) -> bool:
        """Whether another crop shows this one small."""
        place = find_miniature(self.cells, _cells(crop))
        x, y, side = (round(share * len(crop)) for share in (place.x, place.y, place.size))
        cut = crop[y : y + side, x : x + side]
        return place.agreement >= WORTH and self.likeness(cut).is_original


def _cells(crop: np.ndarray) -> np.ndarray:
    moved = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None]
    return torch.nn.functional.adaptive_avg_pool2d(moved, CELLS)[0].numpy()


def find_people(paths: list[Path]) -> list[Person]:
    """The faces of all pictures, of 60 pixels and more, of which the detector is sure."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    networks, people = load_face_networks(), []
    for number, file in enumerate(file for file in files if file.suffix.lower() in _SUFFIXES):
        picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
        picture.thumbnail((_LONGEST, _LONGEST))
        images = torch.from_numpy(np.array(picture)).float()[None] / 255
        faces = detect_faces(networks, images, DetectSettings(0.5))
        crops, cropped = crop_faces(images, faces, _SIDE)
        for crop, face in zip(crops, cropped, strict=True):
            if face.size >= _LEAST:
                matrix, _ = face.crop_place()
                people.append(Person(file, number, crop.numpy(), face.points @ matrix[:, :2].T + matrix[:, 2]))
    return people


def show_kinds(people: list[Person]) -> None:
    """How far each kind may go and is refused on every face."""
    print(
        f"\n{len(people)} faces\n\n| what was done | all refused up to | beyond: refused | least of the deciding band |"
    )
    print("|---|---|---|---|")
    for name, (make, strengths) in KINDS.items():
        done = [
            (strength, [person.likeness(make(strength)(person.crop)) for person in people]) for strength in strengths
        ]
        shares = [np.mean([likeness.is_original for likeness in found]) for _, found in done]
        whole = next((i for i, share in enumerate(shares) if share < 1), len(shares))
        upto = f"{strengths[whole - 1]:g}" if whole else "none"
        beyond = ", ".join(f"{strengths[i]:g}: {shares[i]:.0%}" for i in range(whole, len(shares))) or "all"
        print(f"| {name} | {upto} | {beyond} | {_least(done[max(whole - 1, 0)][1])} |", flush=True)
    for name, change in SINGLE.items():
        found = [person.likeness(change(person.crop)) for person in people]
        share = np.mean([likeness.is_original for likeness in found])
        print(f"| {name} | {'yes' if share == 1 else f'{share:.0%}'} | | {_least(found)} |", flush=True)


def _least(found: list[Likeness]) -> str:
    value, limit = min((likeness.decisive for likeness in found), key=lambda pair: (pair[0] - pair[1]) / (1 - pair[1]))
    return f"{value:.3f} of {limit:g}"


def strangers(people: list[Person], count: int) -> Iterator[tuple[Person, Person]]:
    """Pairs of a head and another person, `count` a head."""
    generator = np.random.default_rng(0)
    for head in people:
        others = [person for person in people if person.scene != head.scene]
        for i in generator.permutation(len(others))[:count]:
            yield head, others[i]


def show_mixed(people: list[Person]) -> None:
    """How far the original may be mixed with a stranger in its place and is found on every face."""
    print("\n| what was mixed with a stranger | refused |\n|---|---|")
    pairs = [(head, _in_place(head, other)) for head, other in strangers(people, 1)]
    for kinds, asked in ((MIXED, Person.is_shown_by), (COPIES, Person.has_copy_in)):
        for name, (make, strengths) in kinds.items():
            shares = [np.mean([asked(head, make(k)(head.crop, other)) for head, other in pairs]) for k in strengths]
            found = ", ".join(f"{k:g}: {share:.0%}" for k, share in zip(strengths, shares, strict=True))
            print(f"| {name} | {found} |", flush=True)
    for name, mix in PARTS.items():
        share = np.mean([head.is_shown_by(mix(head.crop, other)) for head, other in pairs])
        print(f"| {name} | {share:.0%} |", flush=True)


def _in_place(head: Person, other: Person) -> np.ndarray:
    return swapped(head.crop, head.points, other.crop, other.points)


def show_strangers(people: list[Person], count: int) -> None:
    """How near other people's faces come to the limits."""
    bands = " | ".join([*(f"band {low:g}..{high:g}" for low, high in BANDS), "places"])
    print(f"\n| other people's faces on the same heads | refused | {bands} |\n|---|---|" + "---|" * len(LIMITS))
    for half, name in ((0, "files that limits were set on"), (1, "other files")):
        pairs = list(strangers([person for person in people if person.half == half], count))
        faces = [(head, _in_place(head, other)) for head, other in pairs]
        found = [head.likeness(crop) for head, crop in faces]
        nearest = max(detail.nearness for head, crop in faces for detail in head.details(crop))
        values = np.array([[-1 if band is None else band for band in likeness.bands] for likeness in found])
        refused = sum(likeness.is_original for likeness in found)
        for label, row in (("99 of 100 are below", np.quantile(values, 0.99, 0)), ("the largest", values.max(0))):
            cells = " | ".join(f"{value:.3f} of {limit:g}" for value, limit in zip(row, LIMITS, strict=True))
            print(f"| {name}: {label} | {refused} of {len(found)} | {cells} |", flush=True)
        print(f"| {name}: detail, of its limit at the most | | {nearest:.2f} |" + " |" * (len(LIMITS) - 1), flush=True)


def show_painted(people: list[Person], name: str) -> None:
    """What a model of models/face_anon paints, judged."""
    from face_anonymizer.tools.benchmarks.painted import paint  # a host is imported there

    print("\n| painted by " + name + " | refused | least, median and largest of the bands |\n|---|---|---|")
    crops = torch.from_numpy(np.stack([person.crop for person in people]))
    for what, painted in paint(crops, name):
        found = [person.likeness(crop) for person, crop in zip(people, painted.numpy(), strict=True)]
        values = np.array([[-1 if band is None else band for band in likeness.bands] for likeness in found])
        rows = "; ".join(
            "/".join(f"{v:.3f}" for v in row) for row in (values.min(0), np.median(values, 0), values.max(0))
        )
        print(f"| {what} | {sum(likeness.is_original for likeness in found)} of {len(found)} | {rows} |", flush=True)


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=9, help="every so many faces go through the kinds (default: 9)")
    parser.add_argument("--strangers", type=int, default=5, help="other people a face (default: 5)")
    parser.add_argument("--painted", metavar="MODEL", help="a folder of models/face_anon, such as demo")
    options = parser.parse_args()
    people = find_people(options.pictures)
    few = people[:: options.every]
    start = time.process_time()
    for person in few:
        person.likeness(person.crop[:, ::-1])
    print(f"{len(people)} faces; {(time.process_time() - start) / len(few) * 1000:.1f} ms of CPU a comparison")
    show_kinds(few)
    show_mixed(few)
    show_strangers(people, options.strangers)
    if options.painted:
        show_painted(few, options.painted)
