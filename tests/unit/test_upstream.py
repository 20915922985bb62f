"""What a picture was painted with, read off the graphs that ship."""

import json
import math
from pathlib import Path

import pytest

from face_anonymizer.modules.output.repaints import kept_by_blends, refinements
from face_anonymizer.modules.output.starts import noise_at_start, share_of_sigma
from face_anonymizer.modules.output.swaps import is_swap
from face_anonymizer.modules.output.upstream import nodes_upstream, numbers_upstream

GRAPHS = Path(__file__).resolve().parents[2] / "workflows" / "api"
EXPECTED = {
    "anonymize_photo": (1.25, [], False),
    "anonymize_chosen_faces": (1.25, [], False),
    "anonymize_with_ksampler": (1.25, [1.0], False),
    "swap_faces": (0.0, [], True),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_degree_denoise_and_swaps_of_the_shipped_graphs(name):
    prompt = json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
    (paste,) = (number for number, node in prompt.items() if node["class_type"] == "FaceAnonPasteFaces")
    degree, denoise, swap = EXPECTED[name]
    # what stands there is the picture that every ComfyUI has; a user puts a photo in each place
    for number, node in prompt.items():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = f"{number}.png"
    assert max(numbers_upstream(prompt, paste, "crops", "degree")) == degree
    assert numbers_upstream(prompt, paste, "crops", "denoise") == denoise
    assert is_swap(prompt, paste, "crops") == swap
    assert noise_at_start(prompt, paste, "crops", "image") == []


def test_loops_values_and_missing_nodes_are_no_trouble():
    prompt = {"1": {"inputs": {"a": ["2", 0]}}, "2": {"inputs": {"b": ["1", 0], "degree": ["3", 0], "c": ["9", 0]}}}
    prompt["3"] = {"inputs": {"value": 0.4}}
    assert nodes_upstream(prompt, "1", "a") == {"2", "3"}
    assert numbers_upstream(prompt, "1", "a", "degree") == [0.4]
    assert numbers_upstream(prompt, "7", "a", "degree") == [] and not is_swap({}, "1", "a")


def test_what_made_the_picture_is_not_what_was_done_to_its_faces():
    """A photo of img2img at denoise 0.4, whose faces are anonymized in the same graph."""
    prompt = {
        "made": {"inputs": {"denoise": 0.4}},
        "crops": {"inputs": {"image": ["made", 0]}},
        "painted": {"inputs": {"degree": 1.25, "denoise": 1.0, "image": ["crops", 0]}},
        "paste": {"inputs": {"image": ["made", 0], "crops": ["painted", 0]}},
    }
    assert sorted(numbers_upstream(prompt, "paste", "crops", "denoise")) == [0.4, 1.0]
    assert numbers_upstream(prompt, "paste", "crops", "denoise", "image") == [1.0]
    assert numbers_upstream(prompt, "paste", "crops", "degree", "image") == [1.25]


def test_a_degree_that_another_node_works_out_is_not_taken_for_the_driving_sides_zero():
    prompt = {
        "maths": {"inputs": {"a": 1.25, "expression": "a"}},
        "source": {"inputs": {"degree": ["maths", 0]}},
        "driving": {"inputs": {"degree": 0}},
        "paste": {"inputs": {"crops": ["painted", 0]}},
        "painted": {"inputs": {"source_states": ["source", 0], "driving_states": ["driving", 0]}},
    }
    assert sorted(numbers_upstream(prompt, "paste", "crops", "degree")) == [0.0, math.inf]


def graph(**nodes):
    """An encoded picture, a scheduler of 20 steps, some nodes by (class, inputs), and a node that pastes `last`."""
    prompt = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "crops": {"class_type": "FaceAnonCropFaces", "inputs": {"image": ["photo", 0]}},
        "encoded": {"class_type": "VAEEncode", "inputs": {"pixels": ["crops", 0], "vae": ["model", 4]}},
        "model": {"class_type": "FaceAnonLoadModel", "inputs": {"model": "demo"}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 512}},
        "all": {"class_type": "BasicScheduler", "inputs": {"steps": 20, "denoise": 1.0}},
        "paste": {"class_type": "FaceAnonPasteFaces", "inputs": {"image": ["photo", 0], "crops": ["decoded", 0]}},
        "decoded": {"class_type": "VAEDecode", "inputs": {"samples": ["last", 0]}},
    }
    return prompt | {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def custom(sigmas, latent="encoded", **more):
    return ("SamplerCustom", {"add_noise": True, "sigmas": sigmas, "latent_image": [latent, 0]} | more)


def advanced(latent="encoded", **more):
    return ("KSamplerAdvanced", {"add_noise": "enable", "steps": 20, "latent_image": [latent, 0]} | more)


KEPT = {
    "KSampler": (0.3, {"last": ("KSampler", {"steps": 20, "denoise": 0.3, "latent_image": ["encoded", 0]})}),
    "a later first step": (0.25, {"last": advanced(start_at_step=15)}),
    "that step by a wire": (
        0.25,
        {"n": ("PrimitiveInt", {"value": 15}), "last": advanced(start_at_step=["n", 0])},
    ),
    "no noise": (0.0, {"last": advanced(add_noise="disable")}),
    "behind a sampler that does nothing": (
        0.25,
        {"idle": advanced(start_at_step=0, end_at_step=0), "last": advanced("idle", start_at_step=15)},
    ),
    "a latent that is repeated and masked": (
        0.25,
        {
            "more": ("RepeatLatentBatch", {"samples": ["encoded", 0], "amount": 2}),
            "masked": ("SetLatentNoiseMask", {"samples": ["more", 0], "mask": ["photo", 1]}),
            "last": advanced("masked", start_at_step=15),
        },
    ),
    "lower sigmas": (
        0.25,
        {"part": ("SplitSigmas", {"sigmas": ["all", 0], "step": 15}), "last": custom(["part", 1])},
    ),
    "lower sigmas by denoise": (
        0.4,
        {"part": ("SplitSigmasDenoise", {"sigmas": ["all", 0], "denoise": 0.4}), "last": custom(["part", 1])},
    ),
    "a scheduler's denoise": (
        0.4,
        {"part": ("BasicScheduler", {"steps": 20, "denoise": 0.4}), "last": custom(["part", 0])},
    ),
    "a scheduler's largest sigma": (
        0.289,
        {"part": ("KarrasScheduler", {"steps": 9, "sigma_max": 0.8}), "last": custom(["part", 0])},
    ),
    "another first sigma": (
        0.289,
        {"part": ("SetFirstSigma", {"sigmas": ["all", 0], "sigma": 0.8}), "last": custom(["part", 0])},
    ),
    "sigmas by hand": (0.289, {"part": ("ManualSigmas", {"sigmas": "0.8, 0.4, 0"}), "last": custom(["part", 0])}),
    "sampled towards noise": (0.0, {"part": ("FlipSigmas", {"sigmas": ["all", 0]}), "last": custom(["part", 0])}),
    "a noise that is none": (
        0.0,
        {
            "none": ("DisableNoise", {}),
            "last": (
                "SamplerCustomAdvanced",
                {"noise": ["none", 0], "sigmas": ["all", 0], "latent_image": ["encoded", 0]},
            ),
        },
    ),
    "noise that is added before": (
        0.25,
        {
            "part": ("SplitSigmas", {"sigmas": ["all", 0], "step": 15}),
            "noisy": ("AddNoise", {"noise": ["n", 0], "sigmas": ["part", 1], "latent_image": ["encoded", 0]}),
            "last": custom(["part", 1], "noisy", add_noise=False),
        },
    ),
    "all noise": (1.0, {"last": custom(["all", 0])}),
    "upper sigmas": (1.0, {"part": ("SplitSigmas", {"sigmas": ["all", 0], "step": 15}), "last": custom(["part", 0])}),
    "two samplers in turn": (
        1.0,
        {"first": advanced(start_at_step=0, end_at_step=10), "last": advanced("first", start_at_step=10)},
    ),
    "an empty latent": (None, {"last": advanced("empty", start_at_step=15)}),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_sampler_keeps_of_the_picture_that_it_starts_with(name):
    share, nodes = KEPT[name]
    found = noise_at_start(graph(**nodes), "paste", "crops", "image")
    assert min(found, default=None) == (share if share is None else pytest.approx(share, abs=0.01))


def test_sigmas_as_a_share_of_the_steps():
    assert [share_of_sigma(sigma) for sigma in (0, 14.6146, 99)] == [0, 1, 1]
    assert share_of_sigma(1.617) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    "source, swap",
    [
        (["crops", 0], False),
        (["enlarged", 0], False),
        (["other", 0], True),
        (["drawn", 0], True),
    ],
)
def test_ones_own_crops_as_source_are_no_swap(source, swap):
    prompt = graph(
        enlarged=("ImageUpscaleWithModel", {"image": ["crops", 0], "upscale_model": ["upscaler", 0]}),
        upscaler=("UpscaleModelLoader", {"model_name": "4x.pth"}),
        other=("LoadImage", {"image": "b.png"}),
        drawn=("VAEDecode", {"samples": ["empty", 0]}),
        decoded=("FaceAnonAnonymizeCrops", {"crops": ["crops", 0], "source": source, "degree": 0.0}),
    )
    assert is_swap(prompt, "paste", "crops") is swap
    states = {"source_states": source, "driving_states": ["crops", 0]}
    prompt["decoded"] = {"class_type": "FaceAnonApply", "inputs": states}
    assert is_swap(prompt, "paste", "crops") is swap


@pytest.mark.parametrize("file, swap", [("a.png", False), ("copy of a.png", False), ("b.png", True)])
def test_the_same_photo_loaded_a_second_time_is_no_swap(file, swap):
    prompt = graph(
        photo=("LoadImage", {"image": "a.png"}),
        again=("LoadImage", {"image": file}),
        found=("FaceAnonDetectFaces", {"image": ["photo", 0]}),
        found_again=("FaceAnonDetectFaces", {"image": ["again", 0]}),
        crops=("FaceAnonCropFaces", {"image": ["photo", 0], "faces": ["found", 0]}),
        source=("FaceAnonCropFaces", {"image": ["again", 0], "faces": ["found_again", 0]}),
        decoded=("FaceAnonAnonymizeCrops", {"crops": ["crops", 0], "source": ["source", 0], "degree": 0.0}),
    )
    assert is_swap(prompt, "paste", "crops", lambda name: name.removeprefix("copy of ")) is swap
    assert is_swap(prompt, "paste", "crops") is (swap or file != "a.png")


def chosen(indices, faces="found", **more):
    return ("FaceAnonSelectFaces", {"faces": [faces, 0], "indices": indices} | more)


def two_of_one_photo(source, driving, file="a.png", **more):
    """Crops of one choice of a photo's faces, painted with another choice's as source."""
    return graph(
        photo=("LoadImage", {"image": file}),
        found=("FaceAnonDetectFaces", {"image": ["photo", 0], "min_score": 0.3}),
        again=("FaceAnonDetectFaces", {"image": ["photo", 0], "min_score": 0.5}),
        a=chosen("1"),
        b=chosen("2, 4"),
        largest=chosen("", largest=1),
        nearest=chosen("", position="left"),
        all_but_b=chosen("2", invert=True),
        first_of_b=chosen("1", "b"),
        first_by_others=chosen("1", "again"),
        source=("FaceAnonCropFaces", {"image": ["photo", 0], "faces": source, "size": 128}),
        crops=("FaceAnonCropFaces", {"image": ["photo", 0], "faces": driving, "size": 512}),
        decoded=("FaceAnonAnonymizeCrops", {"crops": ["crops", 0], "source": ["source", 0], "degree": 0.0}),
        **more,
    )


@pytest.mark.parametrize(
    "source, driving, swap",
    [
        (["a", 0], ["b", 0], True),
        (["a", 0], ["a", 1], True),
        (["largest", 1], ["largest", 0], True),
        (["first_of_b", 0], ["a", 0], True),
        (["a", 0], ["a", 0], False),
        (["first_of_b", 0], ["b", 0], False),
        (["largest", 0], ["nearest", 0], False),
        (["largest", 0], ["a", 0], False),
        (["all_but_b", 0], ["a", 0], False),
        (["first_by_others", 0], ["b", 0], False),
        (["found", 0], ["a", 0], False),
    ],
)
def test_another_face_of_the_same_photo_is_a_swap(source, driving, swap):
    prompt = two_of_one_photo(source, driving)
    assert is_swap(prompt, "paste", "crops") is swap
    prompt["enlarged"] = {"class_type": "ImageScaleBy", "inputs": {"image": ["source", 0], "scale_by": 2.0}}
    prompt["decoded"]["inputs"]["source"] = ["enlarged", 0]
    assert is_swap(prompt, "paste", "crops") is swap
    # the photo itself beside the crop may bring the same face
    prompt["enlarged"]["inputs"]["under"] = ["photo", 0]
    assert is_swap(prompt, "paste", "crops") is False


def test_in_two_pictures_other_numbers_may_be_the_same_person():
    assert not is_swap(two_of_one_photo(["a", 0], ["b", 0], "a.gif"), "paste", "crops")
    prompt = two_of_one_photo(["a", 0], ["b", 0], twice=("RepeatImageBatch", {"image": ["photo", 0], "amount": 2}))
    for name in ("found", "source", "crops"):
        prompt[name]["inputs"]["image"] = ["twice", 0]
    assert not is_swap(prompt, "paste", "crops")


def painted_and_then(**nodes):
    """Crops painted by this pack's sampler, and what was done after that, up to "decoded"."""
    painted = {
        "painter": ("FaceAnonDDPMSampler", {"driving_states": ["crops", 0], "steps": 20}),
        "face": ("VAEDecode", {"samples": ["painter", 0], "vae": ["model", 4]}),
        "again": ("VAEEncode", {"pixels": ["face", 0], "vae": ["model", 4]}),
    }
    return graph(**painted, **nodes)


REFINED = {
    "a second pass": ({"last": advanced("again", start_at_step=15)}, True),
    "of an enlarged face": (
        {
            "large": ("ImageScaleBy", {"image": ["face", 0], "scale_by": 2.0}),
            "coded": ("VAEEncode", {"pixels": ["large", 0], "vae": ["model", 4]}),
            "last": advanced("coded", start_at_step=15),
        },
        True,
    ),
    "of its latent": ({"last": advanced("painter", start_at_step=15)}, True),
    "of the original": ({"last": advanced("encoded", start_at_step=15)}, False),
    "of the two together": (
        {
            "both": ("LatentBlend", {"samples1": ["again", 0], "samples2": ["encoded", 0], "blend_factor": 0.5}),
            "last": advanced("both", start_at_step=15),
        },
        False,
    ),
    "of the original under the painted face": (
        {
            "both": ("ImageCompositeMasked", {"destination": ["crops", 0], "source": ["face", 0]}),
            "coded": ("VAEEncode", {"pixels": ["both", 0], "vae": ["model", 4]}),
            "last": advanced("coded", start_at_step=15),
        },
        False,
    ),
}


@pytest.mark.parametrize("name", REFINED)
def test_a_second_pass_keeps_a_stranger_where_a_face_was_painted_before(name):
    nodes, refines = REFINED[name]
    prompt = painted_and_then(**nodes)
    again = refinements(prompt, "paste", "crops", "image")
    left = noise_at_start(prompt, "paste", "crops", "image", again)
    assert ("last" in again) == refines
    assert left == ([] if refines else [pytest.approx(0.25)])


def detailer(image, denoise=0.3, **more):
    return ("FaceDetailer", {"image": [image, 0], "model": ["model", 0], "denoise": denoise, "steps": 20} | more)


def crop_of(image):
    return ("FaceAnonCropFaces", {"image": [image, 0], "faces": ["found", 0], "size": 512})


COUNTED = {
    "a detailer on a painted face": ({"decoded": detailer("face")}, []),
    "its denoise by a wire": ({"n": ("PrimitiveFloat", {"value": 0.2}), "decoded": detailer("face", ["n", 0])}, []),
    "an upscaler that is given its width by the photo's": (
        {
            "size": ("GetImageSize", {"image": ["photo", 0]}),
            "decoded": ("UltimateSDUpscale", {"image": ["face", 0], "tile_width": ["size", 0], "denoise": 0.2}),
        },
        [],
    ),
    "a sampler on the painted latent, enlarged": (
        {
            "large": ("LatentUpscaleBy", {"samples": ["painter", 0], "scale_by": 1.5}),
            "last": ("KSampler", {"steps": 20, "denoise": 0.4, "latent_image": ["large", 0]}),
        },
        [],
    ),
    "two in turn": ({"once": detailer("face", 0.5), "decoded": detailer("once", 0.35)}, []),
    "of a sampler that paints anew": (
        {
            "first": ("KSampler", {"steps": 20, "denoise": 0.8, "latent_image": ["encoded", 0]}),
            "fresh": ("VAEDecode", {"samples": ["first", 0], "vae": ["model", 4]}),
            "decoded": detailer("fresh"),
        },
        [0.8],
    ),
    "of a sampler that keeps the face": (
        {
            "first": ("KSampler", {"steps": 20, "denoise": 0.4, "latent_image": ["encoded", 0]}),
            "kept": ("VAEDecode", {"samples": ["first", 0], "vae": ["model", 4]}),
            "decoded": detailer("kept", 0.6),
        },
        [0.4, 0.6],
    ),
    "a detailer on the crop": ({"decoded": detailer("crops")}, [0.3]),
    "a detailer that is given the crop by an unknown input": (
        {"decoded": detailer("face", reference=["crops", 0])},
        [0.3],
    ),
    "a detailer on a picture from nowhere": (
        {"received": ("ImageReceiver", {"link_id": 1}), "decoded": detailer("received")},
        [0.3],
    ),
    "on the painted face over the crop": (
        {
            "both": ("ImageCompositeMasked", {"destination": ["crops", 0], "source": ["face", 0]}),
            "decoded": detailer("both"),
        },
        [0.3],
    ),
    "a crop of another photo": (
        {
            "other": ("LoadImage", {"image": "b.png"}),
            "theirs": crop_of("other"),
            "coded": ("VAEEncode", {"pixels": ["theirs", 0], "vae": ["model", 4]}),
            "last": ("KSampler", {"steps": 20, "denoise": 0.4, "latent_image": ["coded", 0]}),
        },
        [],
    ),
    "a crop of the same file, loaded twice": (
        {
            "other": ("LoadImage", {"image": "a.png [input]"}),
            "theirs": crop_of("other"),
            "coded": ("VAEEncode", {"pixels": ["theirs", 0], "vae": ["model", 4]}),
            "last": ("KSampler", {"steps": 20, "denoise": 0.4, "latent_image": ["coded", 0]}),
        },
        [0.4],
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_denoise_counts_where_it_starts_with_this_pictures_crop(name):
    nodes, counted = COUNTED[name]
    prompt = painted_and_then(**nodes)
    again = refinements(prompt, "paste", "crops", "image")
    found = numbers_upstream(prompt, "paste", "crops", "denoise", "image", left_out=again)
    assert sorted(found) == counted
    assert min(noise_at_start(prompt, "paste", "crops", "image", again), default=1.0) >= min(counted, default=1.0)


@pytest.mark.parametrize(
    "node, share",
    [
        (("LatentBlend", {"samples1": ["painter", 0], "samples2": ["encoded", 0], "blend_factor": 0.7}), 0.3),
        (("LatentBlend", {"samples1": ["encoded", 0], "samples2": ["painter", 0], "blend_factor": 0.7}), 0.7),
        (("ImageBlend", {"image1": ["face", 0], "image2": ["crops", 0], "blend_factor": 0.4}), 0.4),
        (("ImageBlend", {"image1": ["crops", 0], "image2": ["face", 0], "blend_factor": 0.4}), 0.6),
        (("ImageBlend", {"image1": ["face", 0], "image2": ["face", 0], "blend_factor": 0.4}), None),
    ],
)
def test_what_a_blend_gives_back_of_the_original(node, share):
    prompt = painted_and_then(last=node)
    found = kept_by_blends(prompt, "paste", "crops", "image")
    assert found == ([] if share is None else [(node[0], pytest.approx(share))])
