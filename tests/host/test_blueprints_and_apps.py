"""Blueprints and apps in the real page: found, added, opened, and run."""

import json
import urllib.request
from pathlib import Path

import pytest

from face_anonymizer.tools.workflows.apps import APPS
from face_anonymizer.tools.workflows.blueprints import BLUEPRINTS

ROOT = Path(__file__).resolve().parents[2]
STORE = 'document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s'
# Adds a blueprint as the search box does, between a sample and a node that saves; the prompt of all.
ADD = """async (name) => {
    const add = (type, pos) => {
        const node = LiteGraph.createNode(type);
        node.pos = pos;
        app.rootGraph.add(node);
        return node;
    };
    const [found] = STORE.get("nodeDef").nodeSearchService.searchNode(name.toLowerCase(), [], { limit: 3 });
    if (found.display_name !== name) throw new Error(`${name}: found ${found.display_name}`);
    const definition = STORE.get("subgraph").getBlueprint(found.name);
    const before = new Set(app.rootGraph.nodes);
    app.canvas._deserializeItems(
        { nodes: definition.nodes, subgraphs: definition.definitions.subgraphs, links: [], groups: [], reroutes: [] },
        { position: [400, 100] });
    const node = app.rootGraph.nodes.find((one) => !before.has(one));
    const save = add("FaceAnonSaveImage", [900, 100]);
    node.inputs.forEach((input, place) => {
        if (input.type === "IMAGE") add("FaceAnonSamplePicture", [0, 400 * place]).connect(0, node, place);
    });
    node.connect(0, save, 0);
    node.connect(1, save, save.inputs.findIndex((input) => input.name === "report"));
    return [node.widgets.map((widget) => widget.name), (await app.graphToPrompt()).output];
}""".replace("STORE", STORE)


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_listed_and_its_prompt_is_the_graph_inside(frontend, name):
    widgets, prompt = frontend.page.evaluate(ADD, name)
    assert set(widgets) == {widget for _, widget in BLUEPRINTS[name]["widgets"]}
    spec = BLUEPRINTS[name]["graph"]["nodes"]
    inside = sorted(spec[one]["type"] for one in BLUEPRINTS[name]["inside"])
    ours = sorted(node["class_type"] for node in prompt.values())
    samples = ["FaceAnonSamplePicture"] * (2 if "source_photo" in spec else 1)
    assert ours == sorted([*inside, *samples, "FaceAnonSaveImage"])
    if name == "Swap Faces":
        (paint,) = [node["inputs"] for node in prompt.values() if node["class_type"] == "FaceAnonAnonymizeCrops"]
        assert paint["degree"] == 0 and isinstance(paint["source"], list)
    assert frontend.errors() == []


# The prompt, and its widget set on the node.
QUICKLY = """async () => {
    const widgets = app.rootGraph.nodes.flatMap((node) => node.widgets ?? []);
    widgets.find((widget) => widget.name === "thorough").value = false;
    return (await app.graphToPrompt()).output;
}"""


LOADED = """() => app.rootGraph.nodes.filter((node) => node.type === "LoadImage")
    .map((node) => node.widgets.find((widget) => widget.name === "image").value)"""


@pytest.mark.long  # that its prompt is the graph inside stands above, and an app of the same nodes is run below
def test_a_blueprint_runs_as_one_node(frontend, server):
    """Without the thorough search, which its widget, one of a node inside, turns off."""
    frontend.page.evaluate(ADD, "Cover Faces")
    prompt = frontend.page.evaluate(QUICKLY)
    assert [node["inputs"]["thorough"] for node in prompt.values() if "thorough" in node["inputs"]] == [False]
    history = server.wait(frontend.queue(), timeout=300)
    saver = next(number for number, node in prompt.items() if node["class_type"] == "FaceAnonSaveImage")
    assert history["outputs"][saver]["images"]
    reports = [output["face_anon_report"][0] for output in history["outputs"].values() if "face_anon_report" in output]
    assert reports[-1]["actions"] == {"redacted": 5} and frontend.errors() == []


def test_every_file_is_one_of_those_that_are_made():
    assert {path.stem for path in (ROOT / "subgraphs").glob("*.json")} == set(BLUEPRINTS)
    assert {path.name for path in (ROOT / "workflows").glob("*.app.*")} == {
        f"{name}.app.{kind}" for name in APPS for kind in ("json", "jpg")
    }
    for name, spec in BLUEPRINTS.items():
        graph = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
        assert graph["definitions"]["subgraphs"][0]["description"] == spec["text"]


@pytest.mark.parametrize("name", APPS)
def test_an_app_opens_as_a_form_of_a_picture_a_few_settings_and_run(frontend, server, name):
    """With a sample, which the page puts into the input folder, so that Run shows something; one of them is run."""
    page, spec = frontend.page, APPS[name]
    graph = json.loads((ROOT / "workflows" / f"{name}.app.json").read_text(encoding="utf-8"))
    page.evaluate("([graph, name]) => app.loadGraphData(graph, true, true, name)", [graph, f"{name}.app"])
    page.get_by_text("Build an app").wait_for(timeout=20_000)
    page.wait_for_timeout(1000)
    if page.get_by_role("button", name="Skip", exact=True).count():  # a tour of apps, the first time
        page.get_by_role("button", name="Skip", exact=True).click()
    run = page.get_by_role("button", name="Run", exact=True).last
    run.wait_for(timeout=20_000)
    lines = page.locator("body").inner_text().splitlines()
    assert lines.index(name, lines.index("Build an app")) < lines.index("image") < lines.index(spec["form"][-1][1])
    assert all(widget in lines for _, widget in spec["form"])
    (loaded,) = page.evaluate(LOADED)
    with urllib.request.urlopen(f"{server.url}/view?filename={loaded}&type=input") as answer:
        assert answer.read() == (ROOT / "assets" / "synthetic_group.jpg").read_bytes()
    if name.startswith("Cover"):
        page.evaluate(QUICKLY)
        with page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/prompt")) as response:
            run.click()
        history = server.wait(response.value.json()["prompt_id"], timeout=100)
        assert any("images" in output and "text" not in output for output in history["outputs"].values())
        reports = [one["face_anon_report"][0] for one in history["outputs"].values() if "face_anon_report" in one]
        assert reports[-1]["actions"] == {"redacted": 5}
    assert frontend.errors() == []
    # the page of the other tests is one of graphs again
    frontend.load(ROOT / "workflows" / "Anonymize a photo.json")
    assert not page.get_by_text("Build an app").is_visible() and frontend.errors() == []
