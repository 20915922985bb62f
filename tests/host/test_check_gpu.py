"""scripts/check_gpu.py on the CPU and a tiny model: what is broken fails it.

The whole command, and that it says what it should, is in test_gpu_bundle.py: it runs there as on a stranger's machine.
"""

import re
import sys
import types
from pathlib import Path

import comfy.memory_management
import comfy.model_management
import comfy.model_patcher
import pipeline
import pytest
import torch
from comfy_aimdo import control

from face_anonymizer.modules.checking import machine, parity, published, random_model, running, suite, verdicts
from face_anonymizer.modules.host import memory_mode as mode
from face_anonymizer.modules.model import loading
from face_anonymizer.scripts import check_gpu

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--cpu", "--tiny", "--no-tests", "--steps", "2"]


@pytest.fixture(scope="module")
def command():
    return check_gpu


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    random_model.write_random_model(folder, random_model.TINY, torch.float32, 0, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def reference(tiny) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return parity.record(tiny)


def test_a_failure_is_the_exit_status(command, monkeypatch, capsys):
    monkeypatch.setattr(running, "run_checks", lambda checks, *_: checks.check("this", False, "broken"))
    assert command.main(ARGUMENTS) == 1
    assert "FAIL: this: broken" in capsys.readouterr().out


def test_arguments_that_are_wrong(command, capsys):
    for wrong in (["--model", "no such model"], ["--steps", "0"]):
        with pytest.raises(SystemExit) as stopped:
            command.parse(wrong)
        assert stopped.value.code == 2
    assert "no such model" in capsys.readouterr().err


def verdicts_of_parity(folder: Path, reference) -> verdicts.Checks:
    checks = verdicts.Checks(lambda line: print(f"\n{line}", end=""))
    parity.check_parity(checks, folder, reference)
    return checks


def test_a_wrong_result_fails_in_every_dtype(tiny, reference, monkeypatch):
    """Another routing of the same weights, beside the widest tolerance there is: that of bf16."""
    right = loading.load_model_folder

    def load(*args, **kwargs):
        model = right(*args, **kwargs)
        return published.with_routes(model, {layer: layer for layer in model.source_reference_net.routes})

    monkeypatch.setattr(parity, "load_model_folder", load)
    widest = parity.tolerances(torch.bfloat16)
    monkeypatch.setattr(parity, "tolerances", lambda dtype: widest)
    checks = verdicts_of_parity(tiny, reference)
    compared = [verdict for verdict in checks.verdicts if "weights" in verdict.what]
    assert [verdict.word for verdict in compared] == [verdicts.FAIL] * len(parity.WEIGHT_DTYPES)
    for verdict in compared:
        error, bound = re.search(r"guided prediction (\S+) \(at most (\S+)\)", verdict.found).groups()
        assert float(error) > 2 * float(bound), verdict


def test_what_cannot_be_computed_fails_and_the_rest_goes_on(tmp_path, monkeypatch):
    """On a smaller model."""
    right = loading.load_model_folder
    random_model.write_random_model(tmp_path, pipeline.LEAST, torch.float32, 0, lambda _: None)
    reference = parity.record(tmp_path)

    def load(folder, weight_dtype):
        if weight_dtype == "bf16":
            raise RuntimeError(f"no bf16 in {folder}")
        return right(folder, weight_dtype=weight_dtype)

    monkeypatch.setattr(parity, "load_model_folder", load)
    checks = verdicts_of_parity(tmp_path, reference)
    words = {verdict.what: verdict.word for verdict in checks.verdicts}
    assert [word for what, word in words.items() if "weights bf16" in what] == [verdicts.FAIL]
    assert list(words.values()).count(verdicts.FAIL) == 1 and len(words) == len(parity.WEIGHT_DTYPES) + 2


def rounded_once(conv2d):
    """conv2d of half precision as GPUs do it: sums in float32, one rounding. The CPU's own takes seconds in the VAE."""

    def convolve(input, weight, bias=None, *rest, **more):
        wide = (None if tensor is None else tensor.float() for tensor in (input, weight, bias))
        return conv2d(*wide, *rest, **more).to(input.dtype)

    return convolve


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_factors_are_what_rounding_does(tiny, reference, monkeypatch, dtype):
    """The tolerances' factors: errors in units of the roundoff when the CPU computes in half precision as GPUs do."""
    management = comfy.model_management
    monkeypatch.setattr(management, "unet_manual_cast", lambda weights, *_, **__: None if weights == dtype else dtype)
    for choose in ("text_encoder_dtype", "vae_dtype"):
        monkeypatch.setattr(management, choose, lambda *_, **__: dtype)
    model = loading.load_model_folder(tiny, weight_dtype="fp32")
    assert model.unet.model.get_dtype_inference() == model.vae.vae_dtype == dtype
    with monkeypatch.context() as faster:
        faster.setattr(torch.nn.functional, "conv2d", rounded_once(torch.nn.functional.conv2d))
        encoded = parity.inputs(model, reference["VAE encode"])
    found = parity.errors({**encoded, **parity.outputs(model, reference)}, reference)
    units = {stage: error / parity.roundoff(dtype) for stage, error in found.items()}
    print("\n" + ", ".join(f"{stage} {unit:.2f}" for stage, unit in units.items()), end="")
    for stage, factor in parity.MEASURED.items():
        assert units[stage] <= factor, stage
    assert units["guided prediction"] > parity.MEASURED["guided prediction"] / 2


def test_infinite_and_misshapen_results_are_infinitely_wrong():
    one = torch.ones(2)
    for wrong in (torch.tensor([1.0, float("nan")]), torch.ones(3)):
        assert parity.relative_norm(wrong, one) == float("inf")
    for reference in (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("inf")]), torch.zeros(2)):
        assert parity.relative_norm(one, reference) == float("inf"), "a reference that proves nothing"
        assert parity.relative_norm(reference, reference) == float("inf")
    checks = verdicts.Checks(lambda _: None)
    parity._compare(checks, "nothing", {}, torch.float32)
    assert checks.failed


def test_reports_name_neither_folders_nor_the_user(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/jane"))
    monkeypatch.setattr(verdicts.getpass, "getuser", lambda: "jane")
    checks = verdicts.Checks(lambda _: None, [Path("/opt/ComfyUI")])
    with checks.part("a part"):
        raise FileNotFoundError("/opt/ComfyUI/models/x, /home/jane/y and /mnt/jane/z")
    checks.tell("a cell", "a | b")
    text = checks.report("Title")
    assert checks.failed and ".../models/x, ~/y and /mnt/(user)/z" in text
    assert "jane" not in text and "/opt" not in text and "a \\| b" in text


def test_peaks_are_of_whole_names():
    assert machine.peak_of("NVIDIA H100 80GB HBM3") == 989
    assert machine.peak_of("Tesla T4") == 65
    assert machine.peak_of("NVIDIA A100-SXM4-80GB") == machine.peak_of("NVIDIA A100 80GB PCIe") == 312
    assert machine.peak_of("NVIDIA GeForce RTX 3060 Ti") != machine.peak_of("NVIDIA GeForce RTX 3060")
    assert machine.peak_of("NVIDIA GeForce RTX 4090 Laptop GPU") is None
    assert machine.peak_of("cpu") is None


def test_tests_that_cannot_run_are_told_and_tests_that_fail_fail(monkeypatch, tmp_path):
    checks = verdicts.Checks(lambda _: None)
    suite.check_tests(checks, tmp_path)
    monkeypatch.setattr(suite, "NEEDED", ("pytest", "no_such_package"))
    suite.check_tests(checks, ROOT)
    assert "no_such_package" in checks.verdicts[-1].found
    monkeypatch.setattr(suite, "NEEDED", ("pytest",))
    folder = tmp_path / "tests" / "host"
    folder.mkdir(parents=True)
    for name, body in (("test_right.py", "pass"), ("test_wrong.py", "assert False")):
        (folder / name).write_text(f"def test_it():\n    {body}\n")
        monkeypatch.setattr(suite, "TESTS", {name: ()})
        suite.check_tests(checks, tmp_path)
    assert [verdict.word for verdict in checks.verdicts] == [verdicts.TOLD, verdicts.TOLD, verdicts.PASS, verdicts.FAIL]
    assert "test_wrong.py::test_it" in checks.verdicts[-1].found
    monkeypatch.setattr(suite, "TESTS", {"test_right.py": (), "test_wrong.py": ("no_such_package",)})
    suite.check_tests(checks, tmp_path)
    assert checks.verdicts[-1].word == verdicts.PASS
    assert "1 passed" in checks.verdicts[-1].found
    assert checks.verdicts[-1].found.endswith("not test_wrong.py, which needs no_such_package")


@pytest.mark.parametrize("protocol", ["newest", "0.4.9"])
def test_dynamic_vram_is_started_as_main_starts_it(comfyui, monkeypatch, protocol):
    """On a pretended NVIDIA card; comfy-aimdo's calls are recorded, not made."""
    called = []

    def init(**options):
        if options and protocol == "0.4.9":
            raise TypeError
        called.append(("init", options))

    def init_devices(devices):
        devices = list(devices)
        if isinstance(devices[0], tuple) and protocol == "0.4.9":
            raise TypeError
        called.append(("devices", devices))
        return True

    monkeypatch.setattr(control, "init", init)
    monkeypatch.setattr(control, "init_devices", init_devices)
    monkeypatch.setattr(control, "set_log_warning", lambda: None)
    management = comfy.model_management
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", False)
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    monkeypatch.setattr(management, "get_all_torch_devices", lambda: [torch.device("cuda:0")])
    monkeypatch.setattr(management, "is_nvidia", lambda: False)
    monkeypatch.setattr("comfy.cli_args.args.cpu", False)
    assert mode.after_torch(comfyui) is False and not called
    monkeypatch.setattr(management, "is_nvidia", lambda: True)
    monkeypatch.setattr("comfy.cli_args.args.cpu", True)
    assert mode.after_torch(comfyui) is False and not called
    monkeypatch.setattr("comfy.cli_args.args.cpu", False)
    with pytest.raises(RuntimeError, match="torch is imported"):
        mode.before_torch()
    with pytest.MonkeyPatch.context() as early:
        early.delitem(sys.modules, "torch")
        early.setitem(sys.modules, "cuda_malloc", types.ModuleType("cuda_malloc"))
        mode.before_torch()
    assert mode.after_torch(comfyui) is True
    assert comfy.memory_management.aimdo_enabled
    assert comfy.model_patcher.CoreModelPatcher is comfy.model_patcher.ModelPatcherDynamic
    newest = [("init", {"simple_vram_headroom": None, "nvml_pressure": True}), ("devices", [(0, 0)])]
    assert called == (newest if protocol == "newest" else [("init", {}), ("devices", [0])])
    assert "dynamic VRAM on" in machine.memory_mode()
