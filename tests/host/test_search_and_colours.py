"""In the real page: the words that people search by find the right node first, and each socket has its colour."""

import pytest
from test_words import SEARCHED

# As the search box does: the node that stands first.
FIRST = """(word) => {
    const stores = document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s;
    return stores.get("nodeDef").nodeSearchService.searchNode(word, [], { limit: 3 })
        .map((node) => node.isGlobal ? node.display_name : node.name);
}"""
COLOURS = """async (palette) => {
    await app.extensionManager.setting.set("Comfy.ColorPalette", palette);
    await new Promise((done) => setTimeout(done, 300));
    const types = [...new Set(Object.values(LiteGraph.registered_node_types)
        .flatMap((type) => type.nodeData?.outputs ?? []).map((output) => output.type))];
    const css = getComputedStyle(document.documentElement);
    return Object.fromEntries(types.filter((type) => /^FACE_ANON_/.test(type)).map((type) => [type, [
        app.canvas.default_connection_color_byType[type],
        app.canvas.constructor.link_type_colors[type],
        css.getPropertyValue(`--color-datatype-${type}`).trim(),
    ]]));
}"""
TYPES = {f"FACE_ANON_{name}" for name in ("MODEL", "REFERENCE_NET", "EMBEDS", "STATES", "FACES", "REPORT")}


def test_words_find_the_node_that_is_meant(frontend):
    found = {word: frontend.page.evaluate(FIRST, word) for word in SEARCHED}
    # The page ranks a name that holds the words before all aliases, and ComfyUI's own nodes before others' aliases.
    before = {"face swap": ["Swap Faces"]}  # the pack's blueprint
    expected = {word: [*before.get(word, []), node] for word, node in SEARCHED.items()}
    assert {word: names[: len(expected[word])] for word, names in found.items()} == expected


def test_the_search_box_shows_it_first(frontend):
    """As a user sees it: double click on the empty canvas, type, look."""
    page = frontend.page
    page.mouse.dblclick(1000, 700)
    page.keyboard.type("anonymize video", delay=20)
    option = page.get_by_text("Anonymize Video File", exact=True).first
    option.wait_for(timeout=20_000)
    page.keyboard.press("Enter")
    page.wait_for_function("() => app.rootGraph.nodes.length === 1", timeout=20_000)
    assert page.evaluate("() => app.rootGraph.nodes[0].type") == "FaceAnonAnonymizeVideoFile"
    frontend.clear()


@pytest.mark.parametrize("palette", ["light", "dark"])
def test_each_socket_has_a_colour_of_its_own_in_every_palette(frontend, palette):
    colours = frontend.page.evaluate(COLOURS, palette)
    assert set(colours) == TYPES
    for type, three in colours.items():
        assert len(set(three)) == 1 and three[0].startswith("#"), (type, three)
    assert len({three[0] for three in colours.values()}) == len(TYPES)
