"""face-anonymizer: anonymize, cover and swap faces in photos, verify results, measure, and get models.

    face-anonymizer anonymize PHOTOS --output OUT            each face a stranger's
    face-anonymizer redact PHOTOS --output OUT               covered, without a model
    face-anonymizer swap --source PHOTO PHOTOS --output OUT  the largest face of one photo on all others
    face-anonymizer dataset SHARDS --output OUT --redact     a dataset, on Ray
    face-anonymizer verify BEFORE AFTER                      what two recognisers say of each face
    face-anonymizer evaluate OUT --model demo                a model by the paper's protocols
    face-anonymizer models --dry-run                         the published model files

Each has a --help of its own. `pip install .[headless]` in the pack's folder brings the command; the same commands stand
in scripts/, for `python scripts/with_env.py scripts/anonymize.py` (redact: --redact, swap: --source).

Exit status: that of the command; 2 for an unknown one, or where packages are missing.
"""

from __future__ import annotations

import importlib
import sys

if __package__:
    from . import _pack

    sys.modules.setdefault("_pack", _pack)  # by which name the commands ask for it
else:  # python scripts/command.py
    import _pack

from face_anonymizer.modules.runs.engines import name_missing

# the command -> its file here, and what is said of it there
COMMANDS = {
    "anonymize": ("anonymize", ()),
    "redact": ("anonymize", ("--redact",)),
    "swap": ("anonymize", ()),
    "dataset": ("anonymize_dataset", ()),
    "verify": ("verify", ()),
    "evaluate": ("evaluate", ()),
    "models": ("get_models", ()),
}


def main(arguments: list[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        print(f"There is no command {name!r}; there are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    if name == "swap" and not any(part.startswith(("--source", "-h", "--help")) for part in rest):
        print("swap: name the photo whose face is put on all others: --source PHOTO", file=sys.stderr)
        return 2
    if arguments is None:
        sys.argv[0] = f"face-anonymizer {name}"  # as its --help calls it
    file, more = COMMANDS[name]
    try:
        command = importlib.import_module(f".{file}", __package__) if __package__ else importlib.import_module(file)
        return command.main([*more, *rest])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("face_anonymizer"):
            raise
        print(name_missing(error.name), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
