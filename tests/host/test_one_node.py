"""What Anonymize Photo and Anonymize Video File put in their place: each setting reaches its node."""

import inspect

import pytest

from face_anonymizer import nodes as pack
from face_anonymizer.modules.model.settings import DDPM

LINK = ["1", 0]
USUAL = {"model": "demo", "degree": 1.25, "seed": 7, "preset": "balanced", "who": "all", "numbers": ""}


def expanded(node, **inputs) -> dict:
    """The nodes by the ends of their ids; links between them by these ends, too."""
    output = node.execute(**(USUAL | inputs))
    graph = {number.rsplit(".", 1)[-1]: made for number, made in output.expand.items()}
    for made in graph.values():
        for name, value in made["inputs"].items():
            if isinstance(value, list):
                made["inputs"][name] = (value[0].rsplit(".", 1)[-1], value[1])
    return graph


def photo(**inputs) -> dict:
    return expanded(pack.FaceAnonAnonymizePhoto, image=LINK, **inputs)


def test_every_input_is_one_of_its_node():
    """And none is missing, but for those that are not named: they are as that node has them."""
    pack.register_model_folder()
    for graph in (
        photo(what="swap", who="largest", source=["9", 0], batch_is="frames of a clip"),
        photo(what="cover"),
        expanded(pack.FaceAnonAnonymizeVideoFile, video=LINK, who="list", numbers="1"),
        expanded(pack.FaceAnonAnonymizeVideoFile, video=LINK, what="cover"),
    ):
        for made in graph.values():
            node = getattr(pack, made["class_type"])
            parameters = inspect.signature(node.execute).parameters.values()
            assert set(made["inputs"]) <= {each.id for each in node.GET_SCHEMA().inputs}
            assert {one.name for one in parameters if one.default is one.empty} <= set(made["inputs"]), made


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("fast", ("dpmpp_2m", 4)), ("balanced", ("dpmpp_2m", 6)), ("paper", (DDPM, 0))],
)
def test_a_preset_is_a_sampler_with_the_model_s_own_values(preset, expected):
    graph = photo(preset=preset, verify="on", attempts=3)
    inputs = graph["paint"]["inputs"]
    assert (inputs["sampler_name"], inputs["steps"]) == expected and inputs["guidance_scale"] == -1
    assert (inputs["degree"], inputs["seed"], inputs["attempts"], inputs["verify"]) == (1.25, 7, 3, "on")
    assert graph["crop"]["inputs"]["size"] == 0 and graph["paste"]["inputs"]["verify"] == "on"
    assert inputs["face_anon_model"] == graph["crop"]["inputs"]["face_anon_model"] == ("load", 5)
    assert graph["load"]["inputs"]["model"] == "demo"


def test_who_and_how():
    assert photo(who="largest")["select"]["inputs"] == {"faces": ("detect", 0), "largest": 1}
    assert photo(who="list", numbers="2")["select"]["inputs"] == {"faces": ("detect", 0), "indices": "2"}
    clip = photo(batch_is="frames of a clip", region="oval", cover_with="blur")
    assert clip["crop"]["inputs"]["faces"] == ("track", 0)
    assert (clip["paste"]["inputs"]["region"], clip["paste"]["inputs"]["fallback"]) == ("oval", "blur")
    looked = photo(min_score=0.2, thorough=True, if_no_face="stop")["detect"]["inputs"]
    assert (looked["min_score"], looked["thorough"], looked["if_no_face"]) == (0.2, True, "stop")
    covered = photo(what="cover", cover_with="mosaic")
    assert set(covered) == {"detect", "cover", "compare"} and covered["cover"]["inputs"]["mode"] == "mosaic"
    swapped = photo(what="swap", source=["9", 0])
    assert swapped["paint"]["inputs"]["degree"] == 0 and swapped["paint"]["inputs"]["source"] == ("crop_source", 0)
    assert swapped["paste"]["inputs"]["action"] == "swapped"
    given = photo(face_anon_model=["5", 5])
    assert "load" not in given and given["paint"]["inputs"]["face_anon_model"] == ("5", 5)


def test_which_painting_leaves_is_said_in_one_node_too():
    chosen = {"keep_traits": "expression and pose", "degree_mode": "auto", "keep": "2, 4"}
    usual = {"keep_traits": "none", "degree_mode": "fixed", "keep": ""}
    film = expanded(pack.FaceAnonAnonymizeVideoFile, video=LINK, **chosen)["paint"]["inputs"]
    for asked, inputs in (
        (chosen, photo(**chosen)["paint"]["inputs"]),
        (chosen, film),
        (usual, photo()["paint"]["inputs"]),
    ):
        assert {name: inputs[name] for name in asked} == asked
    listed = {"who": "list", "numbers": "2-5"}
    assert photo(**listed, keep="2, 4")["paint"]["inputs"]["keep"] == "1, 3", "by their numbers among the chosen ones"
    assert photo(**listed, keep="2, 4", batch_is="frames of a clip")["paint"]["inputs"]["keep"] == "2, 4"
    with pytest.raises(ValueError, match="Face 1 is not among the numbers that change, but keep names it"):
        photo(**listed, keep="1")
    with pytest.raises(ValueError, match="keep goes by the numbers of the preview"):
        photo(who="largest", keep="1")


def test_a_video_is_painted_as_it_is_set():
    node = pack.FaceAnonAnonymizeVideoFile
    graph = expanded(node, video=LINK, identity="same face", verify="off", attempts=2, region="box", if_no_face="error")
    inputs = graph["paint"]["inputs"]
    assert (inputs["identity"], inputs["verify"], inputs["attempts"], inputs["region"]) == (
        "same face",
        "off",
        2,
        "box",
    )
    assert (inputs["steps"], inputs["guidance_scale"], inputs["faces"]) == (6, -1, ("track", 0))
    assert graph["track"]["inputs"]["if_no_face"] == "error" and inputs["face_anon_model"] == ("load", 5)
    with pytest.raises(ValueError, match="what is one of strangers, cover"):
        expanded(node, video=LINK, what="swap")
    with pytest.raises(ValueError, match="preset is one of"):
        photo(preset="best")
