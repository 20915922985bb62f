"""Results of any method on photos of real people: find the faces, measure each with every back-end, report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _evaluation_host import host, say
from _host_process import find_model
from _pack import import_pack
from tqdm import tqdm

alignment = import_pack("modules.faces.alignment")
detection = import_pack("modules.faces.detection")
face_dlib = import_pack("modules.evaluation.face_dlib")
face_landmarks = import_pack("modules.evaluation.face_landmarks")
face_onnx = import_pack("modules.evaluation.face_onnx")
face_points = import_pack("modules.evaluation.face_points")
folder_pairs = import_pack("modules.evaluation.folder_pairs")
folder_report = import_pack("modules.evaluation.folder_report")
measured_module = import_pack("modules.evaluation.measured")
plots = import_pack("modules.evaluation.plots")
quality = import_pack("modules.evaluation.quality")
report = import_pack("modules.evaluation.report")
types = import_pack("modules.faces.types")

SHARPNESS_SIDE = 256  # of the aligned crops that sharpness is measured on
ORIGINAL, RESULT, JPEG = folder_report.ORIGINAL, folder_report.RESULT, folder_report.JPEG
RECONSTRUCTION = folder_report.RECONSTRUCTION
SHARPNESS, SCORE = "sharpness", "detector's score"
OUTSIDE, EQUAL = "outside the face squares", "equal outside the face squares"


def evaluate(options: argparse.Namespace) -> None:
    """Everything that `options` asks for, into options.output."""
    report.check_output(options.output)
    if options.plots:
        plots.need_matplotlib()
    pairs, alone = folder_pairs.pair_files(options.originals, options.results)
    if alone:
        say(folder_report.counted(alone, "originals have no result and are left out"))
    labels = folder_pairs.read_labels(options.labels, [pair.name for pair in pairs]) if options.labels else None
    pairs, labels = limited(pairs, labels, options.identities)
    with_model = options.model is not None
    with host(options.device == "cpu", started=with_model or "landmarks" in options.backend):
        backends = make_backends(options)
        reconstruct = load_reconstruction(options.model, options.weight_dtype) if with_model else None
        seen = look(pairs, backends, options.min_score, reconstruct)
    if not seen.people:
        raise ValueError(
            f"No face was found in any of the {len(pairs)} originals of {options.originals}: nothing is measurable. "
            "A lower --min-score finds more."
        )
    people = torch.tensor([number if labels is None else labels.index(labels[number]) for number in seen.people])
    if labels is None and len(seen.people) > 1:  # every face is taken for another person
        people = torch.arange(len(seen.people))
    measured = {
        name: {title: measured_module.Measured.join(parts) for title, parts in conditions.items()}
        for name, conditions in seen.measured.items()
    }
    faces = folder_report.FolderFaces(measured, people, torch.tensor(seen.people), labels is not None)
    tables = folder_report.face_tables(faces, options.false_accept_rate)
    tables.append(folder_report.quality_table(seen.quality_rows(), people))
    tables += [table] if (table := folder_report.frechet_table(faces)) else []
    settings = {
        **{"originals": options.originals.name, "results": options.results.name, "pictures": len(pairs)},
        **{"originals without a result": len(alone), "faces": len(people), "people": len(people.unique())},
        "faces not found in the result": seen.lost,
        "pictures whose result has another size": seen.resized,
        "people known by": "labels" if labels is not None else "nothing: each face is taken for another person",
        "back-ends": "; ".join(f"{backend.name} ({backend.licence})" for backend in backends),
    }
    names = save_plots(options.output / report.PLOTS, measured) if options.plots else []
    report.write_report(options.output, settings, tables, plots=names)


def limited(pairs: list, labels: list[str] | None, count: int | None) -> tuple[list, list[str] | None]:
    """The pictures of the first `count` people; ValueError when there are fewer."""
    if count is None:
        return pairs, labels
    who = labels or [pair.name for pair in pairs]
    people = list(dict.fromkeys(who))
    if len(people) < count:
        raise ValueError(f"{count} identities were asked for, and the folders show {len(people)}: lower --identities.")
    kept = [i for i, person in enumerate(who) if person in set(people[:count])]
    return [pairs[i] for i in kept], [labels[i] for i in kept] if labels else None


def make_backends(options: argparse.Namespace) -> list:
    """In the order of the command line; the detector's own points always come first."""
    made = [face_points.PointsBackend()]
    for name in options.backend:
        if name == "dlib":
            made.append(face_dlib.DlibBackend())
        elif name in face_onnx.RECOGNISERS:
            made.append(face_onnx.OnnxBackend(name, options.weights))
        elif name == "landmarks":
            made.append(face_landmarks.LandmarkBackend(load_landmarker()))
    return made


def load_landmarker() -> Callable[[np.ndarray], list]:
    """ComfyUI's MediaPipe node, with the first file of models/detection that is one; ValueError without any."""
    import folder_paths
    from comfy_extras import nodes_mediapipe

    names = [name for name in folder_paths.get_filename_list("detection") if "mediapipe" in name.lower()]
    if not names:
        raise ValueError(
            "The back-end landmarks needs mediapipe_face_fp32.safetensors in models/detection of ComfyUI, from "
            "https://huggingface.co/Comfy-Org/mediapipe (Apache-2.0)."
        )
    model = nodes_mediapipe.LoadMediaPipeFaceLandmarker.execute(names[0])[0]

    def find(crops: np.ndarray) -> list:
        images = torch.from_numpy(crops).float() / 255
        run = nodes_mediapipe.MediaPipeFaceLandmarker.execute
        return run(model, images, "full", 1, 0.5, "empty")[0]["frames"]

    return find


def load_reconstruction(name: str, weight_dtype: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the VAE of a model makes of aligned crops of its resolution; `size` of it says which."""
    folder = find_model(name)
    model = import_pack("modules.loading").load_model_folder(folder, weight_dtype=weight_dtype)
    reconstruct = import_pack("modules.evaluation.painting").reconstruct

    def run(crops: torch.Tensor) -> torch.Tensor:
        return reconstruct(model, crops)

    run.size = model.source_reference_net.resolution
    return run


class Seen:
    """What was gathered: people, the number of the picture of each face; measured, parts by back-end and condition."""

    def __init__(self, backends: list, conditions: list[str]):
        self.people: list[int] = []
        self.lost = self.resized = 0
        self.measured = {backend.name: {title: [] for title in conditions} for backend in backends}
        self.values = {title: {SHARPNESS: [], SCORE: []} for title in conditions}
        self.values[RESULT] |= {OUTSIDE: [], EQUAL: []}

    def quality_rows(self) -> dict[str, dict[str, torch.Tensor]]:
        return {
            title: {column: torch.tensor(values, dtype=torch.float64) for column, values in columns.items()}
            for title, columns in self.values.items()
        }


def look(pairs: list, backends: list, min_score: float, reconstruct: Callable | None) -> Seen:
    """Find and measure the faces of all pairs, one pair at a time."""
    conditions = [ORIGINAL, RESULT, JPEG, *([RECONSTRUCTION] if reconstruct else [])]
    seen, networks = Seen(backends, conditions), detection.load_face_networks()

    def find(picture: np.ndarray, max_faces: int = 0):
        return detection.detect_faces(networks, as_image(picture), min_score, max_faces)

    for number, pair in enumerate(tqdm(pairs, unit="picture", desc="looking")):
        original, result = folder_pairs.read_picture(pair.original), folder_pairs.read_picture(pair.result)
        faces = find(original).faces
        if not faces:
            continue
        seen.people += [number] * len(faces)
        same_size = original.shape == result.shape
        seen.resized += not same_size
        # a result of another size has its faces elsewhere: none of them is measurable
        in_result = folder_pairs.match_faces(faces, find(result).faces) if same_size else [None] * len(faces)
        seen.lost += in_result.count(None)
        jpeg = quality.as_jpeg(original[None])[0]
        shown = {
            ORIGINAL: ([original] * len(faces), list(faces)),
            RESULT: ([result] * len(faces), in_result),
            JPEG: ([jpeg] * len(faces), folder_pairs.match_faces(faces, find(jpeg).faces)),
        }
        if reconstruct:
            crops, _ = alignment.crop_faces(as_image(original), one_picture(faces, original), reconstruct.size)
            pictures = [np.asarray((crop * 255).round().clamp(0, 255).byte()) for crop in reconstruct(crops)]
            shown[RECONSTRUCTION] = (pictures, [next(iter(find(picture, 1)), None) for picture in pictures])
        for title, (pictures, found) in shown.items():
            for backend in backends:
                seen.measured[backend.name][title].append(backend.measure(pictures, found))
            seen.values[title][SCORE] += [face.score if face else 0.0 for face in found]
            seen.values[title][SHARPNESS] += sharpness(pictures, found)
        if same_size:
            difference, equal = outside(original, result, one_picture(faces, original))
            seen.values[RESULT][OUTSIDE].append(difference)
            seen.values[RESULT][EQUAL].append(equal)
    return seen


def sharpness(pictures: list[np.ndarray], faces: list) -> list[float]:
    """Of aligned crops; NaN where there is no face."""
    values = []
    for picture, face in zip(pictures, faces, strict=True):
        if face is None:
            values.append(float("nan"))
            continue
        crop, _ = alignment.crop_faces(as_image(picture), one_picture([face], picture), SHARPNESS_SIDE)
        values.append(quality.sharpness(np.asarray((crop * 255).round().byte()))[0].item())
    return values


def outside(original: np.ndarray, result: np.ndarray, faces) -> tuple[float, float]:
    """(mean absolute difference, 1 if all is equal else 0) where no face's square is; NaN when that is nowhere."""
    size = 64
    _, cropped = alignment.crop_faces(as_image(original), faces, size)
    height, width = original.shape[:2]
    y, x = np.mgrid[:height, :width]
    free = np.ones((height, width), bool)
    for face in cropped:
        u, v = (row[0] * x + row[1] * y + row[2] for row in face.matrix)
        free &= ~((u > -1) & (u < size) & (v > -1) & (v < size))
    if not free.any():
        return float("nan"), float("nan")
    difference = np.abs(original.astype(np.int16) - result)[free]
    return float(difference.mean()), float(not difference.any())


def one_picture(faces, picture: np.ndarray):
    """These faces as those of one picture."""
    from dataclasses import replace

    return types.Faces(1, *picture.shape[:2], tuple(replace(face, image_index=0) for face in faces))


def as_image(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy())[None].float() / 255


def save_plots(folder: Path, measured: dict) -> list[str]:
    """Histograms of the cosine between each face and its original, of each recogniser."""
    names = []
    for backend, conditions in measured.items():
        originals = conditions[ORIGINAL]
        if originals.identity is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        groups = {
            title: (1 - measured_module.distance(measured_module.IDENTITY, faces, originals)).numpy()
            for title, faces in conditions.items()
            if title != ORIGINAL
        }
        cosines = measured_module.similarities(originals, originals)
        groups["two originals"] = cosines[~torch.eye(len(cosines), dtype=torch.bool)].numpy()
        name = f"cosines_{backend.lower().replace(' ', '_')}.png"
        plots.save_histograms(folder / name, f"Cosines of identity, by {backend}", "cosine", groups, None)
        names.append(name)
    return names
