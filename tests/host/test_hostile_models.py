"""Model folders that were made to break the loader end in an error that names file and field (tools/attacks)."""

import pytest

from face_anonymizer.modules.model import loading
from face_anonymizer.tools.attacks import hostile_models

# Those of a single field are refused when the configs are read: a few of them go all the way here.
FIELDS = sorted(hostile_models.FIELDS)[::12]
CASES = [case for case in hostile_models.CASES if case not in hostile_models.FIELDS or case in FIELDS]


def end_of_load(folder) -> tuple[str, str]:
    try:
        loading.load_model_folder(folder)
    except Exception as error:
        return str(error), type(error).__name__
    return "", ""


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_folder_is_refused_by_name(case, tmp_path):
    folder = hostile_models.spoil_copy(case, tmp_path)
    assert hostile_models.judge(case, folder, *end_of_load(folder)) == ""


def test_the_folder_itself_loads(tmp_path):
    """What is judged above is what was spoiled, not how the folder is made."""
    hostile_models.CASES["untouched"] = lambda folder: None
    try:
        folder = hostile_models.spoil_copy("untouched", tmp_path)
    finally:
        del hostile_models.CASES["untouched"]
    assert end_of_load(folder) == ("", "")
    assert hostile_models.judge("untouched", folder, "", "") == "it loaded"


def test_nothing_is_built_before_every_config_is_read(tmp_path, monkeypatch):
    """The last config that is wrong is found before the first network takes memory."""
    monkeypatch.setattr(loading.comfy.clip_vision, "ClipVisionModel", None)
    monkeypatch.setattr(loading.comfy.sd, "VAE", None)
    for case in ("vae scaling_factor NaN", "vae layers_per_block 1000000000", "unet layers_per_block 20000"):
        folder = hostile_models.spoil_copy(case, tmp_path / case)
        assert hostile_models.judge(case, folder, *end_of_load(folder)) == ""
