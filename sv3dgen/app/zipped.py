"""A folder that comes as a .zip: its files under names of ours, and the paths that they had.

A zip keeps the paths of a folder's files; of a folder that is dropped, Gradio keeps the files' names only. Nothing that
a zip says of itself is believed: paths that lead out, links and encrypted files are refused, and bytes are counted.
"""

import errno
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sv3dgen.errors import InputError, one_line

MOST_ENTRIES = 5000  # folders and files that are left out among them
_MOST_LISTED = 8 * 2**20  # bytes of the list of what is in it
_END = struct.Struct(
    "<4s4H2LH"
)  # the record at a zip's end: mark, disks, entries here and in all, bytes, place, comment
_MARK = b"PK\x05\x06"
_MARK_64, _BYTES_64 = b"PK\x06\x07", 20  # of what stands before it and has another record count instead

_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError, OSError)


def unzipped(archive: Path, into: Path, *, most_files: int, most_bytes: int) -> dict[PurePosixPath, Path]:
    """The files of a zip by their paths in it, as files in the folder `into`; hidden ones are left in it.

    Raises InputError for what is no such zip, and for more files or bytes than allowed.
    """
    _check_end(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            if any(not entry.filename for entry in opened.infolist()):
                raise InputError(f"{archive.name}: a file without a name")
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            kept = {_path(archive, entry): entry for entry in entries if not _is_hidden(entry.filename)}
            if len(kept) < sum(not _is_hidden(entry.filename) for entry in entries):
                raise InputError(f"{archive.name}: two files of one path")
            if len(kept) > most_files:
                raise InputError(f"{archive.name}: {len(kept)} files; expected at most {most_files}")
            left = most_bytes
            for index, entry in enumerate(kept.values()):
                left = _extract(opened, entry, into / f"{index:04d}", left)
                if left < 0:
                    raise InputError(f"{archive.name}: unpacked, more than {most_bytes >> 20} MB")
    except InputError:
        raise
    except _DAMAGES as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of the disk; a place beyond all files is not
            raise
        raise InputError(
            f"{archive.name}: damaged, or no zip that can be read ({one_line(str(error))[:80]})"
        ) from error
    return {path: into / f"{index:04d}" for index, path in enumerate(kept)}


def _check_end(archive: Path) -> None:
    """The list of entries is read as a whole; how long it is stands at the end of the file."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - 2**16 - _END.size - _BYTES_64))
        tail = file.read()
    at = tail.rfind(_MARK)
    if at < 0 or len(tail) < at + _END.size:
        raise InputError(f"{archive.name}: not a zip; expected a folder packed as one")
    if at >= _BYTES_64 and tail[at - _BYTES_64 :].startswith(_MARK_64):
        raise InputError(f"{archive.name}: packed for sizes beyond 4 GB (ZIP64); expected a plain zip")
    _, _, _, _, entries, listed, _, _ = _END.unpack_from(tail, at)
    if entries > MOST_ENTRIES or listed > _MOST_LISTED:
        raise InputError(f"{archive.name}: more than {MOST_ENTRIES} entries")


def _path(archive: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        raise InputError(f"{archive.name}: {one_line(name)[:80]} leads out of the folder")
    if (kind := stat.S_IFMT(entry.external_attr >> 16)) and kind != stat.S_IFREG:
        raise InputError(f"{archive.name}: {one_line(name)[:80]} is a link, or no file; expected files")
    if entry.flag_bits & 1:
        raise InputError(f"{archive.name}: encrypted; expected a zip without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others may ask for any memory
        raise InputError(f"{archive.name}: packed in an unusual way; expected a plain zip (deflate)")
    return PurePosixPath(name)


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part not in (".", "..") for part in parts)


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path, left: int) -> int:
    """Write a file; how many bytes are left after it, below zero where it was too much."""
    with opened.open(entry) as source, file.open("wb") as target:
        while left >= 0 and (chunk := source.read(2**20)):
            left -= len(chunk)
            target.write(chunk)
    return left
