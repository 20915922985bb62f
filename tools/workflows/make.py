"""Make the shipped workflows: build each graph in ComfyUI's real page, save what the page saves, run it, photograph it.

    python scripts/with_env.py tools/run.py workflows.make [NAME ...] [--graphs-only]

Writes workflows/NAME.json (as the page saves it), workflows/api/NAME.json (as the page exports it for servers) and
workflows/NAME.jpg: before and after, of the graph as it stands, so with the demo model, on synthetic people. The graphs
of README_GRAPHS are photographed for the README as well. For developers: it needs a Chromium and the tests'
requirements, as the browser tests do. The pictures of tools/pictures/make.py come first.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.server import Server
from face_anonymizer.tools.pictures.sample_clip import first_frame, write_video
from face_anonymizer.tools.pictures.synthetic_group import make_portrait
from face_anonymizer.tools.workflows.frontend import Frontend, open_browser
from face_anonymizer.tools.workflows.graph_parts import (
    ALIGNED_TITLE,
    EXAMPLE,
    EXAMPLE_VIDEO,
    MODEL,
    SOURCE_TITLE,
    checkpoint,
)
from face_anonymizer.tools.workflows.graphs import GRAPHS

WORKFLOWS = PACK / "workflows"
SAVERS = ("FaceAnonSaveImage", "FaceAnonSaveVideo", "SaveVideo")
GROUP = PACK / "assets" / "synthetic_group.jpg"
README_GRAPHS = ("anonymize_photo", "anonymize_video")

BUILD = """(spec) => {
    app.clean(); app.rootGraph.clear();
    const made = {};
    for (const [name, node] of Object.entries(spec.nodes)) {
        const built = LiteGraph.createNode(node.type);
        if (!built) throw new Error("no node " + node.type);
        app.rootGraph.add(built);
        built.pos = node.pos;
        if (node.title) built.title = node.title;
        Object.assign(built.properties, node.properties ?? {});
        for (const [key, value] of Object.entries(node.widgets ?? {})) {
            const named = built.widgets.find((widget) => widget.name === key);
            const widget = named ?? (node.type === "MarkdownNote" && built.widgets[0]);
            if (!widget) throw new Error(node.type + " has no widget " + key);
            widget.value = value;
        }
        built.size = [node.width ?? Math.max(built.size[0], 290), node.height ?? built.computeSize()[1]];
        made[name] = built;
    }
    for (const [name, node] of Object.entries(spec.nodes)) {
        for (const [key, [from, slot]] of Object.entries(node.inputs ?? {})) {
            const input = made[name].inputs.findIndex((input) => input.name === key);
            if (input < 0) throw new Error(node.type + " has no input " + key);
            if (!made[from].connect(slot, made[name], input))
                throw new Error(from + " does not fit " + name + "." + key);
        }
    }
    for (const {title, color, bounding} of spec.groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.color = color; group.pos = bounding.slice(0, 2); group.size = bounding.slice(2);
        app.rootGraph.add(group);
    }
}"""

# Where a graph wants one face it gets one; else all pictures are the EXAMPLE.
SHOW_PORTRAIT = """([titles, picture]) => {
    for (const node of app.rootGraph.nodes.filter((node) => titles.includes(node.title))) {
        const widget = node.widgets.find((widget) => widget.name === "image");
        widget.value = picture;
        widget.callback?.(picture);
    }
}"""


def write_pan(path: Path, frames: int = 9) -> None:
    """A camera that moves over the group, as a short film with sound, 640x360."""
    group = torch.from_numpy(np.array(Image.open(GROUP).convert("RGB").resize((720, 480)))).float() / 255
    write_video(path, torch.stack([group[30:390, x : x + 640] for x in range(0, 8 * frames, 8)]))


def thumbnail(before: Image.Image, after: Image.Image) -> Image.Image:
    """Before and after side by side, 800 x 400."""
    pair = Image.new("RGB", (800, 400))
    for i, picture in enumerate((before, after)):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, 0
        square = picture.convert("RGB").crop((left, top, left + side, top + side))
        pair.paste(square.resize((400, 400), Image.Resampling.LANCZOS), (400 * i, 0))
    return pair


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
    parser.add_argument("names", nargs="*", choices=[*GRAPHS, []], help="which workflows; all by default")
    parser.add_argument("--graphs-only", action="store_true", help="write the graphs and run none")
    parser.add_argument("--screenshots", type=Path, help="also photograph each graph after its run, into this folder")
    options = parser.parse_args()
    if MODEL not in checkpoint.find_model_folders([checkpoint.PACK_MODELS]):
        parser.error(
            f"the model {MODEL} is missing in {checkpoint.PACK_MODELS}: the graphs take their settings from it"
        )

    with tempfile.TemporaryDirectory() as temporary, Server() as server, open_browser() as browser:
        folder = Path(temporary)
        clip, portrait = folder / EXAMPLE_VIDEO, folder / "portrait.png"
        write_pan(clip)
        make_portrait().save(portrait)
        server.upload(GROUP, name=EXAMPLE)
        for file in (clip, portrait):
            server.upload(file, name=file.name)
        for name in options.names or GRAPHS:
            # A page remembers widgets by the number of their node, also those of a graph that was cleared: each graph
            # has a page of its own. Below half size it draws no text.
            page = Frontend(browser, server, width=2560, height=1440)
            page.page.evaluate(BUILD, GRAPHS[name])
            page.load(page.serialize())  # as a user opens it
            write_graph(WORKFLOWS / f"{name}.json", page.serialize())
            write_json(WORKFLOWS / "api" / f"{name}.json", page.to_api())
            if not options.graphs_only:
                page.page.evaluate(SHOW_PORTRAIT, [[ALIGNED_TITLE, SOURCE_TITLE], portrait.name])
                before, after = run(page, server, folder)
                thumbnail(before, after).save(WORKFLOWS / f"{name}.jpg", quality=85)
                if name in README_GRAPHS:
                    page.screenshot(PACK / "assets" / f"{name}_graph.jpg")
                if options.screenshots:
                    page.screenshot(options.screenshots / f"{name}.png")
            print(name, "errors:", page.errors() or "none")
            page.close()


def run(page: Frontend, server: Server, folder: Path) -> tuple[Image.Image, Image.Image]:
    """What the graph that stands in the page loads first, and what it saves; of a film the first frame."""
    prompt = page.to_api()
    server.post("/free", {"free_memory": True})  # else nodes answer from the cache, without their previews
    history = server.wait(page.queue())
    saver = next(node for node, output in prompt.items() if output["class_type"] in SAVERS)
    file = history["outputs"][saver]["images"][0]
    saved = folder / file["filename"]
    server.download(file, saved)
    if saved.suffix == ".mp4":
        return first_frame(folder / EXAMPLE_VIDEO), first_frame(saved)
    loaded = next(node["inputs"]["image"] for node in prompt.values() if node["class_type"] == "LoadImage")
    return Image.open(GROUP if loaded == EXAMPLE else folder / loaded), Image.open(saved)
