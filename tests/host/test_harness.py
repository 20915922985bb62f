"""The harness itself, with core nodes alone: a real server, a real page, and what they say when something is wrong."""

from pathlib import Path

import pytest
from PIL import Image

from face_anonymizer.modules.host import location as host
from face_anonymizer.modules.runs import client as comfy_client

BUILD = """() => {
    const place = (type, x, y) => {
        const node = LiteGraph.createNode(type);
        app.rootGraph.add(node);
        node.pos = [x, y];
        return node;
    };
    const image = place("EmptyImage", 0, 0);
    const save = place("SaveImage", 350, 0), preview = place("PreviewImage", 350, 150);
    image.widgets.find((widget) => widget.name === "width").value = 64;
    image.widgets.find((widget) => widget.name === "height").value = 32;
    image.widgets.find((widget) => widget.name === "color").value = 255;
    image.connect(0, save, 0);
    image.connect(0, preview, 0);
}"""


@pytest.fixture
def workflow(frontend) -> dict:
    """An image that is saved and previewed, as the page saves it."""
    frontend.page.evaluate(BUILD)
    return frontend.serialize()


def prompt(**changes) -> dict:
    image = {"width": 64, "height": 32, "batch_size": 1, "color": 255}
    save = {"images": ["1", 0], "filename_prefix": "harness", **changes}
    return {"1": {"class_type": "EmptyImage", "inputs": image}, "2": {"class_type": "SaveImage", "inputs": save}}


def test_a_workflow_runs_from_the_page(frontend, server, workflow):
    frontend.load(workflow)
    api = frontend.to_api()
    assert {node["class_type"] for node in api.values()} == {"EmptyImage", "SaveImage", "PreviewImage"}
    images = server.images(server.wait(frontend.queue(), timeout=60))
    assert sorted(api[node_id]["class_type"] for node_id, _ in images) == ["PreviewImage", "SaveImage"]
    assert all(image.size == (64, 32) and image.getpixel((0, 0)) == (0, 0, 255) for _, image in images)
    assert frontend.errors() == []
    types = [node["type"] for node in frontend.serialize()["nodes"]]
    assert sorted(types) == ["EmptyImage", "PreviewImage", "SaveImage"]


def test_the_page_names_missing_nodes(frontend, workflow):
    workflow["nodes"][0]["type"] = "NoSuchNode"
    frontend.load(workflow)
    assert "missing node: NoSuchNode" in frontend.errors()


def test_the_page_tells_refused_inputs(frontend, workflow):
    next(node for node in workflow["nodes"] if node["type"] == "EmptyImage")["widgets_values"][0] = -5
    frontend.load(workflow)
    with pytest.raises(comfy_client.PromptFailed, match="width") as failure:
        frontend.queue()
    assert failure.value.node_type == "EmptyImage"
    frontend.load(workflow)
    assert frontend.errors() == []


def test_a_screenshot_shows_the_graph_alone(frontend, workflow, tmp_path):
    frontend.load(workflow)
    photo = Image.open(frontend.screenshot(tmp_path / "graph.jpg")).convert("L")
    # Nodes are lighter than the canvas, and the picture ends a margin beyond them.
    assert photo.width > 800
    assert photo.crop((0, 0, photo.width, 12)).getextrema()[1] < 64
    assert photo.getextrema()[1] > 150


def test_an_upload_is_loaded(server, tmp_path):
    Image.new("RGB", (9, 7), (1, 2, 3)).save(tmp_path / "small.png")
    name = server.upload(tmp_path / "small.png")
    load = {"class_type": "LoadImage", "inputs": {"image": name}}
    done = server.run({"1": load, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}, timeout=60)
    ((node_id, image),) = server.images(done)
    assert (node_id, image.size, image.getpixel((0, 0))) == ("2", (9, 7), (1, 2, 3))


def test_a_partly_valid_prompt_is_refused(server):
    half = {**prompt(), "3": {"class_type": "PreviewImage", "inputs": {}}}
    with pytest.raises(comfy_client.PromptFailed, match=r"PreviewImage \(node 3\): Required input is missing: images"):
        server.queue(half)
    with pytest.raises(comfy_client.PromptFailed, match="NoSuchNode"):
        server.queue({"1": {"class_type": "NoSuchNode", "inputs": {}}})


def test_a_failure_names_node_and_cause(server):
    with pytest.raises(
        comfy_client.PromptFailed, match=r"SaveImage \(node 2\) failed: .*outside the output folder"
    ) as failure:
        server.run(prompt(filename_prefix="../../elsewhere"), timeout=60)
    assert (failure.value.node_id, failure.value.node_type) == ("2", "SaveImage")


def test_a_timeout_cancels_the_prompt(server):
    slow = prompt()
    slow["1"]["inputs"].update(width=4096, height=4096, batch_size=3)
    with pytest.raises(TimeoutError):
        server.run(slow, timeout=0.25)
    assert server.wait(server.queue(prompt(filename_prefix="after")), timeout=120)["status"]["completed"]


def test_progress_is_reported(server):
    recolour = {
        "class_type": "ColorTransfer",
        "inputs": {
            **{"image_target": ["1", 0], "image_ref": ["1", 0], "method": "histogram"},
            **{"source_stats": "per_frame", "strength": 1.0},
        },
    }
    steps = []
    three = {**prompt(images=["3", 0]), "3": recolour}
    three["1"]["inputs"]["batch_size"] = 3
    server.run(three, on_progress=lambda *step: steps.append(step), timeout=60)
    assert steps[-1] == ("3", 3, 3)
    assert [value for _, value, _ in steps] == sorted(value for _, value, _ in steps)


def test_this_process_has_comfyui_itself(comfyui, host_nodes):
    import comfy.model_management

    assert Path(comfy.model_management.__file__).is_relative_to(comfyui)
    assert "KSampler" in host_nodes.NODE_CLASS_MAPPINGS
    assert comfy.model_management.get_torch_device() is not None


def test_a_wrong_path_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(host.HostMissing, match="COMFYUI_PATH"):
        host.find_comfyui()


def test_a_missing_comfyui_is_explained(monkeypatch, tmp_path):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(host, "__file__", str(tmp_path / "pack" / "modules" / "host" / "location.py"))
    monkeypatch.setattr(host, "_default_places", lambda: [tmp_path / "ComfyUI"])
    with pytest.raises(host.HostMissing, match="comfy install"):
        host.find_comfyui()
