"""The Triton version of a mesh's coverage of pixels: edges side by side, an atomic maximum for the outermost of a pair.

All is computed in float64, from screen positions on. A pair of pixels keeps its outermost edge as one 64-bit number, t
in fixed point before the edge, so that the result does not follow the order in which programs run; gradients are added
up atomically, and their last bits do. The host waits for nothing.
"""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

from sv3dgen.kernels.triton_launch import blocks, launch

ITEMS = 128
NO_EDGE = -1
T_ONE = tl.constexpr(float(1 << 30))  # t = 1 in fixed point; a kernel can read no other globals
LAST_EDGE = tl.constexpr(0xFFFFFFFF)


class Coverage(torch.autograd.Function):
    """Clip positions (float32), face of each pixel, faces, edges' vertices and faces -> coverage (float32)."""

    @staticmethod
    def forward(ctx, clip, face_index, faces, edge_vertices, edge_faces):
        tensors = clip.detach(), face_index.int(), faces, edge_vertices, edge_faces
        clip, face_index, faces, ends, sides = (tensor.contiguous() for tensor in tensors)
        (views, vertices, _), (height, width) = clip.shape, face_index.shape[1:]
        screen = clip.new_empty(views, vertices, 2, dtype=torch.float64)
        _over(_screen_kernel, views * vertices, clip, screen, height, width)
        facing = torch.empty(views, len(faces), dtype=torch.uint8, device=clip.device)
        _over(_facing_kernel, views * len(faces), screen, faces, facing, vertices, len(faces))
        winner = torch.full((views, 2, height, width), NO_EDGE, device=clip.device)
        arguments = screen, facing, face_index, ends, sides, winner, len(ends), vertices, len(faces), height, width
        launch(_winner_kernel, (blocks(len(ends), ITEMS), views), *arguments, ITEMS=ITEMS)
        total = torch.empty_like(face_index, dtype=torch.float32)
        _over(_coverage_kernel, total.numel(), screen, face_index, ends, winner, total, vertices, height, width)
        ctx.save_for_backward(clip, screen, face_index, ends, winner, total)
        return total.clamp(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        clip, screen, face_index, ends, winner, total = ctx.saved_tensors
        to_clip = torch.zeros_like(clip)
        tensors = clip, screen, face_index, ends, winner, total, gradient.float().contiguous(), to_clip
        _over(_backward_kernel, winner.numel(), *tensors, clip.shape[1], *face_index.shape[1:])
        return to_clip, None, None, None, None


def _over(kernel, count: int, *arguments: Tensor | int) -> None:
    """Run a kernel over `count` items, which it takes first among its numbers."""
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    launch(kernel, (blocks(count, ITEMS),), *tensors, count, *arguments[len(tensors) :], ITEMS=ITEMS)


@triton.jit
@no_type_check
def _screen_kernel(clip, screen, count, height, width, ITEMS: tl.constexpr):
    """Image positions with pixel centers at whole numbers; NaN in front of the near plane."""
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    here = i < count
    x = tl.load(clip + 4 * i, mask=here, other=0.0).to(tl.float64)
    y = tl.load(clip + 4 * i + 1, mask=here, other=0.0).to(tl.float64)
    z = tl.load(clip + 4 * i + 2, mask=here, other=0.0).to(tl.float64)
    w = tl.load(clip + 4 * i + 3, mask=here, other=1.0).to(tl.float64)
    usable = (w > 0) & (z >= -w)
    w = tl.where(usable, w, 1.0)
    tl.store(screen + 2 * i, tl.where(usable, (x / w * 0.5 + 0.5) * width - 0.5, float("nan")), mask=here)
    tl.store(screen + 2 * i + 1, tl.where(usable, (0.5 - y / w * 0.5) * height - 0.5, float("nan")), mask=here)


@triton.jit
@no_type_check
def _position(screen, vertex, here):
    return tl.load(screen + 2 * vertex, mask=here, other=0.0), tl.load(screen + 2 * vertex + 1, mask=here, other=0.0)


@triton.jit
@no_type_check
def _facing_kernel(screen, faces, facing, count, vertices, num_faces, ITEMS: tl.constexpr):
    """Whether each face of each view runs clockwise on the screen."""
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    here = i < count
    first, face = i // num_faces * vertices, i % num_faces
    ax, ay = _position(screen, first + tl.load(faces + 3 * face, mask=here, other=0), here)
    bx, by = _position(screen, first + tl.load(faces + 3 * face + 1, mask=here, other=0), here)
    cx, cy = _position(screen, first + tl.load(faces + 3 * face + 2, mask=here, other=0), here)
    clockwise = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0
    tl.store(facing + i, clockwise.to(tl.uint8), mask=here)


@triton.jit
@no_type_check
def _winner_kernel(
    screen,
    facing,
    face_index,
    ends,
    sides,
    winner,
    count,
    vertices,
    num_faces,
    height,
    width,
    ITEMS: tl.constexpr,
):
    """Follow silhouette edges over the pairs they cross: [view, axis, row, col].

    Axis 1 holds the pairs (row, col), (row, col + 1) of steep edges, axis 0 (row, col), (row + 1, col) of flat ones.
    """
    view = tl.program_id(1).to(tl.int64)
    edge = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    here = edge < count
    one = tl.load(sides + 2 * edge, mask=here, other=0)
    other = tl.load(sides + 2 * edge + 1, mask=here, other=-1)
    border = other < 0
    of_one = tl.load(facing + view * num_faces + one, mask=here, other=0)
    of_other = tl.load(facing + view * num_faces + other, mask=here & (other >= 0), other=0)
    walks = here & (border | (of_one != of_other))
    ax, ay = _position(screen, view * vertices + tl.load(ends + 2 * edge, mask=walks, other=0), walks)
    bx, by = _position(screen, view * vertices + tl.load(ends + 2 * edge + 1, mask=walks, other=0), walks)
    walks = walks & (ax == ax) & (bx == bx)  # no vertex is in front of the near plane
    steep = tl.abs(by - ay) >= tl.abs(bx - ax)
    a_along, a_across = tl.where(steep, ay, ax), tl.where(steep, ax, ay)
    b_along, b_across = tl.where(steep, by, bx), tl.where(steep, bx, by)
    size_along, size_across = tl.where(steep, height, width), tl.where(steep, width, height)

    # Limits before they become whole numbers: an edge may reach far outside the frame.
    first = tl.maximum(tl.ceil(tl.minimum(a_along, b_along)), 0.0)
    last = tl.minimum(tl.ceil(tl.maximum(a_along, b_along)) - 1, size_along.to(tl.float64) - 1)
    walks = walks & (first <= last)
    first = tl.where(walks, first, 0.0).to(tl.int32)
    steps = tl.where(walks, last, -1.0).to(tl.int32) - first + 1
    slope = (b_across - a_across) / tl.where(walks, b_along - a_along, 1.0)
    frame = view * height * width
    for step in range(0, tl.max(steps, axis=0)):
        n = first + step
        crossing = a_across + (n.to(tl.float64) - a_along) * slope
        low = tl.floor(crossing)
        inside = (step < steps) & (low >= 0) & (low + 1 < size_across)
        across = tl.where(inside, low, 0.0).to(tl.int32)
        place = tl.where(steep, n * width + across, across * width + n)
        covered = tl.load(face_index + frame + place, mask=inside, other=-1) >= 0
        beyond = tl.load(face_index + frame + place + tl.where(steep, 1, width), mask=inside, other=-1) >= 0
        t = tl.where(inside, tl.where(covered, crossing - low, low + 1 - crossing), 0.0)
        key = ((t * T_ONE).to(tl.int64) << 32) | (LAST_EDGE - edge)  # of equal t the lowest edge
        pair = 2 * frame + tl.where(steep, height * width, 0) + place
        tl.atomic_max(winner + pair, key, mask=inside & (covered != beyond), sem="relaxed")


@triton.jit
@no_type_check
def _edge_at(screen, ends, key, view, vertices, has):
    """Vertices and their positions of the edges that won their pairs."""
    edge = tl.where(has, LAST_EDGE - (key & LAST_EDGE), 0)
    a = view * vertices + tl.load(ends + 2 * edge, mask=has, other=0)
    b = view * vertices + tl.load(ends + 2 * edge + 1, mask=has, other=0)
    ax, ay = _position(screen, a, has)
    bx, by = _position(screen, b, has)
    return a, b, ax, ay, bx, by


@triton.jit
@no_type_check
def _fraction(ax, ay, bx, by, row, col, steep, here_covered, has):
    """t of an edge at the pair of pixels that starts at (row, col), its slope, and the share of its second vertex."""
    along, across = tl.where(steep, by - ay, bx - ax), tl.where(steep, bx - ax, by - ay)
    along = tl.where(has, along, 1.0)
    share = tl.where(steep, row - ay, col - ax) / along
    beyond = share * across + tl.where(steep, ax - col, ay - row)
    return tl.where(here_covered, beyond, 1 - beyond), across / along, share


@triton.jit
@no_type_check
def _change(
    screen,
    ends,
    winner,
    view,
    row,
    col,
    vertices,
    height,
    width,
    covered,
    here,
    steep: tl.constexpr,
    back: tl.constexpr,
):
    """What a pixel gains by the pair that it starts, or with `back` ends."""
    r, c = row - back * (1 - steep), col - back * steep
    held = here & (r >= 0) & (c >= 0)
    key = tl.load(winner + ((2 * view + steep) * height + r) * width + c, mask=held, other=-1)
    has = key >= 0
    _, _, ax, ay, bx, by = _edge_at(screen, ends, key, view, vertices, has)
    first_covered = covered != (back == 1)
    t, _, _ = _fraction(ax, ay, bx, by, r, c, steep == 1, first_covered, has)
    return tl.where(has & ((t > 0.5) != covered), t - 0.5, 0.0)


@triton.jit
@no_type_check
def _coverage_kernel(screen, face_index, ends, winner, total, count, vertices, height, width, ITEMS: tl.constexpr):
    """Coverage before it is clamped to [0, 1]."""
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    here = i < count
    covered = tl.load(face_index + i, mask=here, other=-1) >= 0
    view, row, col = i // (height * width), i // width % height, i % width
    value = covered.to(tl.float64)
    for back in tl.static_range(2):
        for steep in tl.static_range(2):
            value += _change(screen, ends, winner, view, row, col, vertices, height, width, covered, here, steep, back)
    tl.store(total + i, value.to(tl.float32), mask=here)


@triton.jit
@no_type_check
def _pull(clip, to_clip, vertex, x, y, height, width, counts):
    """Add a gradient of a screen position to the clip position behind it."""
    cx = tl.load(clip + 4 * vertex, mask=counts, other=0.0).to(tl.float64)
    cy = tl.load(clip + 4 * vertex + 1, mask=counts, other=0.0).to(tl.float64)
    w = tl.load(clip + 4 * vertex + 3, mask=counts, other=1.0).to(tl.float64)
    x, y = 0.5 * width / w * x, -0.5 * height / w * y
    tl.atomic_add(to_clip + 4 * vertex, x.to(tl.float32), mask=counts, sem="relaxed")
    tl.atomic_add(to_clip + 4 * vertex + 1, y.to(tl.float32), mask=counts, sem="relaxed")
    tl.atomic_add(to_clip + 4 * vertex + 3, (-(x * cx + y * cy) / w).to(tl.float32), mask=counts, sem="relaxed")


@triton.jit
@no_type_check
def _backward_kernel(
    clip,
    screen,
    face_index,
    ends,
    winner,
    total,
    gradient,
    to_clip,
    count,
    vertices,
    height,
    width,
    ITEMS: tl.constexpr,
):
    """The pairs' pull on the vertices of the edges that won them."""
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    key = tl.load(winner + i, mask=i < count, other=-1)
    has = key >= 0
    view, steep = i // (2 * height * width), i // (height * width) % 2 == 1
    row, col = i // width % height, i % width
    place = (view * height + row) * width + col
    a, b, ax, ay, bx, by = _edge_at(screen, ends, key, view, vertices, has)
    covered = tl.load(face_index + place, mask=has, other=-1) >= 0
    t, slope, share = _fraction(ax, ay, bx, by, row, col, steep, covered, has)
    beside = (t > 0.5) == covered  # the pixel that changes is the second of the pair
    place = tl.where(beside, place + tl.where(steep, 1, width), place)
    value = tl.load(total + place, mask=has, other=-1.0)
    counts = has & (value >= 0) & (value <= 1)
    pull = tl.load(gradient + place, mask=counts, other=0.0).to(tl.float64)
    pull = tl.where(covered, pull, -pull)
    # The crossing moves with the vertex across, and against slope times its motion along the axis.
    across, along = (1 - share) * pull, -slope * (1 - share) * pull
    _pull(clip, to_clip, a, tl.where(steep, across, along), tl.where(steep, along, across), height, width, counts)
    across, along = share * pull, -slope * share * pull
    _pull(clip, to_clip, b, tl.where(steep, across, along), tl.where(steep, along, across), height, width, counts)
