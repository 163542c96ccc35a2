import torch

from geometry.hash_grid import HashGrid

SMALL = dict(levels=4, growth=1.5, log2_table_size=12, hidden_width=16)


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 0.5


def test_a_fresh_field_is_its_prior():
    field = HashGrid(**SMALL, density_prior="constant", initial_density=3.0, activation="exp")
    torch.testing.assert_close(field(points(50)).density, torch.full((50,), 3.0), rtol=1e-2, atol=0)
    blob = HashGrid(**SMALL)
    center, rim = blob(torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])).density
    torch.testing.assert_close(center, torch.tensor(10.0), atol=1e-2, rtol=0)  # softplus(10)
    torch.testing.assert_close(rim, torch.tensor(2.0).log(), atol=1e-2, rtol=0)  # softplus(0)


def test_normals_point_down_the_density():
    field = HashGrid(**SMALL)  # the blob falls off radially
    where = points(50)
    normals = field(where, with_normals=True).normals
    cosine = (normals * torch.nn.functional.normalize(where, dim=-1)).sum(-1)
    assert cosine.min() > 0.99


def test_normals_agree_with_finite_differences_and_carry_gradients():
    torch.manual_seed(0)
    field = HashGrid(**SMALL)
    with torch.no_grad():
        field.table.normal_(std=0.5)
    where = points(20)
    step = 1e-3 * torch.eye(3)
    density = [[field(where + sign * offset).density for offset in step] for sign in (1, -1)]
    slope = torch.stack([(up - down) for up, down in zip(*density, strict=True)], dim=-1)
    expected = torch.nn.functional.normalize(-slope, dim=-1)
    normals = field(where, with_normals=True).normals
    assert ((normals * expected).sum(-1) > 0.99).float().mean() > 0.9  # the field has creases at cell borders
    normals[:, 0].sum().backward()
    assert field.table.grad.abs().sum() > 0


def test_levels_open_with_the_steps():
    field = HashGrid(**SMALL, levels_open=[[0, 2], [20, 4]])
    assert [field.active_levels for step in (0, 9, 10, 25, 99) if field.on_step(step) is None] == [2, 2, 3, 4, 4]


def test_a_hidden_layer_in_bfloat16_says_nearly_the_same():
    torch.manual_seed(0)
    exact = HashGrid(levels=4, log2_table_size=10, network_dtype="float32")
    torch.nn.init.uniform_(exact.table, -0.5, 0.5)
    rounded = HashGrid(levels=4, log2_table_size=10, network_dtype="bfloat16")
    rounded.load_state_dict(exact.state_dict())
    points = torch.rand(200, 3) - 0.5
    one, other = exact(points, with_normals=True), rounded(points, with_normals=True)
    assert one.normals is not None and other.normals is not None
    assert not torch.equal(one.density, other.density)
    torch.testing.assert_close(other.density, one.density, rtol=0.02, atol=1e-3)
    torch.testing.assert_close(other.features, one.features, rtol=0.0, atol=0.01)
    assert (one.normals * other.normals).sum(-1).median() > 0.99
    other.normals.sum().backward()
    assert rounded.table.grad is not None and rounded.table.grad.isfinite().all()


def test_normals_are_the_same_where_nothing_is_learned():
    torch.manual_seed(0)
    field = HashGrid(levels=4, log2_table_size=10)
    points = torch.rand(50, 3) - 0.5
    with torch.no_grad():
        drawn = field(points, with_normals=True)
    learned = field(points, with_normals=True)
    assert learned.normals.requires_grad and not drawn.normals.requires_grad
    torch.testing.assert_close(drawn.normals, learned.normals.detach(), atol=1e-4, rtol=0)
    torch.testing.assert_close(drawn.density, learned.density.detach())
