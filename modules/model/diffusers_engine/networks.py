"""The three networks of the method as one module: a denoising UNet and two ReferenceNets, all diffusers UNets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from .. import checkpoint
from ..unet_layout import read_unet_layout
from .processors import AllRecorded, KeptProjections, Record, set_processors

ATTENTION = "attention"
ALL = "all"


class Networks(nn.Module):
    """Attributes are named as the folders of the published layout, so that parameters and files share their names."""

    def __init__(self, unets: list[UNet2DConditionModel], routing: str, trained_reference: str):
        """unets: in the order of checkpoint.NETWORKS. trained_reference: ATTENTION (the paper) or ALL.

        The paper trains the whole denoising UNet and the attention modules of the ReferenceNets: what diffusers calls
        `attentions`, the transformers with their projections and norms.
        """
        super().__init__()
        self.unet, self.referencenet, self.conditioning_referencenet = unets
        for unet in unets:
            self.wanted = set_processors(unet, routing)
        if trained_reference == ATTENTION:
            for net in (self.referencenet, self.conditioning_referencenet):
                for name, parameter in net.named_parameters():
                    parameter.requires_grad_(".attentions." in name)

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, references: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the UNet predicts for noisy latents.

        Args:
            noisy: [B * draws, C, h, w]; the draws of a triple stand side by side.
            timesteps: int64 [B * draws].
            references: the arguments of states(), in their order. The unconditional training has zeros for source
                latents and embedding.

        Returns:
            v or epsilon, [B * draws, C, h, w].
        """
        return self.predict(noisy, timesteps, *references[2:], states=self.states(*references))

    def states(self, source_latents, driving_latents, source_embeds, driving_embeds) -> dict[str, torch.Tensor]:
        """Layer -> states of source and driving image, [B, 2 * tokens, channels].

        Args:
            source_latents, driving_latents: [B, C, h, w], scaled.
            source_embeds, driving_embeds: [B, 1, width].
        """
        source = self.record_source(source_latents, source_embeds)
        driving = self.record_driving(driving_latents, driving_embeds)
        return {layer: torch.cat([source[layer], driving[layer]], dim=1) for layer in source}

    def predict(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        source_embeds: torch.Tensor,
        driving_embeds: torch.Tensor,
        states: dict[str, torch.Tensor],
        *,
        kept: KeptProjections | None = None,
    ) -> torch.Tensor:
        """What the UNet predicts, in its own precision, with states that are there already; see forward.

        Args:
            noisy: [B * draws, C, h, w]; the draws of a triple stand side by side.
            timesteps: int64 [B * draws].
            source_embeds, driving_embeds: [B, 1, width]; zeros for the unconditional source.
            states: layer -> states of source and driving image, [B, 2 * tokens, channels], as states() gives them.
            kept: of a run of several steps, whose states are the same in all of them; those of all rows of the run,
                of which noisy may be the first ones.

        Returns:
            v or epsilon, [B * draws, C, h, w].
        """
        context = torch.cat([source_embeds, driving_embeds], dim=1).to(self.unet.dtype)
        if len(noisy) != len(context):
            context = context.repeat_interleave(len(noisy) // len(context), dim=0)
        options = {"states": states, "kept": kept}
        return self.unet(
            noisy.to(self.unet.dtype), timesteps, context, cross_attention_kwargs=options, return_dict=False
        )[0]

    def record_source(self, latents: torch.Tensor, embeds: torch.Tensor) -> Record:
        """Layer -> states of source images, [B, tokens, channels]; for latents and embeddings see states()."""
        return self._record(self.referencenet, latents, embeds)

    def record_driving(self, latents: torch.Tensor, embeds: torch.Tensor) -> Record:
        """Layer -> states of driving images, [B, tokens, channels]; for latents and embeddings see states()."""
        return self._record(self.conditioning_referencenet, latents, embeds)

    def _record(self, net: UNet2DConditionModel, latents: torch.Tensor, embeds: torch.Tensor) -> Record:
        # A checkpointed block runs twice, and both times to its end.
        record = Record(self.wanted, stop=not (net.is_gradient_checkpointing and torch.is_grad_enabled()))
        timestep = latents.new_zeros((), dtype=torch.int64)  # a number would be copied to the device in every call
        with suppress(AllRecorded):
            net(
                latents.to(net.dtype),
                timestep,
                embeds.to(net.dtype),
                cross_attention_kwargs={"record": record},
                return_dict=False,
            )
        return record

    def enable_gradient_checkpointing(self) -> None:
        """Trade time for memory: all three networks compute blocks again in the backward pass."""
        for net in (self.unet, self.referencenet, self.conditioning_referencenet):
            net.enable_gradient_checkpointing()

    def trained(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of all that is trained, in a fixed order."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def load_networks(
    folders: list[Path], routing: str, trained_reference: str, dtype: torch.dtype = torch.float32
) -> Networks:
    """Networks from three folders of the diffusers layout (config.json and safetensors).

    Args:
        folders: in the order of checkpoint.NETWORKS.
        routing: see UNetLayout.routes.
        trained_reference: ATTENTION (the paper) or ALL: what of the ReferenceNets is trained.
        dtype: of the weights.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: names folder and tensor where weights are missing or left over, and the config.json where the three
            are not of one architecture.
    """
    nets = [load_unet(folder, dtype) for folder in folders]
    return join_networks(nets, [folder / "config.json" for folder in folders], routing, trained_reference)


def load_unet(folder: Path, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    """One UNet of the diffusers layout, every parameter filled and every tensor used; to be trained.

    Args:
        folder: config.json and safetensors.
        dtype: of the weights.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: weights and config.json do not fit each other.
    """
    config = read_unet_config(folder / "config.json")
    with torch.device("meta"):  # its own random weights would only be thrown away
        unet = UNet2DConditionModel.from_config(config)
    weights = {}
    for file in checkpoint.weight_files(folder):
        weights.update(load_file(file))
    expected = unet.state_dict()
    missing, unused = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    wrong = [key for key in expected if key in weights and weights[key].shape != expected[key].shape]
    if missing or unused or wrong:
        example = f"first: {min(missing or unused or wrong)}"
        if wrong and not missing and not unused:
            example += f" is {tuple(weights[min(wrong)].shape)} and should be {tuple(expected[min(wrong)].shape)}"
        raise ValueError(
            f"{folder}: {len(missing)} tensors are missing, {len(unused)} have no place and {len(wrong)} have another "
            f"shape than config.json asks for ({example}). Weights and config.json are of different models."
        )
    unet.load_state_dict({key: value.to(dtype) for key, value in weights.items()}, assign=True)
    return unet.requires_grad_(True).train()


def read_unet_config(path: Path) -> dict:
    """A UNet config without the names of the class and version that wrote it.

    Raises:
        FileNotFoundError, ValueError: there is none, or ComfyUI could not load a model of it.
    """
    config = checkpoint.read_json(path)
    read_unet_layout(config, path)  # raises for what FaceAnonLoadModel could not load afterwards
    return {key: value for key, value in config.items() if not key.startswith("_")}


def join_networks(
    nets: list[UNet2DConditionModel], configs: list[Path], routing: str, trained_reference: str
) -> Networks:
    """One module of three UNets.

    Args:
        nets: in the order of checkpoint.NETWORKS.
        configs: where each is described, for the message.
        routing: see UNetLayout.routes.
        trained_reference: ATTENTION or ALL, what of the ReferenceNets is trained.

    Raises:
        ValueError: they are not of one architecture.
    """
    shapes = [{name: tuple(p.shape) for name, p in net.named_parameters()} for net in nets]
    for path, other in zip(configs[1:], shapes[1:], strict=True):
        if other != shapes[0]:
            raise ValueError(
                f"{path} describes another architecture than {configs[0]}; all three networks of a model are alike. "
                f"Take the three folders from one model."
            )
    return Networks(nets, routing, trained_reference).train()
