"""Make pictures of synthetic faces with exactly known parameters, or triples for training.

    python scripts/with_env.py tools/run.py demo_model.make_synthetic_faces OUT --count 1000
    python scripts/with_env.py tools/run.py demo_model.make_synthetic_faces OUT --count 20000 --triples --device cuda
    python scripts/with_env.py tools/run.py demo_model.make_synthetic_faces OUT --count 1000 --group 6 --seed 1
    python scripts/with_env.py tools/run.py demo_model.make_synthetic_faces --documentation
    OMP_NUM_THREADS=1 python scripts/with_env.py tools/run.py demo_model.make_synthetic_faces --benchmark

Pictures: OUT/images/NUMBER.png, and one line each in OUT/faces.jsonl: `image` (its path), `number`, `seed`, `identity`
and `attributes` (natural values by name, see docs/synthetic_faces.md) and `points` (eyes, tip of the nose, corners of
the mouth, in pixels). Triples: OUT/images/NUMBER_source.png, _driving.png and _truth.png, and one line each in
OUT/triples.jsonl: `source`, `driving` and `truth` (their paths), `number`, `seed`, and the numbers of both identities.
Paths are relative to OUT. The same seed and number give the same picture always, so that --first continues a set.
Groups (--group SIDE): each of SIDE people under each of SIDE scenes; both lists come out, with --triples-per-picture
triples for each picture as the truth. A group of 6 makes 144 triples of 36 pictures, where --triples takes 432.
The list is written last, whole or not at all. --documentation makes the pictures of docs/synthetic_faces.md,
--benchmark measures its figures: pictures a second, and how many of 200 faces the pack's detector finds, and how well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.files import json_lines, replaced_whole
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.synthetic import groups, parameters, renderer, tables, triples

PICTURES = PACK / "docs" / "synthetic_faces"
DOCUMENTED_SEED = 12
TILE = 128
LABEL_HEIGHT = 20
JPEG_QUALITY = 80
EFFECTS = (
    "head_width", "face_length", "jaw_width", "cheek_width", "eye_size", "eye_spacing", "eye_tilt", "iris_hue",
    "brow_angle", "nose_length", "nose_width", "lower_lip", "skin_melanin", "hair_length", "hair_melanin",
    "beard_density", "yaw", "pitch", "gaze_x", "eye_opening", "mouth_opening", "smile", "light_azimuth", "glasses",
)  # fmt: skip


def main() -> None:
    options = parse_arguments()
    if options.documentation:
        make_documentation(options.device)
        return
    if options.benchmark:
        run_benchmark(options.device)
        return
    (options.output / "images").mkdir(parents=True, exist_ok=True)
    if options.group:
        write_list(options, "faces.jsonl", make_group_faces, at_once=1)
        write_list(options, "triples.jsonl", list_group_triples, at_once=1)
    elif options.triples:
        write_list(options, "triples.jsonl", make_triples, options.batch)
    else:
        write_list(options, "faces.jsonl", make_faces, options.batch)


def write_list(options: argparse.Namespace, name: str, make: Callable, at_once: int) -> None:
    """The lines that make(options, numbers) gives for all numbers, as one list, whole or not at all."""
    with (
        replaced_whole(options.output / name) as part,
        part.open("wb") as lines,
        tqdm(total=options.count, unit="", desc=name) as progress,
    ):
        for start in range(options.first, options.first + options.count, at_once):
            numbers = range(start, min(start + at_once, options.first + options.count))
            lines.write(json_lines(make(options, numbers)))
            progress.update(len(numbers))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="folder for pictures and their list")
    parser.add_argument("--count", type=int, default=100, help="how many pictures, triples or groups")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--size", type=int, default=128, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--triples", action="store_true", help="source, driving image and truth")
    parser.add_argument("--group", type=int, metavar="SIDE", help="groups of SIDE people in SIDE scenes, for training")
    parser.add_argument("--triples-per-picture", type=int, default=4, help="of a group; 4 by default")
    parser.add_argument("--identities", type=int, help="draw triples' people from so many; default: never twice")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64, help="pictures or triples at once")
    parser.add_argument("--documentation", action="store_true", help="make the pictures of the documentation instead")
    parser.add_argument("--benchmark", action="store_true", help="measure instead")
    options = parser.parse_args()
    if (options.output is not None) + options.documentation + options.benchmark != 1:
        parser.error("name an output folder, or give --documentation or --benchmark")
    if min(options.count, options.first, options.seed) < 0 or options.batch < 1:
        parser.error("--count, --first and --seed are 0 or more, --batch 1 or more")
    if not 16 <= options.size <= renderer.MAX_SIZE:
        parser.error(f"--size is 16 to {renderer.MAX_SIZE}")
    if options.identities is not None and options.identities < 2:
        parser.error("--identities is 2 or more: a triple shows two different people")
    if options.group is not None and (options.triples or options.identities or options.group < 2):
        parser.error("--group is 2 or more, and stands without --triples and --identities")
    if options.group and not 1 <= options.triples_per_picture <= (options.group - 1) ** 2:
        parser.error(f"--triples-per-picture is 1 to {(options.group - 1) ** 2} in groups of {options.group}")
    return options


def make_faces(options: argparse.Namespace, numbers: range) -> Iterator[dict]:
    identity = parameters.sample_identities(numbers, options.seed)
    attributes = parameters.sample_attributes(numbers, options.seed)
    rendered = renderer.render(identity, attributes, options.size, options.device)
    natural = [by_name(identity), by_name(attributes)]
    for i, number in enumerate(numbers):
        path = f"images/{number:07}.png"
        to_image(rendered.images[i]).save(options.output / path)
        yield {
            "image": path,
            "number": number,
            "seed": options.seed,
            "identity": natural[0][i],
            "attributes": natural[1][i],
            "points": [[round(value, 3) for value in point] for point in rendered.points[i].tolist()],
        }


def make_triples(options: argparse.Namespace, numbers: range) -> Iterator[dict]:
    identities = None if options.identities is None else range(options.identities)
    made = triples.triples(numbers, options.seed, options.size, options.device, identities)
    for i, number in enumerate(numbers):
        line = {}
        for role in ("source", "driving", "truth"):
            line[role] = f"images/{number:07}_{role}.png"
            to_image(getattr(made, role).images[i]).save(options.output / line[role])
        yield line | {
            "number": number,
            "seed": options.seed,
            "source_identity": int(made.parameters.source_numbers[i]),
            "driving_identity": int(made.parameters.driving_numbers[i]),
        }


def make_group_faces(options: argparse.Namespace, numbers: range) -> Iterator[dict]:
    for group in numbers:
        pictures = groups.group_pictures(group, options.group)
        identity, attributes = groups.picture_parameters(pictures, options.seed)
        rendered = renderer.render(identity, attributes, options.size, options.device)
        natural = [by_name(identity), by_name(attributes)]
        for i, picture in enumerate(pictures):
            path = group_path(picture)
            to_image(rendered.images[i]).save(options.output / path)
            yield {
                "image": path,
                "person": picture.person,
                "scene": picture.scene,
                "seed": options.seed,
                "identity": natural[0][i],
                "attributes": natural[1][i],
            }


def list_group_triples(options: argparse.Namespace, numbers: range) -> Iterator[dict]:
    for group in numbers:
        for triple in groups.group_triples(group, options.group, options.seed, options.triples_per_picture):
            yield {role: group_path(picture) for role, picture in triple._asdict().items()} | {
                "source_identity": triple.source.person,
                "driving_identity": triple.driving.person,
            }


def group_path(picture: groups.GroupPicture) -> str:
    return f"images/{picture.person:06}_{picture.scene:06}.png"


def by_name(values: parameters.Parameters) -> list[dict[str, float]]:
    return [
        {name: round(value, 5) for name, value in zip(values.names, row, strict=True)}
        for row in values.natural().tolist()
    ]


def to_image(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().byte().cpu().numpy())


def make_documentation(device: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    identity = parameters.sample_identities(32, DOCUMENTED_SEED)
    attributes = parameters.sample_attributes(range(32, 40), DOCUMENTED_SEED)
    plain = parameters.Parameters.average(tables.ATTRIBUTES).replace(
        eye_opening=0.6, mouth_opening=-1, light_azimuth=0.3, background_stripes=-1
    )
    save_sheet("identities", 8, renderer.render(identity[:32], plain, TILE, device).images)
    rows = [renderer.render(identity[row], attributes, TILE, device).images for row in (3, 9, 11, 29, 12)]
    save_sheet("identities_by_attributes", 8, torch.cat(rows))
    made = triples.triples(range(100, 104), DOCUMENTED_SEED, TILE, device)
    columns = [torch.stack([r.images[i] for r in (made.source, made.driving, made.truth)]) for i in range(4)]
    save_sheet("triples", 4, torch.stack(columns, 1).flatten(0, 1))
    save_effects(plain, device)


def run_benchmark(device: str) -> None:
    count = 64 if device == "cpu" else 4096
    identity = parameters.sample_identities(count, 0).to(device)
    attributes = parameters.sample_attributes(count, 0).to(device)
    # time of the processor, so that other work on it does not count
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = []
    for _ in range(6):
        start = clock()
        renderer.render(identity, attributes, TILE).images[-1].cpu()  # waits for the device
        seconds.append(clock() - start)
    print(
        f"{count / min(seconds):.0f} pictures a second at {TILE} pixels ({torch.get_num_threads()} threads of {device})"
    )
    networks = detection.load_face_networks()
    identity, attributes = parameters.sample_identities(200, 7), parameters.sample_attributes(200, 7)
    for size in (TILE, 2 * TILE):
        rendered = renderer.render(identity, attributes, size)
        faces = detection.detect_faces(networks, rendered.images, DetectSettings(min_score=0.1, max_faces=1))
        scores = torch.tensor([face.score for face in faces])
        rates = ", ".join(f"{(scores >= score).sum() / len(identity):.1%} at {score}" for score in (0.3, 0.5))
        found = [face for face in faces if face.score >= 0.3]
        truth = rendered.points[[face.image_index for face in found]]
        away = (torch.tensor(np.array([face.points for face in found])) - truth).norm(dim=-1) / size
        middles = ", ".join(f"{value:.1%}" for value in away.median(0).values)
        print(f"{size} pixels: found {rates}; median error of the five points {middles} of the side")


def save_effects(plain: parameters.Parameters, device: str) -> None:
    """Some parameters at -1 and at 1, side by side, four pairs a row, with their names."""
    average = parameters.Parameters.average(tables.IDENTITY).replace(hair_length=-0.6, hair_fringe=-0.7, hairline=0.2)
    sheet = Image.new("RGB", (8 * TILE, len(EFFECTS) // 4 * (TILE + LABEL_HEIGHT)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, name in enumerate(EFFECTS):
        of_identity = name in average.names
        ends = (average if of_identity else plain)[[0, 0]].replace(**{name: torch.tensor([-1.0, 1.0])})
        images = renderer.render(*((ends, plain) if of_identity else (average, ends)), TILE, device).images
        x, y = i % 4 * 2 * TILE, i // 4 * (TILE + LABEL_HEIGHT)
        for side, picture in enumerate(images):
            sheet.paste(to_image(picture), (x + side * TILE, y))
        pen.text((x + TILE, y + TILE + LABEL_HEIGHT / 2), name, "black", font, anchor="mm")
    sheet.save(PICTURES / "parameters.jpg", quality=JPEG_QUALITY, optimize=True)


def save_sheet(name: str, columns: int, images: torch.Tensor) -> None:
    """images [N, S, S, 3], N a multiple of columns, row by row."""
    count, side = images.shape[:2]
    sheet = images.view(count // columns, columns, side, side, 3).transpose(1, 2).reshape(-1, columns * side, 3)
    to_image(sheet).save(PICTURES / f"{name}.jpg", quality=JPEG_QUALITY, optimize=True)
