"""tools/benchmarks/speed.py on small models, and the published architecture in the loader, without its weights."""

import json
from pathlib import Path

import golden
import pipeline
import pytest
import torch

from face_anonymizer.modules.checking import work
from face_anonymizer.modules.model import checkpoint, loading, sampling
from face_anonymizer.tools.benchmarks import speed

QUICK = ("--latent", "16", "--repeats", "1", "--attention", "pytorch")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FULL_SIZE = json.loads((golden.GOLDEN / "full_size_keys.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def benchmark():
    return speed


@pytest.fixture(scope="module")
def small() -> tuple[str, str]:
    return "--model", str(pipeline.least_folder())


@pytest.fixture(scope="module")
def applied(benchmark):
    """The tiny model with references of 16x16 latents on it."""
    model = loading.load_model_folder(benchmark.TINY)
    pixels = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(1))
    encoded = work.encode(model, pixels, benchmark.OURS)
    return sampling.apply_references(model.unet, work.references(model, encoded, benchmark.OURS))


def test_step_only_measures_just_the_step(benchmark, small, capsys):
    assert benchmark.main([*QUICK, *small, "--step-only"]) == 0
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["load", "guided step, pytorch attention"]


def test_prints_a_table_and_verdicts(benchmark, small, capsys, tmp_path):
    status = benchmark.main([*QUICK, *small, "--json", str(tmp_path / "costs.json")])
    printed = capsys.readouterr()
    assert status == 0, printed.out
    assert "| guided step, pytorch attention |" in printed.out
    assert "| face, 25 steps, pytorch attention (sum of the medians) |" in printed.out
    assert "PASS: guided step, pytorch attention: difference" in printed.out
    assert "guided step, pytorch attention, ours" in printed.err  # progress
    report = json.loads((tmp_path / "costs.json").read_text())
    assert report["differences"] and max(report["differences"].values()) <= 1e-5
    for name, costs in report["rows"].items():
        assert costs["ours"]["seconds"] and costs["ours"]["peak"] > 0, name
        if "step" in name:
            assert 0 < costs["ours"]["flops"] < costs["official"]["flops"], name


@pytest.mark.long
def test_whole_face_is_measured_when_asked(benchmark, capsys):
    arguments = ["--tiny", "--latent", "16", "--repeats", "1", "--measure-face", "--steps", "1"]
    assert benchmark.main([*arguments, "--attention", "pytorch"]) == 0
    printed = capsys.readouterr().out
    assert "| face, 1 steps, pytorch attention |" in printed
    assert "sum of the medians" not in printed


def test_formulations_agree_and_need_the_references(benchmark, applied):
    """Equal outputs would prove nothing if the references did not matter to them."""
    outputs = {}
    for name, kernel in work.attention_kernels("both").items():
        for formulation in (benchmark.OURS, benchmark.OFFICIAL):
            outputs[name, formulation] = work.guided_step(work.variant(applied, formulation, kernel))
    first, *others = outputs.values()
    for output in others:
        assert work.relative(output, first) < 1e-5
    without = applied.model.clone()
    without.model_options["transformer_options"]["patches"] = {}
    other_rows = work.official_formulation(applied.model)
    other_rows.model_options["transformer_options"]["patches"]["attn1_output_patch"] = [
        lambda out, extra_options: out[:, -(out.shape[1] // 3) :]
    ]
    for model in (without, other_rows):
        assert work.relative(work.guided_step(applied._replace(model=model)), first) > 1e-2


@pytest.mark.parametrize("kernel", ["sub_quad", "pytorch"])
def test_counted_flops_are_the_analytic_ones(benchmark, applied, kernel):
    """The official formulation costs, over ours, 2N more rows in all four projections and in both products."""
    from comfy.ldm.modules.attention import get_attention_function

    kernel = get_attention_function(kernel)
    extra = 0

    def add(x, context, value, extra_options):
        nonlocal extra
        batch, tokens, width = x.shape
        assert context.shape == (batch, 3 * tokens, width)
        extra += batch * 2 * tokens * (4 * (2 * width * width) + 2 * (2 * 3 * tokens * width))
        return x, context, value

    model = applied.model.clone()
    model.set_model_attn1_patch(add)
    work.guided_step(applied._replace(model=model))
    counted = {}
    for formulation in (benchmark.OURS, benchmark.OFFICIAL):
        cost = benchmark.Cost()
        meter = benchmark.Meter(cost, torch.device("cpu"), counting=True)
        work.guided_step(work.variant(applied, formulation, kernel), meter)
        counted[formulation] = cost.flops
    assert extra > 0
    assert counted[benchmark.OFFICIAL] - counted[benchmark.OURS] == extra


def test_a_step_of_the_published_architecture_is_counted_without_weights():
    """2.19 TFLOP in the first step of a run, 2.08 once the references' keys and values are kept."""
    from face_anonymizer.tools.benchmarks.published_steps import count_half_step

    half = count_half_step()
    width, tokens = 320, 4096  # of the finest five layers; five of half and five of a quarter cost the same
    projected = 2 * 2 * 2 * tokens * width**2 * (15 + 1 / 4) / 1e12  # two references, keys and values, and the middle
    assert half.first - half.later == pytest.approx(projected, rel=1e-9)
    assert 2 * half.later == pytest.approx(2.0839, abs=1e-4) and half.fine == half.later


@pytest.mark.long
def test_shortcuts_are_counted_on_the_published_architecture():
    from face_anonymizer.tools.benchmarks.published_steps import count_half_step

    half, pooled, deep = map(count_half_step, ("", "pooled", "deep"))
    width, tokens = 320, 4096
    saved = 5 * 2 * 2 * tokens * (2 * tokens * 3 / 4) * width / 1e12  # keys and values of both, a quarter of the tokens
    assert half.later - pooled.later == pytest.approx(saved, rel=1e-9)
    assert deep.later == half.later and 0.3 < deep.fine / deep.later < 0.6


def test_broken_bounds_fail(benchmark):
    same = {benchmark.OURS: benchmark.Cost([1.0], flops=1), benchmark.OFFICIAL: benchmark.Cost([1.0], flops=1)}
    rows = {benchmark.step_name("pytorch"): same}
    report = benchmark.Report("cpu", "", True, True, rows, {"pytorch": 1e-3}, default_kernel="pytorch")
    verdicts = list(report.verdicts(check_time=True))
    assert [(failure, line.split(":")[0]) for failure, line in verdicts] == [(True, "FAIL")] * 3
    assert [failure for failure, _ in report.verdicts(check_time=False)] == [True, True, False]
    report.default_kernel = "sub_quad"
    assert [failure for failure, _ in report.verdicts(check_time=True)] == [True, True, False]
    report.full_size = report.exact = False
    assert not any(failure for failure, _ in report.verdicts(check_time=True))


def test_loader_takes_the_published_architecture(monkeypatch, tmp_path):
    """Every published tensor has a place of its shape in the host's models, and every place is filled.

    The loader itself says so when it is not; here it runs on torch's meta device, which has shapes but no numbers.
    """
    import comfy.model_management

    meta = torch.device("meta")
    parts = {network: "unet" for network in checkpoint.NETWORKS}
    parts |= {checkpoint.VAE: "vae", checkpoint.IMAGE_ENCODER: "image_encoder"}
    for network, part in parts.items():
        (tmp_path / network).mkdir()
        (tmp_path / network / "config.json").write_text(json.dumps(FULL_SIZE[f"{part}_config"]), encoding="utf-8")
    for choose in (
        "get_torch_device",
        "unet_offload_device",
        "text_encoder_device",
        "text_encoder_offload_device",
        "vae_device",
        "vae_offload_device",
    ):
        monkeypatch.setattr(comfy.model_management, choose, lambda *_, **__: meta)
    monkeypatch.setattr(
        loading,
        "_read_state_dict",
        lambda folder: {
            key: torch.empty(shape, dtype=torch.float16, device=meta)
            for key, shape in FULL_SIZE[parts[folder.name]].items()
        },
    )
    shapes = {folder: {key: tuple(shape) for key, shape in FULL_SIZE[part].items()} for folder, part in parts.items()}
    monkeypatch.setattr(checkpoint, "weight_files", lambda folder: [folder])
    monkeypatch.setattr(checkpoint, "read_shapes", lambda folders: shapes[folders[0].name])
    with meta:
        model = loading.load_model_folder(tmp_path, weight_dtype="fp32")
    for patcher in (model.unet, model.source_reference_net.patcher, model.driving_reference_net.patcher):
        parameters = list(patcher.model.diffusion_model.parameters())
        assert len(parameters) == 686
        assert sum(parameter.numel() for parameter in parameters) == 865_910_724
        assert all(parameter.is_meta for parameter in parameters)
    assert model.vae.downscale_ratio == 8
