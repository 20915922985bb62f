"""Blueprints: parts of graphs that ComfyUI offers as one node each (subgraphs/NAME.json), to be opened and changed."""

from face_anonymizer.tools.workflows.frontend import Frontend
from face_anonymizer.tools.workflows.graph_parts import (
    NOT_PASSED_TITLE,
    cover,
    cover_photo,
    crop,
    detect,
    loader,
    paint_and_paste,
    sample,
    save_image,
)

CATEGORY = "Face Anonymizer"
# Turns the nodes inside into one; the others stand for what it will be connected to.
CONVERT = """([names, inside, title]) => {
    const nodes = app.rootGraph.nodes, ids = inside.map((name) => nodes[names.indexOf(name)].id);
    const chosen = nodes.filter((node) => ids.includes(node.id));
    const { subgraph, node } = app.rootGraph.convertToSubgraph(new Set(chosen));
    subgraph.name = title;
    node.title = title;
    return ids.map(String);
}"""


def blueprint(text: str, nodes: dict, outside: tuple[str, ...], widgets: tuple[tuple[str, str], ...]) -> dict:
    """A blueprint.

    Args:
        text: what it does.
        nodes: of a whole graph, see graph_parts.py.
        outside: those that are no part of it, but show what its inputs and outputs are.
        widgets: that stand on the node: (name of a node inside, its widget).
    """
    graph = {"nodes": nodes, "groups": []}
    return {"text": text, "graph": graph, "inside": [name for name in nodes if name not in outside], "widgets": widgets}


def _painting(**more) -> dict:
    parts = paint_and_paste("photo", 660, y="crop")
    parts["paint"]["inputs"] |= more
    for part in parts.values():
        del part["inputs"]["seed"]
    parts["paint"]["widgets"] = {"control_after_generate": "fixed", **parts["paint"]["widgets"]}
    return parts


# What the page names after the inputs inside, as people read it.
_LABELS = {("Swap Faces", "image_1"): "source", ("Verify and Cover", "image"): "before"}
_ENDS = ("photo", "source_photo", "save")
BLUEPRINTS = {
    "Anonymize Photo, step by step": blueprint(
        "Finds every face of a picture, paints strangers and pastes them back: Anonymize Photo, to be opened.",
        {
            "photo": sample([0, 80], "Photo"),
            "model": loader([330, "detect"]),
            "detect": detect([330, 80], "photo", thorough=True),
            "crop": crop([660, 80], "photo", "detect"),
            **_painting(),
            "save": save_image([1320, 80], ("paste", 0), ("paste", 2), "anonymized"),
        },
        _ENDS,
        (("model", "model"), ("paint", "degree"), ("paint", "seed"), ("detect", "thorough")),
    ),
    "Cover Faces": blueprint(
        "Finds every face of a picture and covers it. Needs no model.",
        cover_photo(),
        _ENDS,
        (("redact", "mode"), ("redact", "shape"), ("detect", "thorough")),
    ),
    "Swap Faces": blueprint(
        "Puts the best face of one picture on every face of another. Only with the consent of the people in both.",
        {
            "photo": sample([0, 80], "Photo whose faces change"),
            "source_photo": sample([0, "photo"], "Source: whose face", "portrait"),
            "model": loader([330, "detect_source"]),
            "detect": detect([330, 80], "photo", thorough=True),
            "detect_source": detect([330, "detect"], "source_photo", max_faces=1, thorough=True),
            "crop": crop([660, 80], "photo", "detect"),
            "crop_source": crop([660, "paint"], "source_photo", "detect_source"),
            **_painting(source=("crop_source", 0)),
            "save": save_image([1320, 80], ("paste", 0), ("paste", 2), "swapped"),
        },
        _ENDS,
        (("model", "model"), ("paint", "seed"), ("detect", "thorough")),
    ),
    "Verify and Cover": blueprint(
        "Asks two recognisers whether each face of the second picture is still the person of the first, and covers "
        "those that are.",
        {
            "photo": sample([0, 80], "Before"),
            "source_photo": sample([0, "photo"], "After"),
            "detect": detect([330, 80], "photo", thorough=True),
            "verify": {
                "type": "FaceAnonVerifyFaces",
                "pos": [660, 80],
                "width": 350,
                "height": 880,
                "inputs": {"before": ("photo", 0), "after": ("source_photo", 0), "faces": ("detect", 0)},
            },
            "redact": cover([1040, 80], ("source_photo", 0), ("verify", 2), ("verify", 3), title=NOT_PASSED_TITLE),
            "save": save_image([1370, 80], ("redact", 0), ("redact", 2), "verified"),
        },
        _ENDS,
        (("redact", "mode"), ("detect", "thorough")),
    ),
}
BLUEPRINTS["Swap Faces"]["graph"]["nodes"]["paint"]["widgets"] |= {"degree": 0.0}
BLUEPRINTS["Swap Faces"]["graph"]["nodes"]["paste"]["widgets"] |= {"action": "swapped"}


def build(page: Frontend, name: str, build_graph: str) -> dict:
    """The file of a blueprint.

    Args:
        page: of ComfyUI, empty.
        name: one of BLUEPRINTS.
        build_graph: JavaScript that builds a graph, as make.py has it.
    """
    spec = BLUEPRINTS[name]
    page.page.evaluate(build_graph, spec["graph"])
    names = list(spec["graph"]["nodes"])
    ids = page.page.evaluate(CONVERT, [names, spec["inside"], name])
    graph = page.serialize()
    (inner,) = graph["definitions"]["subgraphs"]
    inner |= {"category": CATEGORY, "description": spec["text"]}
    (node,) = [one for one in graph["nodes"] if one["type"] == inner["id"]]
    for slot in (*node["inputs"], *inner["inputs"]):
        slot["label"] = _LABELS.get((name, slot["name"]), slot["name"])
    for slot in node["inputs"]:
        slot["link"] = None
    for slot in node["outputs"]:
        slot["links"] = []
    place = dict(zip(spec["inside"], ids, strict=True))
    node["properties"] = {"proxyWidgets": [[place[inside], widget] for inside, widget in spec["widgets"]]}
    node["widgets_values"] = []
    return {
        **{"id": graph["id"], "revision": 0, "last_node_id": node["id"], "last_link_id": 0, "nodes": [node]},
        **{"links": [], "groups": [], "definitions": {"subgraphs": [inner]}, "config": {}, "extra": {}, "version": 0.4},
    }
