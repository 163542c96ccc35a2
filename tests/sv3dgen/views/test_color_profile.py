"""Pictures in other color spaces than sRGB show the colors that they mean, by closed forms of these spaces."""

import io
import struct

import numpy as np
import pytest
from ellipsoids import posed_views
from PIL import ExifTags, Image, ImageCms

from sv3dgen.views.color_profile import info_of_boxes, matrix_profile
from sv3dgen.views.image import read_photo, read_rgba
from sv3dgen.views.orbits import orbit_by_name
from sv3dgen.views.posed_views import read_views, write_views
from sv3dgen.views.video import read_video

# Linear light of one space in that of sRGB (D65 both), from their primaries.
TO_SRGB = {
    "Display P3": [[1.2249402, -0.2249402, 0.0], [-0.0420570, 1.0420570, 0.0], [-0.0196376, -0.0786361, 1.0982736]],
    "Adobe RGB": [[1.3983557, -0.3983557, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429290, 1.0429290]],
    "BT.2020": [[1.660491, -0.587641, -0.072850], [-0.124551, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
}
COLORS = [(200, 100, 80), (90, 140, 60), (60, 90, 150), (128, 128, 128), (12, 10, 9), (255, 255, 255), (255, 0, 0)]


def expected(space, color):
    levels = np.array(color) / 255
    srgb = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = levels**2.19921875 if space == "Adobe RGB" else srgb
    light = (np.array(TO_SRGB[space]) @ linear).clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def patches(mode="RGB"):
    """Squares of 16 px in a row."""
    colors = np.repeat(np.repeat(np.array(COLORS, dtype=np.uint8)[None], 16, axis=0), 16, axis=1)
    return Image.fromarray(colors).convert(mode)


def shown(image):
    return [image.convert("RGB").getpixel((16 * k + 8, 8)) for k in range(len(COLORS))]


@pytest.mark.parametrize("space", list(TO_SRGB))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "avif"])
def test_colors_are_those_that_the_profile_means(tmp_path, space, suffix):
    patches().save(tmp_path / f"a.{suffix}", icc_profile=matrix_profile(space))
    with Image.open(tmp_path / f"a.{suffix}") as image:
        stored = shown(image)  # not quite the patches, where it is lossy
    for found, color in zip(shown(read_photo(tmp_path / f"a.{suffix}")), stored, strict=True):
        assert np.abs(np.array(found) - expected(space, color)).max() <= 1.5


def test_srgb_by_any_name_is_left_as_it_is(tmp_path):
    ours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=ours)
    read = read_rgba(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read), pixels)
    assert "icc_profile" not in read.info


def test_alpha_palettes_and_gray_keep_their_meaning(tmp_path):
    alpha = patches("RGBA")
    alpha.putalpha(77)
    for image in (alpha, patches("P"), patches("LA")):
        image.save(tmp_path / "a.png", icc_profile=matrix_profile("Display P3"))
        read = read_rgba(tmp_path / "a.png")
        plain = np.asarray(image.convert("RGBA"))
        np.testing.assert_array_equal(np.asarray(read)[..., 3], plain[..., 3])
        wanted = expected("Display P3", plain[8, 8, :3])
        assert np.abs(np.asarray(read)[8, 8, :3] - wanted).max() <= 1.5


def test_grays_that_no_profile_moves_are_not_told(tmp_path, caplog):
    patches("L").save(tmp_path / "a.png", icc_profile=matrix_profile("Display P3"))
    with caplog.at_level("INFO"):
        assert shown(read_photo(tmp_path / "a.png")) == shown(patches("L"))
    assert not caplog.messages


def gray_profile(exponent):
    """As scanners write them: one curve."""
    curve = b"curv" + struct.pack(">2IH", 0, 1, round(exponent * 256)) + bytes(2)
    white = b"XYZ " + struct.pack(">4i", 0, *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    at = 132 + 24
    table = struct.pack(">I", 2) + b"kTRC" + struct.pack(">2I", at, len(curve) - 2)
    table += b"wtpt" + struct.pack(">2I", at + len(curve), len(white))
    size = at + len(curve) + len(white)
    head = (
        struct.pack(">I4sI4s4s4s", size, b"", 0x02100000, b"scnr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    )
    return (head + white[8:]).ljust(128, b"\0") + table + curve + white


@pytest.mark.parametrize("deep", [False, True])
def test_a_scanner_s_gray(tmp_path, deep):
    levels = np.full((16, 16), 64, dtype=np.uint8)
    image = Image.fromarray(levels.astype(np.uint16) * 257) if deep else Image.fromarray(levels)
    image.save(tmp_path / "a.png", icc_profile=gray_profile(1.0))
    light = 64 / 255
    assert abs(read_rgba(tmp_path / "a.png").getpixel((8, 8))[0] - 255 * (1.055 * light ** (1 / 2.4) - 0.055)) <= 1.5


def test_cameras_mark_adobe_rgb_in_exif_alone(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    patches().save(tmp_path / "a.jpg", quality=100, exif=exif)
    found = shown(read_photo(tmp_path / "a.jpg"))[0]
    assert np.abs(np.array(found) - expected("Adobe RGB", COLORS[0])).max() <= 4


@pytest.mark.parametrize("profile", [b"\0" * 200, matrix_profile("Display P3")[:300], gray_profile(2.2)])
def test_what_can_t_be_used_is_ignored_and_told(tmp_path, caplog, profile):
    patches().save(tmp_path / "a.png", icc_profile=profile)
    with caplog.at_level("INFO"):
        read = read_photo(tmp_path / "a.png")
    assert shown(read) == COLORS
    assert len(caplog.messages) == 1 and "color profile that can't be used is ignored" in caplog.text


def test_lab_is_converted_without_its_profile(tmp_path, caplog):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.applyTransform(patches(), ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    converted.save(tmp_path / "a.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    with caplog.at_level("INFO"):
        assert np.abs(np.array(shown(read_photo(tmp_path / "a.tif"))) - COLORS).max() <= 6  # in 8 bits
    assert not caplog.messages


def test_views_are_converted_and_told_once(tmp_path, caplog):
    write_views(posed_views(orbit_by_name("static", elevation_deg=20.0).cameras(size_px=48)), tmp_path)
    before = read_views(tmp_path).images
    for file in tmp_path.glob("*.png"):
        with Image.open(file) as image:
            colored = Image.new("RGBA", image.size, COLORS[0])
            colored.putalpha(image.getchannel("A"))
            colored.save(file, icc_profile=matrix_profile("Display P3"))
    with caplog.at_level("INFO"):
        after = read_views(tmp_path).images
    assert [m for m in caplog.messages if "in 21 of 21 pictures, colors are converted from Display P3" in m]
    assert (after[:, 3] == before[:, 3]).all()
    assert np.abs(after[0, :3, 24, 24].numpy() - expected("Display P3", COLORS[0])).max() <= 1.5


def test_a_converted_picture_takes_no_profile_along(tmp_path):
    patches().save(tmp_path / "a.png", icc_profile=matrix_profile("Display P3"))
    read_photo(tmp_path / "a.png").save(tmp_path / "b.png")
    assert shown(read_photo(tmp_path / "b.png")) == shown(read_photo(tmp_path / "a.png"))


def test_frames_of_an_animation_are_converted_and_told_once(tmp_path, caplog):
    frames = [patches(), patches().rotate(180)]
    frames[0].save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=frames[1:],
        lossless=True,
        icc_profile=matrix_profile("Display P3"),
    )
    with caplog.at_level("INFO"):
        first, _ = read_video(tmp_path / "a.webp")
    assert np.abs(shown(first)[0] - expected("Display P3", COLORS[0])).max() <= 1.5
    assert caplog.messages == [f"{tmp_path / 'a.webp'}: colors are converted from Display P3 to sRGB"]


def test_color_spaces_that_heif_files_name_by_number():
    def named(primaries, transfer):
        return b"nclx" + struct.pack(">3HB", primaries, transfer, 6, 0x80)

    assert info_of_boxes([named(12, 13)]) == {"icc_profile": matrix_profile("Display P3")}
    assert info_of_boxes([named(1, 13)]) == {} == info_of_boxes([])
    assert info_of_boxes([named(12, 13), b"profabc"]) == {"icc_profile": b"abc"}
    assert "HDR (PQ)" in str(info_of_boxes([named(9, 16)]))


def test_profiles_here_are_ones_to_others():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(matrix_profile("Adobe RGB")))
    assert ImageCms.getProfileDescription(profile).strip() == "Adobe RGB"
