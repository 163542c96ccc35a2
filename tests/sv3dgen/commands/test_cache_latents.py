"""The command that encodes a dataset once, and training on what it leaves."""

import json

import numpy as np
import pytest
import torch
from training_case import MICRO, SIZE_PX, module

from sv3dgen.commands.cache_latents import main
from sv3dgen.data.latent_cache import fingerprint
from sv3dgen.data.orbit_dataset import OrbitDataset
from sv3dgen.data.orbit_files import SAMPLES, Angles, OrbitRecord, write_index, write_orbit
from sv3dgen.errors import InputError

MODEL = MICRO | {"frames": 21}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    module(model=MODEL).save_weights(path)
    return path


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    angles = Angles([10.0] * SAMPLES, (np.arange(SAMPLES) * 360 / SAMPLES).tolist())
    for name in ("cup", "jug"):
        record = OrbitRecord(
            name=name,
            kind="static",
            number=0,
            split="train",
            distance=2.0,
            fov_deg=33.8,
            size_px=SIZE_PX,
            source="noise",
            licence="none",
        )
        write_orbit(tmp_path, record, angles, rng.integers(0, 256, (SAMPLES, SIZE_PX, SIZE_PX, 4), dtype=np.uint8))
    write_index(tmp_path)
    return tmp_path


def command(data, weights, *options):
    return main(["--data", str(data), "--weights", str(weights), "--device", "cpu", *options])


def test_cached_is_what_the_encoders_make(data, weights, capsys):
    assert command(data, weights, "--every", "4", "--embeddings") == 0
    assert "latents of 2 orbits" in capsys.readouterr().out
    model = module(model=MODEL, weights=str(weights), trains=["unet"])
    sample = OrbitDataset(data)[0]
    pictures = sample.frames.float() / 127.5 - 1
    with torch.no_grad():
        latents, embedding = model.vae.encode(pictures), model.image_encoder(pictures[-1:])[0]
    assert sample.latents is not None and sample.embedding is not None
    assert torch.allclose(sample.latents, latents, rtol=2e-3, atol=2e-3)
    assert torch.allclose(sample.embedding, embedding, rtol=2e-3, atol=2e-3)


def test_a_cache_that_is_not_whole_is_told_of_and_left_alone(data, weights, caplog):
    assert command(data, weights) == 0
    next(data.glob("jug/*.latents.npy")).unlink()
    assert OrbitDataset(data).cache is None and OrbitDataset(data).cache is None
    assert caplog.text.count("1 of 2 files missing") == 1


@pytest.mark.parametrize(("key", "value"), [("scale_factor", None), ("every", 4.0), ("every", None), ("what", 1)])
def test_a_manifest_of_other_values_is_refused(data, weights, key, value):
    assert command(data, weights) == 0
    manifest = data / "latents.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    with pytest.raises(InputError, match="latents.json: .*cache_latents --replace makes them anew"):
        OrbitDataset(data)


def test_latents_computed_with_another_precision_do_not_mix(data, weights, capsys):
    assert command(data, weights, "--half") == 0
    assert json.loads((data / "latents.json").read_text())["half"] is True
    assert command(data, weights) == 2
    assert "latents computed with --half; expected --replace" in capsys.readouterr().err
    manifest = json.loads((data / "latents.json").read_text())
    (data / "latents.json").write_text(json.dumps({name: manifest[name] for name in manifest if name != "half"}))
    assert command(data, weights) == 0  # of before it was noted


def test_given_again_it_does_what_is_missing(data, weights, capsys):
    assert command(data, weights) == 0
    before = {path: path.stat().st_mtime_ns for path in data.glob("cup/*.latents.npy")}
    next(data.glob("jug/*.latents.npy")).unlink()
    assert command(data, weights) == 0
    assert "1 of them new" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in data.glob("cup/*.latents.npy")}


@pytest.mark.parametrize("options", [[], ["--replace"]])
def test_latents_that_nobody_answers_for_are_made_anew(data, weights, options):
    assert command(data, weights) == 0
    (data / "latents.json").write_text("spoilt")
    if not options:
        assert command(data, weights) == 2
        (data / "latents.json").unlink()
    stale = next(data.glob("cup/*.latents.npy"))
    np.save(stale, np.zeros_like(np.load(stale)))
    assert command(data, weights, *options) == 0
    assert np.load(stale).any()


def test_latents_of_another_model_are_refused(data, weights, tmp_path, capsys):
    assert command(data, weights) == 0
    other = tmp_path / "other" / "model.safetensors"
    module(model=MODEL, seed=5).save_weights(other)
    assert command(data, other) == 2
    assert "latents.json: latents of another model" in capsys.readouterr().err
    cache = OrbitDataset(data).cache
    assert cache is not None
    module(model=MODEL, weights=str(weights)).check_cache(data, cache)
    with pytest.raises(InputError, match="of another autoencoder"):
        module(model=MODEL, seed=5).check_cache(data, cache)
    assert command(data, other, "--replace") == 0
    renewed = OrbitDataset(data).cache
    assert renewed is not None and renewed.encoder_sha256 != cache.encoder_sha256
    module(model=MODEL, seed=5).check_cache(data, renewed)


def test_another_scale_factor_or_image_encoder_is_refused(data, weights):
    assert command(data, weights, "--embeddings") == 0
    manifest = data / "latents.json"
    content = json.loads(manifest.read_text())
    frozen = module(model=MODEL, weights=str(weights), trains=["unet"])
    for key, value, message in (("scale_factor", 3.5, "scale factor 3.5"), ("image_encoder_sha256", "x", "embeddings")):
        manifest.write_text(json.dumps(content | {key: value}))
        cache = OrbitDataset(data).cache
        assert cache is not None
        with pytest.raises(InputError, match=message):
            frozen.check_cache(data, cache)
    cache = OrbitDataset(data).cache
    assert cache is not None
    module(model=MODEL, weights=str(weights)).check_cache(data, cache)  # trains its image encoder itself


def test_decoder_does_not_count(weights):
    model = module(model=MODEL, weights=str(weights))
    before = fingerprint(*model.vae.encoding_modules)
    with torch.no_grad():
        model.vae.decoder.conv_out.bias += 1
    assert fingerprint(*model.vae.encoding_modules) == before
    with torch.no_grad():
        model.vae.quant_conv.bias += 1
    assert fingerprint(*model.vae.encoding_modules) != before


@pytest.mark.parametrize(("options", "message"), [(["--every", "3"], "--every 3: expected 1, 2 or 4")])
def test_bad_options(data, weights, capsys, options, message):
    assert command(data, weights, *options) == 2
    assert message in capsys.readouterr().err
    assert not (data / "latents.json").exists()


def test_bad_folder(tmp_path, weights, capsys):
    assert command(tmp_path / "none", weights) == 2
    assert "no such folder" in capsys.readouterr().err
