"""Apps: graphs that ComfyUI opens as a form (workflows/NAME.app.json), with one's own picture, few settings, Run."""

from face_anonymizer.tools.workflows.graph_parts import MODEL, SAMPLE_FILE, cover, detect, save_image


def _app(changes: dict, last: str, form: tuple[tuple[str, str], ...], thumbnail: str, painted: bool = True) -> dict:
    """An app.

    Args:
        changes: the nodes that change the picture of node "photo".
        last: name of that of them whose picture and report are saved; its report is its last output.
        form: below the picture: (name of a node, its widget), none of them an advanced one, which no form shows.
        thumbnail: name of the graph whose picture it has.
        painted: whether a model paints.
    """
    nodes = {
        "photo": {"type": "LoadImage", "pos": [0, 80], "width": 300, "widgets": {"image": SAMPLE_FILE}},
        **changes,
        "save": save_image([1100, 80], (last, 0), (last, 4 if painted else 2), "anonymized"),
    }
    return {
        **{"nodes": nodes, "groups": [], "outputs": ["save"], "thumbnail": thumbnail},
        "form": (("photo", "image"), *form),
    }


APPS = {
    "Anonymize my photo": _app(
        {
            "anonymize": {
                "type": "FaceAnonAnonymizePhoto",
                "pos": [340, 80],
                "width": 420,
                "height": 1030,
                "inputs": {"image": ("photo", 0)},
                "widgets": {"model": MODEL, "control_after_generate": "fixed"},
            }
        },
        "anonymize",
        (("anonymize", "degree"), ("anonymize", "seed"), ("anonymize", "model")),
        "Anonymize a photo",
    ),
    "Cover the faces of my photo": _app(
        {
            "detect": detect([340, 80], "photo", thorough=True),
            "redact": cover([680, 80], ("photo", 0), ("detect", 0)),
        },
        "redact",
        (("redact", "mode"), ("redact", "shape")),
        "Cover all faces of a photo",
        painted=False,
    ),
}


def as_app(graph: dict, spec: dict) -> dict:
    """A graph as the page saved it, to be opened as a form.

    Args:
        graph: with its nodes in the order of the spec.
        spec: one of APPS.
    """
    ids = dict(zip(spec["nodes"], (node["id"] for node in sorted(graph["nodes"], key=_number)), strict=True))
    extra = graph.setdefault("extra", {})
    extra["linearMode"] = True
    extra["linearData"] = {
        "inputs": [[ids[node], widget] for node, widget in spec["form"]],
        "outputs": [ids[node] for node in spec["outputs"]],
    }
    return graph


def _number(node: dict) -> int:
    return int(node["id"])
