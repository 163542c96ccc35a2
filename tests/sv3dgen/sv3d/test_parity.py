"""The parity command on the published case, on one of other sizes that is made here, and on folders that are none."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sv3dgen.sv3d.checkpoint.keys import key_table
from sv3dgen.sv3d.config import read_official
from sv3dgen.sv3d.parity.__main__ import compare, main, read_case
from sv3dgen.sv3d.parity.values import GROUPS
from sv3dgen.views.orbits import orbit_by_name

FRAMES, SIZE_PX, LATENT_PX = 6, 32, 16


def official_document():
    """A configuration in the official form whose every size differs from the published case's."""
    unet = dict(in_channels=8, out_channels=4, model_channels=32, channel_mult=[1, 2, 2], num_res_blocks=1)
    unet |= dict(attention_resolutions=[2, 1], num_head_channels=32, transformer_depth=1, context_dim=16)
    decoder = dict(in_channels=3, out_ch=3, ch=32, ch_mult=[1, 2], num_res_blocks=1, z_channels=4)
    guider = dict(params=dict(min_scale=1.2, max_scale=2.0))
    noise = dict(params=dict(sigma_max=300.0))
    params = dict(
        network_config=dict(params=unet | dict(adm_in_channels=32 + 64 + 64)),
        first_stage_config=dict(params=dict(decoder_config=dict(params=decoder))),
        sampler_config=dict(params=dict(num_steps=3, guider_config=guider, discretization_config=noise)),
        scale_factor=0.2,
    )
    vision = dict(width=64, layers=1, head_width=16, mlp_ratio=2.0, patch_size=32, image_size=224)
    return dict(
        official_config=dict(model=dict(params=params)),
        vector_embedders=[dict(key="cond_aug", outdim=32)]
        + [dict(key=key, outdim=64) for key in ("polars", "azimuths")],
        clip=dict(vision=vision, embed_dim=16),
        num_frames=FRAMES,
        image_size=SIZE_PX,
        cond_aug=0.02,
    )


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def given_tensors():
    orbit = orbit_by_name("dynamic", elevation_deg=12.0, frames=FRAMES)
    clip = (FRAMES, 4, LATENT_PX, LATENT_PX)
    return {
        "traj.primary.elevations_deg": orbit.elevation_deg,
        "traj.primary.azimuths_deg": orbit.azimuth_deg,
        "traj.static_7.elevation_deg": torch.tensor([7.0], dtype=torch.float64),
        "traj.static_7.azimuths_rad": torch.zeros(FRAMES, dtype=torch.float64),
        "in.image": normal(1, 3, SIZE_PX, SIZE_PX).clamp(-1, 1),
        "in.cond_noise": normal(1, 3, SIZE_PX, SIZE_PX, seed=1),
        "in.cond_aug": torch.tensor([0.02]),
        "in.noise": normal(*clip, seed=2),
        "den.sigmas": torch.tensor([300.0, 1.5]),
        "den.x.0": normal(*clip, seed=3) * 300,
        "den.x.1": normal(*clip, seed=4) * 2,
        "ae.clip": normal(2, 3, 16, 16).clamp(-1, 1),
        "loss.latents": normal(*clip, seed=5),
        "loss.noise": normal(*clip, seed=6),
        "loss.sigma": torch.tensor([0.8]),
        "loss.sigma_sampler_rand": normal(4),
        "pipe.decoded_idx": torch.tensor([0, 5]),
        # of these the names and sizes tell what is asked for
        "pipe.frames_u8": torch.zeros(3, SIZE_PX, SIZE_PX, 3, dtype=torch.uint8),
        "sched.sigmas_7": torch.zeros(8),
        "guider.scale_9_max3.0_min0.5": torch.zeros(9),
    }


@pytest.fixture(scope="module")
def other_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case of other sizes, of random weights, whose expected outputs are this package's own."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "config.json").write_text(json.dumps(official_document()))
    save_file(given_tensors(), folder / "io.safetensors")
    table = key_table(read_official(official_document()))
    weights = {
        key: 0.1 * normal(*entry.shape, seed=seed).half()
        for seed, (key, entry) in enumerate(table.items())
        if entry.names
    }
    save_file(weights, folder / "model.safetensors")
    prefix = "model.diffusion_model.label_emb.0"
    embedding = {f"{prefix}.{name}": weights[f"{prefix}.{name}"] for name in ("0.bias", "2.weight", "2.bias")}
    save_file(embedding | {f"{prefix}.0.weight": 0.1 * normal(128, 32).half()}, folder / "sv3d_u_overrides.safetensors")
    case = read_case(folder)
    with torch.no_grad():
        outputs = {}
        for group in GROUPS[:1] + GROUPS[2:]:  # no draws of numpy's
            outputs |= {name: value.clone().contiguous() for name, value in group(case)}
    save_file(given_tensors() | outputs, folder / "io.safetensors")
    return folder


def test_published_case(shared: Path, capsys: pytest.CaptureFixture):
    folder = shared / "parity" / "dev"
    assert main([str(folder)]) == 0
    table = capsys.readouterr().out.splitlines()
    compared = {line.split()[0] for line in table[1:] if line.endswith("ok")}
    outputs = [
        name for name in load_file(folder / "io.safetensors") if name.startswith(("den.net", "samp", "u.", "pipe"))
    ]
    assert compared.issuperset(set(outputs) - {"pipe.decoded_idx"}) and len(compared) == 78
    assert [line for line in table if line.startswith("not compared")] == [
        "not compared: vdec.out: of SVD's video decoder, which SV3D does not use"
    ]


def test_case_of_other_sizes(other_case: Path, capsys: pytest.CaptureFixture):
    assert main([str(other_case)]) == 0
    assert "not compared" not in capsys.readouterr().out
    rows, _ = compare(read_case(other_case))
    names = {row.name for row in rows}
    assert {"dbg.output_blocks.5", "u.denoised_cond", "samp.x.3", "traj.static_7.vector", "pipe.decoded"} <= names


def test_an_error_above_its_tolerance_fails(other_case: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = copied(other_case, tmp_path)
    tensors = load_file(folder / "io.safetensors")
    tensors["den.net_cond.1"][0, 0, 0, 0] += 2e-4
    tensors["loss.per_frame"][0] = float("nan")
    tensors["cond.vector"] = tensors["cond.vector"][:, :-1].contiguous()
    save_file(tensors, folder / "io.safetensors")
    assert main([str(folder)]) == 1
    failed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert sorted(failed) == ["cond.vector", "den.net_cond.1", "loss.per_frame"]


def test_tensors_may_be_missing(other_case: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = copied(other_case, tmp_path)
    (folder / "sv3d_u_overrides.safetensors").unlink()
    kept = load_file(folder / "io.safetensors")
    for name in list(kept):
        if name.startswith(("dbg.", "u.", "loss.")) or name in ("ae.clip", "ae.moments", "ae.decoded"):
            del kept[name]
    save_file(kept, folder / "io.safetensors")
    assert main([str(folder)]) == 0
    left_out = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not compared")]
    assert (
        len(left_out) == 1 and left_out[0].startswith("not compared: ae.mode: not without") and "ae.clip" in left_out[0]
    )


def test_preprocessing_is_compared(other_case: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = copied(other_case, tmp_path)
    (folder / "preprocess").mkdir()
    Image.new("RGBA", (40, 40), (200, 10, 10, 255)).save(folder / "preprocess" / "in.png")
    Image.new("RGB", (64, 64), (200, 10, 10)).save(folder / "preprocess" / "good.png")
    Image.new("RGB", (64, 64), (200, 10, 90)).save(folder / "preprocess" / "bad.png")
    entries = [dict(input="in.png", image_frame_ratio=1.0, output=name) for name in ("good.png", "bad.png")]
    (folder / "preprocess" / "cases.json").write_text(json.dumps(entries))
    assert main([str(folder)]) == 1
    failed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert failed == ["preprocess/bad.png"]


def test_folders_that_are_no_case(other_case: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    def refusal(folder: Path) -> str:
        assert main([str(folder)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    assert "config.json: no such file" in refusal(tmp_path)
    folder = copied(other_case, tmp_path)
    (folder / "io.safetensors").write_bytes(b"short")
    assert "io.safetensors" in refusal(folder)
    (folder / "config.json").write_text("{}")
    assert "config.json: no official_config" in refusal(folder)
    (folder / "config.json").write_text("[")
    assert "config.json" in refusal(folder)


def copied(case: Path, into: Path) -> Path:
    """The case in a folder of its own; the weights are not copied but linked."""
    folder = into / "copy"
    folder.mkdir()
    for path in case.iterdir():
        if path.name == "model.safetensors":
            (folder / path.name).symlink_to(path)
        else:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder
