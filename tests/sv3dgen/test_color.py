# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
import torch

from sv3dgen.color import linear_to_srgb, srgb_to_linear


def test_known_values():
    linear = torch.tensor([0.0, 0.0031308, 0.18, 0.5, 1.0])
    srgb = torch.tensor([0.0, 0.04045, 0.46135613, 0.73535698, 1.0])
    torch.testing.assert_close(linear_to_srgb(linear), srgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(srgb_to_linear(srgb), linear, atol=1e-5, rtol=0)


def test_round_trip_above_one():
    values = torch.linspace(0, 3, 200, dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(values)), values, atol=2e-5, rtol=0)


def test_gradients_are_finite_at_and_below_zero():
    for convert in (srgb_to_linear, linear_to_srgb):
        values = torch.tensor([-0.1, 0.0, 1e-8, 1.0], requires_grad=True)
        convert(values).sum().backward()
        assert values.grad.isfinite().all() and (values.grad > 0).all()
