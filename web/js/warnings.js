// Warnings of the nodes, such as that no face was found, above the graph: text on a node is easily overlooked.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const EVENT = "face_anonymizer.warning";

app.registerExtension({
    name: "FaceAnonymizer.Warnings",
    setup() {
        api.addEventListener(EVENT, ({ detail }) => {
            app.extensionManager.toast.add({
                severity: "warn",
                summary: "Face Anonymizer",
                detail: detail.text,
                life: 15000,
            });
        });
    },
});
