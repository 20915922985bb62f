"""What people read of the nodes before they use one: the words they search by, tooltips, names, rooms."""

import pytest

from face_anonymizer import nodes as pack

# The words of somebody who does not know the pack -> the node that is meant.
SEARCHED = {
    **dict.fromkeys(
        ["face swap", "deidentify", "privacy", "gdpr", "inswapper", "synthetic face", "anonymize", "anonymize photo"],
        "FaceAnonAnonymizePhoto",
    ),
    **dict.fromkeys(["strip metadata", "remove exif", "save without metadata"], "FaceAnonSaveImage"),
    **dict.fromkeys(["hide face", "mask face", "blur face", "pixelate", "censor"], "FaceAnonRedactFaces"),
    **dict.fromkeys(["anonymize clip", "anonymize video", "video privacy"], "FaceAnonAnonymizeVideoFile"),
    **{"color match": "FaceAnonPasteFaces"},
}
ROOMS = ("photo", "video", "method", "tools")


@pytest.fixture(scope="module")
def schemas() -> dict:
    pack.register_model_folder()
    nodes = [
        getattr(pack, name) for name in dir(pack) if name.startswith("FaceAnon") and name != "FaceAnonymizerExtension"
    ]
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in nodes}


@pytest.mark.parametrize("word", SEARCHED)
def test_a_word_belongs_to_one_node(schemas, word):
    """An alias that is the word itself stands before all names that merely hold it, so that it must not stand twice."""
    named = [id for id, one in schemas.items() if word in map(str.lower, [*one.search_aliases, one.display_name])]
    assert named == [SEARCHED[word]]


def test_names_do_not_begin_with_the_pack_s_and_are_no_two_nodes_(schemas):
    names = [one.display_name for one in schemas.values()]
    assert not [name for name in names if name.startswith("Face Anonymizer")] and len(set(names)) == len(names)
    assert {one.category for one in schemas.values()} == {f"face anonymizer/{room}" for room in ROOMS}


def test_every_input_and_output_says_what_it_is(schemas):
    silent = [
        f"{id}.{getattr(each, 'id', None) or each.display_name}"
        for id, one in schemas.items()
        for each in (*one.inputs, *one.outputs)
        if not each.tooltip
    ]
    assert not silent, "\n".join(silent)
