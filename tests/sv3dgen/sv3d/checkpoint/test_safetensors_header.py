"""What is no sound safetensors file is refused by what it is, before anything is read that it asks for."""

import pickle
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_checkpoint import described, write_raw

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.safetensors_header import StoredTensor, read_header, shown

ONE = {"a": described("F32", [2], 0, 8)}


class Marks:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return open, (str(self.marker), "w")  # type: ignore[return-value]


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_header(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_header_tells_where_values_lie(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16), "c": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    header, data = read_header(tmp_path / "x.safetensors"), (tmp_path / "x.safetensors").read_bytes()
    assert set(header) == {"a", "b", "c"} and header["c"].shape == () and header["c"].size == 1
    for key, dtype in (("a", torch.bfloat16), ("b", torch.float32), ("c", torch.float32)):
        stored = header[key]
        size = stored.size * dtype.itemsize
        raw = bytearray(data[stored.first_byte : stored.first_byte + size])
        assert torch.equal(torch.frombuffer(raw, dtype=dtype).reshape(stored.shape), tensors[key])


def test_empty_tensors_and_no_tensors_are_sound(tmp_path: Path) -> None:
    assert read_header(write_raw(tmp_path / "none", {})) == {}
    file = write_raw(tmp_path / "empty", {"a": described("F32", [0, 3], 0, 0)})
    assert read_header(file) == {"a": StoredTensor(file, "F32", (0, 3), file.stat().st_size)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git-lfs pointer"),
        (b"\n<!DOCTYPE html><html>Access denied</html>", "web page"),
        (b'{"error": "not found"}', "not a safetensors file"),
        (b"GGUF" + bytes(100), "not a safetensors file"),
        (b"1234567", "not a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "never loaded"),
        (pickle.dumps({"state_dict": {}}), "never loaded"),
    ],
)
def test_other_files(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    assert says in refusal(file)


def test_git_lfs_pointer_says_how_to_get_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refusal(file)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "pth", "bin", "pkl", "safetensors"])
@pytest.mark.parametrize("protocol", [0, 2, 4, None])
def test_pickle_is_refused_and_never_run(suffix: str, protocol: int | None, tmp_path: Path) -> None:
    marker, file = tmp_path / "marker", tmp_path / f"model.{suffix}"
    file.write_bytes(pickle.dumps({"state_dict": Marks(marker)}, protocol))
    said = refusal(file)
    assert "safetensors" in said and ("never loaded" in said or (suffix, protocol) == ("safetensors", 0))
    assert not marker.exists()


def test_torch_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "model.ckpt")
    assert "never loaded" in refusal(tmp_path / "model.ckpt")


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    assert set(read_header(write_raw(tmp_path / "renamed.ckpt", ONE, bytes(8)))) == {"a"}


@pytest.mark.parametrize("length", [100, 2**31, 2**62, 2**64 - 1])
def test_length_beyond_the_file_allocates_nothing(length: int, tmp_path: Path) -> None:
    file = write_raw(tmp_path / "x.safetensors", ONE, bytes(8), length=length)
    tracemalloc.start()
    assert str(length) in refusal(file)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_header_beyond_the_formats_limit(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    with file.open("wb") as stream:
        stream.write((200_000_000).to_bytes(8, "little") + b"{")
        stream.truncate(300_000_000)  # sparse
    assert "200000000" in refusal(file)


@pytest.mark.parametrize(
    "header",
    [
        b"{broken",
        b'{"a": 1, "a": 2}',
        b"{" + b'"a":{' * 100_000,
        b'{"\xff": 1}',
        {"a": 1},
        {"a": {"dtype": "F32"}},
        {"a": described("F32", [-2], 0, 8)},
        {"a": described("F32", [2], 0, 9)},
        {"a": {**described("F32", [2], 0, 8), "shape": [2.0]}},
        {"a": {**described("F32", [2], 0, 8), "shape": [True, 2]}},
        {"a": {**described("F32", [2], 0, 8), "data_offsets": [0, 8, 9]}},
        {"a": described("F32", [2], 0, 8), "b": described("F32", [2], 4, 12)},
        {"a": described("F32", [2], 8, 16)},
    ],
)
def test_damaged_header(header: object, tmp_path: Path) -> None:
    assert "damaged" in refusal(write_raw(tmp_path / "x.safetensors", header, bytes(16)))


def test_unknown_dtype(tmp_path: Path) -> None:
    said = refusal(write_raw(tmp_path / "x.safetensors", {"a": described("Q4_K", [2], 0, 8)}, bytes(8)))
    assert "Q4_K" in said and "a is of unknown dtype" in said


def test_data_cut_short_and_data_too_long(tmp_path: Path) -> None:
    assert "truncated" in refusal(write_raw(tmp_path / "short", ONE, bytes(7)))
    assert "1 bytes more" in refusal(write_raw(tmp_path / "long", ONE, bytes(9)))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere.safetensors")
    assert "not a file" in refusal(tmp_path)


def test_hostile_key_stays_on_one_line() -> None:
    assert shown("a\nb\x1b[31m") == r"'a\nb\x1b[31m'"
    assert shown("") == "''" and shown("conv.weight") == "conv.weight"
    assert len(shown("x" * 1000)) == 120
