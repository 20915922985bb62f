"""Make the shipped workflows: build each graph in ComfyUI's real page, save what the page saves, run it, photograph it.

    python scripts/with_env.py tools/run.py workflows.make [NAME ...] [--graphs-only]

Writes workflows/NAME.json (as the page saves it), workflows/api/NAME.json (as the page exports it for servers) and
workflows/NAME.jpg: before and after, of the graph as it stands, so with the demo model, on synthetic people. The graphs
of README_GRAPHS are photographed for the README as well. For developers: it needs a Chromium and the tests'
requirements, as the browser tests do. The pictures of tools/pictures/make.py come first. Apps (workflows/NAME.app.json)
and blueprints (subgraphs/NAME.json) are made in the page, too, and not run.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.photos.sample_files import CLIP, PICTURES
from face_anonymizer.modules.runs.server import Server
from face_anonymizer.tools.pictures.sample_clip import first_frame
from face_anonymizer.tools.workflows.apps import APPS, as_app
from face_anonymizer.tools.workflows.blueprints import BLUEPRINTS, build
from face_anonymizer.tools.workflows.frontend import Frontend, open_browser
from face_anonymizer.tools.workflows.graph_parts import MODEL, PICTURE, SAMPLE_FILE, checkpoint, for_servers
from face_anonymizer.tools.workflows.graphs import GRAPHS
from face_anonymizer.tools.workflows.wires import DRAWN, LEAD, lead

WORKFLOWS = PACK / "workflows"
SAVERS = ("FaceAnonSaveImage", "FaceAnonSaveVideo")
THUMBNAIL = 512  # pixels of a side
README_GRAPHS = ("anonymize_photo", "anonymize_video")  # by the names of their prompts

# Between two nodes of a column there is room for a title and the name of the pack, above those of a group for its title
# and wires.
BUILD = """(spec) => {
    const TITLE = 30, BETWEEN = 30, SIDES = 30, ABOVE = 90, BELOW = 30;
    app.clean(); app.rootGraph.clear();
    const made = {};
    for (const [name, node] of Object.entries(spec.nodes)) {
        const built = LiteGraph.createNode(node.type);
        if (!built) throw new Error("no node " + node.type);
        app.rootGraph.add(built);
        if (node.title) built.title = node.title;
        Object.assign(built.properties, node.properties ?? {});
        for (const [key, value] of Object.entries(node.widgets ?? {})) {
            const named = built.widgets.find((widget) => widget.name === key);
            const widget = named ?? (node.type === "MarkdownNote" && built.widgets[0]);
            if (!widget) throw new Error(node.type + " has no widget " + key);
            widget.value = value;
        }
        const least = built.computeSize()[1];
        built.size = [node.width ?? Math.max(built.size[0], 290), Math.max(node.height ?? 0, least)];
        made[name] = built;
    }
    const top = (y) => (y in made ? top(spec.nodes[y].pos[1]) + made[y].size[1] + TITLE + BETWEEN : y);
    for (const [name, node] of Object.entries(spec.nodes)) {
        made[name].pos = [node.pos[0], top(node.pos[1])];
        for (const [key, [from, slot]] of Object.entries(node.inputs ?? {})) {
            const input = made[name].inputs.findIndex((input) => input.name === key);
            if (input < 0) throw new Error(node.type + " has no input " + key);
            if (!made[from].connect(slot, made[name], input))
                throw new Error(from + " does not fit " + name + "." + key);
        }
    }
    const bounds = spec.groups.map(({nodes}) => {
        const boxes = nodes.map((name) => [...made[name].pos, ...made[name].size]);
        const left = Math.min(...boxes.map((box) => box[0])), top = Math.min(...boxes.map((box) => box[1])) - TITLE;
        const right = Math.max(...boxes.map((box) => box[0] + box[2]));
        const bottom = Math.max(...boxes.map((box) => box[1] + box[3]));
        return [left - SIDES, top - ABOVE, right + SIDES, bottom + BELOW];
    });
    const lowest = Math.max(...bounds.map((box) => box[3]));
    spec.groups.forEach(({title, color, short}, i) => {
        const group = new LiteGraph.LGraphGroup(title), [left, top, right, bottom] = bounds[i];
        group.color = color; group.pos = [left, top]; group.size = [right - left, (short ? bottom : lowest) - top];
        app.rootGraph.add(group);
    });
}"""

# Where a page of this size is opened, in pixels, and what its menus take of it.
PAGE = 1600, 1000
_MENUS = 70, 80
_MARGIN = 20
_MAP = 265, 266  # the page's map of the graph at the bottom right, and the buttons below it
_READABLE, _LITTLE = 0.7, 0.95  # for the map no graph opens smaller than this, or no more than a little


def thumbnail(before: Image.Image, after: Image.Image) -> Image.Image:
    """Before above after, in a square: the tile of a template is one."""
    half = (THUMBNAIL, THUMBNAIL // 2)
    pair = Image.new("RGB", (THUMBNAIL, THUMBNAIL))
    for i, picture in enumerate((before, after)):
        width, height = picture.size
        cut = min(height, width // 2)
        top = (height - cut) // 2 if width < 1.2 * height else 0  # of a portrait its middle, of a group the heads
        pair.paste(
            picture.convert("RGB").crop((0, top, width, top + cut)).resize(half, Image.Resampling.LANCZOS),
            (0, i * half[1]),
        )
    return pair


def view_of(graph: dict) -> dict:
    """How a graph opens: all of it, as large as the PAGE allows, not enlarged, and nothing behind the map."""
    boxes = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    boxes = [(x, y - 30, width, height + 30) for x, y, width, height in boxes]  # a node's title stands above it
    boxes += [tuple(one["bounding"]) for one in graph.get("groups", [])]
    boxes += [(*one["pos"], 0, 0) for one in graph.get("extra", {}).get("reroutes", [])]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    room = [side - menus - 2 * _MARGIN for side, menus in zip(PAGE, _MENUS, strict=True)]
    scale = min(1.0, room[0] / (right - left), room[1] / (bottom - top))
    free = [side - part - menus - _MARGIN for side, part, menus in zip(PAGE, _MAP, _MENUS, strict=True)]
    ends = [(x + width - left, y + height - top) for x, y, width, height in boxes]
    beside = min((max(free[0] / max(x, 1), free[1] / max(y, 1)) for x, y in ends), default=scale)
    if beside >= min(_READABLE, _LITTLE * scale):
        scale = min(scale, beside)
    place = [(menus + _MARGIN) / scale - first for menus, first in zip(_MENUS, (left, top), strict=True)]
    return {"scale": round(scale, 4), "offset": [round(value, 1) for value in place]}


def map_over(view: dict) -> list[float]:
    """What of a graph the page's map covers, [left, top, right, bottom], without end at the right and below.

    Args:
        view: of view_of.
    """
    corner = [(side - part) / view["scale"] - at for side, part, at in zip(PAGE, _MAP, view["offset"], strict=True)]
    return [*corner, float("inf"), float("inf")]


def write_graph(path: Path, graph: dict) -> None:
    """A graph that is made again keeps its id, which the page draws at random."""
    if path.exists():
        graph["id"] = json.loads(path.read_text(encoding="utf-8"))["id"]
    write_json(path, graph)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*GRAPHS, *APPS, *BLUEPRINTS, []], help="which; all by default")
    parser.add_argument("--graphs-only", action="store_true", help="write the graphs and run none")
    parser.add_argument("--screenshots", type=Path, help="also photograph each graph, into this folder")
    options = parser.parse_args()
    if MODEL not in checkpoint.find_model_folders([checkpoint.PACK_MODELS]):
        parser.error(
            f"the model {MODEL} is missing in {checkpoint.PACK_MODELS}: the graphs take their settings from it"
        )

    with tempfile.TemporaryDirectory() as temporary, Server() as server, open_browser() as browser:
        names = options.names or [*GRAPHS, *APPS, *BLUEPRINTS]
        server.upload(
            PACK / PICTURES["group"], name=SAMPLE_FILE
        )  # for the apps: their page brings it, web/js/opening.js
        for name in names:
            if name not in GRAPHS:
                continue
            spec = GRAPHS[name]
            # A page remembers widgets by the number of their node, also those of a graph that was cleared: each graph
            # has a page of its own. Below half size it draws no text.
            page = Frontend(browser, server, width=2560, height=1440)
            page.page.evaluate(BUILD, spec)
            page.load(page.serialize())  # as a user opens it
            page.page.evaluate(LEAD, lead(page.page.evaluate(DRAWN), map_over(view_of(page.serialize()))))
            graph = page.serialize()
            view = view_of(graph)
            # the second one tells the page (web/js/opening.js) that nobody has moved it yet
            graph.setdefault("extra", {}).update({"ds": view, "face_anonymizer_view": view})
            write_graph(WORKFLOWS / f"{name}.json", graph)
            write_json(WORKFLOWS / "api" / f"{spec['api']}.json", for_servers(page.to_api()))
            print(f"{name}: opens at {graph['extra']['ds']['scale']}")
            if not options.graphs_only:
                before, after = run(page, server, Path(temporary))
                thumbnail(before, after).save(WORKFLOWS / f"{name}.jpg", quality=85)
                if spec["api"] in README_GRAPHS:
                    page.screenshot(PACK / "assets" / f"{spec['api']}_graph.jpg")
            if options.screenshots:
                page.screenshot(options.screenshots / f"{name}.png")
            print("  errors:", page.errors() or "none", flush=True)
            page.close()
        for name in set(names) & {*APPS, *BLUEPRINTS}:  # after the graphs, whose pictures the apps have
            page = Frontend(browser, server)
            if name in APPS:
                make_app(page, name)
            else:
                write_graph(PACK / "subgraphs" / f"{name}.json", build(page, name, BUILD))
            print(f"{name}: errors: {page.errors() or 'none'}", flush=True)
            page.close()


def make_app(page: Frontend, name: str) -> None:
    """Write an app, with the picture of the graph that it is the form of."""
    spec = APPS[name]
    page.page.evaluate(BUILD, spec)
    graph = page.serialize()
    graph.setdefault("extra", {})["ds"] = view_of(graph)
    write_graph(WORKFLOWS / f"{name}.app.json", as_app(graph, spec))
    shutil.copy(WORKFLOWS / f"{spec['thumbnail']}.jpg", WORKFLOWS / f"{name}.app.jpg")


def run(page: Frontend, server: Server, folder: Path) -> tuple[Image.Image, Image.Image]:
    """What the graph that stands in the page begins with, and what it saves; of a film the first frame."""
    prompt = page.to_api()
    server.post("/free", {"free_memory": True})  # else nodes answer from the cache, without their previews
    history = server.wait(page.queue())
    saver = next(node for node, output in prompt.items() if output["class_type"] in SAVERS)
    file = history["outputs"][saver]["images"][0]
    saved = folder / file["filename"]
    server.download(file, saved)
    if saved.suffix == ".mp4":
        return first_frame(PACK / CLIP), first_frame(saved)
    names = [node["inputs"]["picture"] for node in prompt.values() if node["class_type"] == PICTURE]
    return Image.open(PACK / PICTURES["group" if "group" in names else names[0]]), Image.open(saved)
