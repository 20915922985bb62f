"""The pictures of make_pairs.py: a crop of every photo's largest face, and the swaps that a model makes of them.

Both are folders with a journal, so that a run goes on where it was stopped and nothing is made of what has changed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..faces import alignment, selection
from ..faces.detect import detection
from ..faces.settings import DetectSettings, SelectSettings
from ..files import remove_parts, sha256_of, written_whole
from ..host.location import pack_version
from ..host.process import prepare_host
from ..model import checkpoint
from ..model.settings import PaintSettings, SamplerSettings
from ..photos import reading
from ..photos.reading import UnreadablePhoto
from ..runs.journal import Journal, JournalRefused
from . import triples
from .pairing import Pair

CROPS, SWAPS = "crops", "swaps"


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """What make_pairs.py is asked for.

    Args:
        photos: a folder of photos, with a folder a person or `labels`.
        output: folder for crops, swaps and lists.
        labels: a list as runs.labels reads it.
        identities: people that there must be at least; all are taken.
        min_photos: people with fewer usable photos are left out.
        per_photo: swaps of each photo, each with another person.
        size: side of all pictures, a multiple of 8; None for the model's.
        min_score: of the detector, 0..1.
        seed: of the plan, and of the swaps' noise.
        model: a folder or a name, of the model that swaps.
        swapped: a folder of swaps that another tool made.
        steps: of sampling, 1 to 1000.
        guidance: the guidance scale of sampling.
        batch: faces that are swapped at once.

    Raises:
        ValueError: naming the option that is out of its range.
    """

    photos: Path
    output: Path
    labels: Path | None = None
    identities: int = 2
    min_photos: int = 2
    per_photo: int = 1
    size: int | None = None
    min_score: float = DetectSettings().min_score
    seed: int = 0
    model: str | None = None
    swapped: Path | None = None
    steps: int = SamplerSettings().steps
    guidance: float = SamplerSettings().guidance_scale
    batch: int = PaintSettings().faces_at_once

    def __post_init__(self):
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise ValueError("--size is a positive multiple of 8")
        if self.batch < 1 or not 1 <= self.steps <= 1000 or not 0 <= self.min_score <= 1:
            raise ValueError("--batch is 1 or more, --steps 1 to 1000, --min-score 0 to 1")


class LeftOut:
    """What does not get into the lists, and why.

    Args:
        say: takes a line for each file that is left out.

    Attributes:
        lines: of left_out.jsonl.
        failed: whether some of it should have got into the lists.
    """

    def __init__(self, say: Callable[[str], None]):
        self.lines: list[dict[str, str]] = []
        self.failed = False
        self._say = say

    def add(self, file: str, why: str, failed: bool = False) -> None:
        """Note a file that does not get into the lists.

        Args:
            file: its name.
            why: the reason.
            failed: whether it should have got into the lists.
        """
        self.lines.append({"file": file, "why": why})
        self.failed |= failed
        self._say(f"Left out: {file}: {why}")


def crop_path(name: str) -> str:
    """The path of a crop relative to the output folder, as lists name it; for its name see pairing.photo_names."""
    return f"{CROPS}/{name}.png"


def make_crops(settings: PairSettings, size: int, names: dict[str, str], left_out: LeftOut) -> list[str]:
    """Cut the main face out of every photo that has no crop yet.

    Args:
        settings: what is asked for.
        size: side of a crop in pixels.
        names: name of a crop -> its photo, relative to settings.photos.
        left_out: gets the photos that cannot be read and those without a face.

    Returns:
        The names of the photos whose main face is in OUT/crops, in their order.

    Raises:
        JournalRefused: a photo or a crop has changed since the crop was made, or the settings are others than those of
            OUT/crops.
    """
    networks, device = detection.load_face_networks(), "cuda" if torch.cuda.is_available() else "cpu"
    found = []
    made_with = {"pack": pack_version(), "size": size, "min_score": settings.min_score}
    with Journal(settings.output / CROPS, made_with) as journal:
        remove_parts({journal.output})
        for name, photo in tqdm(names.items(), desc="crops", unit=""):
            try:
                sha256 = sha256_of(settings.photos / photo)
                if is_done(journal, photo, sha256):
                    found.append(name)
                    continue
                picture = read_photo(settings.photos / photo)
            except OSError as error:
                left_out.add(photo, f"{str(error).rstrip('.')}. Repair or remove it.", failed=True)
                continue
            except UnreadablePhoto as error:
                left_out.add(photo, str(error), failed=True)
                continue
            crop = main_face(picture, size, networks, device, settings.min_score)
            if crop is None:
                left_out.add(photo, "no face was found")
                continue
            keep(journal, photo, sha256, f"{name}.png", crop)
            found.append(name)
    return found


def read_photo(file: Path) -> torch.Tensor:
    """A photo, upright, float32 [1, H, W, 3], 0..1.

    Raises:
        OSError, UnreadablePhoto: it cannot be read.
    """
    return torch.from_numpy(np.array(reading.read_photo(file.read_bytes()).seen))[None].float() / 255


def main_face(photo: torch.Tensor, size: int, networks, device: str, min_score: float) -> torch.Tensor | None:
    """The aligned crop of the largest face of a photo.

    Args:
        photo: float32 [1, H, W, 3], 0..1.
        size: side of the crop in pixels.
        networks: of detection.load_face_networks; moved to the device.
        device: that the detector runs on.
        min_score: of the detector, 0..1.

    Returns:
        [size, size, 3], 0..1; None where there is no face.
    """
    faces = detection.detect_faces(networks, photo, DetectSettings(min_score), device=device)
    largest, _ = selection.select_faces(faces, SelectSettings(largest=1))
    crops, _ = alignment.crop_faces(photo, largest, size)
    return crops[0] if len(crops) else None


def make_swaps(settings: PairSettings, size: int, model_folder: Path, pairs: list[Pair]) -> dict[str, str]:
    """Make the swaps that OUT/swaps lacks.

    Args:
        settings: what is asked for.
        size: side of all pictures in pixels.
        model_folder: of the model that swaps.
        pairs: whose crops are in OUT/crops.

    Returns:
        Swap -> its path relative to OUT, of all pairs.

    Raises:
        JournalRefused: a crop or a swap has changed since the swap was made, or the settings are others than those of
            OUT/swaps.
    """
    weights = hashlib.sha256("".join(map(sha256_of, checkpoint.weight_files(model_folder / checkpoint.UNET))).encode())
    made_with = {"pack": pack_version(), "model": weights.hexdigest(), "size": size}
    made_with |= {name: getattr(settings, name) for name in ("seed", "steps", "guidance")}
    with Journal(settings.output / SWAPS, made_with) as journal:
        remove_parts({journal.output})
        names = {name for pair in pairs for name in (pair.photo, pair.face)}
        digests = {name: sha256_of(settings.output / crop_path(name)) for name in names}
        inputs = {pair: digests[pair.photo] + digests[pair.face] for pair in pairs}
        left = [pair for pair in pairs if not is_done(journal, pair.swap, inputs[pair])]
        for pair, picture in zip(left, swap_faces(settings, size, model_folder, left), strict=True):
            keep(journal, pair.swap, inputs[pair], f"{pair.swap}.png", picture)
    return {pair.swap: f"{SWAPS}/{pair.swap}.png" for pair in pairs}


def swap_faces(settings: PairSettings, size: int, model_folder: Path, pairs: list[Pair]) -> Iterator[torch.Tensor]:
    """Swap faces with a model in this process, a batch at a time.

    Args:
        settings: what is asked for.
        size: side of all pictures in pixels.
        model_folder: of the model that swaps.
        pairs: without any, the model is not loaded.

    Yields:
        The picture of each pair in their order, [size, size, 3], 0..1.
    """
    if not pairs:
        return  # without waiting for the model
    prepare_host(cpu=False)
    from ..model import loading
    from ..model.painting import swap_crops

    model = loading.load_model_folder(model_folder)
    sampler = SamplerSettings(steps=settings.steps, guidance_scale=settings.guidance)
    painting = PaintSettings(0.0, settings.seed, sampler, settings.batch)  # degree 0: a swap
    for start in tqdm(range(0, len(pairs), settings.batch), desc="swaps", unit="batch"):
        part = pairs[start : start + settings.batch]
        photos, faces = (
            torch.stack([read_crop(settings.output / crop_path(name), size) for name in names])
            for names in ([pair.photo for pair in part], [pair.face for pair in part])
        )
        # by its name, so that a swap's noise is the same in whichever batch it is made
        offsets = [int.from_bytes(hashlib.sha256(pair.swap.encode()).digest()[:4], "big") for pair in part]
        with torch.inference_mode():
            swapped = swap_crops(model, faces, photos, offsets, painting)
        yield from swapped


def read_crop(file: Path, size: int) -> torch.Tensor:
    """Read a crop from its file, float32 [size, size, 3], 0..1.

    Raises:
        UnusablePicture: it is unreadable or of another size.
    """
    return torch.tensor(triples.load_picture(triples.Picture(str(file), 0, 0, "swaps.jsonl"), size)).float() / 255


def find_swaps(settings: PairSettings, size: int, pairs: list[Pair], left_out: LeftOut) -> dict[str, str]:
    """Look for the swaps that another tool made.

    Args:
        settings: what is asked for; `swapped` is set.
        size: side of all pictures in pixels.
        pairs: whose swaps are looked for, as SWAP.png in settings.swapped.
        left_out: gets the swaps that are missing, unreadable or of another size.

    Returns:
        Swap -> its path relative to OUT, of those that are whole and of this size.
    """
    assert settings.swapped is not None  # make_pairs asks only then
    found = {}
    for pair in tqdm(pairs, desc="swaps", unit=""):
        file = (settings.swapped / f"{pair.swap}.png").resolve()
        try:
            if not file.exists():
                raise FileNotFoundError("missing. Make it and run this again")
            triples.load_picture(triples.Picture(str(file), 0, 0, "swaps.jsonl"), size)
        except (FileNotFoundError, triples.UnusablePicture) as error:
            left_out.add(str(file), str(error), failed=True)
            continue
        output = settings.output.resolve()  # another drive of Windows has no relative path
        found[pair.swap] = Path(os.path.relpath(file, output) if file.drive == output.drive else file).as_posix()
    return found


def is_done(journal: Journal, source: str, sha256: str) -> bool:
    """Whether an earlier run made a result.

    Args:
        journal: of the folder of results.
        source: the name of what the result is made from.
        sha256: of what it is made from, as `keep` recorded it.

    Raises:
        JournalRefused: the source or the result has changed since.
    """
    entry = journal.entries.get(source)
    if entry is None or not (result := journal.place(entry["result"])).is_file():
        return False
    if entry["sha256"] != sha256 or sha256_of(result) != entry["result_sha256"]:
        changed = f"{result} was" if entry["sha256"] == sha256 else f"What {result} was made from ({source}) has"
        raise JournalRefused(f"{changed} changed since. Remove {result} to have it made again, and run this again.")
    return True


def keep(journal: Journal, source: str, sha256: str, name: str, picture: torch.Tensor) -> None:
    """Write a picture whole, with its line in the journal on the disk before it gets its name.

    Args:
        journal: of the folder of results.
        source: the name of what the picture was made from.
        sha256: of what it was made from.
        name: of the PNG in that folder.
        picture: [H, W, 3], 0..1.

    Raises:
        OSError: it cannot be written, or the name is taken.
    """
    png = io.BytesIO()
    levels = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    Image.fromarray(levels).save(png, "PNG", compress_level=4)
    with written_whole(journal.place(name)) as part:
        part.write_bytes(png.getvalue())
        digest = hashlib.sha256(png.getvalue()).hexdigest()
        journal.append({"source": source, "sha256": sha256, "result": name, "result_sha256": digest})
