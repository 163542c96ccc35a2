import pytest
import torch
from pretend_device import PretendDevice

HERE = "tests/helpers/test_pretend_device.py"


@pytest.fixture
def device():
    with PretendDevice() as entered:
        yield entered


def on_device(*values: float) -> torch.Tensor:
    return torch.tensor(values).to("pretend", non_blocking=True)


def test_tensors_are_elsewhere_and_hold_values(device):
    made = torch.full((2,), 3.0, device="pretend")
    assert made.device.type == "pretend" and not made.is_cpu
    assert (made + on_device(1.0, 2.0)).cpu().tolist() == [4.0, 5.0]


def test_mixing_devices_raises_as_on_a_gpu(device):
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        on_device(1.0, 2.0) + torch.ones(2)
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(2)[on_device(0.0).long()]
    assert (on_device(1.0) + torch.tensor(2.0)).item() == 3.0  # a number, wherever it is


def test_values_do_not_come_to_numpy_by_themselves(device):
    with pytest.raises((TypeError, RuntimeError)):
        on_device(1.0).numpy()
    assert on_device(1.0).cpu().numpy().tolist() == [1.0]


@pytest.mark.parametrize(
    ("waiting", "times"),
    [
        (lambda t: t.sum().item(), 1),
        (lambda t: bool((t > 0).any()), 1),
        (lambda t: t.tolist(), 1),
        (lambda t: t.nonzero(), 1),
        (lambda t: t[t > 1], 1),
        (lambda t: t[torch.tensor([0])], 1),
        (lambda t: t.unique(), 1),
        (lambda t: t.cpu(), 1),
        (lambda t: t.new_tensor([1.0]), 1),
        (lambda t: torch.tensor([1.0], device="pretend"), 1),
        (lambda t: t.copy_(torch.ones(3)), 1),
        (lambda t: torch.linalg.inv(t.expand(3, 3) + torch.eye(3, device="pretend")), 1),
        (lambda t: t.repeat_interleave(t.long()), 1),
        (lambda t: t.repeat_interleave(2), 0),
        (lambda t: t[t.long() - 1], 0),
        (lambda t: t.masked_fill(t > 1, 0.0).sum(), 0),
        (lambda t: torch.rand(4, device="pretend"), 0),
        (lambda t: torch.ones(3).to("pretend", non_blocking=True), 0),
    ],
)
def test_waits_of_the_host_are_counted_where_they_are_asked_for(device, waiting, times):
    tensor = on_device(1.0, 2.0, 3.0)
    waiting(tensor)
    assert device.waits == [f"{HERE}:<lambda>"] * times


def test_shapes_change_in_place(device):
    tensor = torch.ones(1, 3, device="pretend")
    tensor.squeeze_(0).t_()
    assert tensor.shape == (3,) and (torch.ones(3, device="pretend") @ tensor[:, None]).shape == (1,)


def test_gradients_and_optimizers_work(device):
    results = []
    for where in ("cpu", "pretend"):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        kept = layer.weight
        layer.to(where)
        assert layer.weight is kept
        optimizer = torch.optim.Adam(layer.parameters(), fused=True)
        for _ in range(2):
            optimizer.zero_grad()
            layer(torch.rand(4, 3, device=where)).square().sum().backward()
            optimizer.step()
        assert layer.weight.grad is not None and layer.weight.grad.device.type == where
        results.append(layer.weight.detach().cpu())
    assert torch.equal(*results)
    assert device.counted() == {f"{HERE}:test_gradients_and_optimizers_work": 3}  # to the device and back


def test_the_peak_is_of_what_lives_at_once():
    with PretendDevice(measure=True) as device:
        for _ in range(3):
            torch.zeros(1 << 20, device="pretend")
        kept = torch.zeros(1 << 20, device="pretend")
        view = kept[1:]
    assert device.peak_bytes == 4 << 20 and len(view)


def test_without_float64_it_refuses_it():
    with PretendDevice(float64=False), pytest.raises(TypeError, match="float64"):
        torch.zeros(2, device="pretend").double()
