"""What chance does to a file: bits flipped, pieces cut out or doubled, values of JSON changed, swapped, nested."""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

ODD_NUMBERS = (0, -1, 1, 2, 255, 65535, 2**31, 2**53, 2**63, 10**400, 1e300, -1e300, 1e-300, float("nan"), float("inf"))
ODD_TEXTS = ("", "0", "1e999", "nan", "../x", "/dev/zero", "a\nb\x1b[31m", "\ud800", "${x}")
ODD_VALUES = (None, True, False, [], {}, [[]], *ODD_TEXTS)
DEEP = (3, 40, 1200, 100_000)  # levels of nesting


def damaged_bytes(content: bytes, chance: Random) -> bytes:
    """One to four places changed: a bit, a byte, a run of bytes, a piece cut out, doubled or moved, the end cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8, 64, 1024))
        # Headers are where readers go wrong, and a small part of most files.
        at = min(at, chance.choice((64, 512, len(data), len(data), len(data), len(data))))
        piece = data[at : at + length]
        match chance.randrange(8):
            case 0 | 1:
                if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
            case 2:
                data[at : at + length] = chance.randbytes(length)
            case 3:
                data[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(data), 2**20)))
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = piece * chance.choice((1, 1, 100))
            case 6:
                data[at : at + length] = b"\xff" * length
            case _:
                del data[max(at, len(data) // 8) :]
    return bytes(data)


def damaged_text(text: bytes, chance: Random) -> bytes:
    """Words of a text exchanged for others of its own, for odd numbers, or lines doubled, dropped and shuffled."""
    lines = text.split(b"\n")
    for _ in range(chance.randint(1, 4)):
        row = chance.randrange(len(lines))
        words = lines[row].split(b" ")
        match chance.randrange(5):
            case 0:
                words[chance.randrange(len(words))] = str(chance.choice(ODD_NUMBERS)).encode()
            case 1:
                words[chance.randrange(len(words))] = chance.choice(chance.choice(lines).split(b" "))
            case 2:
                words = words * chance.choice((0, 2, 1000))
            case 3:
                other = chance.randrange(len(lines))
                lines[other], words = lines[row], lines[other].split(b" ")
            case _:
                words = [damaged_bytes(lines[row], chance)]
        lines[row] = b" ".join(words)
    return b"\n".join(lines)


def damaged_json(text: bytes, chance: Random) -> bytes:
    """The document with one to three of its values changed, or its text damaged as bytes are."""
    if chance.random() < 0.15:
        return damaged_bytes(text, chance)
    document = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        document = _changed(document, chance, whole=1.0)
    written = json.dumps(document, ensure_ascii=chance.random() < 0.9)
    if chance.random() < 0.08:
        level = chance.choice(DEEP)
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        deep = opening * level + "1" + closing * level
        # In the place of some value of the text: the first number after a random place.
        at = written.find(": ", chance.randrange(len(written)))
        written = deep if at < 0 else f"{written[: at + 2]}{deep}, {written[at + 2 :]}"
    return written.encode("utf-8", "surrogatepass")


def damaged_glb(content: bytes, chance: Random) -> bytes:
    """Its JSON changed, with the right lengths around it, or its bytes."""
    if content[:4] != b"glTF" or len(content) < 20 or chance.random() < 0.3:
        return damaged_bytes(content, chance)
    length = struct.unpack("<I", content[12:16])[0]
    try:
        text = damaged_json(content[20 : 20 + length], chance)
    except ValueError:
        return damaged_bytes(content, chance)
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    total = 20 + len(text) + len(rest)
    return content[:8] + struct.pack("<II4s", total, len(text), b"JSON") + text + rest


def damaged_safetensors(content: bytes, chance: Random) -> bytes:
    """Its header changed, with the right length before it, or its bytes."""
    if len(content) < 8 or chance.random() < 0.3:
        return damaged_bytes(content, chance)
    length = struct.unpack("<Q", content[:8])[0]
    try:
        text = damaged_json(content[8 : 8 + length], chance)
    except ValueError:
        return damaged_bytes(content, chance)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def damage_of(name: str) -> Callable[[bytes, Random], bytes]:
    """The way in which a file of this name is damaged."""
    suffix = name.lower().rsplit(".", 1)[-1]
    if suffix in ("json", "gltf"):
        return damaged_json
    kinds = {"glb": damaged_glb, "safetensors": damaged_safetensors}
    texts = ("obj", "mtl", "yaml", "csv", "log", "off", "txt", "ply", "stl")

    def of_text(content: bytes, chance: Random) -> bytes:
        return (damaged_text if chance.random() < 0.7 else damaged_bytes)(content, chance)

    return of_text if suffix in texts else kinds.get(suffix, damaged_bytes)


def _changed(value: Any, chance: Random, whole: float = 0.9) -> Any:
    """The value with something in it replaced, left out, doubled, renamed, or swapped with another. It stays a list or
    a mapping with the probability `whole`."""
    if isinstance(value, dict) and value and chance.random() < whole:
        key = chance.choice(list(value))
        match chance.randrange(20):
            case 0:
                return {other: kept for other, kept in value.items() if other != key}
            case 1:
                other = chance.choice(list(value))
                return value | {key: value[other], other: value[key]}
            case 2:
                renamed = chance.choice((key.upper(), key + "s", "", key[:-1], "type", "extensions"))
                return {renamed if other == key else other: kept for other, kept in value.items()}
            case _:
                return value | {key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < whole:
        at = chance.randrange(len(value))
        match chance.randrange(14):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[: at + 1] * chance.choice((1, 1, 50)) + value[at:]
            case 2:
                other = chance.randrange(len(value))
                swapped = list(value)
                swapped[at], swapped[other] = value[other], value[at]
                return swapped
            case _:
                return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.5:
        return chance.choice((value + 1, value - 1, -value, value * 1000, value // 7, value + 10**6))
    if isinstance(value, str) and chance.random() < 0.4:
        slashed = value.replace(".", "\\")
        return chance.choice((value + value, value[:-1], value.upper(), "/" + value, value * 2000, slashed))
    return chance.choice((chance.choice(ODD_NUMBERS), chance.choice(ODD_VALUES), [value], {"a": value}, [value] * 20))
