"""Draw the example object: 21 posed views of a toy tugboat, made of signed distances and nothing else.

    python examples/make_views.py [FOLDER]        (default: examples/tugboat; a minute or two)

The boat is a handful of primitives, sphere-traced with soft shadows under a sun and a sky. It is not symmetric, and it
has what a reconstruction finds hard: a well inside the bulwark, a handle, a hollow funnel, a thin mast, fine stripes.
Lengths are in world units, the bow faces +Z, +Y is up, colors are linear until the last line that touches them.
"""

import sys
from math import atan2, exp, floor, pi, sqrt
from pathlib import Path

import numpy as np
import torch
from numba import njit, prange

from sv3dgen.views.orbits import orbit_by_name
from sv3dgen.views.posed_views import PosedViews, downscale_rgba, write_views

SIZE_PX = 320
SUPERSAMPLING = 3
CENTER_Y = 0.125  # of the bounding box, so that the object is centered on the origin
HULL, DECK, CABIN, ROOF, GLASS, FUNNEL, HANDLE, MAST, RING, CRATE = range(10)
SUN = (0.48, 0.72, 0.50)
HIT, FAR, MAX_STEPS = 2e-4, 3.2, 160


@njit(cache=True)
def box(x, y, z, half_x, half_y, half_z, round_):
    """Signed distance of a box with rounded edges."""
    qx, qy, qz = abs(x) - half_x + round_, abs(y) - half_y + round_, abs(z) - half_z + round_
    outside = sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2 + max(qz, 0.0) ** 2)
    return outside + min(max(qx, max(qy, qz)), 0.0) - round_


@njit(cache=True)
def ellipsoid(x, y, z, rx, ry, rz):
    """Signed distance of an ellipsoid, to first order."""
    k0 = sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    k1 = sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2 + (z / rz**2) ** 2)
    return k0 * (k0 - 1.0) / max(k1, 1e-9)


@njit(cache=True)
def cylinder(radial, along, radius, half):
    """Signed distance of a cylinder, from the distance to its axis and the place along it."""
    dr, da = radial - radius, abs(along) - half
    return min(max(dr, da), 0.0) + sqrt(max(dr, 0.0) ** 2 + max(da, 0.0) ** 2)


@njit(cache=True)
def smooth_max(a, b, width):
    """max(a, b) with the edge rounded over `width`."""
    h = max(width - abs(a - b), 0.0) / width
    return max(a, b) + h * h * width * 0.25


@njit(cache=True)
def parts(x, y, z):
    """Signed distance and name of the nearest part of the boat at a point of the world."""
    y += CENTER_Y
    # The sheer: bow and stern rise.
    sheer = y - 0.30 * z * z - 0.04 * z
    hull = smooth_max(ellipsoid(x, y + 0.02, z, 0.27, 0.26, 0.5), sheer, 0.03)
    hull = smooth_max(hull, -0.21 - y, 0.05)
    well = max(ellipsoid(x, y + 0.02, z, 0.225, 0.24, 0.45), -0.075 - sheer)
    hull = smooth_max(hull, -well, 0.02)
    best, name = hull, HULL
    if well < 0.012 and sheer < -0.065:
        name = DECK
    # The cabin stands in the well, a little aft; its windows are cut in.
    cx, cy, cz = x, y - 0.04, z + 0.06
    cabin = box(cx, cy, cz, 0.125, 0.15, 0.145, 0.025)
    front = sqrt((abs(cx) - 0.055) ** 2 + (cy - 0.06) ** 2) - 0.038
    side = sqrt((abs(cz) - 0.062) ** 2 + (cy - 0.06) ** 2) - 0.042
    glass = cabin + 0.018
    cabin = max(cabin, -max(front if cz > 0 else 1.0, -glass))
    cabin = max(cabin, -max(side, -glass))
    if cabin < best:
        best, name = cabin, CABIN
        if glass < 0.004 and (front < 0.0 or side < 0.0):
            name = GLASS
    # The roof overhangs and slopes aft.
    roof = box(x, y - 0.205 - 0.10 * cz, cz, 0.155, 0.020, 0.185, 0.015)
    if roof < best:
        best, name = roof, ROOF
    # The funnel leans aft and stands to port; it is hollow.
    fy, fz = y - 0.295, z + 0.115
    fy, fz = 0.966 * fy - 0.259 * fz, 0.259 * fy + 0.966 * fz
    radial = sqrt((x + 0.045) ** 2 + fz**2)
    funnel = cylinder(radial, fy, 0.062, 0.115)
    funnel = min(funnel, cylinder(radial, fy - 0.095, 0.074, 0.018))
    funnel = max(funnel, -cylinder(radial, fy - 0.12, 0.044, 0.13))
    if funnel < best:
        best, name = funnel, FUNNEL
    # The handle: an arch over the stern.
    hy, hz = y - 0.02, z + 0.36
    arch = sqrt((sqrt(x * x + hy * hy) - 0.145) ** 2 + hz**2) - 0.024
    arch = max(arch, -hy - 0.10)
    if arch < best:
        best, name = arch, HANDLE
    # The mast at the bow, with a ball on top.
    mast = cylinder(sqrt(x * x + (z - 0.33) ** 2), y - 0.13, 0.016, 0.16)
    mast = min(mast, sqrt(x * x + (y - 0.31) ** 2 + (z - 0.33) ** 2) - 0.036)
    if mast < best:
        best, name = mast, MAST
    # A life ring on the starboard wall, between the windows and the deck.
    rx, ry, rz = x - 0.135, y - 0.015, z + 0.06
    ring = sqrt((sqrt(ry * ry + rz * rz) - 0.052) ** 2 + rx**2) - 0.020
    if ring < best:
        best, name = ring, RING
    # A crate on the fore deck, turned and to port.
    kx, kz = 0.88 * (x + 0.07) - 0.47 * (z - 0.19), 0.47 * (x + 0.07) + 0.88 * (z - 0.19)
    crate = box(kx, y + 0.015, kz, 0.055, 0.055, 0.055, 0.008)
    if crate < best:
        best, name = crate, CRATE
    return best, name


@njit(cache=True)
def albedo(name, x, y, z):
    """Linear albedo of a part at a point of the world."""
    y += CENTER_Y
    if name == HULL:
        line = y - 0.30 * z * z - 0.04 * z
        if line > -0.035:
            return 0.80, 0.76, 0.66
        if line > -0.058:
            return 0.62, 0.40, 0.06
        if y > -0.125:
            return 0.55, 0.035, 0.028
        return 0.03, 0.07, 0.16
    if name == DECK:
        plank = floor((x + 1.0) / 0.035)
        seam = (x + 1.0) / 0.035 - plank
        tint = 0.85 + 0.3 * ((plank * 7.0) % 5.0) / 5.0
        tint *= 0.45 if seam < 0.1 else 1.0
        return 0.42 * tint, 0.22 * tint, 0.09 * tint
    if name == CABIN:
        board = 0.82 if ((y + 1.0) / 0.05) % 1.0 < 0.12 else 1.0
        if y < -0.01:
            return 0.10 * board, 0.36 * board, 0.34 * board
        return 0.78 * board, 0.75 * board, 0.66 * board
    if name == GLASS:
        return 0.16, 0.42, 0.62
    if name == ROOF:
        checks = (floor((x + 1.0) / 0.052) + floor((z + 1.0) / 0.052)) % 2.0
        return (0.60, 0.10, 0.04) if checks < 1.0 else (0.75, 0.52, 0.14)
    if name == FUNNEL:
        up = y - 0.27 * z
        if up > 0.42:
            return 0.035, 0.035, 0.045
        return (0.70, 0.66, 0.56) if ((up + 1.0) / 0.10) % 1.0 < 0.5 else (0.55, 0.035, 0.028)
    if name == HANDLE:
        turns = (atan2(y - 0.02, x) / pi * 13.0 + z * 8.0) % 1.0
        return (0.62, 0.40, 0.06) if turns < 0.5 else (0.36, 0.17, 0.05)
    if name == MAST:
        return (0.62, 0.40, 0.06) if y > 0.27 else (0.70, 0.68, 0.62)
    if name == RING:
        return (0.80, 0.77, 0.70) if atan2(y - 0.015, z + 0.06) / pi * 4.0 % 2.0 < 1.0 else (0.65, 0.06, 0.03)
    frame = ((y + 0.07) / 0.037) % 1.0 < 0.14
    return (0.17, 0.08, 0.03) if frame else (0.48, 0.29, 0.12)


@njit(cache=True)
def trace(ox, oy, oz, dx, dy, dz, start):
    """Distance along a ray to the boat, or a negative number; and the soft-shadow factor of a ray that misses."""
    t, clear = start, 1.0
    for _ in range(MAX_STEPS):
        distance, _name = parts(ox + t * dx, oy + t * dy, oz + t * dz)
        if distance < HIT:
            return t, 0.0
        clear = min(clear, 9.0 * distance / t)
        t += 0.7 * distance  # the ellipsoid and the sheer are not exact distances
        if t > FAR:
            break
    return -1.0, clear


@njit(cache=True)
def normal_at(x, y, z):
    """Outward unit normal, from differences at the corners of a tetrahedron."""
    h = 6e-4
    a, b = parts(x + h, y - h, z - h)[0], parts(x - h, y - h, z + h)[0]
    c, d = parts(x - h, y + h, z - h)[0], parts(x + h, y + h, z + h)[0]
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    length = max(sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return nx / length, ny / length, nz / length


@njit(cache=True)
def shade(x, y, z):
    """Linear color of a surface point: sun with a soft shadow, sky and ground with ambient occlusion."""
    name = parts(x, y, z)[1]
    nx, ny, nz = normal_at(x, y, z)
    occlusion = 0.0
    for i in range(1, 6):
        step = 0.022 * i
        occlusion += (step - parts(x + nx * step, y + ny * step, z + nz * step)[0]) * 0.62**i
    sky = exp(-7.0 * max(occlusion, 0.0))
    sx, sy, sz = SUN
    length = sqrt(sx * sx + sy * sy + sz * sz)
    sx, sy, sz = sx / length, sy / length, sz / length
    facing = max(nx * sx + ny * sy + nz * sz, 0.0)
    if facing > 0.0:
        facing *= trace(x + 4e-3 * nx, y + 4e-3 * ny, z + 4e-3 * nz, sx, sy, sz, 4e-3)[1]
    up = 0.5 + 0.5 * ny
    r, g, b = albedo(name, x, y, z)
    red = r * (0.95 * facing + sky * (0.30 + 0.40 * up))
    green = g * (0.90 * facing + sky * (0.29 + 0.44 * up))
    blue = b * (0.82 * facing + sky * (0.28 + 0.50 * up))
    return red, green, blue


@njit(cache=True, parallel=True)
def draw(origins, directions):
    """Linear RGB and coverage of every ray: [rays, 3] twice in, [rays, 4] out."""
    out = np.zeros((len(origins), 4), dtype=np.float32)
    for i in prange(len(origins)):
        ox, oy, oz = origins[i]
        dx, dy, dz = directions[i]
        closest = -(ox * dx + oy * dy + oz * dz)
        if ox * ox + oy * oy + oz * oz - closest * closest > 0.64**2:
            continue  # passes by the bounding sphere
        t = trace(ox, oy, oz, dx, dy, dz, closest - 0.64)[0]
        if t > 0.0:
            red, green, blue = shade(ox + t * dx, oy + t * dy, oz + t * dz)
            out[i] = red, green, blue, 1.0
    return out


def main(folder: Path) -> None:
    """Render the views of a sine-30 orbit whose last view is the front, and write them with their cameras."""
    orbit = orbit_by_name("sine30", elevation_deg=10.0)
    cameras = orbit.cameras(size_px=SIZE_PX)
    fine = orbit.cameras(size_px=SIZE_PX * SUPERSAMPLING)
    origins, directions = fine.rays()
    images = []
    for view_origins, view_directions in zip(origins, directions, strict=True):
        linear = draw(view_origins.reshape(-1, 3).double().numpy(), view_directions.reshape(-1, 3).double().numpy())
        image = torch.from_numpy(linear).clamp(0, 1).view(fine.height_px, fine.width_px, 4).permute(2, 0, 1)
        images.append(downscale_rgba((to_srgb(image) * 255).round().byte(), SIZE_PX, SIZE_PX))
    views = PosedViews(
        images=torch.stack(images),
        cameras=cameras,
        names=tuple(f"{i:03d}.png" for i in range(len(orbit))),
        splits=("train",) * len(orbit),
        elevation_deg=orbit.elevation_deg,
        azimuth_deg=orbit.azimuth_deg,
        source_to_world=torch.eye(4),
    )
    write_views(views, folder)
    print(f"{len(orbit)} views in {folder}")


def to_srgb(linear: torch.Tensor) -> torch.Tensor:
    """[4, height, width] linear color and opacity to sRGB; the opacity stays as it is."""
    color = linear[:3]
    curved = torch.where(color <= 0.0031308, 12.92 * color, 1.055 * color.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    return torch.cat([curved, linear[3:]])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tugboat"))
