// How the shipped graphs are found and open: the simplest first; whole, and as large as the page allows; and the forms with
// a picture that can be run.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const VIEW = "face_anonymizer_view"; // in a graph's extra: the view that it was shipped with
const SAMPLE = "face_anonymizer_sample.jpg"; // what Load Image of the forms names
const MENUS = [70, 80]; // CSS pixels at the left and at the top, as in tools/workflows/make.py
const MARGIN = 20;
const MAP = [265, 266]; // CSS pixels of the map of the graph at the bottom right, and of the buttons below it
const READABLE = 0.7; // for a map, which can be closed, no graph opens smaller than this, or no more than a little
const LITTLE = 0.95;

// ComfyUI lists templates in the order of the disk. All others come after these.
const SIMPLEST = [
    "Anonymize a photo",
    "Cover all faces of a photo",
    "Swap a face",
    "Anonymize a video",
    "Cover all faces of a video",
    "Anonymize my photo.app",
    "Cover the faces of my photo.app",
];

let fresh = false; // nobody has moved this graph yet
let brought = null; // the name under which the sample lies in the input folder

// Templates open with a quarter of the page left free on purpose, where the text of large graphs is not drawn any more.
function fit(canvas, graph) {
    const boxes = [...graph.nodes, ...(graph.groups ?? [])].map((one) => one.boundingRect ?? one._bounding);
    boxes.push(...[...(graph.reroutes?.values() ?? [])].map(({ pos }) => [...pos, 0, 0]));
    if (!boxes.length) return;
    const first = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])));
    const last = [0, 1].map((axis) => Math.max(...boxes.map((box) => box[axis] + box[axis + 2])));
    const page = canvas.canvas.getBoundingClientRect();
    const room = [page.width, page.height].map((side, axis) => side - MENUS[axis] - 2 * MARGIN);
    let scale = Math.min(1, ...room.map((side, axis) => side / (last[axis] - first[axis])));
    // where each box ends left of the map, or above it
    const free = [page.width, page.height].map((side, axis) => side - MAP[axis] - MENUS[axis] - MARGIN);
    const ends = boxes.map((box) => [0, 1].map((axis) => Math.max(box[axis] + box[axis + 2] - first[axis], 1)));
    const beside = Math.min(...ends.map(([x, y]) => Math.max(free[0] / x, free[1] / y)));
    if (beside >= Math.min(READABLE, LITTLE * scale)) scale = Math.min(scale, beside);
    if (!(scale > 0)) return;
    canvas.ds.scale = scale;
    canvas.ds.offset = first.map((start, axis) => (MENUS[axis] + MARGIN) / scale - start);
    canvas.setDirty(true, true);
}

function bySimplicity(one, other) {
    const [first, second] = [one, other].map((name) => (SIMPLEST.indexOf(name) + 1 || SIMPLEST.length + 1));
    return first - second || (one < other ? -1 : 1);
}

// The lists of all other packs stay as they are.
function sortTemplates() {
    const pack = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-3));
    const list = api.getWorkflowTemplates;
    if (typeof list !== "function") return;
    api.getWorkflowTemplates = async function (...given) {
        const found = await list.apply(this, given);
        if (Array.isArray(found?.[pack])) found[pack].sort(bySimplicity);
        return found;
    };
}

function namesSample(node) {
    return node.type === "LoadImage" && node.widgets_values?.[0] === SAMPLE;
}

// Puts the pack's sample into ComfyUI's input folder, where Load Image looks; a file of that name stays as it is.
async function bring() {
    const picture = await fetch(new URL("../samples/synthetic_group.jpg", import.meta.url));
    if (!picture.ok) throw new Error(`${picture.status} ${picture.url}`);
    const body = new FormData();
    body.append("image", new File([await picture.blob()], SAMPLE, { type: "image/jpeg" }));
    body.append("type", "input");
    const answer = await api.fetchApi("/upload/image", { method: "POST", body });
    if (!answer.ok) throw new Error(`${answer.status} of /upload/image`);
    return (await answer.json()).name;
}

app.registerExtension({
    name: "FaceAnonymizer.Opening",
    init: sortTemplates,
    async beforeConfigureGraph(graph) {
        const { ds, [VIEW]: shipped } = graph.extra ?? {};
        fresh = Boolean(ds && shipped) && JSON.stringify(ds) === JSON.stringify(shipped);
        const loaders = (graph.nodes ?? []).filter(namesSample);
        if (!loaders.length) return;
        try {
            brought = await bring();
            for (const node of loaders) {
                node.widgets_values[0] = brought;
                if (node.widgets_values_named) node.widgets_values_named.image = brought;
            }
        } catch (error) {
            console.warn("Face Anonymizer: the sample picture could not be put into the input folder:", error);
        }
    },
    loadedGraphNode(node) {
        const widget = node.type === "LoadImage" && node.widgets?.find((one) => one.name === "image");
        const values = widget?.options?.values;
        // the page has asked for the list of files before this one was there
        if (brought && widget?.value === brought && Array.isArray(values) && !values.includes(brought)) {
            values.push(brought);
        }
    },
    afterConfigureGraph() {
        if (fresh) fit(app.canvas, app.rootGraph ?? app.graph);
        fresh = false;
    },
});
