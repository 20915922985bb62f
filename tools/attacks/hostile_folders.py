"""Runs over folders of files with hostile names and contents, links, pipes and loops.

    python scripts/with_env.py tools/run.py attacks.hostile_folders [--count N] [--seed N]

Each case is a folder with one such file and one plain photo, with a stand-in for the server. A leak is a source that
was changed, anything that was made outside of the output folder, an original among the results, and a character in
what is printed that acts on a terminal. A failure is a run that does not end or crashes, a plain photo that is not
done, and a file that the report does not have.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import tempfile
import unicodedata
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from face_anonymizer.modules.runs.folder_report import format_table
from face_anonymizer.modules.terminal import shown
from face_anonymizer.tools.attacks.stand_in import REFUSALS, run
from face_anonymizer.tools.attacks.tally import Tally, cases_of, parse_arguments, within

PLAIN = "plain.png"
Make = Callable[[Path], object]


def photo() -> Image.Image:
    return Image.effect_noise((48, 48), 40).convert("RGB")


def named(name: bytes) -> Make:
    def make(folder: Path) -> None:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            photo().save(file, "PNG")

    return make


def holding(name: str, data: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(data)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a megabyte that says it is of side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 10**6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bound_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # such names are short
        try:
            one.bind("sock.jpg")
        finally:
            os.chdir(here)


def deep(folder: Path) -> None:
    for i in range(12):
        folder /= f"{i}" * 100
        folder.mkdir()
    photo().save(folder / "deep.png")


def cut(folder: Path) -> None:
    photo().save(folder / "cut.jpg")
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])


def closed(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0)


NAMES = [
    *("日本語.png".encode(), "e\u0301.png".encode(), b"new\nline.png", b"esc\x1b[31mred\x1b]0;title\x07.png"),
    *(b"--output.png", b"a b'c\"d.png", b"100%s%n.png", b"%batch_num%.png", b"bad\xff\xfe.png", b"...png", b"-rf.png"),
    *(b"back\\slash.png", b"x" * 230 + b".png", "é".encode() * 110 + b".png", b"UPPER.PNG", "\u202egpj.x.png".encode()),
    *(b"tab\t.png", b"$(touch x).png", b"semi;rm.png", b"plain_redacted.png", b"plain.jpeg", b"bell\x07/in/a\x9b.png"),
    *(b"\xc2\x9b2J.png", "zero\u200bwidth.png".encode(), "line\u2028end.png".encode(), b" .png", b"{0}.png"),
    *(b"a\r.png", b"con.png"),
]
CASES: dict[str, Make] = {
    **{f"name {name!r}"[:60]: named(name) for name in NAMES},
    "a link to itself": lambda folder: (folder / "self.jpg").symlink_to("self.jpg"),
    "a link to nothing": lambda folder: (folder / "none.jpg").symlink_to("nowhere.jpg"),
    "a loop of folders": lambda folder: (folder / "loop").symlink_to("."),
    "a link to the root": lambda folder: (folder / "root").symlink_to("/"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe.jpg"),
    "a folder as photo": lambda folder: (folder / "dir.jpg").mkdir(),
    "a socket": bound_socket,
    "a link to /dev/zero": lambda folder: (folder / "zero.jpg").symlink_to("/dev/zero"),
    "a film of /dev/zero": lambda folder: (folder / "zero.mp4").symlink_to("/dev/zero"),
    "an empty photo": holding("empty.jpg", b""),
    "an empty film": holding("empty.mp4", b""),
    "a text as photo": holding("text.jpg", b"hello"),
    "a text as film": holding("text.mp4", b"x" * 5000),
    "a photo cut off": cut,
    "a bomb of 60000": holding("bomb.png", bomb(60_000)),
    "a bomb of 13000": holding("bomb.png", bomb(13_000)),
    "a header alone": holding("head.png", b"\x89PNG\r\n\x1a\n"),
    "a deep tree": deep,
    "a folder that is closed": closed,
    "one pixel": lambda folder: Image.new("RGB", (1, 1)).save(folder / "one.png"),
    "a strip": lambda folder: Image.new("RGB", (3, 2000)).save(folder / "strip.png"),
    "CMYK": lambda folder: photo().convert("CMYK").save(folder / "cmyk.jpg"),
    "32 bits": lambda folder: photo().convert("I").save(folder / "i.tiff"),
    "fractions": lambda folder: photo().convert("F").save(folder / "f.tiff"),
    "a journal among photos": holding("face_anonymizer_journal.jsonl", b"notes"),
    "a part among photos": holding(".face_anonymizer-1.part", b"mine"),
}


def spoiled(seed: int) -> Make:
    """A photo with some bytes changed."""

    def make(folder: Path) -> None:
        dice = random.Random(seed)
        path = folder / f"spoiled{dice.choice(('.jpg', '.png', '.webp', '.tif', '.bmp'))}"
        photo().save(path)
        data = bytearray(path.read_bytes())
        for _ in range(dice.choice((1, 5, 50))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)

    return make


def seen(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in files}


def acts(text: str) -> list[str]:
    return sorted({c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")})


def try_case(make: Make, root: Path, plant: bool = False) -> tuple[str, str]:
    """Try one case in an empty folder; what leaked and what failed, "" for nothing."""
    photos, output = root / "photos", root / "out"
    photos.mkdir()
    photo().save(photos / PLAIN)
    make(photos)
    before = seen(photos)
    told = within(30, lambda: run(photos, output) or {})
    if plant:
        (photos / PLAIN).write_bytes(b"anything")
    if seen(photos) != before:
        return "a source was changed", ""
    if told is None:
        return "", "did not end in 30 s"
    if extra := {path.name for path in root.iterdir()} - {"photos", "out"}:
        return f"made outside of the output folder: {extra}", ""
    if isinstance(told, BaseException):
        said = str(told)
        if acts(said):
            return f"characters that act on a terminal: {acts(said)!r}", ""
        return "", "" if isinstance(told, REFUSALS) else f"{type(told).__name__}: {said[:200]}"
    return judge(told, photos, output)


def judge(report: dict, photos: Path, output: Path) -> tuple[str, str]:
    """What leaked and what failed in a run that came to its end."""
    said = format_table(report)
    said += "".join(f"\n{shown(file['source'])}: {shown(file.get('error', ''))}" for file in report["files"])
    if acts(said):
        return f"characters that act on a terminal: {acts(said)!r}", ""
    originals = {path.read_bytes() for path in photos.rglob("*") if path.is_file() and path.stat().st_size > 100}
    copies = [path.name for path in output.rglob("*") if path.is_file() and path.read_bytes() in originals]
    if copies:
        return f"an original among the results: {copies}", ""
    files = {file["source"]: file["outcome"] for file in report["files"]}
    if files.get(PLAIN) != "done":
        return "", f"the plain photo is {files.get(PLAIN)}"
    top = {name.rstrip("/").split("/")[0] for name in files}
    untold = {path.name for path in photos.iterdir() if not path.is_dir()} - top
    return "", f"not in the report: {untold!r}" if untold else ""


WHOLE = len(CASES) + 60


def main() -> int:
    options = parse_arguments(__doc__, WHOLE)
    warnings.simplefilter("ignore")  # Pillow's, of what is made here
    tally = Tally("hostile folders")
    for name, make in cases_of(options, CASES, WHOLE, "spoiled", spoiled).items():
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
            tally.count(name, *try_case(make, Path(root), options.plant))
    return tally.close()
