"""A ReferenceNet: a UNet that runs once on an image, so that its attention inputs can be read. Touches the host.

Section 3.2 of the paper. The network is one of the host's own UNets; its states are recorded by the same attn1 hook
through which they later enter the denoising UNet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import comfy.model_management
import torch

from .memory import in_parts, recorded_at_once
from .states import SOURCE, ImageEmbeds, ReferenceStates, common_batch
from .unet_layout import LayerKey

logger = logging.getLogger("face_anonymizer")


class ReferenceNet:
    """A loaded ReferenceNet (socket FACE_ANON_REFERENCE_NET).

    Args:
        patcher: of its UNet.
        role: SOURCE or DRIVING.
        routes: attention layer of the UNet -> layer whose state it reads, see UNetLayout.routes.
        resolution: side in pixels of the faces that the model was trained on.
        model: the model's folder; "" where it is not known.
    """

    def __init__(self, patcher, role: str, routes: Mapping[LayerKey, LayerKey], resolution: int, model: str = ""):
        self.patcher = patcher
        self.role = role
        self.routes = routes
        self.resolution = resolution
        self.model = model

    def get_models(self) -> list:
        """Let the host find the model in a node's output (comfy/model_patcher.py, PromptModelTracker)."""
        return [self.patcher]

    def states(self, latents: torch.Tensor, image_embeds: ImageEmbeds) -> ReferenceStates:
        """Run the network on a batch of images and record its states.

        A SOURCE network also runs once on latents and embedding of zeros for the unconditional half, which is the same
        for every image.

        Args:
            latents: [B, C, h, w] as ComfyUI's VAE gives them, unscaled.
            image_embeds: of the same B images, or one for all.

        Returns:
            The states, on the host's intermediate device and in the network's own precision.

        Raises:
            ValueError: names both sizes where latents or embeddings do not fit.
        """
        if latents is None or latents.shape[0] == 0:  # None: what the host's VAE makes of no image
            raise ValueError("The latent batch is empty (latent 0): no face was found in the picture to crop.")
        config = self.patcher.model.model_config.unet_config
        embeds = image_embeds.embeds
        if latents.ndim != 4 or latents.shape[1] != config["in_channels"]:
            raise ValueError(
                f"The latent is {tuple(latents.shape)}; this model takes [batch, {config['in_channels']}, height, "
                f"width]. Encode the image with the VAE output of FaceAnonLoadModel."
            )
        if embeds.shape[-1] != config["context_dim"]:
            raise ValueError(
                f"The embedding is {embeds.shape[-1]} wide, this model takes {config['context_dim']}. Encode the image "
                f"with the CLIP_VISION output of FaceAnonLoadModel."
            )
        if common_batch(latent=latents.shape[0], embeds=image_embeds.batch) != latents.shape[0]:
            raise ValueError(f"{image_embeds.batch} embeddings for {latents.shape[0]} latent: encode the same images.")

        self._warn_of_size(latents)
        device = comfy.model_management.intermediate_device()
        latents = self.patcher.model.process_latent_in(latents)
        conditional = self._record(latents, embeds.expand(latents.shape[0], -1, -1), device)
        unconditional = {}
        if self.role == SOURCE:
            unconditional = self._record(torch.zeros_like(latents[:1]), torch.zeros_like(embeds[:1]), device)
        return ReferenceStates(
            role=self.role,
            conditional=conditional,
            unconditional=unconditional,
            routes=self.routes,
            latent_size=(latents.shape[2], latents.shape[3]),
            embeds_degree=image_embeds.degree,
            model=self.model,
        )

    def _warn_of_size(self, latents: torch.Tensor) -> None:
        ratio = self.patcher.model.latent_format.spacial_downscale_ratio
        height, width = (side * ratio for side in latents.shape[2:])
        if max(height, width) != self.resolution:
            logger.warning(
                "The face crops are %dx%d; the model was trained at %d and paints worse at others. Set the size of "
                "Crop Faces to %d.",
                *(width, height, self.resolution, self.resolution),
            )

    def _record(self, latents: torch.Tensor, context: torch.Tensor, device) -> dict[LayerKey, torch.Tensor]:
        """The state of every layer that some route ends in; as many images go through at once as memory allows."""
        wanted = set(self.routes.values())
        recorded: dict[LayerKey, torch.Tensor] = {}

        def record(x, context, value, extra_options):
            layer = (*extra_options["block"], extra_options["block_index"])
            if layer in wanted:
                recorded[layer] = x.to(device)
            return x, context, value

        latent_shape = latents.shape[1:]
        # room for all images may drive other models out, room for one image this model's own weights
        memory = [self.patcher.memory_required([count, *latent_shape]) for count in (latents.shape[0], 1)]
        comfy.model_management.load_models_gpu([self.patcher], memory[0], minimum_memory_required=memory[1])
        load_device = self.patcher.load_device
        model = self.patcher.model
        dtype = model.get_dtype_inference()

        def run(part: slice) -> dict[LayerKey, torch.Tensor]:
            recorded.clear()  # of a part that ran out of memory
            x = latents[part].to(load_device, dtype)
            model.diffusion_model(
                x,
                torch.zeros(x.shape[0], device=load_device),
                context=context[part].to(load_device, dtype),
                transformer_options={"patches": {"attn1_patch": [record]}},
            )
            return dict(recorded)

        # what the host's samplers do around a model (comfy/samplers.py): some kernels take the current device
        with comfy.model_management.cuda_device_context(load_device):
            at_once = recorded_at_once(self.patcher, latent_shape)
            parts = in_parts(latents.shape[0], at_once, run, f"the {self.role} ReferenceNet")
        return {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}
