"""The three networks in training: what is trained, how states flow, and folders that do not fit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_sets import TINY, small_unet

from face_anonymizer.modules.model.diffusers_engine.networks import ALL, ATTENTION, load_networks, load_unet
from face_anonymizer.modules.training.start import make_networks

WEIGHTS = "diffusion_pytorch_model.safetensors"
FOLDERS = [TINY / name for name in ("unet", "referencenet", "conditioning_referencenet")]


@pytest.fixture
def small(tmp_path):
    def make(routing="block_first", trained=ALL, seed=0):
        return make_networks(small_unet(tmp_path), seed, routing, trained)

    return make


def inputs(batch=2, draws=1, size=4):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    latents = [normal(batch, 4, size, size) for _ in range(2)]
    embeds = [normal(batch, 1, 64) for _ in range(2)]
    noisy = normal(batch * draws, 4, size, size)
    return noisy, torch.randint(1000, (batch * draws,), generator=generator), (*latents, *embeds)


def gradients(networks, given):
    networks.zero_grad()
    networks(*given).square().mean().backward()
    return {name: p.grad for name, p in networks.named_parameters() if p.grad is not None}


def test_paper_trains_the_attention_of_the_reference_nets_alone():
    networks = load_networks(FOLDERS, "block_first", ATTENTION)
    trained = networks.trained()
    unet = {name for name in trained if name.startswith("unet.")}
    assert unet == {name for name, _ in networks.named_parameters() if name.startswith("unet.")}
    rest = trained.keys() - unet
    assert rest == {
        name
        for name, _ in networks.named_parameters()
        if name.startswith(("referencenet.", "conditioning_referencenet.")) and ".attentions." in name
    }
    assert any("attn1.to_q" in name for name in rest)
    assert not any("resnets" in name or "conv_in" in name for name in rest)
    everything = load_networks(FOLDERS, "block_first", ALL)
    assert len(everything.trained()) == len(list(everything.parameters()))


@pytest.mark.parametrize("routing", ["block_first", "per_layer"])
@pytest.mark.parametrize("trained", [ATTENTION, ALL])
def test_gradients_reach_what_the_states_come_from(small, routing, trained):
    networks = small(routing, trained)
    reached = gradients(networks, inputs())
    assert reached.keys() <= networks.trained().keys()
    for name in networks.trained():
        if name.startswith("unet."):
            assert reached[name].abs().max() > 0, name
    for net in ("referencenet", "conditioning_referencenet"):
        first = f"{net}.down_blocks.0.attentions.0.transformer_blocks.0"
        assert reached[f"{first}.norm1.weight"].abs().max() > 0
        assert reached[f"{first}.attn1.to_v.weight"].abs().max() > 0
        # beyond the last state that is read nothing has a part in the result
        assert f"{net}.conv_out.weight" not in reached


def test_states_are_those_of_a_whole_pass(small):
    networks = small()
    given = inputs()
    stopped = networks.states(*given[2])
    networks.referencenet.enable_gradient_checkpointing()
    networks.conditioning_referencenet.enable_gradient_checkpointing()
    whole = networks.states(*given[2])
    assert stopped.keys() == whole.keys()
    assert len(stopped) == 3  # a down block, the middle, an up block
    for layer, state in stopped.items():
        assert torch.equal(state, whole[layer])


def test_routings_read_other_states(small):
    networks, per_layer = small(), small("per_layer")
    with torch.no_grad():
        assert not torch.equal(networks(*inputs()), per_layer(*inputs()))
        assert len(per_layer.states(*inputs()[2])) == 4  # the up block has two layers


def test_draws_of_a_triple_are_independent(small):
    """Three draws on one pass of the ReferenceNets, against each of them with a pass of its own."""
    networks = small()
    given = inputs(batch=2, draws=3)
    with torch.no_grad():
        together = networks(*given)
        for draw in range(3):
            alone = networks(given[0][draw::3], given[1][draw::3], given[2])
            torch.testing.assert_close(together[draw::3], alone, rtol=1e-5, atol=1e-6)


def test_gradient_checkpointing_gives_the_same_gradients(small):
    networks = small(trained=ATTENTION)
    plain = gradients(networks, inputs(draws=2))
    networks.enable_gradient_checkpointing()
    saving = gradients(networks, inputs(draws=2))
    # and those behind the last state, which are zero
    assert plain.keys() <= saving.keys()
    for name, gradient in saving.items():
        torch.testing.assert_close(gradient, plain.get(name, torch.zeros_like(gradient)), rtol=1e-5, atol=1e-7)


def test_start_from_scratch_is_the_seeds(small):
    networks, again, other = small(), small(), small(seed=1)
    for name, value in networks.unet.state_dict().items():
        assert torch.equal(value, networks.referencenet.state_dict()[name])
        assert torch.equal(value, networks.conditioning_referencenet.state_dict()[name])
        assert torch.equal(value, again.unet.state_dict()[name])
    assert not torch.equal(networks.unet.conv_in.weight, other.unet.conv_in.weight)


def test_half_precision_weights_are_trained_in_float32(tmp_path):
    shutil.copytree(TINY / "unet", tmp_path / "unet")
    weights = {name: value.half() for name, value in load_file(tmp_path / "unet" / WEIGHTS).items()}
    save_file(weights, tmp_path / "unet" / WEIGHTS)
    assert {parameter.dtype for parameter in load_unet(tmp_path / "unet").parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("conv_in.bias"), r"1 tensors are missing, 0 have no place.*first: conv_in.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), r"0 tensors are missing, 1 have no place.*first: extra"),
        (
            lambda w: w.update({"conv_in.bias": torch.zeros(3)}),
            r"1 have another shape .*conv_in.bias is \(3,\) and should be \(32,\)",
        ),
    ],
    ids=["missing", "left over", "shape"],
)
def test_weights_that_do_not_fit(tmp_path, change, message):
    shutil.copytree(TINY / "unet", tmp_path / "unet")
    weights = load_file(tmp_path / "unet" / WEIGHTS)
    change(weights)
    save_file(weights, tmp_path / "unet" / WEIGHTS)
    with pytest.raises(ValueError, match=message):
        load_unet(tmp_path / "unet")


def test_pickle_is_refused(tmp_path):
    shutil.copytree(TINY / "unet", tmp_path / "unet")
    (tmp_path / "unet" / WEIGHTS).rename(tmp_path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"is a pickle"):
        load_unet(tmp_path / "unet")


def test_three_networks_are_alike(tmp_path):
    make_networks(small_unet(tmp_path), 0, "block_first", ALL).unet.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other/config.json describes another architecture than"):
        load_networks([FOLDERS[0], tmp_path / "other", FOLDERS[2]], "block_first", ALL)


def test_unet_that_could_not_be_loaded_for_inference(tmp_path):
    config = json.loads(small_unet(tmp_path).read_text())
    (tmp_path / "unet.json").write_text(json.dumps({**config, "act_fn": "gelu"}))
    with pytest.raises(ValueError, match=r"unet.json: act_fn = \"gelu\""):
        make_networks(tmp_path / "unet.json", 0, "block_first", ALL)


@pytest.mark.parametrize("linear", [True, False])
def test_from_scratch_each_token_reads_what_looks_like_it_in_every_network(tmp_path, linear):
    file = small_unet(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "use_linear_projection": linear}))
    networks = make_networks(file, 0, "block_first", ALL)
    tokens = torch.nn.functional.layer_norm(torch.randn(50, 32, generator=torch.Generator().manual_seed(1)), [32])
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    unet, source, driving = (
        net.get_submodule(name) for net in (networks.unet, networks.referencenet, networks.conditioning_referencenet)
    )
    scores = unet.to_q(tokens) @ unet.to_k(tokens).T / 32**0.5
    assert torch.equal(scores.argmax(1), torch.arange(50))
    # but for the epsilon of the normalisation: 2.0e-5 of it
    torch.testing.assert_close(scores.diagonal(), torch.full((50,), 32**0.5), rtol=3e-5, atol=0)
    torch.testing.assert_close(unet.to_out[0](unet.to_v(tokens)), tokens)
    for other in (source, driving):
        assert torch.equal(other.to_k.weight, unet.to_k.weight)
    block = networks.unet.down_blocks[0].attentions[0]
    for layer in (block.proj_in, block.proj_out):
        assert torch.equal(layer.weight.view(32, 32), torch.eye(32)) and not layer.bias.any()
