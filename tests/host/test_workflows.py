"""Each shipped workflow, opened and queued in ComfyUI's real page, and its picture looked at."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from comfy_api.latest import InputImpl
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.modules.runs.client import PromptFailed
from face_anonymizer.modules.runs.server import PACK_NAME
from face_anonymizer.tools.workflows.apps import APPS
from face_anonymizer.tools.workflows.graph_parts import for_servers
from face_anonymizer.tools.workflows.graphs import GRAPHS, SIMPLE
from face_anonymizer.tools.workflows.wires import HIDDEN

ROOT = Path(__file__).resolve().parents[2]
# without the apps, of which test_blueprints_and_apps.py has the tests
WORKFLOWS = sorted(path for path in (ROOT / "workflows").glob("*.json") if not path.name.endswith(".app.json"))
SET = """([type, values]) => {
    const nodes = app.rootGraph.nodes.filter((node) => node.type === type);
    for (const node of nodes)
        for (const [name, value] of Object.entries(values))
            node.widgets.find((widget) => widget.name === name).value = value;
    return nodes.length;
}"""


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """The astronaut's face as PNG: ComfyUI's JPEG decoder and Pillow's differ by a level here and there.

    192 pixels that show it alone: a thorough search for faces takes a fraction of the time.
    """
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.open(ROOT / "assets" / "astronaut.jpg").resize((192, 192), box=(96, 0, 352, 256)).save(path)
    return path


# Where everything of a graph stands in the page, and at which scale: [left, top, right, bottom, scale], CSS pixels.
VIEW = """() => {
    const canvas = app.canvas, scale = canvas.ds.scale, [dx, dy] = canvas.ds.offset;
    const boxes = [...canvas.graph.nodes, ...canvas.graph.groups].map((item) => item.boundingRect ?? item._bounding);
    boxes.push(...[...canvas.graph.reroutes.values()].map(({ pos }) => [...pos, 0, 0]));
    const xs = boxes.flatMap((box) => [box[0], box[0] + box[2]]);
    const ys = boxes.flatMap((box) => [box[1], box[1] + box[3]]);
    return [(Math.min(...xs) + dx) * scale, (Math.min(...ys) + dy) * scale, (Math.max(...xs) + dx) * scale,
        (Math.max(...ys) + dy) * scale, scale];
}"""
# Nodes, groups and wires, as they are drawn, behind the page's map of the graph or its buttons at the bottom right.
BEHIND = """() => {
    const { nodes, groups, links, reroutes } = app.rootGraph, { scale, offset: [dx, dy] } = app.canvas.ds;
    const page = app.canvas.canvas.getBoundingClientRect(), context = document.createElement("canvas").getContext("2d");
    context.lineWidth = 4;
    window.stayAwake();
    app.canvas.draw(true, true);
    const covers = [".minimap-main-container", ".p-buttongroup:has([data-testid=toggle-minimap-button])"].map(
        (name) => document.querySelector(name).getBoundingClientRect());
    if (!covers.every(({ width, height }) => width > 200 && height > 40)) throw new Error("there is no map");
    const found = [], wires = [...links.values(), ...reroutes.values()].map((part) => part.path).filter(Boolean);
    for (const { left, top, right, bottom } of covers) {
        const [x0, x1] = [left, right].map((x) => (x - page.left) / scale - dx);
        const [y0, y1] = [top, bottom].map((y) => (y - page.top) / scale - dy);
        for (const one of [...nodes, ...groups]) {
            const [x, y, width, height] = one.boundingRect ?? one._bounding;
            if (x < x1 && x0 < x + width && y < y1 && y0 < y + height) found.push(one.title || one.type);
        }
        // a wire comes in over an edge, unless both of its nodes are behind
        const [xs, ys] = [[x0, x1], [y0, y1]].map(([low, high]) =>
            Array.from({ length: Math.ceil((high - low) / 3) }, (_, i) => low + 3 * i));
        const edges = [...xs.flatMap((x) => [[x, y0], [x, y1]]), ...ys.flatMap((y) => [[x0, y], [x1, y]])];
        for (const [x, y] of edges)
            if (wires.some((path) => context.isPointInStroke(path, x, y))) found.push(`a wire at ${x}, ${y}`);
    }
    return found;
}"""
# Whether what a node says is broken between words.
AT_WORDS = """(text) => [...document.querySelectorAll(".break-all")].some((element) =>
    element.textContent.trim() === text && getComputedStyle(element).wordBreak === "normal")"""
LINKS = '() => [app.rootGraph.nodes.filter((node) => node.type !== "MarkdownNote").length, app.rootGraph.links.size]'


class Opened:
    """A graph in the page, with a file in place of its sample: what a server is sent for the user's own picture."""

    def __init__(self, frontend):
        self._frontend = frontend

    def to_api(self) -> dict:
        return for_servers(self._frontend.to_api())

    def errors(self) -> list[str]:
        return self._frontend.errors()


def file_of(api: str) -> Path:
    """The graph whose prompt for servers has this name."""
    return ROOT / "workflows" / f"{next(name for name, graph in GRAPHS.items() if graph['api'] == api)}.json"


@pytest.fixture
def opened(frontend, server, short_clip):
    """A function that opens a workflow by its prompt's name, for a photo, with fewer steps."""

    def open_workflow(name: str, photo: Path, steps: int = 2) -> Opened:
        # the prompts name the picture that every ComfyUI has, and a clip
        server.upload(photo, name="example.png")
        server.upload(short_clip, name="example.mp4")
        frontend.load(file_of(name))
        for node_type, values in (
            ("FaceAnonDDPMSampler", {"steps": steps}),
            ("KSampler", {"steps": steps}),
            ("FaceAnonAnonymizeCrops", {"steps": steps}),
            ("FaceAnonAnonymizeVideo", {"steps": steps}),
        ):
            frontend.page.evaluate(SET, [node_type, values])
        return Opened(frontend)

    return open_workflow


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def run(opened, server) -> tuple[dict, np.ndarray]:
    """History and the saved picture of a graph."""
    prompt = opened.to_api()
    history = server.run(prompt, timeout=300)
    saved = {number for number, node in prompt.items() if node["class_type"] == "FaceAnonSaveImage"}
    return history, pixels(next(image for node, image in server.images(history) if node in saved))


def test_each_has_a_name_that_a_person_reads_and_a_prompt_and_the_simple_ones_are_three_nodes():
    assert {path.stem for path in WORKFLOWS} == set(GRAPHS) and len(GRAPHS) == 16
    prompts = {graph["api"] for graph in GRAPHS.values()}
    assert {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")} == prompts
    assert len(prompts) == len(GRAPHS) and not [name for name in GRAPHS if "_" in name]


def seen(frontend, width: int, height: int) -> float:
    """The scale at which a graph has opened: all of it in the page, and nothing behind the page's map of it."""
    left, top, right, bottom, scale = frontend.page.evaluate(VIEW)
    assert left >= 70 and top >= 90 and right <= width and bottom <= height, (left, top, right, bottom)
    assert frontend.page.evaluate(BEHIND) == []
    return scale


@pytest.fixture
def resized(frontend):
    """A function that gives the page another size, for one test."""
    yield lambda width, height: frontend.page.set_viewport_size({"width": width, "height": height})
    frontend.page.set_viewport_size({"width": 1600, "height": 1000})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_opens_without_a_complaint_to_be_read_and_its_api_export_is_current(frontend, path):
    """From the dialog of templates, at 1600x1000: all of it in the page, its text as large as it is drawn."""
    frontend.load(path, source="template")
    spec = GRAPHS[path.stem]
    exported = json.loads((path.parent / "api" / f"{spec['api']}.json").read_text())
    assert for_servers(frontend.to_api()) == exported, "run tools/workflows/make.py"
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.size == (512, 512)
    assert seen(frontend, 1600, 1000) >= 0.7
    more = path.stem == "Swap a face"  # whose face: a second picture
    assert path.stem not in SIMPLE or frontend.page.evaluate(LINKS) == [3 + more, 3 + more]
    assert frontend.page.evaluate(HIDDEN) == [], "wires run behind nodes they do not belong to, or over titles"
    assert frontend.errors() == []


def test_a_wire_behind_a_node_is_found(frontend):
    frontend.load(ROOT / "workflows" / "Cover all faces of a photo, step by step.json")
    assert frontend.page.evaluate(HIDDEN) == []
    frontend.page.evaluate("() => [...app.rootGraph.reroutes.keys()].forEach((id) => app.rootGraph.removeReroute(id))")
    hidden = frontend.page.evaluate(HIDDEN)
    assert "Photo.IMAGE -> Redact Faces (pixelate, mask faces).image behind Detect Faces" in hidden
    frontend.page.evaluate("() => { app.rootGraph.groups[0].pos = [300, 80]; }")
    assert "Photo.IMAGE -> Detect Faces.image over the title Cover every face" in frontend.page.evaluate(HIDDEN)


def test_photos_step_by_step_are_compared_in_the_page_and_not_on_a_server():
    for name, spec in GRAPHS.items():
        kinds = {node["type"] for node in spec["nodes"].values()}
        painted = "FaceAnonSaveImage" in kinds and name not in SIMPLE and name != "Variations of a face"
        graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
        shown = [node for node in graph["nodes"] if node["type"] == "FaceAnonBeforeAfter"]
        assert len(shown) == painted, name
        assert all(slot["link"] for node in shown for slot in node["inputs"] if slot["type"] == "IMAGE")
        prompt = json.loads((ROOT / "workflows" / "api" / f"{spec['api']}.json").read_text())
        assert "FaceAnonBeforeAfter" not in {node["class_type"] for node in prompt.values()}


def test_all_open_to_be_read_on_a_larger_screen(frontend, resized):
    resized(1920, 1080)
    scales = {}
    for path in WORKFLOWS:
        frontend.load(path, source="template")
        scales[path.stem] = seen(frontend, 1920, 1080)
    assert min(scales.values()) >= 0.7 and len(scales) == len(GRAPHS), scales


def test_on_a_small_screen_graphs_open_whole_and_a_view_that_was_moved_stays(frontend, resized):
    resized(1280, 800)
    frontend.load(ROOT / "workflows" / "Anonymize a photo.json", source="template")
    assert seen(frontend, 1280, 800) >= 0.6, "the simplest one beside the map, too"
    frontend.load(ROOT / "workflows" / "Anonymize and verify.json", source="template")
    left, top, right, bottom, scale = frontend.page.evaluate(VIEW)
    assert scale >= 0.53 and left >= 70 and top >= 60 and right <= 1280 and bottom <= 800
    frontend.page.evaluate("() => { app.canvas.ds.scale = 0.5; app.canvas.ds.offset = [10, 20]; }")
    moved = frontend.serialize()
    moved["extra"]["ds"] = {"scale": 0.5, "offset": [10, 20]}
    frontend.load(moved)
    assert frontend.page.evaluate("() => [app.canvas.ds.scale, ...app.canvas.ds.offset]") == [0.5, 10, 20]


def test_a_node_and_a_wire_behind_the_map_are_found(frontend):
    frontend.load(ROOT / "workflows" / "Cover all faces of a video.json", source="template")
    assert frontend.page.evaluate(BEHIND) == []
    frontend.page.evaluate("() => { app.rootGraph.findNodesByType('FaceAnonSaveVideo')[0].pos = [1600, 900]; }")
    found = frontend.page.evaluate(BEHIND)
    assert found[0] == "Save Video (clean)" and any("a wire" in one for one in found)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("Cover all faces of a photo", {}, marks=pytest.mark.long),  # it searches thoroughly
        ("Cover all faces of a photo", {"thorough": False}),
        ("Cover all faces of a video", {}),
    ],
)
def test_run_gives_something_at_once(frontend, server, name, values):
    """As it is shipped, from the page: the sample's faces are covered, and nothing complains."""
    frontend.load(ROOT / "workflows" / f"{name}.json")
    frontend.page.evaluate(SET, ["FaceAnonAnonymizePhoto", values])
    prompt = frontend.to_api()
    history = server.wait(frontend.queue(), timeout=300)
    saver = next(id for id, node in prompt.items() if node["class_type"].startswith("FaceAnonSave"))
    assert history["outputs"][saver]["images"]
    files = [file for output in history["outputs"].values() for file in output.get("images", ())]
    shown = [file for file in files if file["type"] == "temp"]
    # of a clip eight frames with their faces, and four before and after
    assert len(shown) >= (12 if "video" in name else 1), "frames to be looked at"
    reports = [output["face_anon_report"][0] for output in history["outputs"].values() if "face_anon_report" in output]
    assert reports[-1]["actions"] == {"redacted": len(reports[-1]["faces"])} and len(reports[-1]["faces"]) >= 5
    assert frontend.errors() == []


CLICKED = rest_is_long(["Cover all faces of a video", "Anonymize a photo", "Swap a face"], "Cover all faces of a video")


@pytest.mark.parametrize("name", CLICKED)
def test_from_the_dialog_of_templates_a_result_is_three_clicks_away(frontend, server, name):
    """The dialog is what a first visit opens with: the pack, a template, Run."""
    page = frontend.page
    names = page.evaluate("async (name) => (await app.api.getWorkflowTemplates())[name]", PACK_NAME)
    first = [*SIMPLE, *(f"{name}.app" for name in APPS)]
    assert names == [*first, *sorted(set(GRAPHS) - set(SIMPLE))]
    page.evaluate("(name) => app.extensionManager.command.execute(name)", "Comfy.BrowseTemplates")
    page.get_by_role("dialog").get_by_text(PACK_NAME).first.click(timeout=60_000)
    page.get_by_role("dialog").get_by_text(name, exact=True).first.click(timeout=20_000)
    page.wait_for_function("() => app.rootGraph.nodes.some((node) => /^FaceAnonAnonymize/.test(node.type))")
    with page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/prompt")) as response:
        page.get_by_role("button", name="Run", exact=True).first.click(timeout=20_000)
    assert page.evaluate(VIEW)[4] >= 0.7
    history = server.wait(response.value.json()["prompt_id"], timeout=600)
    assert any(file["type"] == "output" for output in history["outputs"].values() for file in output.get("images", ()))
    assert frontend.errors() == []


def test_a_picture_without_a_face_is_a_warning_above_the_graph(frontend, server):
    empty = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "FaceAnonDetectFaces", "inputs": {"image": ["1", 0], "min_score": 0.3, "max_faces": 0}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 2]}},
    }
    empty["2"]["inputs"]["thorough"] = False
    frontend.page.evaluate("(prompt) => app.loadApiJson(prompt, 'empty')", empty)
    server.wait(frontend.queue(), timeout=100)
    toast = frontend.page.locator(".p-toast-message-warn")
    toast.first.wait_for(timeout=20_000)
    assert "No face found" in toast.first.inner_text()
    assert frontend.errors() == []
    frontend.page.wait_for_function(AT_WORDS, arg="No face found: the picture is unchanged", timeout=20_000)


PHOTOS = ["anonymize_photo", "anonymize_with_ksampler", "anonymize_chosen_faces", "redact_photo", "swap_faces"]


# the nodes of the others have tests of their own, and that all open as their prompts say stands above
@pytest.mark.parametrize("name", rest_is_long(PHOTOS, "anonymize_photo", "redact_photo"))
def test_faces_change_and_the_rest_does_not(opened, server, name, photo):
    frontend = opened(name, photo)
    history, after = run(frontend, server)
    before = pixels(Image.open(photo))
    assert after.shape == before.shape
    changed = (after != before).any(axis=2)
    # the face's box is 65..131 x 43..134; its crop is about 1.6 times as large
    assert changed[56:120, 78:117].mean() > 0.99
    assert not changed[:, 176:].any() and not changed[180:].any() and not changed[:, :18].any()
    reports = [output["face_anon_report"][0] for output in history["outputs"].values() if "face_anon_report" in output]
    assert reports and all(len(report["faces"]) == 1 for report in reports)
    assert frontend.errors() == []


def test_each_face_is_verified_and_what_did_not_pass_is_covered(opened, server, photo):
    frontend = opened("anonymize_and_verify", photo)
    prompt = frontend.to_api()
    history, after = run(frontend, server)
    shown = {prompt[node]["class_type"]: output for node, output in history["outputs"].items()}
    kinds = ("FaceAnonVerifyFaces", "FaceAnonRedactFaces")
    (face,), (last,) = (shown[kind]["face_anon_report"][0]["faces"] for kind in kinds)
    passed = face["verification"]["verdict"] == "stranger"
    assert face["action"] == "anonymized" and last["action"] == ("anonymized" if passed else "redacted")
    assert (after[82, 93] == 0).all() != passed
    assert "images" not in shown["FaceAnonVerifyFaces"], "previews are for a page, not for a command"
    assert "recognisers say, which means little: 1 " in shown["FaceAnonVerifyFaces"]["text"][0]
    assert "trained on photographs" in shown["FaceAnonVerifyFaces"]["text"][0]
    assert frontend.errors() == []


@pytest.mark.parametrize(
    "name", rest_is_long(["anonymize_video", "anonymize_long_video", "redact_video"], "anonymize_long_video")
)
def test_every_frame_of_a_clip_changes_and_its_sound_stays(opened, server, name, photo, short_clip, tmp_path):
    frontend = opened(name, photo, steps=1)
    prompt = frontend.to_api()
    history = server.run(prompt, timeout=300)
    saver = next(n for n, node in prompt.items() if node["class_type"] in ("SaveVideo", "FaceAnonSaveVideo"))
    saved = tmp_path / "saved.mp4"
    server.download(history["outputs"][saver]["images"][0], saved)
    before, after = (InputImpl.VideoFromFile(str(path)).get_components() for path in (short_clip, saved))
    assert after.images.shape == before.images.shape == (2, 180, 320, 3)
    # the host's own nodes round to a thousandth of a frame a second
    assert abs(after.frame_rate - before.frame_rate) < (Fraction(1, 1000) if name == "anonymize_video" else 1e-9)
    sounds = [sound["waveform"][0, 0] for sound in (before.audio, after.audio)]
    assert before.audio["sample_rate"] == after.audio["sample_rate"] == 48000
    assert abs(len(sounds[0]) - len(sounds[1])) <= 2048 and abs(sounds[1][:4800].abs().max() - 0.2) < 0.02
    report = next(o["face_anon_report"][0] for o in history["outputs"].values() if "face_anon_report" in o)
    changed = (after.images - before.images).abs().amax(-1) > 0.03  # a model keeps to the colours of skin
    for face in report["faces"]:
        x0, y0, x1, y1 = face["box"]
        x, y = round((x0 + x1) / 2), round((y0 + y1) / 2)
        if 8 <= x < 312 and 8 <= y < 172:
            assert changed[face["image"], y - 3 : y + 3, x - 3 : x + 3].float().mean() > 0.75, face
    assert len(report["faces"]) >= 5 and frontend.errors() == []
    files = [file for output in history["outputs"].values() for file in output.get("images", ())]
    assert [file["type"] for file in files] == ["output"], "no page asked: no original in the temp folder"
    written = saved.read_bytes()
    assert b"Jane" not in written and b"+48.1" not in written and b"FaceAnon" not in written


def test_an_aligned_face_is_painted_whole(opened, server, photo):
    frontend = opened("anonymize_aligned_face", photo)
    _, after = run(frontend, server)
    before = pixels(Image.open(photo).resize((128, 128)))
    assert after.shape == (128, 128, 3)
    changed = np.abs(after - before).max(axis=2) > 8
    assert changed[16:112, 16:112].mean() > 0.95, "the face; of what is around it the model leaves more as it was"


@pytest.mark.long  # a group is painted in test_demo.py
def test_several_faces_each_change(opened, server, tmp_path, photo):
    head = Image.open(photo).resize((100, 115), box=(26, 0, 176, 172))
    group = Image.new("RGB", (305, 160), (70, 90, 110))
    for i in range(2):
        group.paste(head, (25 + 145 * i, 25))
    group.save(tmp_path / "group.png")
    frontend = opened("anonymize_photo", tmp_path / "group.png")
    _, after = run(frontend, server)
    changed = (after != pixels(group)).any(axis=2)
    for i in range(2):
        assert changed[65:102, 59 + 145 * i : 89 + 145 * i].mean() > 0.99, f"face {i} is as it was"
    assert changed.mean() < 0.6
    first, second = after[65:102, 59:89], after[65:102, 204:234]
    assert np.abs(first - second).mean() > 5, "two faces have one noise"


def test_a_picture_without_a_face_passes_unchanged_and_says_so(opened, server, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    prompt = opened("anonymize_photo", tmp_path / "noise.png").to_api()
    reported = set()
    history = server.run(prompt, on_progress=lambda node, *_: reported.add(prompt[node]["class_type"]), timeout=300)
    after = next(pixels(i) for node, i in server.images(history) if prompt[node]["class_type"] == "FaceAnonSaveImage")
    assert (after == noise).all()
    assert ["No face found: the picture is unchanged"] in [o.get("text") for o in history["outputs"].values()]
    assert reported <= {"FaceAnonDetectFaces", "FaceAnonPasteFaces"}, "the sampler ran for nothing"


def test_a_swap_whose_source_has_no_face_says_so(opened, server, tmp_path, photo):
    Image.new("RGB", (200, 200), (90, 120, 200)).save(tmp_path / "sky.png")
    prompt = opened("swap_faces", photo).to_api()
    source = next(node for node in prompt.values() if node["_meta"]["title"].startswith("Source:"))
    source["inputs"]["image"] = server.upload(tmp_path / "sky.png")
    with pytest.raises(PromptFailed, match="no face was found"):
        server.run(prompt, timeout=300)
