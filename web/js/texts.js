// What our nodes say of their faces is broken between words: ComfyUI's widget for such texts breaks within them.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { find } from "./choose.js";

const plain = (text) => String(text).replace(/\s+/g, "");

// The elements that show a text, which the page has made or will have made in a moment.
function breakAtWords(text) {
    for (const element of document.querySelectorAll(".break-all")) {
        if (plain(element.textContent) === plain(text)) {
            Object.assign(element.style, { wordBreak: "normal", overflowWrap: "anywhere" });
        }
    }
}

app.registerExtension({
    name: "FaceAnonymizer.Texts",
    setup() {
        api.addEventListener("progress_text", ({ detail }) => {
            if (!/^FaceAnon/.test(find(detail.nodeId)?.type ?? "")) return;
            for (const wait of [0, 300, 1500]) setTimeout(() => breakAtWords(detail.text), wait);
        });
    },
});
