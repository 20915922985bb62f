"""Train a face anonymization model, or continue one: the paper's method on triples of pictures.

    python scripts/with_env.py scripts/train.py OUT --data triples.jsonl --model models/face_anon/face-anon-simple
    python scripts/with_env.py scripts/train.py OUT --data triples.jsonl --unet SD/unet --vae VAE --image-encoder CLIP
    accelerate launch scripts/train.py OUT --data shard-0.tar shard-1.tar --model FOLDER --mixed-precision bf16

OUT/model is the model folder that Load Face Anonymizer Model takes, OUT/checkpoints the state that --resume continues;
OUT/log.jsonl, OUT/tensorboard and OUT/samples are the record. The defaults are the paper's. Ctrl-C ends after the step
with a checkpoint and the model; --steps 0 --resume only writes OUT/model again. Data and recipes: docs/training.md.
"""

from __future__ import annotations

import logging
import signal
import sys

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.terminal import shown

try:
    from face_anonymizer.modules.training import trainer
    from face_anonymizer.modules.training.arguments import parse_arguments
except ModuleNotFoundError as missing:
    # transformers 4 fails with the huggingface_hub that diffusers brings; where both are named, pip lifts it along
    packages = "diffusers accelerate tensorboard transformers"
    sys.exit(f"Training needs {missing.name}: {sys.executable} -m pip install {packages}")


def main() -> int:
    settings = parse_arguments(__doc__)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    ending = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: ending.append(received))
    try:
        folder = trainer.Training(settings).run(stop=lambda: bool(ending))
    except (OSError, ValueError, ImportError, trainer.TrainingStopped) as error:
        print(shown(f"{type(error).__name__}: {error}", keep="\n"), file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
