"""Anonymize photos from the command line: the shipped graph, run headless in your ComfyUI.

    python scripts/with_env.py scripts/anonymize.py photo.jpg another.jpg --output out --model face-anon-simple

Each photo becomes OUTPUT/NAME_anonymized.png at its own size, without metadata of any kind. Nothing is overwritten. A
photo without a face is written unchanged and reported. Without --model the tiny random model of the tests is used,
which paints noise: it shows that everything works, and nothing else.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from comfy_client import PromptFailed
from comfy_server import Server, ServerFailed
from host import PACK, HostMissing, find_comfyui
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

GRAPH = PACK / "workflows" / "api" / "anonymize_photo.json"
TINY = PACK / "tests" / "fixtures" / "face_anon" / "tiny"
NOISE_WARNING = """\
******************************************************************************************
*  No --model given: this runs the tiny RANDOM model of the tests. IT PAINTS NOISE.      *
*  It shows that everything works. For faces: python scripts/get_models.py, then         *
*  --model face-anon-simple                                                              *
******************************************************************************************"""


class Result(NamedTuple):
    """What became of one photo: the faces as FaceAnonPasteFaces reports them, or an error."""

    photo: Path
    faces: list[dict]
    seconds: float
    error: str | None = None


def main() -> int:
    options = parse_arguments()
    outputs = plan_outputs(options.photos, options.output)
    if options.model is None:
        print(NOISE_WARNING, file=sys.stderr)
    prompt = make_prompt(options)
    models = {} if options.model else {"face_anon": TINY.parent}
    print(f"Starting ComfyUI of {find_comfyui()} ...", file=sys.stderr)
    with Server(models=models) as server:
        check_model(server, options.model or TINY.name)
        results = [anonymize(server, prompt, photo, output) for photo, output in outputs.items()]
    print_table(results)
    return 1 if any(result.error for result in results) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results; made if need be")
    parser.add_argument("--model", help="a folder under models/face_anon of your ComfyUI")
    parser.add_argument("--degree", type=float, default=1.25, help="0..2; 1.25 anonymizes (default)")
    parser.add_argument("--steps", type=int, help="1..1000; 200 by default, 8 with the tiny model")
    parser.add_argument("--seed", type=int, default=0, help="face i of a photo has seed + i")
    parser.add_argument("--size", type=int, help="side of a crop in pixels; the model's own by default")
    options = parser.parse_args()
    if not 0 <= options.degree <= 2:
        parser.error(f"--degree is 0 to 2, not {options.degree}")
    if options.steps is not None and not 1 <= options.steps <= 1000:
        parser.error(f"--steps is 1 to 1000, not {options.steps}")
    if options.model is None and not TINY.is_dir():
        parser.error("--model is needed: this copy of the pack has no tests, so there is no tiny model to show with")
    return options


def plan_outputs(photos: list[Path], folder: Path) -> dict[Path, Path]:
    """Photo -> result, before any work is done: every photo exists, no result does, no two are the same."""
    missing = [str(photo) for photo in photos if not photo.is_file()]
    if missing:
        raise SystemExit(f"No such photo: {', '.join(missing)}")
    outputs = {photo: folder / f"{photo.stem}_anonymized.png" for photo in photos}
    if len(set(outputs.values())) < len(outputs):
        raise SystemExit("Two photos have one name, so that their results would too. Run them into different folders.")
    existing = [str(output) for output in outputs.values() if output.exists()]
    if existing:
        raise SystemExit(f"Nothing is overwritten, and this exists: {', '.join(existing)}. Take another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    return outputs


def make_prompt(options: argparse.Namespace) -> dict:
    """The shipped graph with the command line's settings; the photo is filled in later."""
    prompt = json.loads(GRAPH.read_text(encoding="utf-8"))
    steps = options.steps or (200 if options.model else 8)
    for node in prompt.values():
        inputs = node["inputs"]
        match node["class_type"]:
            case "FaceAnonLoadModel":
                inputs["model"] = options.model or TINY.name
            case "PrimitiveFloat":
                inputs["value"] = options.degree
            case "FaceAnonCropFaces":
                inputs["size"] = options.size or resolution(options.model)
            case "FaceAnonDDPMSampler":
                inputs.update(steps=steps, seed=options.seed)
    return prompt


def resolution(model: str | None) -> int:
    """The crop size that a model was trained at, from its face_anon.json where there is one."""
    folder = TINY if model is None else find_comfyui() / "models" / "face_anon" / model
    settings = folder / "face_anon.json"
    return json.loads(settings.read_text(encoding="utf-8")).get("resolution", 512) if settings.is_file() else 512


def check_model(server: Server, model: str) -> None:
    """Raise SystemExit, with the names that there are, when ComfyUI does not know the model."""
    kind, settings = server.get("/object_info/FaceAnonLoadModel")["FaceAnonLoadModel"]["input"]["required"]["model"]
    known = settings["options"] if kind == "COMBO" else kind
    if model not in known:
        raise SystemExit(
            f'There is no model "{model}" under models/face_anon of {server.host}; there is: '
            f"{', '.join(known) or 'none'}. `python scripts/get_models.py` downloads the published one."
        )


def anonymize(server: Server, prompt: dict, photo: Path, output: Path) -> Result:
    """Run the graph on one photo and write its result, whole or not at all."""
    started = time.monotonic()
    try:
        with Image.open(photo) as image:
            image.load()  # a truncated file fails here; ComfyUI would fill its rest with gray
        nodes = {node["class_type"]: number for number, node in prompt.items()}
        # under a neutral name, as ComfyUI writes the names of its inputs into what it saves
        prompt[nodes["LoadImage"]]["inputs"]["image"] = server.upload(photo, name=f"photo{photo.suffix}")
        with tqdm(desc=photo.name, unit="step", leave=False) as bar:
            history = server.run(prompt, on_progress=_shown_on(bar, prompt))
        picture = next(image for node, image in server.images(history) if node == nodes["SaveImage"])
        write_whole(picture, output)
        faces = history["outputs"][nodes["FaceAnonPasteFaces"]]["face_anon_faces"]
    except (PromptFailed, OSError, SyntaxError, UnidentifiedImageError) as error:
        return Result(photo, [], time.monotonic() - started, f"{type(error).__name__}: {error}")
    return Result(photo, faces, time.monotonic() - started)


def _shown_on(bar: tqdm, prompt: dict):
    """A progress callback: the bar starts anew with every node that reports steps, and names it."""
    current = None

    def show(node: str, value: int, maximum: int):
        nonlocal current
        if node != current:
            current = node
            bar.reset(total=maximum)
            bar.set_description(prompt[node]["_meta"]["title"])
        bar.update(value - bar.n)

    return show


def write_whole(picture: Image.Image, output: Path) -> None:
    """Save the pixels alone, without metadata; a result that appeared meanwhile is not replaced."""
    clean = Image.frombytes(picture.mode, picture.size, picture.tobytes())
    handle, partial = tempfile.mkstemp(dir=output.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            clean.save(file, format="PNG")
        os.chmod(partial, 0o666 & ~_umask())
        if os.name == "nt":
            os.rename(partial, output)  # raises there when the target exists
        else:
            os.link(partial, output)
    finally:
        Path(partial).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def print_table(results: list[Result]) -> None:
    """What was found in which photo, in how many seconds."""
    header = ("photo", "faces", "size (px)", "score", "seconds")
    rows = []
    for result in results:
        boxes = [face["box"] for face in result.faces]
        sizes = " ".join(f"{round(x1 - x0)}x{round(y1 - y0)}" for x0, y0, x1, y1 in boxes)
        scores = " ".join(f"{face['score']:.2f}" for face in result.faces)
        found = "failed" if result.error else str(len(boxes)) if boxes else "0: unchanged"
        rows.append((result.photo.name, found, sizes, scores, f"{result.seconds:.1f}"))
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, tuple("-" * width for width in widths), *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for result in results:
        if result.error:
            print(f"\n{result.photo}: {result.error}", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (HostMissing, ServerFailed) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; finished photos are kept.", file=sys.stderr)
        sys.exit(130)
