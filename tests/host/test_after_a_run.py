"""Each shipped graph in the page as it stands once it has run: nodes have pictures and texts then, and hide nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.tools.workflows.frontend import SETTLED
from face_anonymizer.tools.workflows.make import run, thumbnail
from face_anonymizer.tools.workflows.simple_graphs import SIMPLE
from face_anonymizer.tools.workflows.wires import HIDDEN

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json") if not path.name.endswith(".app.json"))
# of the cheap ones those whose nodes show the most
QUICK = ("Anonymize some faces, cover the others", "Cover all faces of a video, step by step")
# What takes long and has no part in how a graph looks.
CHEAP = """() => {
    const cheap = { thorough: false, preset: "fast" };
    for (const widget of app.rootGraph.nodes.flatMap((node) => node.widgets ?? [])) {
        if (widget.name in cheap) widget.value = cheap[widget.name];
        if (widget.name === "steps") widget.value = 2;
    }
}"""
# Everything that a run gave to be shown is there.
SHOWN = """() => {
    const nodes = app.rootGraph.nodes.filter((node) => app.nodeOutputs[node.id]?.images?.length);
    return nodes.length > 0 && nodes.every((node) => node.imgs?.length || node.videoContainer);
}"""
SIZES = """() => Object.fromEntries(app.rootGraph.nodes.map((node) =>
    [`${node.title || node.type} (node ${node.id})`, [...node.size].map(Math.round)]))"""
FAULTS = """() => {
    const { nodes, groups } = app.rootGraph, found = [];
    const name = (node) => node.title || node.type, size = (one) => one.boundingRect ?? one._bounding;
    const [boxes, frames] = [nodes, groups].map((all) => all.map((one) => [...size(one)]).map(
        ([x, y, width, height]) => [x, y, x + width, y + height]));
    nodes.forEach((node, i) => {
        const [left, top, right, bottom] = boxes[i];
        for (let j = i + 1; j < nodes.length; j++) {
            const [x0, y0, x1, y1] = boxes[j];
            if (left < x1 && x0 < right && top < y1 && y0 < bottom) found.push(`${name(node)} over ${name(nodes[j])}`);
        }
        groups.forEach(({ title, titleHeight }, j) => {
            const [x0, y0, x1, y1] = frames[j];
            const isApart = right <= x0 || x1 <= left || bottom <= y0 || y1 <= top;
            const isInside = x0 <= left && right <= x1 && y0 + titleHeight <= top && bottom <= y1;
            if (!isApart && !isInside) found.push(`${name(node)} over the edge of ${title}`);
        });
    });
    return found;
}"""


@pytest.mark.parametrize("name", rest_is_long(WORKFLOWS, *QUICK))
def test_a_graph_that_has_run_hides_nothing(frontend, server, name):
    frontend.load(ROOT / "workflows" / f"{name}.json", source="template")
    page = frontend.page
    page.evaluate(CHEAP)
    before = page.evaluate(SIZES)
    history = server.wait(frontend.queue(), timeout=600)
    texts = [text for output in history["outputs"].values() for text in output.get("text", ())]
    page.evaluate("() => window.stayAwake()")
    page.wait_for_function(SHOWN, timeout=30_000)
    page.evaluate(SETTLED, 500)
    # nodes that change their size show more than they had room for
    assert page.evaluate(SIZES) == before
    assert page.evaluate(FAULTS) + page.evaluate(HIDDEN) == []
    said = page.evaluate("() => [...document.querySelectorAll('.break-all')].map((one) => one.textContent.trim())")
    assert said and texts, "what the nodes say takes room, too"
    assert frontend.errors() == []


def test_a_node_over_another_and_one_that_leaves_its_group_are_found(frontend):
    graph = json.loads((ROOT / "workflows" / f"{QUICK[0]}.json").read_text(encoding="utf-8"))
    frontend.load(graph)
    assert frontend.page.evaluate(FAULTS) == []
    frontend.page.evaluate("""() => {
        const node = (type) => app.rootGraph.nodes.find((one) => one.type === type);
        node("FaceAnonDetectFaces").size[1] += 40;
        node("FaceAnonAnonymizeCrops").size[1] += 40;
        app.canvas.draw(true, true);
    }""")
    found = frontend.page.evaluate(FAULTS)
    assert found == ["Detect Faces over Select Faces", "Anonymize Crops over the edge of Paint the chosen one"]


def test_what_paints_in_one_node_ends_with_before_and_after(frontend, server):
    """And not with the last, unfinished picture of its painting, which the page leaves to a node that has run."""
    frontend.load(ROOT / "workflows" / "Anonymize a photo.json")
    page = frontend.page
    page.evaluate(CHEAP)
    page.evaluate("""() => {
        window.previews = 0;
        app.api.addEventListener("b_preview_with_metadata", () => { window.previews += 1; });
    }""")
    server.wait(frontend.queue(), timeout=300)
    page.wait_for_function(SHOWN, timeout=30_000)
    page.evaluate(SETTLED, 500)
    assert page.evaluate("() => window.previews") > 0, "it was painted, and not taken from the cache"
    node = "app.rootGraph.nodes.find((one) => one.type === 'FaceAnonAnonymizePhoto')"
    shown = page.evaluate(f"() => {node}.imgs.map((image) => new URL(image.src).searchParams.get('filename'))")
    given = page.evaluate(f"() => app.nodeOutputs[{node}.id].images.map((image) => image.filename)")
    assert shown == given and len(given) == 2, "before and after, and the faces that were found"


@pytest.mark.parametrize("name", rest_is_long(SIMPLE, "Cover all faces of a video"))
def test_the_first_run_gives_the_picture_of_the_tile(frontend, server, tmp_path, name):
    """But for rounding of another processor: other faces are 3.7 levels apart, in the mean."""
    frontend.load(ROOT / "workflows" / f"{name}.json", source="template")
    thumbnail(*run(frontend, server, tmp_path)).save(tmp_path / "tile.jpg", quality=85)
    given, tile = (np.asarray(Image.open(path)).astype(int) for path in (tmp_path / "tile.jpg", _tile(name)))
    assert np.abs(given - tile).mean() < 1


def _tile(name: str) -> Path:
    return ROOT / "workflows" / f"{name}.jpg"
