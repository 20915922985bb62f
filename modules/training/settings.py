"""All settings of a training. The defaults are the paper's (section 4.1) where it has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ..model.checkpoint import BLOCK_FIRST, IMAGE_ENCODER, VAE
from ..model.diffusers_engine.networks import ATTENTION
from ..model.settings import SamplerSettings

# What a checkpoint was trained with; another value would make its weights another method's.
FIXED = ("routing", "prediction", "trained_reference", "resolution", "optimizer")
# What the exact course of a training depends on besides.
COURSE = (
    "batch", "accumulate", "draws", "seed", "null_share", "learning_rate", "warmup", "lr_schedule", "weight_decay",
    "max_grad_norm", "ema", "mixed_precision", "phase_2_at", "processes",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Lengths in optimizer steps and pixels, times in minutes."""

    data: tuple[Path, ...]
    output: Path
    # where it starts: one of the three
    model: Path | None = None
    unet: Path | None = None
    unet_config: Path | None = None
    vae: Path | None = None
    image_encoder: Path | None = None
    data_phase_2: tuple[Path, ...] = ()
    phase_2_at: int | None = None
    validation_data: tuple[Path, ...] = ()
    # the method
    routing: str = BLOCK_FIRST
    prediction: str = "v_prediction"
    trained_reference: str = ATTENTION
    resolution: int | None = None
    null_share: float = 0.1
    # the optimization
    batch: int = 1
    accumulate: int = 8
    draws: int = 1
    steps: int = 435_000
    learning_rate: float = 1e-5
    warmup: int = 0
    lr_schedule: str = "constant"
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema: float = 0.9999
    seed: int = 0
    # the machine
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    compile: bool = False
    cache: bool = False
    workers: int = 2
    # what comes out, and when
    resume: bool = False
    checkpoint_every: int = 1000
    checkpoint_minutes: float | None = None
    time_limit: float | None = None
    log_every: int = 50
    validate_every: int = 1000
    validation_count: int = 4
    validation_steps: int = 50
    guidance_scale: float = SamplerSettings().guidance_scale
    export_dtype: str = "fp32"

    def check(self) -> None:
        """Raise ValueError naming the option for what cannot be trained."""
        starts = [name for name in ("model", "unet", "unet_config") if getattr(self, name) is not None]
        if len(starts) != 1:
            given = ", ".join(f"--{name.replace('_', '-')}" for name in starts) or "none"
            raise ValueError(f"Exactly one of --model, --unet and --unet-config says where to start; given: {given}.")
        self.encoder_folders()
        counts = ("batch", "accumulate", "draws", "checkpoint_every", "log_every", "validate_every")
        for name in (*counts, "validation_count", "validation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it is at least 1.")
        if bool(self.data_phase_2) != (self.phase_2_at is not None):
            raise ValueError("--data-phase-2 and --phase-2-at belong together: the second list and its first step.")
        if not 0 <= self.null_share <= 1 or not 0 <= self.ema < 1:
            raise ValueError(f"--null-share {self.null_share} and --ema {self.ema} are shares: 0 to 1.")
        if self.resolution is not None and (self.resolution < 8 or self.resolution % 8):
            raise ValueError(f"--resolution {self.resolution} is not a positive multiple of 8 pixels.")

    def encoder_folders(self) -> tuple[Path, Path]:
        """Of the VAE and the image encoder: those that are named, or the model's. ValueError where there is neither."""
        if self.model is not None:
            return self.vae or self.model / VAE, self.image_encoder or self.model / IMAGE_ENCODER
        if self.vae is None or self.image_encoder is None:
            raise ValueError("--unet and --unet-config need --vae and --image-encoder beside them.")
        return self.vae, self.image_encoder

    def recorded(self, processes: int) -> dict:
        """What state.json of a checkpoint holds of the settings: JSON values only."""
        return {name: value for name, value in asdict(self).items() if name in FIXED + COURSE} | {
            "processes": processes
        }
