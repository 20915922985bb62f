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
            const place = `${graph}${node.id}`;
            // "Nodes 2.0" draws what the page's store has, which hears of no change of the list beside it
            const pinia = document.getElementById("vue-app")?.__vue_app__?.config.globalProperties.$pinia;
            pinia?._s.get("nodeOutput")?.revokePreviewsByLocatorId?.(place);
            delete app.nodePreviewImages?.[place];
        });
    },
});
