"""The autoencoder's training: it learns, it says how its latents are to be scaled, and others can go on with it."""

import pytest
import torch
from training_case import MICRO, batch_of, batches, fit

from sv3dgen.sv3d.training.start_weights import load_vae
from systems.training.autoencoder import Sv3dAutoencoder, edges, in_color

pytestmark = pytest.mark.filterwarnings("ignore:.*train_dataloader' does not have many workers")


def autoencoder(**settings) -> Sv3dAutoencoder:
    return Sv3dAutoencoder(
        **{"model": MICRO, "steps": 40, "learning_rate": 3e-3, "warmup_steps": 5, "color_weight": 1.0} | settings
    )


@pytest.fixture(scope="module")
def trained() -> tuple[Sv3dAutoencoder, list[float]]:
    module = autoencoder()
    return module, fit(module, batches(batch=3))


def test_pictures_come_back(trained):
    module, losses = trained
    assert sum(losses[-10:]) < 0.35 * sum(losses[:10])


def test_latents_are_scaled_to_a_deviation_of_one(trained, tmp_path):
    module, _ = trained
    module.save_weights(tmp_path / "model.safetensors")
    vae, scale_factor = load_vae(tmp_path / "model.safetensors", module.config)
    pictures = batch_of(0, 1, 2).orbits.frames.flatten(0, 1).float() / 127.5 - 1
    with torch.no_grad():
        latents = vae.encode(pictures) * scale_factor
    assert float(latents.square().mean().sqrt()) == pytest.approx(1, abs=0.3)


def test_what_was_saved_decodes_what_was_learned(trained, tmp_path):
    module, _ = trained
    module.save_weights(tmp_path / "model.safetensors")
    vae, scale_factor = load_vae(tmp_path / "model.safetensors", module.config)
    pictures = batch_of(4).orbits.frames.flatten(0, 1).float() / 127.5 - 1
    with torch.no_grad():
        vae.config = module.config.vae  # scale 1 on the way in and out
        error = (vae.decode(vae.encode(pictures)) - pictures).abs().mean()
        kept = (module.vae.decode(module.vae.encode(pictures)) - pictures).abs().mean()
    assert float(error) == pytest.approx(float(kept), rel=0.02)  # half precision on disk


def test_the_same_seed_learns_the_same(trained):
    _, losses = trained
    assert fit(autoencoder(steps=2), batches(batch=3)) == losses[:2]  # the rate falls only later


def test_edges_of_a_step():
    left = torch.zeros(1, 3, 4, 4)
    step = left.clone()
    step[..., 2:] = 1
    # One of three horizontal differences is wrong by 1, no vertical one.
    assert float(edges(step - left)) == pytest.approx(1 / 3)
    assert float(edges(torch.full_like(step, 0.3))) == 0


def test_errors_in_color_weigh_more_at_first():
    gray, red = torch.full((1, 3, 2, 2), 0.2), torch.zeros(1, 3, 2, 2)
    red[:, 0] = 0.3
    torch.testing.assert_close(in_color(gray, 6.0), gray)
    expected = torch.tensor([0.1 + 6 * 0.2, 0.1 - 6 * 0.1, 0.1 - 6 * 0.1])
    torch.testing.assert_close(in_color(red, 6.0)[0, :, 0, 0], expected)
    torch.testing.assert_close(in_color(red, 1.0), red)
    module = autoencoder(color_weight=5.0, steps=100)
    assert [module.color_weight_at(step) for step in (0, 50, 100, 200)] == [5.0, 3.0, 1.0, 1.0]
