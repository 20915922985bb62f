"""Every graph that ships and pastes or paints faces asks recognisers, unless a demonstration paints."""

import json

import pytest

PASTE, LOOP = "FaceAnonPasteFaces", "FaceAnonAnonymizeCrops"
WHOLE = ("FaceAnonAnonymizeVideo", "FaceAnonAnonymizePhoto", "FaceAnonAnonymizeVideoFile")


def test_graphs_that_change_faces_verify_them(request):
    folder = request.config.rootpath / "workflows" / "api"
    seen = set()
    for path in sorted(folder.glob("*.json")):
        nodes = [node for node in json.loads(path.read_text()).values() if "class_type" in node]
        asks = {node["class_type"]: node["inputs"].get("verify") for node in nodes}
        for name in WHOLE:
            assert asks.get(name, "auto") == "auto", path.name
        if PASTE in asks:
            verified_in_the_loop = asks.get(LOOP) == "auto" and "FaceAnonVerifyFaces" in asks
            assert asks[PASTE] == "auto" or verified_in_the_loop, path.name
        assert asks.get(LOOP, "auto") == "auto", path.name
        seen |= set(asks)
    assert seen >= {PASTE, LOOP, *WHOLE}


@pytest.mark.parametrize("name", ["Anonymize Photo, step by step", "Swap Faces"])
def test_blueprints_that_change_faces_verify_them(request, name):
    graph = json.loads((request.config.rootpath / "subgraphs" / f"{name}.json").read_text())
    nodes = [node for part in graph["definitions"]["subgraphs"] for node in part["nodes"]]
    values = [node["widgets_values"] for node in nodes if node["type"] in (PASTE, LOOP)]
    assert len(values) == 2 and all("auto" in value for value in values)
