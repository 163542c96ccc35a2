# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
"""The network and the distance against slow, plain forms with random weights; the weight files with made-up ones."""

import hashlib
import importlib.util
import io
import logging
import urllib.error
from typing import Literal

import numpy as np
import pytest
import torch
from checkout import SHARED
from PIL import Image
from safetensors.torch import save_file

from sv3dgen.errors import InputError
from sv3dgen.metrics import lpips
from sv3dgen.metrics.lpips import Lpips, load_lpips

# torchvision's `features` in words: a number is a 3 x 3 convolution to so many channels, M a 2 x 2 max pooling.
VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
VGG16_TAPS = {3, 8, 15, 22, 29}  # the rectified outputs LPIPS looks at, by index in `features`

EXAMPLES = SHARED / "lpips"


def pictures(count: int = 2, px: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, px, px, generator=torch.Generator().manual_seed(seed))


def vgg_features(weights: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    """Layer by layer as torchvision numbers them."""
    values, index, taps = image, 0, []
    for layer in VGG16:
        if layer == "M":
            values, index = torch.nn.functional.max_pool2d(values, 2), index + 1
        else:
            weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
            values, index = torch.relu(torch.nn.functional.conv2d(values, weight, bias, padding=1)), index + 2
            if index - 1 in VGG16_TAPS:
                taps.append(values)
    return taps


def alex_features(weights: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    def conv(index: int, values: torch.Tensor, **keys: int) -> torch.Tensor:
        weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
        return torch.relu(torch.nn.functional.conv2d(values, weight, bias, **keys))

    first = conv(0, image, stride=4, padding=2)
    second = conv(3, torch.nn.functional.max_pool2d(first, 3, 2), padding=2)
    third = conv(6, torch.nn.functional.max_pool2d(second, 3, 2), padding=1)
    fourth = conv(8, third, padding=1)
    return [first, second, third, fourth, conv(10, fourth, padding=1)]


def slow_distance(features_of, weights, linear, first: torch.Tensor, second: torch.Tensor) -> float:
    """Equation 1 of the paper for one pair, position by position."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    both = [features_of(weights, ((2 * image - 1 - shift) / scale)[None]) for image in (first, second)]
    total = 0.0
    for tap, (a, b) in enumerate(zip(*both, strict=True)):
        a, b, w = a[0].double().numpy(), b[0].double().numpy(), linear[f"lin{tap}.model.1.weight"].flatten().numpy()
        distances = []
        for row in range(a.shape[1]):
            for col in range(a.shape[2]):
                u, v = a[:, row, col], b[:, row, col]
                u, v = u / np.sqrt((u**2).sum() + 1e-8), v / np.sqrt((v**2).sum() + 1e-8)
                distances.append((w * (u - v) ** 2).sum())
        total += np.mean(distances)
    return float(total)


def made_up_weights(net: Literal["vgg", "alex"]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    module = Lpips(net=net, seed=7)
    generator = torch.Generator().manual_seed(8)
    backbone, linear = {}, {}
    for layer in module.backbone.layers:
        backbone[f"features.{layer.index}.weight"] = getattr(module, f"weight_{layer.index}").contiguous()
        backbone[f"features.{layer.index}.bias"] = 0.1 * torch.randn(layer.channels[1], generator=generator)
    for tap, layer in enumerate(layer for layer in module.backbone.layers if layer.tapped):
        linear[f"lin{tap}.model.1.weight"] = torch.rand(1, layer.channels[1], 1, 1, generator=generator)
    return backbone, linear


@pytest.mark.parametrize(("net", "features_of", "px"), [("vgg", vgg_features, 20), ("alex", alex_features, 40)])
def test_against_the_slow_form(net, features_of, px):
    backbone, linear = made_up_weights(net)
    module = Lpips(net=net)
    module.take(backbone)
    module.take_linear(linear)
    first, second = pictures(px=px), pictures(px=px, seed=1)
    got = module(first, second)
    for pair in range(2):
        expected = slow_distance(features_of, backbone, linear, first[pair], second[pair])
        assert got[pair].item() == pytest.approx(expected, rel=1e-3)


def test_same_images_have_no_distance_and_a_finite_gradient():
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance = Lpips(net="alex")(image, torch.zeros(1, 3, 32, 32))
    distance.sum().backward()
    assert distance.item() == 0 and image.grad.isfinite().all()


def test_gradient_goes_downhill():
    module = Lpips(net="alex")
    target = pictures(1)
    image = pictures(1, seed=1).requires_grad_()
    before = module(image, target)
    (gradient,) = torch.autograd.grad(before.sum(), image)
    moved = image.detach() - 0.01 * gradient / gradient.abs().max()
    assert module(moved, target).item() < before.item()


def test_bfloat16_is_close():
    first, second = pictures(), pictures(seed=1)
    exact, rough = Lpips(net="alex")(first, second), Lpips(net="alex", bfloat16=True)(first, second)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_smallest_image_survives_the_pooling(net):
    module = Lpips(net=net)
    px = module.smallest_px
    assert module(pictures(1, px), pictures(1, px, seed=1)).isfinite().all()
    with pytest.raises(RuntimeError):
        module(pictures(1, px - 1), pictures(1, px - 1, seed=1))


def test_nothing_of_it_goes_into_checkpoints_or_optimizers():
    module = Lpips(net="alex")
    assert not module.state_dict() and not list(module.parameters())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A torch.hub folder of our own, and a network with nobody in it."""
    asked = []

    def unreachable(url, timeout):
        asked.append(url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lpips.urllib.request, "urlopen", unreachable)
    return tmp_path, asked


def test_alexnet_needs_no_network(hub, caplog):
    _, asked = hub
    with caplog.at_level(logging.WARNING):
        assert load_lpips("alex") is not None
    assert not asked and not caplog.records


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="../shared/lpips, the example pictures of LPIPS, is not there")
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_reference_values(net, hub):
    module = load_lpips(net, None if net == "alex" else EXAMPLES / "vgg16-397923af-features-fp16.safetensors")
    assert module is not None
    reference, *others = (example(name) for name in ("ex_ref.png", "ex_p0.png", "ex_p1.png"))
    got = [float(module(reference, other)) for other in others]
    assert got == pytest.approx({"alex": [0.722, 0.138], "vgg": [0.569, 0.422]}[net], abs=6e-4)


def example(name: str) -> torch.Tensor:
    with Image.open(EXAMPLES / name) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None] / 255


def test_shipped_weights_are_the_ones_that_the_package_names():
    digest = hashlib.sha256(lpips.SHIPPED.read_bytes()).hexdigest()
    assert digest in (lpips.SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in lpips.SHIPPED.parent.glob("LICENSE.*")} == {"LICENSE.lpips", "LICENSE.torchvision"}


def test_without_the_network_vgg_is_left_out_in_one_line(hub, caplog):
    folder, asked = hub
    with caplog.at_level(logging.WARNING):
        assert load_lpips("vgg") is None
    assert len(caplog.records) == 1
    assert "LPIPS is left out" in caplog.text and "vgg16-397923af.pth" in caplog.text
    assert asked == ["https://download.pytorch.org/models/vgg16-397923af.pth"]
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_damaged_file_is_left_out_and_named(hub, caplog):
    folder, asked = hub
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "vgg16-397923af.pth").write_bytes(b"half a file")
    assert load_lpips("vgg") is None
    assert "sha256" in caplog.text and not asked


def test_a_file_that_is_there_is_read(hub, monkeypatch):
    folder, asked = hub
    backbone, _ = made_up_weights("vgg")
    (folder / "checkpoints").mkdir()
    torch.save(backbone, folder / "whole.pth")
    digest = hashlib.sha256((folder / "whole.pth").read_bytes()).hexdigest()[:8]
    (folder / "whole.pth").rename(folder / "checkpoints" / f"vgg16-{digest}.pth")
    monkeypatch.setattr(lpips, "VGG_FILE", f"vgg16-{digest}.pth")
    module = load_lpips("vgg")
    assert module is not None and not asked and lpips.vgg_at_hand()
    torch.testing.assert_close(module.get_buffer("bias_28"), backbone["features.28.bias"])
    linear = torch.load(lpips._linear_file("vgg"), map_location="cpu", weights_only=True)
    assert torch.equal(module.get_buffer("linear_4"), linear["lin4.model.1.weight"].flatten())


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_of_the_user_is_read_or_refused(name, hub, tmp_path):
    backbone, _ = made_up_weights("alex")
    path = tmp_path / name
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(backbone, path)
    module = load_lpips("alex", path)
    assert module is not None
    torch.testing.assert_close(module.get_buffer("bias_10"), backbone["features.10.bias"])
    with pytest.raises(InputError, match=r"VGG16's weights .*features.0.weight: expected shape \(64, 3, 3, 3\)"):
        load_lpips("vgg", path)
    path.write_bytes(b"half a file")
    with pytest.raises(InputError, match=name):
        load_lpips("alex", path)
    with pytest.raises(InputError, match="none"):
        load_lpips("alex", tmp_path / f"none{path.suffix}")


def test_a_download_that_breaks_leaves_no_file(hub, monkeypatch, caplog):
    folder, _ = hub
    monkeypatch.setattr(
        lpips.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"<html>captive portal</html>")
    )
    assert load_lpips("vgg") is None
    assert not [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.skipif(importlib.util.find_spec("lpips") is None, reason="the lpips package is not installed")
def test_equals_the_lpips_package():
    ours = load_lpips("alex")
    assert ours is not None
    theirs = importlib.import_module("lpips").LPIPS(net="alex", verbose=False)
    first, second = pictures(px=64), pictures(px=64, seed=1)
    with torch.no_grad():
        expected = theirs(first, second, normalize=True).flatten()
    torch.testing.assert_close(ours(first, second), expected, rtol=0.03, atol=0)
