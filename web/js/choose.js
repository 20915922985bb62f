// Choosing faces by a click: below a node that takes numbers of faces the numbered picture, whose faces go on and off.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const WIDGET = "face_anon_choose";
const QUEUED = Symbol("the seed of the last run");
const NUMBERS = ["indices", "numbers"]; // of Select Faces; of the nodes that do it all
// What else chooses in Select Faces, where it is off: the run alone knows whom it meets.
const CONDITIONS = { largest: 0, min_size: 0, max_size: 0, min_score: 0, position: "any", invert: false };
const CHOSEN = Symbol("whom the last run has chosen");
const OF_A_LIST =
    "A list of photos: a number means a face of each of them, so faces are not chosen by a click here. Load one photo, or " +
    "photos of one size as a batch.";
const RESTORED = Symbol("it has what it had before the page made it anew");
const KEPT = "face_anon_kept"; // in what a node has put out: what else is known of it
const calls = new Map(); // node -> its last prompt, and how often that has called it: once for each photo of a list
const STYLE = `
.face-anon-choose { display: flex; flex-direction: column; gap: 4px; overflow: auto; font: 12px sans-serif; color: #ddd;
    container-type: size; min-height: 140px; }
.face-anon-choose > div { position: relative; flex: none; align-self: center; width: 100%; }
.face-anon-choose p { margin: 4px; }
.face-anon-choose img { display: block; width: 100%; }
.face-anon-choose button { position: absolute; padding: 0; cursor: pointer; background: transparent; color: #fff; }
.face-anon-choose .face { border: 2px solid #40e060; border-radius: 4px; }
.face-anon-choose .face[aria-pressed="false"] { border-color: #e06040; background: rgb(0 0 0 / 0.45); }
.face-anon-choose .anew { border: 0; width: 18px; height: 18px; border-radius: 9px; transform: translate(-100%, -100%);
    background: rgb(0 0 0 / 0.6); line-height: 18px; text-align: center; }
`;

function widgetOf(node, names) {
    return node.widgets?.find((widget) => names.includes(widget.name));
}

function set(node, widget, value) {
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
}

// One step to undo, however many widgets a click has set.
function note() {
    app.graph.change?.();
    const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

// The numbers of all faces, also of those in pictures that are not shown, from a text such as "1-60".
function expand(text) {
    const numbers = [];
    for (const part of text.split(",")) {
        const [low, high = low] = part.split("-").map(Number);
        for (let number = low; number <= high; number++) numbers.push(number);
    }
    return numbers;
}

// Numbers that a text such as "1, 3-5" names, of those that there are. Empty: all of them.
function parse(text, known) {
    const ranges = text.split(",").map((part) => part.split("-").map(Number));
    return known.filter((number) => !text.trim() || ranges.some(([low, high = low]) => low <= number && number <= high));
}

function format(numbers) {
    const runs = [];
    for (const number of numbers) {
        const last = runs.at(-1);
        if (last && number === last[1] + 1) last[1] = number;
        else runs.push([number, number]);
    }
    return runs.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`)).join(", ");
}

function isConditional(node) {
    if (widgetOf(node, ["who"])) return widgetOf(node, ["who"]).value === "largest";
    const isOn = ([name, off]) => (widgetOf(node, [name])?.value ?? off) !== off;
    return Object.entries(CONDITIONS).some(isOn) || node.inputs?.some((input) => input.name === "mask" && input.link);
}

// The numbers that change as the node is set, or as it was at the last run; null where none has told.
function chosen(node, known) {
    if (isConditional(node)) return node[CHOSEN]?.filter((number) => known.includes(number)) ?? null;
    const who = widgetOf(node, ["who"]);
    return who?.value === "all" ? known : parse(String(widgetOf(node, NUMBERS).value ?? ""), known);
}

function toggle(node, number, known) {
    const before = chosen(node, known) ?? [];
    const after = known.filter((one) => (one === number) !== before.includes(one));
    // An empty list means all: the last one stays, rather than that a click on it changes everybody.
    if (after.length === 0) return;
    const all = after.length === known.length;
    const who = widgetOf(node, ["who"]);
    if (who) set(node, who, all ? "all" : "list");
    else for (const [name, off] of Object.entries(CONDITIONS)) set(node, widgetOf(node, [name]), off);
    set(node, widgetOf(node, NUMBERS), all ? "" : format(after));
    note();
}

// Another stranger for one face alone: a seed of its own, one more at each click. The node's own seed becomes again what
// it was when the picture was made, and stays, or all the others would be strangers anew.
function paintAnew(node, number) {
    const control = widgetOf(node, ["control_after_generate"]);
    if (control) set(node, control, "fixed");
    if (node[QUEUED] !== undefined) set(node, widgetOf(node, ["seed"]), node[QUEUED]);
    const widget = widgetOf(node, ["face_seeds"]);
    const seeds = new Map(String(widget.value ?? "").split(",").filter((part) => part.includes(":"))
        .map((part) => part.split(":").map((text) => text.trim())));
    const usual = BigInt(Math.trunc(Number(widgetOf(node, ["seed"])?.value ?? 0)));
    // far from the seeds of the neighbours, which are one apart
    const next = seeds.has(`${number}`) ? BigInt(seeds.get(`${number}`)) + 1n : usual + BigInt(number) * 1000003n;
    seeds.set(`${number}`, `${BigInt.asUintN(64, next)}`);
    set(node, widget, [...seeds].map(([face, seed]) => `${face}: ${seed}`).join(", "));
    note();
}

function button(name, title, click) {
    const made = document.createElement("button");
    made.className = name;
    made.title = title;
    made.type = "button";
    made.addEventListener("click", (event) => {
        event.stopPropagation();
        click();
    });
    return made;
}

function draw(node, element, { places, images, known, isList }) {
    const pictures = new Map();
    element.replaceChildren();
    if (isList) {
        const said = document.createElement("p");
        said.textContent = OF_A_LIST;
        element.append(said);
        return;
    }
    for (const { number, picture, box } of places) {
        if (!images[picture]) continue;
        if (!pictures.has(picture)) {
            const frame = document.createElement("div");
            const image = document.createElement("img");
            image.src = api.apiURL(`/view?${new URLSearchParams(images[picture])}`);
            image.draggable = false;
            // whole, so that nobody who can be chosen is out of sight; a tall one no narrower than half
            image.addEventListener("load", () => {
                frame.style.width = `clamp(50%, 100cqh * ${image.naturalWidth / image.naturalHeight}, 100%)`;
            });
            frame.append(image);
            element.append(frame);
            pictures.set(picture, frame);
        }
        const [x0, y0, x1, y1] = box.map((edge) => Math.min(Math.max(edge, 0), 1) * 100);
        const face = button("face", "", () => {
            toggle(node, number, known);
            press(node, element, known);
        });
        face.dataset.number = number;
        Object.assign(face.style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
        pictures.get(picture).append(face);
        if (widgetOf(node, ["face_seeds"])) {
            const anew = button("anew", `Face ${number}: another stranger, all others as they are`, () =>
                paintAnew(node, number),
            );
            anew.textContent = "↻";
            anew.dataset.number = number;
            Object.assign(anew.style, { left: `${x1}%`, top: `${y1}%` });
            pictures.get(picture).append(anew);
        }
    }
    press(node, element, known);
}

function press(node, element, known) {
    const on = chosen(node, known);
    for (const face of element.querySelectorAll(".face")) {
        const number = Number(face.dataset.number);
        const changes = on === null || on.includes(number);
        face.setAttribute("aria-pressed", `${changes}`);
        face.title = `Face ${number} ${changes ? "changes" : "stays as it is"}: click for the other`;
    }
}

// The node that a prompt calls by this id: "7", or "3:7" in subgraphs.
export function find(id) {
    const steps = String(id).split(":");
    let graph = app.rootGraph ?? app.graph;
    for (const step of steps.slice(0, -1)) graph = graph?.getNodeById(Number(step))?.subgraph;
    return graph?.getNodeById(Number(steps.at(-1)));
}

// Those that take numbers of the faces that a node found: itself, or what its faces go to.
function takers(node) {
    if (widgetOf(node, NUMBERS)) return [node];
    const links = (node.outputs ?? []).filter((output) => output.type === "FACE_ANON_FACES").flatMap((o) => o.links ?? []);
    return links
        .map((link) => node.graph.getNodeById(node.graph.getLink(link)?.target_id))
        .filter((other) => other && /^FaceAnon(Select|Track)Faces$/.test(other.type))
        .flatMap((other) => (widgetOf(other, NUMBERS) ? [other] : takers(other)));
}

function show(node, shown) {
    let widget = node.widgets.find((one) => one.name === WIDGET);
    if (!widget) {
        const element = document.createElement("div");
        element.className = "face-anon-choose";
        widget = node.addDOMWidget(WIDGET, WIDGET, element, {
            serialize: false,
            getMinHeight: () => 160,
            getValue: () => "",
            setValue: () => {},
        });
        widget.serialize = false; // a graph that is saved has what it had before
        for (const name of [...NUMBERS, "who"]) follow(node, name, widget);
        node.setSize?.([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    }
    widget.face_anon_shown = shown;
    draw(node, widget.element, shown);
}

// Whether what has run is a node's second photo of one prompt; a node that puts others in its place gives them ids such as
// "7.1.0.detect": of its second call.
function isSecondCall({ node, display_node: shownAt, prompt_id: prompt }) {
    const place = String(shownAt ?? node);
    if (calls.get(place)?.prompt !== prompt) calls.set(place, { prompt, seen: new Set() });
    const { seen } = calls.get(place);
    seen.add(String(node).replace(/\.[^.]*$/, ""));
    return seen.size > 1;
}

function told(node, { face_anon_chosen: [numbers] }) {
    if (!node) return;
    node[CHOSEN] = numbers ? expand(numbers) : [];
    const widget = node.widgets?.find((one) => one.name === WIDGET);
    if (widget) press(node, widget.element, widget.face_anon_shown.known);
}

// The buttons follow what is typed.
function follow(node, name, widget) {
    const typed = widgetOf(node, [name]);
    if (!typed) return;
    const before = typed.callback;
    typed.callback = function (...values) {
        const result = before?.apply(this, values);
        press(node, widget.element, widget.face_anon_shown.known);
        return result;
    };
}

function receive(node, output, isList) {
    const { face_anon_places: places, face_anon_numbers: numbers, images } = output;
    if (output.face_anon_chosen) told(node, output);
    if (!places?.length || !images?.length || !numbers?.length) return;
    const ofList = isList || numbers.length > 1;
    const known = ofList ? [] : expand(numbers[0]);
    for (const taker of takers(node)) show(taker, { places, images, known, isList: ofList });
}

// The page makes all nodes of a graph anew when a step is undone and when it comes back from another tab, and keeps what
// they had put out: its pictures are there again, and so is what is clicked in them.
function restore() {
    for (const [place, output] of Object.entries(app.nodeOutputs ?? {})) {
        const { [KEPT]: kept } = output ?? {};
        const [id, graph] = place.split(":").reverse();
        const within = graph ? app.rootGraph?.subgraphs?.get(graph) : (app.rootGraph ?? app.graph);
        const node = kept && within?.getNodeById(Number(id));
        if (!node || node[RESTORED]) continue;
        node[RESTORED] = true;
        node[QUEUED] ??= kept.seed;
        receive(node, output, kept.isList);
    }
}

app.registerExtension({
    name: "FaceAnonymizer.Choose",
    nodeCreated(node) {
        const seed = widgetOf(node, ["face_seeds"]) && widgetOf(node, ["seed"]);
        // before the widget behind it gives the seed of the next run
        if (seed) seed.afterQueued = () => (node[QUEUED] = seed.value);
    },
    setup() {
        const style = document.createElement("style");
        style.textContent = STYLE;
        document.head.append(style);
        api.addEventListener("executed", ({ detail }) => {
            const { output } = detail;
            const node = find(detail.display_node ?? detail.node);
            if (!node || !(output?.face_anon_chosen || output?.face_anon_places)) return;
            // in each photo of a list the numbers begin at 1
            const isList = Boolean(output.face_anon_places?.length && isSecondCall(detail));
            receive(node, output, isList);
            output[KEPT] = { isList, seed: node[QUEUED] };
        });
    },
    afterConfigureGraph() {
        // the page brings its outputs back only after this
        for (const wait of [0, 300, 1500]) setTimeout(restore, wait);
    },
});
