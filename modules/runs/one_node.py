"""The photo's graph with Anonymize Crops in place of the single nodes that paint: it alone paints a face again.

With the paper's sampler the two paint the same pixels, as long as every face passes at first. No ComfyUI here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from ..faces.settings import SAME_NOISE
from ..model.settings import DDPM, PaintSettings

_PAINT = PaintSettings()
_LOADED = ("model", "source_reference_net", "driving_reference_net", "clip_vision", "vae")  # outputs of the loader


def paint_in_one_node(prompt: Mapping[str, dict]) -> dict[str, dict]:
    """A copy of a prompt whose faces are painted by one node, which gives Paste Faces its verdicts too.

    Args:
        prompt: with one FaceAnonDDPMSampler, one FaceAnonInterpolateStates and one FaceAnonPasteFaces.
    """
    changed = copy.deepcopy(dict(prompt))
    sampler_id, sampler = _only(changed, "FaceAnonDDPMSampler")
    _, degree = _only(changed, "FaceAnonInterpolateStates")
    _, paste = _only(changed, "FaceAnonPasteFaces")
    loader, crops = sampler["inputs"]["model"][0], paste["inputs"]["faces"][0]
    changed[sampler_id] = {
        "class_type": "FaceAnonAnonymizeCrops",
        "inputs": {
            **{name: [loader, slot] for slot, name in enumerate(_LOADED)},
            "crops": [crops, 0],
            "faces": [crops, 1],
            "degree": degree["inputs"]["degree"],
            **{name: sampler["inputs"][name] for name in ("seed", "steps", "guidance_scale")},
            "sampler_name": DDPM,
            "scheduler": _PAINT.sampler.scheduler,
            "identity": SAME_NOISE,
            "faces_at_once": _PAINT.faces_at_once,
        },
        "_meta": {"title": "Anonymize Crops"},
    }
    paste["inputs"] |= {"crops": [sampler_id, 0], "faces": [sampler_id, 1]}
    return _used(changed)


def _only(prompt: Mapping[str, dict], name: str) -> tuple[str, dict]:
    (found,) = ((number, node) for number, node in prompt.items() if node["class_type"] == name)
    return found


def _used(prompt: dict) -> dict:
    """The nodes that what is saved comes from."""
    waiting = [number for number, node in prompt.items() if node["class_type"] == "FaceAnonSaveImage"]
    used: set[str] = set()
    while waiting:
        number = waiting.pop()
        if number not in used:
            used.add(number)
            waiting += [value[0] for value in prompt[number]["inputs"].values() if isinstance(value, list)]
    return {number: node for number, node in prompt.items() if number in used}
