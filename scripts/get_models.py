#!/usr/bin/env python3
"""Download the published model files into the folder where the loader node looks for them.

Nothing in the node pack downloads by itself; this script does, and only when you start it:

    python scripts/get_models.py --dry-run            # what would be downloaded, how large, and where it goes
    python scripts/get_models.py                      # shows the same, asks, downloads
    python scripts/get_models.py --only unet,vae      # parts of the model
    python scripts/get_models.py --models-dir DIR     # a models folder that is not found by itself

It makes `<models>/face_anon/<name>/`:

    unet/, referencenet/, conditioning_referencenet/   hkung/face-anon-simple, as published
    image_encoder/                                     the vision part of openai/clip-vit-large-patch14
    vae/                                               stabilityai/sd-vae-ft-mse, as published
    checksums.json                                     sha256, repository and commit of every file

A file is put in place whole or not at all; after a cut the same command goes on. Files that are there and match
`checksums.json` are not downloaded again; one that does not match is an error, never overwritten.

Exit status: 0 done, 1 refused or failed (the message names the next step), 2 wrong arguments, 3 hub not reachable,
130 interrupted. HF_ENDPOINT (another hub) and HF_TOKEN are respected. Needs `safetensors`, which ComfyUI brings.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.downloads.catalogue import ITEMS, PARTS, REVISIONS
from face_anonymizer.modules.downloads.hub import GetModelsError
from face_anonymizer.modules.downloads.model_folder import ModelFolder, get_models, list_downloads, models_folder
from face_anonymizer.modules.terminal import shown


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        folder = ModelFolder(models_folder(options.models_dir) / "face_anon" / options.name)
        items = [item for item in ITEMS if item.part in options.only]
        _need_packages()
        if options.dry_run:
            list_downloads(folder, items, dict(options.revision), say)
        else:
            confirm = (lambda _: True) if options.yes else _confirm
            get_models(folder, items, dict(options.revision), confirm, say)
    except GetModelsError as error:
        print(shown(f"get_models: {error}", keep="\n"), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on where it stopped.", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    print(shown(text, keep="\n"))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Download the published model files for the Face Anonymizer nodes (about 12.4 GB).",
    )
    parser.add_argument("--dry-run", action="store_true", help="list repository, commit, file, size, destination; stop")
    parser.add_argument("--models-dir", type=Path, metavar="DIR", help="default: ComfyUI's models, else the pack's")
    parser.add_argument(
        "--name", type=_folder_name, default="face-anon-simple", help="folder in face_anon (default: %(default)s)"
    )
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,...", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--revision", type=_revision, action="append", default=[], metavar="REPOSITORY=REVISION",
        help="another commit or branch than the tested one; the commit it stands for is recorded")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="download without asking")
    return parser.parse_args(arguments)


def _need_packages() -> None:
    try:
        importlib.import_module("safetensors")
    except ImportError as error:
        install = f"{sys.executable} -m pip install safetensors"
        raise GetModelsError(f"{error}. Use the Python that runs ComfyUI, or: {install}") from error


def _confirm(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise GetModelsError("nobody to ask here. Add --yes to download without the question.") from None


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'empty'}: choose from {', '.join(PARTS)}")
    return parts


def _folder_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a plain folder name (letters, digits, . _ -)")
    return text


def _revision(text: str) -> tuple[str, str]:
    repository, _, revision = text.partition("=")
    if repository not in REVISIONS or not revision:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted REPOSITORY=REVISION, one of {', '.join(REVISIONS)}")
    return repository, revision


if __name__ == "__main__":
    sys.exit(main())
