"""A world that structure from motion leaves in any rotation, turned so that the object stands."""

import torch
from jaxtyping import Float
from torch import Tensor

_SPREAD = 0.02  # of the cameras' right axes, in their second direction: less, and they do not tell which way is up


def upright(cameras: Float[Tensor, "views 4 4"]) -> Float[Tensor, "4 4"]:
    """The rotation (float64) after which +Y is up and the first camera looks from +Z, the front.

    Who takes photos holds the camera level: its right axis is horizontal, whichever way it looks up or down. Up is the
    direction that all right axes are square to. Where they are all alike, it is the mean of the cameras' own.
    """
    right, own_up, backward = (cameras[:, :3, axis].double() for axis in range(3))
    mean = own_up.mean(0)
    values, vectors = torch.linalg.eigh(right.T @ right / len(right))
    up = vectors[:, 0] * torch.sign(vectors[:, 0] @ mean) if values[1] > _SPREAD else mean
    up = torch.nn.functional.normalize(up, dim=0)
    front = backward[0] - (backward[0] @ up) * up  # straight from above it has none, and any will do
    front = front if front.norm() > 1e-3 else torch.linalg.cross(right[0], up)
    front = torch.nn.functional.normalize(front, dim=0)
    rotation = torch.eye(4, dtype=torch.float64)
    rotation[:3, :3] = torch.stack([torch.linalg.cross(up, front), up, front])
    return rotation
