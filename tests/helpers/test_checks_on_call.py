"""What a test calls is checked: shapes by jaxtyping, the rest by beartype, of our own modules all."""

from dataclasses import dataclass
from typing import no_type_check

import pytest
import torch
from beartype import beartype
from checks_on_call import checked_on_call, takes_arrays
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.orbits import orbit_by_name

checked = checked_on_call(typechecker=beartype)


@checked
def norms(points: Float[Tensor, "points 3"], power: float = 2.0) -> Float[Tensor, " points"]:
    return points.norm(power, dim=-1) if power > 0 else points


@checked
def doubled(number: int) -> str:
    return str(2 * number) if number > 0 else number  # type: ignore[return-value]


@checked
@dataclass
class Cloud:
    points: Float[Tensor, "points 3"]
    colors: Float[Tensor, "points 3"]


def test_shapes_are_checked_of_arguments_and_results():
    assert norms(torch.ones(4, 3)).shape == (4,)
    for given in ((torch.ones(4, 2),), (torch.ones(4, 3), "2"), (torch.ones(4, 3), 0.0)):
        with pytest.raises(TypeCheckError):
            norms(*given)
    assert Cloud(torch.ones(2, 3), torch.ones(2, 3)).points.shape == (2, 3)
    with pytest.raises(TypeCheckError):
        Cloud(torch.ones(2, 3), torch.ones(3, 3))


def test_other_types_are_checked_too():
    assert doubled(2) == "4"
    with pytest.raises(TypeError):
        doubled("2")
    with pytest.raises(TypeError):
        doubled(0)


def test_what_asks_for_no_check_is_left_as_it_is():
    @no_type_check
    def loose(number: int) -> str:
        return number  # type: ignore[return-value]

    assert checked(loose) is loose


def test_arrays_are_found_in_what_holds_them():
    def within(views: dict[str, list[Float[Tensor, "h w"]] | None]) -> None: ...

    def without(views: dict[str, list[Tensor] | None]) -> None: ...

    def unknown(views: "nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert [takes_arrays(function) for function in (within, without, unknown)] == [True, False, True]


def test_our_own_modules_are_checked():
    with pytest.raises(TypeCheckError):
        Mesh(torch.zeros(3, 2), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises((TypeError, TypeCheckError)):
        orbit_by_name(3)  # type: ignore[arg-type]
