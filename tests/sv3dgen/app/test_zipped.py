"""A folder that comes as a .zip: pictures keep their folders; what a hostile one says of itself is not believed."""

import io
import json
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from sv3dgen.app import uploads, zipped
from sv3dgen.app.uploads import keep_zip
from sv3dgen.errors import InputError


def picture(color: tuple[int, int, int] = (180, 30, 20)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(stream, "PNG")
    return stream.getvalue()


def packed(path: Path, files: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def cameras(*names: str, **more: str) -> str:
    return json.dumps({"frames": [{"file_path": name, **more} for name in names]})


def kept(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_folders_are_kept_and_names_may_be_the_same_in_two(tmp_path):
    files = {
        "my scene/transforms.json": cameras("./images/0 a.png", "images\\1.png", mask_path="masks/0 a.png"),
        "my scene/images/0 a.png": picture(),
        "my scene/images/1.png": picture(),
        "my scene/masks/0 a.png": picture(),
        "my scene/notes.txt": "words",
        "my scene/.hidden/0.png": picture(),
        "__MACOSX/my scene/images/._1.png": b"of another system",
    }
    folder, told = keep_zip(packed(tmp_path / "scene.zip", files), tmp_path / "in")
    assert folder.name == "scene"
    assert kept(folder) == ["images/0_a.png", "images/1.png", "masks/0_a.png", "transforms.json"]
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == ["images/0_a.png", "images/1.png"]
    assert frames[0]["mask_path"] == "masks/0_a.png"
    assert told == "Left out, as no pictures of the object: my scene/notes.txt"
    assert [path for path in (tmp_path / "in").iterdir() if path.name.startswith(".")] == []


def test_a_name_that_leads_elsewhere_stands_for_the_only_picture_of_that_name(tmp_path):
    files = {"a/b/transforms.json": cameras("../pictures/0", "/etc/1.png", "C:\\x\\2.png", "../../../../none.png")}
    files |= {f"a/pictures/{index}.png": picture() for index in range(3)}
    folder, _ = keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == ["pictures/0", "pictures/1.png", "pictures/2.png", "none.png"]


def test_without_cameras_the_pictures_of_one_folder_are_taken(tmp_path):
    files: dict[str, bytes | str] = {"images/0.png": picture(), "images/1.png": picture(), "masks/0.png": picture()}
    folder, told = keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")
    assert kept(folder) == ["0.png", "1.png"] and told.endswith(": masks/0.png")
    with pytest.raises(InputError, match=r"pictures in 2 folders \(front, images\); expected those of one"):
        keep_zip(packed(tmp_path / "x.zip", files | {"front/0.png": picture()}), tmp_path / "in")


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/tmp/x.png", "C:/x.png", "..\\x.png", "\\\\x.png"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="^x.zip: .* leads out of the folder"):
        keep_zip(packed(tmp_path / "x.zip", {"0.png": picture(), name: picture()}), tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, kind):
    link = zipfile.ZipInfo("1.png")
    link.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="1.png is a link, or no file"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")


def test_size_and_number_are_bounded_by_what_comes_out(tmp_path, monkeypatch):
    bomb = packed(tmp_path / "x.zip", {f"{index}.png": bytes(2**20) for index in range(8)})
    monkeypatch.setattr(uploads, "MOST_FOLDER_BYTES", 6 * 2**20)
    with pytest.raises(InputError, match="x.zip: unpacked, more than 6 MB"):
        keep_zip(bomb, tmp_path / "in")
    monkeypatch.setattr(uploads, "MOST_FILES", 7)
    with pytest.raises(InputError, match="x.zip: 8 files; expected at most 7"):
        keep_zip(bomb, tmp_path / "in")
    monkeypatch.setattr(zipped, "MOST_ENTRIES", 7)
    with pytest.raises(InputError, match="x.zip: more than 7 entries"):
        keep_zip(bomb, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_one_that_lies_about_its_sizes_is_damaged(tmp_path):
    """A file that says it is small ends there; its checksum then tells."""
    data = bytearray(packed(tmp_path / "x.zip", {"0.png": picture() + bytes(2**20)}).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 100)
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError, match="x.zip: damaged, or no zip"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")


@pytest.mark.parametrize("cut", [0, 10, 40, -30])
def test_what_is_no_whole_zip_is_refused(tmp_path, cut):
    path = packed(tmp_path / "x.zip", {"0.png": picture()})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="^x.zip: "):
        keep_zip(path, tmp_path / "in")


def test_encrypted_or_oddly_packed_ones_are_refused(tmp_path):
    with pytest.raises(InputError, match="unusual way"):
        keep_zip(packed(tmp_path / "x.zip", {"0.png": picture()}, zipfile.ZIP_LZMA), tmp_path / "in")
    data = bytearray(packed(tmp_path / "x.zip", {"0.png": picture()}).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")


def test_two_that_become_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="two pictures are called t/images/a_b.png"):
        files = {"t/transforms.json": cameras("x"), "t/images/a b.png": picture(), "t/images/a_b.png": picture()}
        keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")
    with pytest.raises(InputError, match="two pictures are called"):
        keep_zip(packed(tmp_path / "x.zip", {"A.png": picture(), "a.PNG": picture()}), tmp_path / "in")


def test_a_zip_in_a_zip_and_endless_cameras_are_no_pictures(tmp_path):
    inner = packed(tmp_path / "inner.zip", {"0.png": picture()}).read_bytes()
    with pytest.raises(InputError, match="holds no pictures"):
        keep_zip(packed(tmp_path / "x.zip", {"inner.zip": inner}), tmp_path / "in")
    files = {"0.png": picture(), "transforms.json": b" " * (2**24 + 1)}
    with pytest.raises(InputError, match=r"transforms.json: 16 MB; expected at most 16 MB"):
        keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")


def test_a_second_count_of_entries_is_not_read(tmp_path):
    """Python takes ZIP64's, which stands before the end, instead of the one that was checked."""
    data = packed(tmp_path / "x.zip", {"0.png": picture()}).read_bytes()
    at = data.rindex(b"PK\x05\x06")
    count, length, start = struct.unpack_from("<HLL", data, at + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    (tmp_path / "x.zip").write_bytes(data[:at] + record + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) + data[at:])
    with pytest.raises(InputError, match=r"x.zip: packed for sizes beyond 4 GB"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")


def test_a_file_without_a_name_and_one_beyond_the_end_are_damage(tmp_path):
    data = packed(tmp_path / "x.zip", {"~~~~": b"a"}).read_bytes().replace(b"~~~~", b"\0~~~")
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError, match="x.zip: a file without a name"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")
    data = packed(tmp_path / "x.zip", {"0.png": picture()}).read_bytes()
    at, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    listed = bytearray(data[at:end] + struct.pack("<HHQ", 1, 8, 2**62))
    struct.pack_into("<H", listed, 30, 12)
    struct.pack_into("<L", listed, 42, 2**32 - 1)
    last = bytearray(data[end:])
    struct.pack_into("<L", last, 12, len(listed))
    (tmp_path / "x.zip").write_bytes(data[:at] + listed + last)
    with pytest.raises(InputError, match="x.zip: damaged, or no zip"):
        keep_zip(tmp_path / "x.zip", tmp_path / "in")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a/" * 1500 + "0.png",), "in at most 32 folders"),
        (("b/a.png", "b/A.PNG/b.png"), "A.PNG: a file and a folder"),
        (("transforms.json/a.png", "b.png"), "transforms.json: a file and a folder"),
        (("a" * 300 + ".png",), "a name of at most 240 bytes"),
        (("é" * 125 + ".png",), "a name of at most 240 bytes"),
    ],
)
def test_places_that_no_file_system_takes_are_refused(tmp_path, names, told):
    files = {"transforms.json" if told[0] != "t" else "t.json": cameras("x")} | {name: picture() for name in names}
    with pytest.raises(InputError, match=told):
        keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_all_kinds_of_pictures_and_of_letters_are_taken(tmp_path):
    files = {"transforms.json": cameras("0.jp2", "1.tga").encode("utf-16"), "0.jp2": b"j", "1.tga": b"t", "2.ppm": b"p"}
    folder, told = keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")
    assert kept(folder) == ["0.jp2", "1.tga", "2.ppm", "transforms.json"] and told == ""
    keep_zip(packed(tmp_path / "x.zip", files | {"transforms.json": cameras("0.jp2").encode("utf-8-sig")}), tmp_path)


def test_cameras_are_bounded(tmp_path):
    for names, told in (["0.png"] * 10_001, "10001 of them"), (["a/" * 1000], "a path of 2000 letters"):
        files = {"0.png": picture(), "transforms.json": cameras(*names)}
        with pytest.raises(InputError, match=f"{told}, expected at most"):
            keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in")


def test_a_folder_that_can_not_be_filled_is_gone(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        keep_zip(packed(tmp_path / "x.zip", {"0.png": picture()}), tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []
