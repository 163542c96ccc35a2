"""The decoder's training: it takes color from the truth, brightness from what it was, and leaves all else alone."""

import pytest
import torch
from training_case import MICRO, batch_of, batches, fit, module

from sv3dgen.sv3d import SV3D, MemoryPlan
from systems.training.decoder import LUMA, Sv3dDecoder, luma

pytestmark = pytest.mark.filterwarnings("ignore:.*train_dataloader' does not have many workers")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    module(model=MICRO).save_weights(path)
    return path


def decoder(weights, **settings) -> Sv3dDecoder:
    return Sv3dDecoder(
        **{"model": MICRO, "weights": str(weights), "steps": 20, "frames_per_clip": 3, "warmup_steps": 2} | settings
    )


def test_brightness_is_that_of_bt_601():
    colors = torch.eye(3)[:, :, None, None]
    assert luma(colors).flatten().tolist() == pytest.approx(LUMA) and sum(LUMA) == pytest.approx(1)


@pytest.fixture(scope="module")
def learned(weights) -> tuple[Sv3dDecoder, list[float]]:
    learning = decoder(weights, learning_rate=3e-3)
    return learning, fit(learning, batches(batch=2), gradient_clip_val=1.0)


def test_it_learns_and_changes_the_decoder_alone(learned, weights, tmp_path):
    learning, losses = learned
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    learning.save_weights(tmp_path / "model.safetensors")
    old, new = (SV3D.from_pretrained(path, memory=MemoryPlan()) for path in (weights, tmp_path))
    frames = batch_of(0).orbits.frames[0].float() / 127.5 - 1
    torch.testing.assert_close(new.encode(frames), old.encode(frames))
    for part in ("unet", "image_encoder"):
        mine, theirs = (getattr(model, part).state_dict() for model in (new, old))
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert not torch.equal(new.vae.decoder.conv_in.weight, old.vae.decoder.conv_in.weight)


def test_hue_is_drawn_from_the_truth_and_brightness_kept(learned, weights):
    """The same orbits again and again: the color error falls, the brightness stays nearer to the old decoder's."""
    (learning, _), new, batch = learned, decoder(weights), batch_of(0)
    truth = batch.orbits.frames[0].float() / 127.5 - 1

    def hue(drawn):
        error = drawn - truth
        return float((error - luma(error)).square().mean())

    with torch.no_grad():
        latents = new.sampled(batch, batch.orbits.frames.float() / 127.5 - 1)[0]
        before, after = new.before.decode(latents), learning.vae.decode(latents)
        torch.testing.assert_close(learning.before.decode(latents), before)  # which is what brightness is held to
    assert hue(after) < hue(before)
    kept, wanted = luma(after - before).square().mean(), luma(truth - before).square().mean()
    assert kept < 0.5 * wanted


def test_noise_follows_from_the_place_in_the_run(weights):
    learning = decoder(weights)
    together, alone = batch_of(1, 2), batch_of(2)
    pictures = [batch.orbits.frames.float() / 127.5 - 1 for batch in (together, alone)]
    one, other = learning.sampled(together, pictures[0])[1], learning.sampled(alone, pictures[1])[0]
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weights": None}, "weights=null"),
        ({"sampler_steps": 0}, "sampler_steps=0"),
        ({"frames_per_clip": 6}, "of the frames at most 5"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(weights, settings, told):
    with pytest.raises(ValueError, match=told):
        Sv3dDecoder(**{"model": MICRO, "weights": str(weights), "steps": 1} | settings)
