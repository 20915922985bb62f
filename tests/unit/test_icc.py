"""Colour profiles written anew: the colours of the source, by LittleCMS, and nothing else of it."""

import io
import struct
from dataclasses import replace

import numpy as np
import planted_photos as planted
import pytest
from PIL import Image, ImageCms

from face_anonymizer.modules.output import icc

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LEVELS = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
STEPS = tuple(int(v) for v in np.round(np.linspace(0, 1, 1024) ** 2.4 * 65535))
WIDE = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)  # of ProPhoto RGB, at the white of profiles


def shown(profile: bytes, levels: np.ndarray = LEVELS) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    picture = Image.fromarray(levels)
    return np.asarray(
        ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    ).astype(int)


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize(
    "curve",
    [
        icc.SRGB_CURVE,
        icc.BT709_CURVE,
        icc.gamma_curve(1.8),
        icc.Curve(None, 1, (131072, 72090, -6554)),
        icc.Curve(None, 2, (131072, 72090, -6554, 0)),
        icc.Curve(None, 4, (131072, 60000, 5536, 5000, 3000, 0, 0)),
        icc.Curve((563,)),
        icc.Curve(()),
        icc.Curve(STEPS),
    ],
    ids=["sRGB", "709", "exponent", "type 1", "type 2", "type 4", "one value", "line", "table"],
)
def test_the_same_colours_come_out(curve, version):
    chromaticities = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    source = replace(icc.profile_of(chromaticities, curve), version=version, intent=1).encoded()
    clean = icc.clean_profile(source, 3)
    assert clean == source  # ours are clean already
    assert np.abs(shown(clean) - shown(source)).max() == 0
    # and our reading of a curve is LittleCMS's: gray of any primaries is the curve alone
    gray = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)
    expected = icc.to_srgb_curve(curve.at(np.linspace(0, 1, 256))) * 255
    assert np.abs(shown(clean, gray)[0].mean(-1) - expected).max() < 1.5


def test_profiles_of_others_keep_their_colours_alone():
    for source in (SRGB, planted.profile()):
        clean = icc.clean_profile(source, 3)
        assert clean is not None and len(clean) < 700
        assert np.abs(shown(clean) - shown(source)).max() == 0
        assert planted.SERIAL.encode() not in clean and planted.NAME.encode("utf-16-be") not in clean
        assert not any(clean[4:8] + clean[40:44] + clean[48:64] + clean[80:128])
        assert struct.unpack(">6H", clean[24:36]) == (2000, 1, 1, 0, 0, 0)
        assert icc.clean_profile(clean, 3) == clean
    wide = icc.profile_of(WIDE, icc.gamma_curve(1.8)).encoded()
    assert np.abs(shown(icc.clean_profile(wide + b"behind", 3)) - shown(wide)).max() == 0


def test_primaries_are_turned_to_the_white_of_profiles():
    """Those of sRGB as the ICC publishes them (sRGB2014), in 1/65536."""
    published = ((28576, 14581, 912), (25239, 46983, 6361), (9375, 3972, 46787))
    assert np.abs(np.array(icc.SRGB.primaries) - published).max() <= 8
    assert np.abs(np.sum(icc.SRGB.primaries, axis=0) - (63190, 65536, 54061)).max() <= 2


def test_long_curves_are_thinned_out_and_what_does_not_rise_is_none():
    steps = np.round(np.linspace(0, 1, 30000) ** 2.2 * 65535).astype(int)
    long = icc.profile_of(icc.SRGB_CHROMATICITIES, icc.Curve(tuple(map(int, steps)))).encoded()
    clean = icc.clean_profile(long, 3)
    assert len(clean) < 9000 and np.abs(shown(clean) - shown(long)).max() <= 1
    hidden = np.frombuffer(planted.thumbnail()[: len(planted.thumbnail()) // 2 * 2], ">u2")
    for table in (tuple(map(int, hidden)), tuple(map(int, steps[:100])), (0, 65535, 0)):
        with pytest.raises(icc.UnusableProfile, match="curves do not rise"):
            icc.clean_profile(icc.profile_of(icc.SRGB_CHROMATICITIES, icc.Curve(table)).encoded(), 3)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:100], "no head"),
        (lambda data: b"x" * 500, "no head"),
        (lambda data: data[:16] + b"CMYK" + data[20:], r"other colours \(CMYK\)"),
        (lambda data: data[:12] + b"link" + data[16:], "none of a picture"),
        (lambda data: data[:300], "cut off"),
        (lambda data: data[:128] + b"\xff\xff\xff\xff" + data[132:], "4294967295 tags"),
        (lambda data: data.replace(b"rTRC", b"xxxx"), "lacks rTRC"),
        (lambda data: data.replace(b"para", b"text"), "no curve where"),
        (lambda data: data.replace(b"XYZ \0\0\0\0", b"text\0\0\0\0"), "no colours where"),
        (lambda data: data.replace(b"gXYZ", b"nXYZ").replace(b"bXYZ", b"gXYZ"), "lacks bXYZ"),
    ],
)
def test_broken_profiles_say_what_is_wrong(spoil, words):
    with pytest.raises(icc.UnusableProfile, match=words):
        icc.clean_profile(spoil(icc.SRGB.encoded()), 3)


def test_primaries_on_a_line_and_absurd_numbers_are_refused():
    flat = replace(icc.SRGB, primaries=((1, 1, 1),) * 3).encoded()
    huge = replace(icc.SRGB, primaries=((2**31 - 1, 1, 1), (1, 65536, 1), (1, 1, 65536))).encoded()
    for data, words in ((flat, "on a line"), (huge, "numbers are no colours")):
        with pytest.raises(icc.UnusableProfile, match=words):
            icc.clean_profile(data, 3)
    for chromaticities in ((0.0,) * 8, (0.3, 0.3, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3), (float("nan"),) * 8):
        with pytest.raises(icc.UnusableProfile):
            icc.profile_of(chromaticities, icc.SRGB_CURVE)


def test_a_table_overrules_primaries_and_curves():
    data = icc.SRGB.encoded().replace(b"chad", b"A2B0")
    with pytest.raises(icc.TableProfile):
        icc.clean_profile(data, 3)


def test_gray_and_rgb_of_one_curve_serve_for_each_other():
    gray = icc.Profile(icc.GRAY, (icc.gamma_curve(1.8),)).encoded()
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    as_rgb = icc.clean_profile(gray, 3)
    assert np.abs(shown(as_rgb, np.dstack([ramp] * 3)) - shown(gray, ramp)).max() <= 1
    back = icc.clean_profile(as_rgb, 1)
    assert np.abs(shown(back, ramp) - shown(gray, ramp)).max() <= 1
    red, green, _ = icc.SRGB.curves
    assert icc.clean_profile(replace(icc.SRGB, curves=(red, green, icc.gamma_curve(1))).encoded(), 1) is None
    assert icc.clean_profile(None, 3) is None
