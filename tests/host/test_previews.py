"""What the page shows of faces while they are painted: which one, how far, and a picture; to nobody else."""

import base64
import io
from pathlib import Path

import numpy as np
import pipeline
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.model.comfy_engine import FaceAnonModel, WatchedModel
from face_anonymizer.modules.model.painting import anonymize_crops
from face_anonymizer.modules.model.progress import JobProgress, LatentPictures
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings

ROOT = Path(__file__).resolve().parents[2]
# What comes by the page's socket, and by that of a stranger who looks at the same server.
LISTEN = """() => {
    window.seen = { texts: [], previews: [], strangers: 0 };
    app.api.addEventListener("progress_text", ({ detail }) => seen.texts.push([String(detail.nodeId), detail.text]));
    app.api.addEventListener("b_preview_with_metadata", async ({ detail }) => {
        const bytes = new Uint8Array(await detail.blob.arrayBuffer());
        seen.previews.push([String(detail.displayNodeId), btoa(String.fromCharCode(...bytes))]);
    });
    window.other = new WebSocket(location.origin.replace("http", "ws") + "/ws?clientId=stranger");
    other.onmessage = ({ data }) => { if (typeof data !== "string") seen.strangers += 1; };
    return new Promise((done) => { other.onopen = done; });
}"""
SET = """(values) => {
    const node = app.rootGraph.nodes.find((one) => one.type === "FaceAnonAnonymizePhoto");
    for (const [name, value] of Object.entries(values)) node.widgets.find((one) => one.name === name).value = value;
    return String(node.id);
}"""


@pytest.fixture(scope="module")
def model() -> FaceAnonModel:
    with torch.inference_mode():
        return pipeline.load_least()


def test_the_node_shows_which_face_is_painted_and_its_picture(frontend, server):
    frontend.load(ROOT / "workflows" / "Anonymize a photo.json")
    place = frontend.page.evaluate(SET, {"who": "list", "numbers": "1, 3", "preset": "fast", "thorough": False})
    frontend.page.evaluate(LISTEN)
    history = server.wait(frontend.queue(), timeout=300)
    frontend.page.wait_for_function("() => seen.texts.some(([, text]) => text.includes('anonymized'))")
    seen = frontend.page.evaluate("() => { other.close(); return seen; }")
    told = [text for node, text in seen["texts"] if node == place]
    steps = [text for text in told if "step" in text]
    assert steps[0] == "faces 1 to 2 of 2, step 1 of 4" and steps[-1] == "faces 1 to 2 of 2, step 4 of 4"
    assert told[-1].startswith("2 faces anonymized, 3 faces kept"), "at its end the report stands there"
    texts = [text for output in history["outputs"].values() for text in output.get("text", ())]
    assert texts[-1] == told[-1] and "demo is a demonstration" in texts[-1]
    assert frontend.page.evaluate("() => Object.values(app.nodeOutputs).some((one) => one.face_anon_report)")
    shown = [Image.open(io.BytesIO(base64.b64decode(data))) for node, data in seen["previews"] if node == place]
    assert shown and shown[-1].width == 2 * shown[-1].height, "two faces side by side"
    assert np.asarray(shown[-1]).std() > 20
    assert seen["strangers"] == 0
    assert frontend.errors() == []


def test_what_was_painted_gives_way_to_before_and_after_in_nodes_2(frontend, server):
    """In the page's other way to draw nodes, "Nodes 2.0", where a preview is an element of its own."""
    page = frontend.page
    setting = "(is_on) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', is_on)"
    try:
        page.evaluate(setting, True)
        frontend.load(ROOT / "workflows" / "Anonymize a photo.json")
        place = page.evaluate(SET, {"preset": "fast", "thorough": False, "seed": 101})
        page.evaluate(LISTEN)
        server.wait(frontend.queue(), timeout=300)
        page.wait_for_function("(id) => app.nodeOutputs[id]?.images?.length === 2", arg=place, timeout=20_000)
        assert page.evaluate("() => { other.close(); return seen.previews.length; }"), "there was none to take away"
        page.wait_for_function("() => Object.keys(app.nodePreviewImages).length === 0", timeout=20_000)
        shown = """(id) => [...document.querySelectorAll(`[data-node-id="${id}"] img`)].map((one) => one.src)"""
        page.wait_for_function(f"(id) => ({shown})(id).some((src) => src.includes('/view?'))", arg=place)
        page.wait_for_function(f"(id) => !({shown})(id).some((src) => src.startsWith('blob:'))", arg=place)
        assert frontend.errors() == []
    finally:
        page.evaluate(setting, False)


def words(progress_of, *runs) -> list[str]:
    """What is told of runs of (faces in each part, again), with two steps."""
    told = []
    progress = progress_of(told.append)
    for parts, again in runs:
        progress.start_run(sum(parts), again)
        for number, faces in enumerate(parts):
            for step in range(2):
                latents = torch.zeros(faces, 4, 2, 2)
                progress.step(2 * number + step, latents, latents, 2 * len(parts))
    return told


def test_faces_are_counted_over_runs_parts_and_further_attempts():
    told = words(lambda tell: JobProgress(2, 3, 7, tell=tell), ([3], False), ([2], True), ([2, 1], False), ([1], False))
    assert told == [
        "faces 1 to 3 of 7, step 1 of 2",
        "faces 1 to 3 of 7, step 2 of 2",
        "an attempt at 2 faces, step 1 of 2",
        "an attempt at 2 faces, step 2 of 2",
        "faces 4 to 5 of 7, step 1 of 2",
        "faces 4 to 5 of 7, step 2 of 2",
        "face 6 of 7, step 1 of 2",
        "face 6 of 7, step 2 of 2",
        "face 7 of 7, step 1 of 2",
        "face 7 of 7, step 2 of 2",
    ]


def test_a_preview_is_the_painted_face(model):
    """Of Stable Diffusion's latents by the host's factors, whatever its default; of others by their own VAE."""
    crops = pipeline.face_images(1, pipeline.LEAST_SIZE)
    latents = model.unet.model.process_latent_in(model.vae.encode(crops))
    as_host = LatentPictures(model.unet).of(latents)
    assert as_host.size == (latents.shape[3], latents.shape[2])
    own = model.unet.clone()
    model_format = own.model.latent_format
    factors, model_format.latent_rgb_factors = model_format.latent_rgb_factors, None
    try:
        assert LatentPictures(own).of(latents) is None
        pictures = LatentPictures(own, model.vae)
        by_vae = pictures.of(latents)
        assert pictures.of(latents) is None, "a tenth of the time at most"
    finally:
        model_format.latent_rgb_factors = factors
    expected = model.vae.decode(model.vae.encode(crops))[0]
    assert np.abs(np.asarray(by_vae) / 255 - expected.numpy().clip(0, 1)).max() <= 1.01 / 255


def test_watching_changes_no_pixel(model):
    crops, settings = (
        pipeline.face_images(2, pipeline.LEAST_SIZE),
        PaintSettings(seed=7, sampler=SamplerSettings(steps=2)),
    )
    told = []
    seen = anonymize_crops(WatchedModel.of(model, told.append), crops, [0, 1], settings)
    assert torch.equal(seen, anonymize_crops(model, crops, [0, 1], settings))
    assert told == ["faces 1 to 2 of 2, step 1 of 2", "faces 1 to 2 of 2, step 2 of 2"]
