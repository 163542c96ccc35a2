"""A density field on a multi-resolution hash grid with a small network (Instant-NGP; sizes in the yaml)."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.domains import Between, Pairs, Radius
from sv3dgen.interfaces import Field, FieldSample
from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_grid_spec
from sv3dgen.kernels.hash_grid.network import hash_network
from sv3dgen.schedules import value_at


class HashGrid(Field):
    """Points in the cube |x| <= `radius` to density and material features.

    Density is `softplus` or `exp` of the network's first output plus a prior: `blob` is Magic3D's
    10 (1 - |x| / 0.5), `constant` starts the whole box at `initial_density`.
    Levels open one by one by the schedule `levels_open`, rounded down (None: all at once).
    Normals are the negative, normalized density gradient (docs/method.md), differentiable in the parameters.
    """

    _active: Tensor

    def __init__(
        self,
        *,
        levels: Annotated[int, Between(1, 32)] = 16,
        base_resolution: Annotated[int, Between(2, 4096)] = 16,
        growth: Annotated[float | int, Between(1.0, 4.0)] = 1.44727,
        log2_table_size: Annotated[int, Between(4, 24)] = 19,
        features_per_level: Annotated[int, Between(1, 8)] = 2,
        hidden_width: Annotated[int, Between(1, 1024)] = 64,
        feature_dim: Annotated[int, Between(1, 64)] = 3,
        radius: Radius = 0.62,
        activation: Literal["softplus", "exp"] = "softplus",
        density_prior: Literal["blob", "constant"] = "blob",
        initial_density: Annotated[float | int, Between(0.000001, 10000.0)] = 10.0,
        levels_open: Annotated[list, Pairs(Annotated[float | int, Between(1.0, 32.0)])] | None = None,
        network_dtype: Literal["float32", "bfloat16"] = "float32",
    ):
        """`network_dtype` is of the hidden layer, which is most of the network; all else is float32."""
        super().__init__()
        self.network_dtype = network_dtype
        self.spec = hash_grid_spec(
            levels=levels,
            base_resolution=base_resolution,
            growth=growth,
            log2_table_size=log2_table_size,
            features_per_level=features_per_level,
        )
        self.levels, self.levels_open = levels, levels_open
        active = self._levels_at(0)
        # A buffer, so that it is in checkpoints: not every stage calls on_step. And a number, which the host need not
        # ask a GPU for.
        self.register_buffer("_active", torch.tensor(active))
        self.active_levels = active  # how many levels are open; the others read as zero
        self.radius, self.feature_dim = radius, feature_dim
        self.activation, self.density_prior, self.initial_density = activation, density_prior, initial_density
        self.table = nn.Parameter(torch.empty(self.spec.entries, features_per_level).uniform_(-1e-4, 1e-4))
        self.network = nn.Sequential(
            nn.Linear(levels * features_per_level, hidden_width),
            nn.ReLU(),
            nn.Linear(hidden_width, 1 + feature_dim),
        )
        for layer in self.network:
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)  # so that a fresh field is its prior, up to the tiny table

    @property
    def finest_cell(self) -> float:
        return 2 * self.radius / self.spec.resolutions[self.active_levels - 1]

    def on_step(self, step: int) -> None:
        if self.levels_open is not None:
            self.active_levels = self._levels_at(step)
            self._active.fill_(self.active_levels)

    def _levels_at(self, step: int) -> int:
        if self.levels_open is None:
            return self.levels
        return min(self.levels, max(1, math.floor(value_at(self.levels_open, step) + 1e-6)))

    def forward(self, points: Float[Tensor, "points 3"], with_normals: bool = False) -> FieldSample:
        if not with_normals:
            output = self._network_output(points)
            return FieldSample(self._density(output[:, 0], points), output[:, 1:], None)
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            tracked = points if points.requires_grad else points.detach().requires_grad_()
            output = self._network_output(tracked, twice=differentiable, learns=differentiable)
            density = self._density(output[:, 0], tracked)
            (slope,) = torch.autograd.grad(density.sum(), tracked, create_graph=differentiable, retain_graph=True)
        normals = nn.functional.normalize(-slope, dim=-1, eps=1e-6)
        return FieldSample(density, output[:, 1:], normals)

    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        return self._network_output(points)[:, 1:]

    def _network_output(self, points: Tensor, twice: bool = False, learns: bool = True) -> Tensor:
        unit = points / (2 * self.radius) + 0.5
        table = self.table if learns else self.table.detach()  # where only points have gradients, it costs a scatter
        if self.network_dtype == "float32":
            return hash_network(unit, table, self.spec, self.network, active_levels=self.active_levels, twice=twice)
        encoded = hash_encode(unit, table, self.spec, active_levels=self.active_levels)
        # Cast here rather than by autocast, which would round densities and colors too.
        hidden, _, output = self.network
        assert isinstance(hidden, nn.Linear)
        values, weight, bias = (part.to(torch.bfloat16) for part in (encoded, hidden.weight, hidden.bias))
        return output(nn.functional.linear(values, weight, bias).relu().float())

    def _density(self, raw: Tensor, points: Tensor) -> Tensor:
        if self.density_prior == "blob":
            raw = raw + 10.0 * (1.0 - points.norm(dim=-1) / 0.5)
        if self.activation == "softplus":
            prior = self.initial_density if self.density_prior == "constant" else 0.0
            return nn.functional.softplus(raw + prior)
        # The clamp keeps exp finite; 2e4 per unit length is far past opaque at any sensible step.
        scale = self.initial_density if self.density_prior == "constant" else 1.0
        return scale * torch.exp(raw.clamp(max=9.0))

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self.active_levels = int(self._active)
