"""Model folders on disk: which are found, in which order, and what they say of themselves."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from face_anonymizer.modules.model.checkpoint import (
    DEMO,
    GET_MODELS,
    PACK_MODELS,
    ModelSettings,
    find_model_folders,
    read_settings,
)

DEFAULTS = {"routing": "block_first", "resolution": 512, "steps": 200, "guidance_scale": 4.0, "demonstration": ""}


def make_model(base: Path, name: str) -> Path:
    config = base / name / "unet" / "config.json"
    config.parent.mkdir(parents=True)
    config.touch()
    return base / name


def test_the_users_models_stand_before_the_packs(tmp_path):
    user, pack = tmp_path / "user", tmp_path / "pack"
    own = [make_model(user, name) for name in ("zebra", "face-anon-simple")]
    shipped = make_model(pack, DEMO)
    assert find_model_folders([user, pack]) == {"face-anon-simple": own[1], "zebra": own[0], DEMO: shipped}
    assert list(find_model_folders([user, pack])) == ["face-anon-simple", "zebra", DEMO]
    mine = make_model(user, DEMO)
    assert find_model_folders([user, pack])[DEMO] == mine


def test_folders_that_are_missing_or_hold_no_model_are_passed_over(tmp_path):
    (tmp_path / "empty" / DEMO).mkdir(parents=True)
    assert find_model_folders([tmp_path / "none", tmp_path / "empty"]) == {}
    shipped = make_model(tmp_path / "pack", DEMO)
    assert find_model_folders([tmp_path / "none", tmp_path / "pack"]) == {DEMO: shipped}


def test_a_folder_without_settings_is_the_published_model(tmp_path):
    assert read_settings(tmp_path) == ModelSettings()
    assert asdict(ModelSettings()) == DEFAULTS
    assert ModelSettings().notice == ""


def test_what_a_folder_says_of_itself(tmp_path):
    says = {"routing": "per_layer", "resolution": 128, "steps": 25, "guidance_scale": 2}
    given = ModelSettings(**says, demonstration="It paints nobody.")
    (tmp_path / "face_anon.json").write_text(json.dumps(asdict(given) | {"of a later version": 1}))
    assert read_settings(tmp_path) == given
    assert given.notice.startswith("It paints nobody.") and GET_MODELS in given.notice


def test_settings_are_read_and_given_by_name_alone():
    """By their place they would be others as soon as a new one comes in front."""
    with pytest.raises(TypeError):
        ModelSettings()[0]
    with pytest.raises(TypeError):
        ModelSettings("per_layer")


@pytest.mark.parametrize(
    "setting, value",
    [
        *[("routing", value) for value in ("sideways", 1)],
        *[("resolution", value) for value in (100, 0, -8, 128.0, "128")],
        *[("steps", value) for value in (0, 1001, 2.5, None)],
        *[("guidance_scale", value) for value in (-1, 31, "2")],
        ("demonstration", True),
    ],
)
def test_values_that_are_not_allowed_are_named(tmp_path, setting, value):
    (tmp_path / "face_anon.json").write_text(json.dumps({setting: value}))
    with pytest.raises(ValueError, match=setting) as refused:
        read_settings(tmp_path)
    assert str(tmp_path / "face_anon.json") in str(refused.value) and json.dumps(value) in str(refused.value)


def test_the_demo_model_is_where_the_loader_looks():
    assert DEMO in find_model_folders([PACK_MODELS])
