// A colour for each of the pack's sockets: ComfyUI draws those of types that its palette does not name all alike.
import { app } from "../../../scripts/app.js";

const COLOURS = {
    FACE_ANON_MODEL: "#d46bd4",
    FACE_ANON_REFERENCE_NET: "#8a6fe8",
    FACE_ANON_EMBEDS: "#45b8ac",
    FACE_ANON_STATES: "#4f9bef",
    FACE_ANON_FACES: "#f2a154",
    FACE_ANON_REPORT: "#9ccc65",
};

// A palette empties what it does not name whenever it is chosen. One that names a type keeps its own colour for it.
function keep(colours, type, ours) {
    let given = colours[type];
    Object.defineProperty(colours, type, {
        get: () => given || ours,
        set: (colour) => {
            given = colour;
        },
        configurable: true,
        enumerable: true,
    });
}

app.registerExtension({
    name: "FaceAnonymizer.Colours",
    setup() {
        for (const [type, colour] of Object.entries(COLOURS)) {
            keep(app.canvas.default_connection_color_byType, type, colour);
            keep(app.canvas.constructor.link_type_colors, type, colour);
        }
        const style = document.createElement("style"); // of the nodes that are drawn by Vue
        const lines = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
        style.textContent = `:root { ${lines.join(" ")} }`;
        document.head.append(style);
    },
});
