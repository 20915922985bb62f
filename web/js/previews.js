// What a node that puts others in its place shows when they have run: its pictures, and no longer the last one of their
// painting, which ComfyUI's page takes away from a node only when that runs anew itself.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { find } from "./choose.js";

app.registerExtension({
    name: "FaceAnonymizer.Previews",
    setup() {
        api.addEventListener("executed", ({ detail }) => {
            const node = find(detail.display_node ?? detail.node);
            if (!/^FaceAnon/.test(node?.type ?? "") || !detail.output?.images?.length) return;
            const graph = node.graph.isRootGraph === false ? `${node.graph.id}:` : "";
            delete app.nodePreviewImages?.[`${graph}${node.id}`];
        });
    },
});
