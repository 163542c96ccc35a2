"""The whole model with a tiny, randomly initialized network: the same results however it is run, and clear refusals."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.sv3d import SV3D, MemoryPlan
from sv3dgen.sv3d.config import ImageEncoderConfig, SamplerConfig, SV3DConfig, UNetConfig, VAEConfig
from sv3dgen.sv3d.memory import cpu_computes_bfloat16, on_device, plan_for
from sv3dgen.sv3d.network.image_encoder import ImageEncoder
from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.network.vae import ImageVAE
from sv3dgen.views.orbits import Orbit, orbit_by_name

FRAMES, SIZE_PX = 5, 32


def tiny_config(vector_dims=(256, 512, 512)):
    return SV3DConfig(
        unet=UNetConfig(
            channels=32,
            channel_mult=(1, 2),
            res_blocks=1,
            attention_factors=(1,),
            head_channels=16,
            context_dim=32,
            vector_dims=vector_dims,
        ),
        vae=VAEConfig(channels=32, channel_mult=(1, 1, 1), res_blocks=1),
        image_encoder=ImageEncoderConfig(width=32, layers=1, head_width=16, patch_px=56, embed_dim=32),
        sampler=SamplerConfig(steps=2),
        frames=FRAMES,
        size_px=SIZE_PX,
    )


def tiny_model(memory=None, **sizes):
    config = tiny_config(**sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = VideoUNet(config.unet), ImageVAE(config.vae), ImageEncoder(config.image_encoder)
    return SV3D(*parts, config, memory=memory)


def orbit(name="sine30", frames=FRAMES, seed=0):
    return orbit_by_name(name, elevation_deg=10.0, frames=frames, seed=seed)


def disc(radius=0.3, red=0.8):
    """A disc on white."""
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX - 0.5
    inside = axis[:, None] ** 2 + axis[None] ** 2 < radius**2
    return torch.where(inside, torch.tensor([red, 0.3, 0.1])[:, None, None], torch.ones(3, SIZE_PX, SIZE_PX))


def sampled(model, clips=1, **settings):
    """Latents of `clips` different orbits and pictures, from noise of seeds 0, 1, .."""
    pictures = torch.stack([disc(red=0.2 + 0.3 * clip) for clip in range(clips)])
    orbits = [orbit("dynamic", seed=clip) for clip in range(clips)]
    noises = [model.draw_noise(clip, FRAMES) for clip in range(clips)]
    condition = model.condition(2 * pictures - 1, orbits, torch.stack([noise for noise, _ in noises]))
    return model.sample(condition, torch.stack([noise for _, noise in noises]), **settings)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_views_have_the_orbits_cameras_and_the_picture_last(model):
    path, picture = orbit(), disc()
    views = model(picture, path)
    assert views.images.shape == (FRAMES, 4, SIZE_PX, SIZE_PX)
    expected = path.cameras(2.0, 33.8, SIZE_PX)
    torch.testing.assert_close(views.cameras.camera_to_world, expected.camera_to_world)
    torch.testing.assert_close(views.cameras.focal_px, expected.focal_px)
    assert torch.equal(views.azimuth_deg, path.azimuth_deg) and torch.equal(views.elevation_deg, path.elevation_deg)
    assert torch.equal(views.images[-1, :3], (picture * 255 + 1e-3).byte())
    assert torch.equal(views.images[-1, 3] > 0, picture.amin(0) < 1)
    whole = model(picture, path, keep_picture=False)
    assert torch.equal(whole.images[:-1], views.images[:-1]) and not torch.equal(whole.images[-1], views.images[-1])


def test_eight_bit_levels_of_the_picture_are_kept(model):
    picture = (torch.arange(3 * SIZE_PX * SIZE_PX) % 256).reshape(3, SIZE_PX, SIZE_PX).byte()
    assert torch.equal(model(picture / 255, orbit()).images[-1, :3], picture)


def test_seed_decides(model):
    first, again, other = (model.views(disc(), orbit(), seed=seed).images for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_pose_picture_and_guidance_matter(model):
    base = model(disc(), orbit()).images[:-1]
    assert not torch.equal(base, model(disc(), orbit("static")).images[:-1])
    assert not torch.equal(base, model(disc(red=0.2), orbit()).images[:-1])
    assert not torch.equal(base, model(disc(), orbit(), guidance="linear").images[:-1])
    assert not torch.equal(base, model(disc(), orbit(), steps=3).images[:-1])


def test_batch_gives_each_orbit_what_it_gives_alone(model):
    pictures, paths = [disc(), disc(), disc(red=0.2)], [orbit("dynamic", seed=seed) for seed in (0, 1, 2)]
    together = model.batch(pictures, paths, seeds=[5, 5, 6])
    for views, picture, path, seed in zip(together, pictures, paths, [5, 5, 6], strict=True):
        assert torch.equal(views.images, model(picture, path, seed=seed).images)


def test_clips_in_one_call_are_independent(model):
    wide = tiny_model(MemoryPlan(clips_together=2))
    torch.testing.assert_close(sampled(wide, clips=3), sampled(model, clips=3), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "memory", [MemoryPlan(halves_together=False), MemoryPlan(offload=True), MemoryPlan(encode_chunk=1, decode_chunk=2)]
)
def test_memory_does_not_change_the_result(model, memory):
    planned = tiny_model(memory)
    latents = sampled(model, clips=2)
    torch.testing.assert_close(sampled(planned, clips=2), latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(planned.decode(latents), model.decode(latents), rtol=1e-4, atol=1e-4)


def test_half_precision_stays_close(model):
    memory = MemoryPlan(unet="bfloat16", image_encoder="bfloat16", vae="bfloat16", autocast="bfloat16")
    planned = tiny_model(memory)
    assert next(planned.unet.parameters()).dtype == torch.bfloat16
    exact, rounded = sampled(model), sampled(planned)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().mean() < 0.05 * exact.abs().mean()
    assert (planned.decode(exact) - model.decode(exact)).abs().mean() < 0.05


def test_on_step_counts_all_clips(model):
    told = []
    model.batch([disc()] * 2, [orbit()] * 2, seeds=[0, 1], on_step=lambda *numbers: told.append(numbers))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_weights_are_frozen_and_results_carry_no_graph(model):
    assert not any(parameter.requires_grad for parameter in model.unet.parameters())
    assert not sampled(model).requires_grad


def test_model_without_poses_refuses_what_is_not_static():
    model = tiny_model(vector_dims=(256,))
    assert model.abilities.name == "SV3D_u" and not model.abilities.takes_poses
    assert len(model(disc(), orbit("static"))) == FRAMES
    uneven = Orbit(orbit("static").elevation_deg, torch.tensor([60.0, 144, 216, 288, 0], dtype=torch.float64))
    for refused in (orbit("sine30"), uneven, orbit("static").mirrored()):
        with pytest.raises(InputError, match="orbit=static"):
            model(disc(), refused)


def test_other_frame_counts_warn(model, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(model(disc(), orbit(frames=3), steps=1)) == 3
    assert [record.getMessage() for record in caplog.records] == ["orbit: 3 frames, the model was trained for 5"]


def test_pictures_of_other_shapes_are_refused(model):
    with pytest.raises(InputError, match="expected 3x32x32"):
        model(torch.ones(3, 32, 16), orbit())
    with pytest.raises(InputError, match="square"):
        model(Image.new("RGB", (40, 20), "white"), orbit())
    with pytest.raises(InputError, match="orbit"):
        model(disc(), Orbit(torch.full((5,), 95.0), orbit().azimuth_deg))
    with pytest.raises(InputError, match="seeds"):
        model.batch([disc()], [orbit()], seeds=[])
    with pytest.raises(InputError, match="lengths"):
        model.batch([disc()] * 2, [orbit(), orbit(frames=4)], seeds=[0, 1])


def test_pil_pictures_are_taken(model):
    levels = (disc() * 255).byte()
    image = Image.fromarray(levels.permute(1, 2, 0).numpy())
    assert torch.equal(model(image, orbit(), steps=1).images[-1, :3], levels)
    larger = image.resize((80, 80))
    assert model(larger, orbit(), steps=1).images.shape[-1] == SIZE_PX


@pytest.mark.parametrize("as_file", [False, True])
def test_transparent_pictures_and_files_are_recentered(model, tmp_path, as_file):
    levels = np.zeros((60, 60, 4), dtype=np.uint8)
    levels[5:25, 5:25] = (200, 40, 10, 255)
    picture = Image.fromarray(levels)
    if as_file:
        picture.save(tmp_path / "cut_out.png")
        picture = tmp_path / "cut_out.png"
    last = model(picture, orbit(), steps=1).images[-1].float()
    where = (last[3] > 0).nonzero().float().mean(0)
    torch.testing.assert_close(where, torch.full((2,), (SIZE_PX - 1) / 2), atol=1.0, rtol=0)


def test_a_file_is_read_as_a_photo(model, tmp_path):
    bar = Image.new("RGB", (80, 60), "white")
    bar.paste((200, 30, 30), (10, 25, 70, 35))
    turned = Image.Exif()
    turned[0x0112] = 6
    bar.save(tmp_path / "bar.jpg", exif=turned, quality=95)
    shown = model(tmp_path / "bar.jpg", orbit(), steps=1).images[-1, 3] > 0
    assert shown.any(1).sum() > 3 * shown.any(0).sum()  # upright


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_of_any_mode_counts(model, mode):
    square = Image.new("RGBA", (60, 60))
    square.paste((90, 90, 90, 255), (5, 5, 25, 25))
    expected = model(square, orbit(), steps=1).images[-1]
    assert (model(square.convert(mode), orbit(), steps=1).images[-1].int() - expected.int()).abs().max() <= 2


def test_sixteen_bit_pictures_are_scaled(model):
    gray = Image.fromarray(np.full((SIZE_PX, SIZE_PX), 257 * 100, dtype=np.uint16))
    assert model(gray, orbit(), steps=1).images[-1, :3].unique().tolist() == [100]


@pytest.mark.parametrize("value", [255.0, -1.0, float("nan")])
def test_tensors_of_another_range_are_refused(model, value):
    picture = disc()
    picture[0, 3, 4] = value
    with pytest.raises(InputError, match="expected sRGB in"):
        model(picture, orbit())


def test_weights_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing.safetensors"):
        SV3D.from_pretrained(tmp_path / "nothing.safetensors")


def test_published_tiny_weights_load(shared):
    model = SV3D.from_pretrained(shared / "parity" / "dev" / "model.safetensors", memory=MemoryPlan())
    assert model.abilities.size_px == 64 and model.abilities.frames == 21 and model.abilities.licence == "unknown"
    views = model(torch.ones(3, 64, 64), orbit_by_name("static", elevation_deg=10.0), steps=1)
    assert len(views) == 21


def test_a_device_that_is_not_here_is_refused(shared):
    weights = shared / "parity" / "dev" / "model.safetensors"
    assert SV3D.from_pretrained(weights, device="auto", memory=MemoryPlan()).device.type in ("cpu", "cuda")
    for device in ("mars", "cuda:99"):
        with pytest.raises(InputError, match=f"device={device}"):
            SV3D.from_pretrained(weights, device=device, memory=MemoryPlan())


def test_offloaded_parts_go_home_without_a_copy():
    part = torch.nn.BatchNorm1d(3)
    before = [tensor.data_ptr() for tensor in (*part.parameters(), *part.buffers())]
    with on_device(part, torch.device("cpu"), stay=False):
        pass
    assert [tensor.data_ptr() for tensor in (*part.parameters(), *part.buffers())] == before


def test_plans(monkeypatch):
    with pytest.raises(InputError, match="decode_chunk=0"):
        MemoryPlan(decode_chunk=0)
    assert MemoryPlan().unet_dtype == MemoryPlan().vae_dtype == MemoryPlan().image_encoder_dtype == torch.float32
    assert plan_for("cpu").unet == ("bfloat16" if cpu_computes_bfloat16() else "float32")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert plan_for("mps") == MemoryPlan()


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags : avx2 avx512f", False),
    ],
)
def test_bfloat16_is_read_off_the_processor_s_flags(tmp_path, flags, has):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\n")
    assert cpu_computes_bfloat16(cpuinfo) is has
    assert cpu_computes_bfloat16(tmp_path / "missing") is False
