"""Training: the official loss, exact resumption, any number of processes, and a stop before anything is spoilt."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from sv3d_case import read_case
from training_case import FRAMES, MICRO, batch_of, batches, fit, module

from sv3dgen.data.orbit_dataset import OrbitBatch
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.conditioning import Condition
from sv3dgen.sv3d.training.draws import Draws, DropRates, draw, frame_weights
from sv3dgen.sv3d.training.ema import Ema
from systems.training.batches import TrainingBatch
from systems.training.callbacks import Throughput, TrainingCheckpoint
from systems.training.run import saved_step

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    pytest.mark.filterwarnings("ignore:.*train_dataloader' does not have many workers"),
]


def drawn(positions, rates=None, shape=(FRAMES, 4, 8, 8), **settings):
    return draw(0, torch.tensor(positions), shape, 32, rates=rates or DropRates(), p_mean=1.0, p_std=1.6, **settings)


def test_loss_is_the_official_one(shared, monkeypatch):
    """../shared/parity: StandardDiffusionLoss with the v-weighting, one sigma for the clip."""
    case, folder = read_case(shared).io, shared / "parity" / "dev"
    sizes = read_config_beside(folder / "model.safetensors")
    assert sizes is not None
    model = json.loads(json.dumps(asdict(sizes[0])))
    finetune = module(model=model, weights=str(folder / "model.safetensors"), front_weight=1.0)
    kept = torch.ones(1, dtype=torch.bool)
    draws = Draws(case["loss.sigma"], case["loss.noise"][None], kept, kept, torch.zeros(1, 3, 64, 64))
    monkeypatch.setattr(finetune, "_latents", lambda batch: (case["loss.latents"][None], case["cond.concat"], draws))
    orbits = OrbitBatch(
        frames=((case["in.image"] + 1) * 127.5).round().byte()[None].expand(1, 21, 3, 64, 64),
        elevation_deg=case["traj.primary.elevations_deg"][None],
        azimuth_deg=case["traj.primary.azimuths_deg"][None],
        names=("parity",),
    )
    losses = finetune.frame_losses(TrainingBatch(orbits, torch.tensor([0])))
    torch.testing.assert_close(losses[0], case["loss.per_frame"], rtol=0, atol=1e-4)


def test_frames_near_the_front_count_less():
    azimuth_deg = torch.arange(1, 22, dtype=torch.float64)[None] * 360 / 21 % 360
    weights = frame_weights(azimuth_deg, 0.25)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.argmin() == 20
    # 1 at the back over 0.25 at the front; the back lies between the two frames in the middle
    expected = 1 / (0.25 + 0.75 * (1 - math.cos(math.radians(360 * 10 / 21))) / 2) * 0.25
    assert weights[0, 20] / weights[0, 9] == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights[0, :10], weights[0, 10:20].flip(0))
    assert torch.equal(frame_weights(azimuth_deg, 1.0), torch.ones(1, 21))
    torch.testing.assert_close(frame_weights(azimuth_deg + 77, 0.25), weights)


def test_noise_levels_are_log_normal():
    logs = drawn(list(range(3000)), shape=(1, 1, 1, 1)).sigma.log()
    assert logs.mean() == pytest.approx(1.0, abs=0.1) and logs.std() == pytest.approx(1.6, abs=0.1)


def test_conditions_are_dropped_as_often_as_asked_for():
    draws = drawn(list(range(4000)), DropRates(both=0.2, context=0.1, image=0.3), shape=(1, 1, 1, 1))
    both = ~draws.keep_context & ~draws.keep_image
    assert both.float().mean() == pytest.approx(0.2, abs=0.02)
    assert (~draws.keep_context & ~both).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (~draws.keep_image & ~both).float().mean() == pytest.approx(0.3, abs=0.02)
    with pytest.raises(ValueError, match="drop rates"):
        DropRates(both=0.5, context=0.3, image=0.3)


def test_what_is_dropped_is_zero_and_poses_stay():
    condition = Condition(torch.ones(4, 1, 2), torch.ones(4, 1, 2, 2), torch.ones(4, 3, 2))
    keep_context, keep_image = torch.tensor([True, False, True, False]), torch.tensor([True, True, False, False])
    dropped = Draws(torch.ones(4), torch.ones(4, 3, 1, 2, 2), keep_context, keep_image, torch.ones(4, 3, 4, 4)).dropped(
        condition
    )
    assert dropped.context[:, 0, 0].tolist() == keep_context.float().tolist()
    assert dropped.image_latents[:, 0, 0, 0].tolist() == keep_image.float().tolist()
    assert torch.equal(dropped.vector, condition.vector)


def test_even_noise_fills_the_distribution_in_few_clips():
    even = drawn(list(range(400, 421)), shape=(1, 1, 1, 1), even_noise=True).sigma.log()
    places = torch.special.ndtr((even.double() - 1.0) / 1.6).sort().values
    expected = (torch.arange(21) + 0.5) / 21
    assert (places - expected).abs().max() < 1.5 / 21
    assert torch.equal(even[:4], drawn([400, 401, 402, 403], shape=(1, 1, 1, 1), even_noise=True).sigma.log())


def test_draws_follow_from_the_place_in_the_run_alone():
    together, alone = drawn([3, 4, 5]), drawn([4])
    assert torch.equal(together.noise[1], alone.noise[0]) and together.sigma[1] == alone.sigma[0]
    assert not torch.equal(together.noise[0], together.noise[1])


def test_ema_is_the_weighted_mean_of_the_past():
    parameter = torch.nn.Parameter(torch.zeros(2))
    ema = Ema([("p", parameter)], 0.5)
    expected = torch.zeros(2)
    for update in range(1, 12):
        parameter.data += update
        ema.update()
        decay = min(0.5, update / (9 + update))
        expected = decay * expected + (1 - decay) * parameter.data
    with ema.applied():
        torch.testing.assert_close(parameter.data, expected)
    assert parameter[0] == sum(range(1, 12))
    again = Ema([("p", parameter)], 0.5)
    again.load_state_dict(ema.state_dict())
    assert again.updates == 11 and torch.equal(again.averages[0], ema.averages[0])
    with pytest.raises(ValueError, match="ema_decay"):
        Ema([], 1.0)


def test_learning_rate_warms_up_and_ends():
    finetune = module(steps=100, warmup_steps=10, learning_rate=1.0, learning_rate_end="cosine")
    assert [finetune.learning_rate_at(step) for step in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert finetune.learning_rate_at(55) == pytest.approx(0.5) and finetune.learning_rate_at(100) == pytest.approx(0.0)
    assert module(steps=100, warmup_steps=0, learning_rate=1.0).learning_rate_at(50) == 1.0


def test_training_lowers_the_loss():
    losses = fit(module(steps=18, learning_rate=5e-3, drop_both=0.0, p_std=0.5), batches())
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])


def test_cached_latents_give_the_same_loss():
    finetune = module(trains=["unet"])

    def encoded(frames):
        with torch.no_grad():
            return finetune.vae.encode(frames.float() / 127.5 - 1)

    fresh, cached = finetune.frame_losses(batch_of(1, 2)), finetune.frame_losses(batch_of(1, 2, with_latents=encoded))
    torch.testing.assert_close(fresh, cached, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="cond_aug"):
        module(cond_aug=0.05).frame_losses(batch_of(1, with_latents=encoded))


def test_frames_of_another_size_are_refused():
    with pytest.raises(InputError, match="frames of 32 px, expected 64"):
        module(model=MICRO | {"size_px": 64}).frame_losses(batch_of(0))


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_resumed_run_goes_on_bit_by_bit(tmp_path, accumulate):
    settings = {"accumulate_grad_batches": accumulate, "gradient_clip_val": 1.0}
    whole = module()
    losses = fit(whole, batches(), **settings)
    path = tmp_path / "last.ckpt"
    before = fit(module(steps=4), batches(), TrainingCheckpoint(path, "train", 4), **settings)
    assert saved_step(path) == 4
    resumed = module()
    after = fit(resumed, batches(), first_step=4, checkpoint=path, **settings)
    assert before + after == losses
    for (name, one), (_, other) in zip(whole.trained_parameters(), resumed.trained_parameters(), strict=True):
        assert torch.equal(one, other), name
    assert all(map(torch.equal, whole.ema.averages, resumed.ema.averages))
    assert whole.ema.updates == resumed.ema.updates == 6


def test_checkpoint_holds_what_is_trained_alone(tmp_path):
    finetune = module(steps=1, trains=["unet"])
    fit(finetune, batches(), TrainingCheckpoint(tmp_path / "last.ckpt", "train", 1))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["state_dict"].keys() == {name for name, _ in finetune.trained_parameters()}
    assert all(name.startswith("unet.") for name in saved["state_dict"])


def test_loss_that_is_no_number_stops_with_step_and_objects(tmp_path, monkeypatch):
    finetune = module(steps=6)
    path = tmp_path / "last.ckpt"
    honest = finetune.frame_losses
    monkeypatch.setattr(
        finetune, "frame_losses", lambda batch: honest(batch) * (float("nan") if finetune.global_step == 3 else 1.0)
    )
    with pytest.raises(InputError, match=r"step 3: the loss is nan; the batch's objects: disc_\d, disc_\d$"):
        fit(finetune, batches(), TrainingCheckpoint(path, "train", 1))
    assert saved_step(path) == 3
    state = torch.load(path, weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_gradient_that_is_infinite_stops_before_the_weights_change(monkeypatch):
    finetune = module(steps=3, trains=["unet"])
    before = finetune.unet.conv_in.weight.detach().clone()
    finetune.unet.get_parameter("conv_out.bias").register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(InputError, match="step 0: the gradient's norm is"):
        fit(finetune, batches())
    assert torch.equal(finetune.unet.conv_in.weight, before)


def test_spoilt_weights_are_not_saved(tmp_path):
    finetune = module(steps=1)

    class Spoil(Throughput):
        def on_train_batch_end(self, trainer, pl_module, *_):
            finetune.unet.conv_in.weight.data[0] = float("nan")

    with pytest.raises(InputError, match="no longer finite"):
        fit(finetune, batches(), Spoil(), TrainingCheckpoint(tmp_path / "last.ckpt", "train", 1))
    assert not (tmp_path / "last.ckpt").exists()


def test_curriculum_goes_from_orbits_without_poses_to_those_with(tmp_path):
    without_poses = MICRO | {"unet": MICRO["unet"] | {"vector_dims": [256]}}
    first = module(model=without_poses, steps=2, seed=1)
    fit(first, batches())
    first.save_weights(tmp_path / "model.safetensors")
    second = module(weights=str(tmp_path), steps=2)
    assert second.camera_branch == "widened" and second.config.unet.takes_poses
    before = first.unet.add_embedding.linear_1.weight
    weight = second.unet.add_embedding.linear_1.weight
    with first.ema.applied():
        torch.testing.assert_close(weight[:, :256], before, rtol=1e-2, atol=1e-3)
    assert weight[:, 256:].abs().max() == 0
    fit(second, batches(kinds=["dynamic"]))
    assert weight[:, 256:].abs().max() > 0


def test_gradients_are_clipped_by_their_norm():
    finetune = module(steps=1, trains=["unet"])
    fit(finetune, batches(), gradient_clip_val=1e-3)
    gradients = [parameter.grad for _, parameter in finetune.trained_parameters() if parameter.grad is not None]
    assert finetune.last.losses["gradient_norm"] > 1e-3
    assert not gradients or torch.nn.utils.get_total_norm(gradients) <= 1.01e-3
