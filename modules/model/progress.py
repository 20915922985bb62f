"""What is shown of faces while they are painted. Touches the host: its progress bar, previewers and VAE."""

from __future__ import annotations

import time
from collections.abc import Callable

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from PIL import Image

_AT_ONCE = 4  # faces that a preview shows, side by side
_SHARE = 0.1  # of the time, at most, for previews
_SECONDS = 0.1  # between two texts

Tell = Callable[[str], None]


class LatentPictures:
    """Small pictures of latents on their way: of what is painted, never of what came in.

    Stable Diffusion's latents are shown as the host shows them; of others, which it knows nothing of, the model's own
    VAE makes the picture, in a tenth of the time at most and where that pushes no network out of memory.

    Args:
        unet: the MODEL that samples.
        vae: of its latents; None: only what the host can show.
    """

    def __init__(self, unet, vae=None):
        self._format, self._vae = unet.model.latent_format, vae
        self._previewer = latent_preview.get_previewer(unet.load_device, self._format)
        factors = self._format.latent_rgb_factors
        if self._previewer is None and factors is not None:
            # the host's default is none at all, for samplers of any length; a face takes long, and little to show
            self._previewer = latent_preview.Latent2RGBPreviewer(
                factors,
                self._format.latent_rgb_factors_bias,
                getattr(self._format, "latent_rgb_factors_reshape", None),
            )
        self._next = 0.0

    def of(self, denoised: torch.Tensor) -> Image.Image | None:
        """A picture of the first few faces, side by side; None where there is none, or it is too soon for one.

        Args:
            denoised: latents [B, C, h, w], in the network's scale.
        """
        begun = time.perf_counter()
        if begun < self._next:
            return None
        few = denoised[:_AT_ONCE]
        if self._previewer is not None:
            return self._previewer.decode_latent_to_preview(torch.cat(list(few), dim=-1)[None])
        if self._vae is None or not _has_room(self._vae, few):
            return None
        decoded = self._vae.decode(self._format.process_out(few))
        picture = latent_preview.preview_to_image(torch.cat(list(decoded[..., :3]), dim=1), do_scale=False)
        ended = time.perf_counter()
        self._next = ended + (ended - begun) * (1 / _SHARE - 1)
        return picture


def _has_room(vae, latents: torch.Tensor) -> bool:
    needed = vae.memory_used_decode(latents.shape, vae.vae_dtype)
    return comfy.model_management.get_free_memory(vae.device) > 2 * needed


class JobProgress:
    """The progress of a job of several sampler runs, as one run of KSampler shows it: the host's bar.

    Args:
        steps: of each run.
        runs: how many there are in all.
        faces: that are painted in them.
        pictures: of what is painted, beside the bar; None for none.
        tell: called with which face is painted, and how far it is; None: nobody reads it.
    """

    def __init__(
        self, steps: int, runs: int, faces: int, *, pictures: LatentPictures | None = None, tell: Tell | None = None
    ):
        self._steps = steps
        self._all = steps * max(1, runs)
        self._bar = comfy.utils.ProgressBar(self._all)
        self._pictures, self._tell, self._told = pictures, tell, 0.0
        self._faces = faces
        self._steps_before, self._steps_of_run = 0, 0
        self._before = 0  # faces of earlier runs
        self._planned = 0  # faces of the current run that are counted among them
        self._part, self._in_part, self._before_part = 0, 0, 0  # of the current run

    def add_runs(self, count: int) -> None:
        """Make the bar longer by so many runs: faces are painted once more."""
        self._all += count * self._steps

    def start_run(self, faces: int, again: bool = False) -> None:
        """Begin the next run, unless the user has interrupted.

        Args:
            faces: that are painted in it.
            again: whether they are painted at other times too, and not counted here.

        Raises:
            InterruptProcessingException: of ComfyUI; the user has interrupted.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._steps_before += self._steps_of_run
        self._steps_of_run = self._steps
        self._before += self._planned
        self._planned = 0 if again else faces
        self._part, self._in_part, self._before_part = 0, 0, 0

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Show a step of the current run, unless the user has interrupted.

        Args:
            step: its number, from 0.
            denoised: latents, for the preview.
            x: noised latents.
            steps: of the current run, which memory may have split into parts.

        Raises:
            InterruptProcessingException: of ComfyUI; the user has interrupted.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        if steps > self._steps_of_run:
            self._all += steps - self._steps_of_run
            self._steps_of_run = steps
        done = self._steps_before + step
        picture = None if self._pictures is None else self._pictures.of(denoised)
        preview = None if picture is None else ("JPEG", picture, latent_preview.MAX_PREVIEW_RESOLUTION)
        self._bar.update_absolute(done + 1, self._all, preview)
        if self._tell is not None:
            self._say(step, len(denoised), steps)

    def _say(self, step: int, faces: int, steps: int) -> None:
        part = min(step // self._steps, max(1, steps // self._steps) - 1)
        if part != self._part:
            self._part, self._before_part = part, self._before_part + self._in_part
        self._in_part = faces
        number = min(step - part * self._steps, self._steps - 1) + 1
        now = time.perf_counter()
        if self._tell is not None and (number in (1, self._steps) or now >= self._told + _SECONDS):
            self._told = now
            self._tell(f"{self._names(faces)}, step {number} of {self._steps}")

    def _names(self, faces: int) -> str:
        if not self._planned:
            return f"an attempt at {'1 face' if faces == 1 else f'{faces} faces'}"
        first = self._before + self._before_part + 1
        last = first + faces - 1
        return f"{f'face {first}' if faces == 1 else f'faces {first} to {last}'} of {self._faces}"
