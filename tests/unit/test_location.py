"""What ComfyUI could compute on, told without torch where that is plain."""

import subprocess
import sys

import pytest
import torch

from face_anonymizer.modules.host import location

CPU = "cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = None\n"


def test_the_answer_is_torchs_own(request):
    scripts = request.config.rootpath / "scripts"
    code = (
        f"import sys; sys.path.append({str(scripts)!r}); import _pack\n"
        "from face_anonymizer.modules.host import location\n"
        "print(location.has_accelerator(), location._is_cpu_alone(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    sees, is_plain, is_loaded = done.stdout.split()
    assert sees == str(location._sees_one(torch)) and is_loaded == "False"
    assert not (is_plain == "True" and sees == "True")


@pytest.mark.parametrize(
    ("text", "is_plain", "is_plain_with_a_driver"),
    [
        (CPU, True, True),
        (CPU.replace("cuda: Optional[str] = None", "cuda: Optional[str] = '13.0'"), True, False),
        (CPU.replace("hip: Optional[str] = None", "hip: Optional[str] = '6.4'"), False, False),
        (CPU.replace("xpu: Optional[str] = None", "xpu: Optional[str] = '20250101'"), False, False),
        (CPU.replace("xpu: Optional[str] = None", ""), False, False),
        ("cuda = None\nhip = None\nxpu = None\n", True, True),
        ("", False, False),
    ],
)
def test_of_what_torch_was_built_for(tmp_path, monkeypatch, text, is_plain, is_plain_with_a_driver):
    (tmp_path / "version.py").write_text("__version__ = '2.11.0'\n" + text)
    found = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(location.importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(location.sys, "platform", "linux")
    for driver, expected in ((False, is_plain), (True, is_plain_with_a_driver)):
        monkeypatch.setattr(location, "_has_cuda_driver", lambda driver=driver: driver)
        assert location._is_cpu_alone() == expected


def test_apples_devices_are_asked_of_torch(monkeypatch):
    monkeypatch.setattr(location.sys, "platform", "darwin")
    assert not location._is_cpu_alone()
