"""Orbits out of rendered loops: which frames, which angles, which background; and folders that are not whole."""

import json
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sv3dgen.data.latent_cache import LatentCache, write_cache
from sv3dgen.data.orbit_dataset import OrbitDataset, collate_orbits, on_color
from sv3dgen.data.orbit_files import SAMPLES, Angles, OrbitRecord, write_index, write_orbit
from sv3dgen.errors import InputError
from sv3dgen.views.orbits import wrapped_deg

SIZE = 4


def record(name="cup", kind="static", number=0, split="train"):
    return OrbitRecord(
        name=name,
        kind=kind,
        number=number,
        split=split,
        distance=2.0,
        fov_deg=33.8,
        size_px=SIZE,
        source="made up",
        licence="none",
    )


def loop():
    """View k is of the gray k, opaque on the left half and half transparent on the right."""
    pictures = np.empty((SAMPLES, SIZE, SIZE, 4), np.uint8)
    pictures[..., :3] = np.arange(SAMPLES)[:, None, None, None]
    pictures[..., : SIZE // 2, 3], pictures[..., SIZE // 2 :, 3] = 255, 128
    return pictures


ANGLES = Angles((10 + np.arange(SAMPLES) / 10).tolist(), (np.arange(SAMPLES) * 360 / SAMPLES).tolist())


@pytest.fixture
def folder(tmp_path):
    for made in (record(), record("jug"), record("jug", "dynamic"), record("pot", split="test")):
        write_orbit(tmp_path, made, ANGLES, loop())
    write_index(tmp_path)
    return tmp_path


def shown(sample):
    """The views by their gray."""
    return sample.frames[:, 0, 0, 0].tolist()


def test_every_fourth_view_with_the_start_last(folder):
    dataset = OrbitDataset(folder, split="train", kinds=("static", "dynamic"))
    assert len(dataset) == 3 and dataset.size_px == SIZE
    starts = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        for index in range(3):
            sample = dataset[index]
            start = shown(sample)[-1]
            starts.add(start)
            assert shown(sample) == [(start + 4 * step) % SAMPLES for step in range(1, 22)]
            expected = torch.arange(1, 22, dtype=torch.float64) * 360 / 21 % 360
            assert wrapped_deg(sample.azimuth_deg - expected).abs().max() < 1e-9
            assert (sample.azimuth_deg[:-1].diff() > 0).all() and sample.azimuth_deg[-1] == 0
            assert sample.elevation_deg.tolist() == [ANGLES.elevation_deg[view] for view in shown(sample)]
            assert sample.name == dataset.records[index].name and sample.latents is None
    assert len(starts) > 20


def test_draws_follow_from_seed_epoch_and_index_alone(folder):
    def draws(dataset, epoch):
        dataset.set_epoch(epoch)
        return [dataset[index] for index in range(len(dataset))]

    settings = {"split": "train", "background": "random", "mirror": True}
    first, again = OrbitDataset(folder, **settings, seed=4), OrbitDataset(folder, **settings, seed=4)
    draws(again, 0)
    torch.manual_seed(9)
    for a, b in zip(draws(first, 7), draws(pickle.loads(pickle.dumps(again)), 7), strict=True):
        assert torch.equal(a.frames, b.frames) and torch.equal(a.azimuth_deg, b.azimuth_deg)
    other = OrbitDataset(folder, **settings, seed=5)
    assert any(shown(a) != shown(b) for a, b in zip(draws(first, 7), draws(other, 7), strict=True))


def test_backgrounds(folder):
    white = OrbitDataset(folder, split="train")
    assert {tuple(white[0].frames[k, :, 0, 3].tolist()) for k in range(21)} == {
        tuple([round((view * 128 + 255 * 127) / 255)] * 3) for view in shown(white[0])
    }
    dataset = OrbitDataset(folder, split="train", background="random")
    colors = []
    for epoch in range(40):
        dataset.set_epoch(epoch)
        sample = dataset[0]
        view = torch.tensor(shown(sample))[:, None]
        behind = (sample.frames[:, :, 0, 3] * 255.0 - view * 128) / 127
        assert behind.std(0).max() < 3  # the same behind all frames
        colors.append(behind.mean(0))
    is_white = (torch.stack(colors) > 252).all(1)
    assert 8 < int(is_white.sum()) < 32


def test_blending_rounds_to_the_nearest():
    rng = np.random.default_rng(0)
    rgba, color = rng.integers(0, 256, (5, 8, 8, 4)).astype(np.uint8), np.array([10, 200, 255])
    alpha = rgba[..., 3:] / 255.0
    exact = rgba[..., :3] * alpha + color * (1 - alpha)
    assert np.abs(on_color(rgba, color) - exact).max() <= 0.5 + 1e-9


def test_mirrored_orbits_run_the_other_way(folder):
    dataset = OrbitDataset(folder, split="train")
    there, back = dataset.orbit(0, 5, False, np.zeros(3)), dataset.orbit(0, 5, True, np.zeros(3))
    assert shown(there)[:-1] == back.frames[:-1, 0, 0, -1].mul(2).sub(1).tolist()[::-1] or (
        back.frames[:, 0, 0, -1].tolist()[:-1] == shown(there)[:-1][::-1]
    )
    torch.testing.assert_close(there.azimuth_deg, back.azimuth_deg)
    torch.testing.assert_close(there.elevation_deg[:-1], back.elevation_deg[:-1].flip(0))


def test_cached_latents_come_along(folder):
    latents = np.arange(SAMPLES, dtype=np.float16)[:, None, None, None] * np.ones((1, 4, 2, 2), np.float16)
    for path in list(folder.glob("*/*.npy")):
        np.save(path.with_name(f"{path.stem}.latents.npy"), latents)
    write_cache(folder, LatentCache(encoder_sha256="a", scale_factor=2.0, every=1))
    sample = OrbitDataset(folder, split="train")[1]
    assert sample.latents is not None and sample.latents.shape == (21, 4, 2, 2)
    assert sample.latents[:, 0, 0, 0].tolist() == shown(sample)
    assert OrbitDataset(folder, split="train", background="random")[1].latents is None
    assert OrbitDataset(folder, split="train", mirror=True)[1].latents is None
    assert OrbitDataset(folder, split="train", cached=False)[1].latents is None
    next(folder.glob("cup/*.latents.npy")).unlink()
    assert OrbitDataset(folder, split="train")[1].latents is None


def test_where_only_some_views_are_cached_orbits_are_of_those(folder):
    latents = np.arange(0, SAMPLES, 4, dtype=np.float16)[:, None, None, None] * np.ones((1, 4, 2, 2), np.float16)
    for path in list(folder.glob("*/*.npy")):
        np.save(path.with_name(f"{path.stem}.latents.npy"), latents)
    write_cache(folder, LatentCache(encoder_sha256="a", scale_factor=2.0, every=4))
    dataset, starts = OrbitDataset(folder, split="train"), set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        sample = dataset[0]
        assert sample.latents is not None and sample.latents[:, 0, 0, 0].tolist() == shown(sample)
        starts.add(shown(sample)[-1])
    assert len(starts) > 8 and all(start % 4 == 0 for start in starts)
    with pytest.raises(InputError, match="every 4th view"):
        OrbitDataset(folder, split="train", frames=42)


def test_scores_do_not_depend_on_which_views_have_latents(folder):
    bare = OrbitDataset(folder, split="train", cached=False)
    for path in list(folder.glob("*/*.npy")):
        np.save(path.with_name(f"{path.stem}.latents.npy"), np.zeros((21, 4, 2, 2), np.float16))
    write_cache(folder, LatentCache(encoder_sha256="a", scale_factor=2.0, every=4))
    again = OrbitDataset(folder, split="train", cached=False)
    assert [shown(again[index]) for index in range(3)] == [shown(bare[index]) for index in range(3)]


def test_a_manifest_with_an_impossible_step_is_refused(folder):
    for every in (0, 5, -1):
        write_cache(folder, LatentCache(encoder_sha256="a", scale_factor=2.0, every=every))
        with pytest.raises(InputError, match=f"every={every}, .*expected a number that divides 84"):
            OrbitDataset(folder, split="train")


@pytest.mark.parametrize("content", ["[]", "{", '{"every": 4}', "null"])
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / "latents.json").write_text(content)
    with pytest.raises(InputError, match="latents.json: not what"):
        OrbitDataset(folder, split="train")


def test_batches(folder):
    dataset = OrbitDataset(folder, split="train")
    batch = collate_orbits([dataset[0], dataset[1]]).to("cpu")
    assert batch.frames.shape == (2, 21, 3, SIZE, SIZE) and batch.frames.dtype == torch.uint8
    assert batch.azimuth_deg.dtype == torch.float64 and batch.names == ("cup", "jug") and len(batch) == 2
    (loaded,) = DataLoader(dataset, batch_size=3, num_workers=1, collate_fn=collate_orbits)
    assert torch.equal(loaded.frames[:2], batch.frames)


def test_folders_that_are_not_whole(folder, tmp_path):
    def refusal(**settings):
        with pytest.raises(InputError) as error:
            OrbitDataset(settings.pop("folder", folder), **{"split": "train"} | settings)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such folder" in refusal(folder=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no orbits in it" in refusal(folder=tmp_path / "empty")
    assert "no dynamic orbits to test with, found" in refusal(split="test", kinds=("dynamic",))
    assert "frames=20" in refusal(frames=20)
    (folder / "cup" / "static_0.npy").write_bytes(b"half of it")
    assert "cup" in refusal() and "incomplete" in refusal()
    index = folder / "dataset.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"version": 9}))
    assert "version 9" in refusal()
    index.write_text("{")
    assert "not a list of orbits" in refusal()
    index.unlink()
    assert "rendering stopped after 4 orbits" in refusal()


def test_walks_go_round_in_other_ways_and_end_at_the_start(folder):
    dataset, seen = OrbitDataset(folder, split="train", walks=(1, -1, 4)), set()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        sample = dataset[0]
        start, advance = shown(sample)[-1], (shown(sample)[0] - shown(sample)[-1]) % SAMPLES
        assert shown(sample) == [(start + advance * step) % SAMPLES for step in range(1, 22)]
        assert len(set(shown(sample))) == 21 and sample.azimuth_deg[-1] == 0
        expected = torch.tensor([(view - start) * 360 / SAMPLES for view in shown(sample)], dtype=torch.float64)
        assert wrapped_deg(sample.azimuth_deg - expected).abs().max() < 1e-9
        seen.add(advance)
    assert seen == {4, SAMPLES - 4, 16}
    with pytest.raises(InputError, match="walks=\\[3\\]: expected numbers without a divisor in common with 21"):
        OrbitDataset(folder, split="train", walks=[3])
