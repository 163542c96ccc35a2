"""Marks that stand still in a film while the object turns: a logo, a date, what a program writes into a corner."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from sv3dgen.cutout.masks import grown, part_boxes, part_sizes, parts

_FEWEST_FRAMES = 6
_HELD = 0.9  # of the frames in which a pixel of a mark is seen, and most of whose colors are alike:
_ALIKE = 24  # levels of 255, more than compression moves
_SMALLEST_PX = 6
_CHUNK_BYTES = 2**24  # of colors that are compared at a time; a long film's would be hundreds of megabytes
_SOFT_PX = 2  # around a mark, where its edge is half seen


@dataclass(frozen=True)
class StillMark:
    """One of them: its box in pixels, and how it stands to the object."""

    left: int
    top: int
    width: int
    height: int
    touching: int  # frames in which it is one with the object, and stays
    on_axis: bool  # right above or below the middle, where a part of the object may stand still as well: it stays

    def told(self, frames: int) -> str:
        """A line on it, without a name of the file."""
        what = (
            f"a mark of {self.width}x{self.height} px at ({self.left}, {self.top}) stands still in all {frames} frames"
        )
        if self.on_axis:
            return f"{what}, in the middle, where a part of the object may; it is kept: crop or erase it if it is none"
        if self.touching:
            return f"{what}; left out but for {self.touching} frames in which it touches the object: crop or erase it"
        return f"{what}; left out"


def still_marks(
    rgba: UInt8[np.ndarray, "frames 4 height width"],
) -> tuple[Bool[np.ndarray, "frames height width"], list[StillMark]]:
    """What is to be cleared of each frame, and the marks. Apart from the object in most frames, they are none of it."""
    masks = rgba[:, 3] >= 128
    cleared = np.zeros_like(masks)
    if len(masks) < _FEWEST_FRAMES:
        return cleared, []
    steady = _steady(rgba[:, :3], masks)
    if not steady.any():
        return cleared, []
    pieces = parts(grown(steady, 1), diagonals=True)
    boxes = list(enumerate(part_boxes(pieces), 1))
    spots = [(box, (pieces[box] == number) & steady[box]) for number, box in boxes]
    spots = [(box, piece) for box, piece in spots if piece.sum() >= _SMALLEST_PX]
    # A frame's parts are numbered when they are needed, and again below: all frames' at once would fill the memory.
    labels = (parts(mask, diagonals=True) for mask in masks)
    numbers = [(_largest(label), [np.setdiff1d(label[box][piece], [0]) for box, piece in spots]) for label in labels]
    objects = [largest for largest, _ in numbers]
    marks, left_out = [], []
    for place, ((rows, columns), _) in enumerate(spots):
        found = [each[place] for _, each in numbers]
        touching = sum(thing in here for thing, here in zip(objects, found, strict=True))
        if touching > 0.5 * len(masks):
            continue
        on_axis = columns.start <= masks.shape[2] / 2 < columns.stop
        marks.append(
            StillMark(
                columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start, touching, on_axis
            )
        )
        if not on_axis:
            left_out.append(found)
    for index, thing in enumerate(objects):
        apart = [found[index] for found in left_out if thing not in found[index]]
        if apart:
            label = parts(masks[index], diagonals=True)
            for here in apart:
                cleared[index] |= grown(np.isin(label, here), _SOFT_PX) & (label != thing)
    return cleared, marks


def _steady(
    rgb: UInt8[np.ndarray, "frames 3 height width"], masks: Bool[np.ndarray, "frames height width"]
) -> Bool[np.ndarray, "height width"]:
    """Pixels that are cut out in nearly all frames, in one color."""
    steady = masks.mean(0) >= _HELD
    rows = max(1, _CHUNK_BYTES // (len(rgb) * 3 * rgb.shape[3]))
    for first in range(0, len(steady), rows):
        here = steady[first : first + rows]  # a view: what is set is set in the whole
        if here.any():
            held = rgb[:, :, first : first + rows][:, :, here]
            low, high = np.percentile(held, [5, 95], axis=0, method="nearest", overwrite_input=True)
            here[here] = (high - low).max(0) <= _ALIKE
    return steady


def _largest(labels: np.ndarray) -> int:
    sizes = part_sizes(labels)
    sizes[0] = 0
    return int(sizes.argmax())
