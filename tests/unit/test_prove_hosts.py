"""Released hosts out of a git history, their pins, and the table of what they proved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from face_anonymizer.tools.hosts import prove as prove_hosts
from face_anonymizer.tools.hosts import releases as hosts

RELEASE = hosts.Release("0.28.0", "c0ffee", "2026-07-15")


def git(folder: Path, *arguments: str, day: int = 1) -> str:
    date = f"2026-01-{day:02}T12:00:00+00:00"
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@pytest.fixture
def clone(tmp_path) -> Path:
    """0.1.0 on day 2, a fix to it on day 3, a second touch of its version's file on day 4, 0.2.0 on day 5."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")

    def commit(day: int, files: dict[str, str]) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"day {day}", day=day)

    commit(1, {"main.py": "first"})
    commit(2, {"comfyui_version.py": '__version__ = "0.1.0"\n', "comfy/a b.py": "older"})
    commit(3, {"comfy/a b.py": "newer"})
    commit(4, {"comfyui_version.py": '# generated\n__version__ = "0.1.0"\n'})
    commit(5, {"comfyui_version.py": '# generated\n__version__ = "0.2.0"\n', "comfy/words.json": "many\r\nwords"})
    return folder


def test_a_release_is_the_commit_that_first_had_its_number(clone):
    releases = hosts.read_releases(clone)
    assert [(release.version, release.date) for release in releases.values()] == [
        ("0.2.0", "2026-01-05"),
        ("0.1.0", "2026-01-02"),
    ]
    assert releases["0.1.0"].commit == git(clone, "rev-parse", "HEAD~3")


def test_a_checkout_is_what_the_commit_has(clone, tmp_path):
    releases, folder = hosts.read_releases(clone), tmp_path / "cache" / "0.1.0" / "ComfyUI"
    assert hosts.write_checkout(clone, releases["0.1.0"].commit, folder) == []
    assert {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.py")} == {
        "main.py": "first",
        "comfyui_version.py": '__version__ = "0.1.0"\n',
        "comfy/a b.py": "older",
    }
    assert list(folder.parent.iterdir()) == [folder]


def test_what_git_has_lost_is_told_and_the_rest_is_there(clone, tmp_path):
    digest = git(clone, "rev-parse", "HEAD:comfy/words.json")
    (clone / ".git" / "objects" / digest[:2] / digest[2:]).unlink()
    commit, folder = git(clone, "rev-parse", "HEAD"), tmp_path / "ComfyUI"
    assert hosts.write_checkout(clone, commit, folder) == ["comfy/words.json"]
    assert (folder / "comfy" / "a b.py").read_text() == "newer" and "0.2.0" in (
        folder / "comfyui_version.py"
    ).read_text()
    assert not (folder / "comfy" / "words.json").exists()


def test_no_clone_says_so(tmp_path):
    with pytest.raises(SystemExit, match=r"git log failed in .*nowhere"):
        hosts.read_releases(tmp_path / "nowhere")


def test_pins_are_the_lines_with_one_version():
    text = """\
comfyui-frontend-package==1.45.21
torch
numpy>=1.25.0
comfy-kitchen == 0.2.20  # kernels
  comfy-aimdo==0.4.10; sys_platform != "darwin"
pydantic~=2.0
#non-essential==1.0
two==1.0,!=1.0.1
local==2.0+cpu
"""
    assert hosts.read_pins(text) == {
        "comfyui-frontend-package": "1.45.21",
        "comfy-kitchen": "0.2.20",
        "comfy-aimdo": "0.4.10",
        "local": "2.0+cpu",
    }


def test_the_largest_difference_and_what_is_nearest_to_its_bound():
    output = """
source states: 3.38e-06 (bound 1e-05)
null states (norm): 4.88e-03 (bound 5e-03).
pipeline_swap_d0_g1_s8: 5.10e-07 (bound 1e-05), picture 1 levels.
full flow, two faces in a batch: 8.81e-04 (bound 2e-03).
"""
    assert prove_hosts.largest_differences(output) == "latents 8.8e-04; null states (norm): 98% of its bound"
    assert prove_hosts.largest_differences("no tests ran") == "latents nan; nothing: 0% of its bound"


def test_a_row_a_host_and_what_failed_below(monkeypatch):
    monkeypatch.setattr(prove_hosts, "has_accelerator", lambda: False)
    packages = {"comfy-kitchen": "0.2.20", "comfyui-frontend-package": "1.45.21", "comfy-aimdo": "0.4.10"}
    told = dict(zip(prove_hosts.CHECKS, ("20 of 20 nodes", "9 of 9", "8.8e-04", "83 of 83", "500"), strict=True))
    failed = prove_hosts.Proof(RELEASE._replace(version="0.29.0"), {}, {}, ["pip: two\nlines"])
    lines = prove_hosts.page([prove_hosts.Proof(RELEASE, packages, told, []), failed]).splitlines()
    assert "`python scripts/with_env.py tools/run.py hosts.prove 0.28.0 0.29.0`" in lines
    head = "| ComfyUI | released | frontend | comfy-kitchen | comfy-aimdo | loads as a server | graphs | parity |"
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    assert lines[start + 1 :] == [
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 0.28.0 | 2026-07-15 | 1.45.21 | 0.2.20 | 0.4.10 | 20 of 20 nodes | 9 of 9 | 8.8e-04 | 83 of 83 | 500 |",
        f"| 0.29.0 FAILS | 2026-07-15 |{' not reached |' * 8}",
        "",
        "- 0.29.0: pip: two lines",
    ]


def test_tests_are_counted_and_a_skipped_one_did_not_pass(tmp_path):
    tests = tmp_path / "test_these.py"
    tests.write_text(
        "import pytest\ndef test_good(): print('said')\ndef test_bad(): assert 1 == 2\n"
        "def test_skipped(): pytest.skip('why')\n"
    )
    counts, output, faults = prove_hosts.run_tests(Path(sys.executable), (str(tests),))
    assert counts == "1 of 3" and "said" in output
    assert [fault.split(":")[0] for fault in faults] == ["test_bad", "test_skipped"]
    assert prove_hosts.run_tests(Path(sys.executable), (str(tmp_path / "test_none.py"),))[2]
