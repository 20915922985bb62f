"""The shipped graphs with random changes, queued on a ComfyUI of our own.

    python scripts/with_env.py tools/run.py attacks.fuzzed_prompts [--count N] [--seed N]

A leak is a saved picture in which the face is as it was although the report says that it was changed, and a file that
was made outside of ComfyUI's output and temp folders. A failure is a prompt that does not end, and a server that does
not answer any more. Errors are as they should be: a graph that makes no sense is refused or fails.
"""

from __future__ import annotations

import copy
import json
import random
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.client import PromptFailed
from face_anonymizer.modules.runs.server import Server
from face_anonymizer.tools.attacks.tally import Tally, parse_arguments

COUNT = 200
SECONDS = 60.0  # for a prompt
PHOTO = "face.png"
FACE = (slice(60, 130), slice(80, 135))  # rows and columns inside the face of the photo
SAME = 6.0  # mean difference in levels, below which the face is as it was
CHANGED = ("anonymized", "redacted")
# graph -> how often it is taken; films are slow, and their frames go the same way
GRAPHS = {
    **{"redact_photo": 6, "anonymize_photo": 4, "anonymize_with_ksampler": 3, "anonymize_chosen_faces": 4},
    **{"anonymize_aligned_face": 2, "swap_faces": 3},
}
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**64, 2**64 - 1, -(2**63), 10**400, 1e308, -1e308, float("nan")),
    *(float("inf"), -float("inf"), 0.5, 1e-320, "", " ", "0", "NaN", "-1", "1e999", "true", "../../etc/passwd"),
    *("/etc/passwd", "..", ".", "/", "\\", "C:\\windows\\x", "a\0b", "\ud800", "\u202e\u200f\0", "%date%", "%s%n%x"),
    *("{0}", "$(touch x)", "; rm x", "x" * 5000, "con", PHOTO, "demo", "../demo", "demo/../demo", "/tmp"),
    *("file:///etc/passwd", "http://127.0.0.1:1/x", "face.png [output]", "../../../etc/passwd [temp]"),
    *([], [[]], [1], [1, 2, 3], ["3"]),
    *(["3", 0], ["3", 99], ["3", -1], ["999", 0], ["3", "0"], [3, 0], ["3", None], ["3", 1.5], {}, {"__value__": [1]}),
    *({"__value__": "x"}, {"a": {"b": []}}, [["3", 0], ["3", 0]]),
]
STEPS = ["value"] * 8 + ["remove", "swap", "link", "link", "extra", "class", "drop", "cycle", "inputs", "slot"]


def base(name: str) -> dict:
    """A shipped graph that is done in a second: one step, small crops."""
    prompt = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        node.pop("_meta", None)
        inputs = node["inputs"]
        if node["class_type"] == "LoadImage":
            inputs["image"] = PHOTO
        small = {"steps": 1, "size": 64, "width": 64, "height": 64}
        inputs |= {key: value for key, value in small.items() if isinstance(inputs.get(key), int)}
    return prompt


def mutate(prompt: dict, dice: random.Random) -> tuple[dict, str]:
    """A copy with one to three changes, and which."""
    prompt, told = copy.deepcopy(prompt), []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if not prompt:
            break
        number = dice.choice(list(prompt))
        node = prompt[number]
        if not isinstance(node["inputs"], dict) or not node["inputs"]:
            continue
        key, step = dice.choice(list(node["inputs"])), dice.choice(STEPS)
        told.append(f"{step} {node['class_type']}.{key}")
        _change(prompt, number, key, step, dice)
    return prompt, ", ".join(told)


def _change(prompt: dict, number: str, key: str, step: str, dice: random.Random) -> None:
    node = prompt[number]
    inputs = node["inputs"]
    if step == "value":
        inputs[key] = dice.choice(VALUES)
    elif step == "remove":
        del inputs[key]
    elif step == "swap":
        other = dice.choice(list(inputs))
        inputs[key], inputs[other] = inputs[other], inputs[key]
    elif step == "link":
        inputs[key] = [dice.choice(list(prompt)), dice.randrange(5)]
    elif step == "extra":
        inputs[f"more {key}"] = dice.choice(VALUES)
    elif step == "class":
        known = [node["class_type"] for node in prompt.values()]
        node["class_type"] = dice.choice([*known, "Nope", "", None, 5, "FaceAnonReport"])
    elif step == "drop":
        del prompt[number]
    elif step == "cycle":
        inputs[key] = [number, 0]
    elif step == "inputs":
        node["inputs"] = dice.choice([None, [], {}, "x"])
    elif isinstance(inputs[key], list) and len(inputs[key]) == 2:
        inputs[key] = [inputs[key][0], dice.choice([-1, 5, 99, "a", 1.5, None])]


def run(server: Server, prompt: dict) -> dict | None:
    """Queue a prompt as it is; its history, {} where it was refused, None where it did not end."""
    body = json.dumps({"prompt": prompt, "client_id": "attack"}).encode()
    try:
        answer = json.loads(server.request("/prompt", body))
    except urllib.error.HTTPError:
        return {}
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        history = server.get(f"/history/{answer['prompt_id']}")
        if answer["prompt_id"] in history:
            return history[answer["prompt_id"]]
        time.sleep(0.05)
    server.cancel(answer["prompt_id"])
    return None


def find_leak(server: Server, prompt: dict, history: dict, original: np.ndarray) -> str:
    """A saved picture with the face in it, of a node whose report says that it was changed."""
    outputs = history.get("outputs", {})
    for number, output in outputs.items():
        if prompt[number]["class_type"] not in ("FaceAnonSaveImage", "SaveImage"):
            continue
        source = prompt[number]["inputs"].get("images")
        report = outputs.get(str(source[0]), {}).get("face_anon_report") if isinstance(source, list) else None
        if not report or source[1] != 0 or not says_changed(report[0]):
            continue
        for file in output.get("images", ()):
            path = server.folder / file["type"] / file["subfolder"] / file["filename"]
            saved = np.asarray(Image.open(path).convert("RGB")).astype(int)
            if saved.shape == original.shape and np.abs(saved - original)[FACE].mean() < SAME:
                return f"{file['filename']} shows the face, the report says {report[0]['actions']}"
    return ""


def says_changed(report: dict) -> bool:
    """Whether a report says of the face of the photo, which is its largest, that it was changed."""
    faces = [face for face in report["faces"] if face["image"] == 0]
    largest = max(faces, key=lambda face: face["size"], default=None)
    return largest is not None and largest["action"] in CHANGED and "unchanged" not in (largest["reason"] or "")


def other_files(server: Server) -> set[Path]:
    """Everything of the server's folder where prompts have nothing to write, and beside it."""
    inside = {path for name in ("input", "user") for path in (server.folder / name).rglob("*")}
    return inside | set(server.folder.iterdir()) | set((PACK / "modules").iterdir()) | set(PACK.iterdir())


def prompts(count: int, seed: int) -> Iterator[tuple[dict, str]]:
    dice = random.Random(seed)
    bases = {name: base(name) for name in GRAPHS}
    names = [name for name, times in GRAPHS.items() for _ in range(times)]
    for _ in range(count):
        name = dice.choice(names)
        prompt, told = mutate(bases[name], dice)
        yield prompt, f"{name}: {told}"


def main() -> int:
    options = parse_arguments(__doc__, COUNT)
    tally = Tally("fuzzed prompts")
    photo = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB").crop((120, 10, 344, 234))
    original = np.asarray(photo).astype(int)
    with Server() as server:
        photo.save(server.folder / "input" / PHOTO)
        before = other_files(server)
        for prompt, case in prompts(options.count, options.seed):
            try:
                history = run(server, prompt)
                if options.plant and history:
                    history = planted(server, photo)
                    prompt = {"1": {"class_type": "FaceAnonRedactFaces", "inputs": {}}}
                    prompt["2"] = {"class_type": "FaceAnonSaveImage", "inputs": {"images": ["1", 0]}}
                leak = find_leak(server, prompt, history or {}, original)
                server.get("/queue")
            except (OSError, PromptFailed) as error:
                tally.count(case, "", f"the server does not answer: {error}")
                break
            if made := other_files(server) - before:
                leak = f"made outside of output and temp: {sorted(map(str, made))[:3]}"
            tally.count(case, leak, "" if history is not None else f"did not end in {SECONDS:g} s")
    return tally.close()


def planted(server: Server, photo: Image.Image) -> dict:
    """The history of a prompt that saved the photo as it was and said that its face was redacted."""
    (server.folder / "output").mkdir(exist_ok=True)
    photo.save(server.folder / "output" / "planted.png")
    face = {"image": 0, "size": 90.0, "action": "redacted", "reason": ""}
    saved = {"filename": "planted.png", "subfolder": "", "type": "output"}
    report = {"actions": {"redacted": 1}, "faces": [face]}
    return {"outputs": {"1": {"face_anon_report": [report]}, "2": {"images": [saved]}}}
