"""Every Triton kernel compiles to machine code of Nvidia and AMD GPUs, which needs neither of them.

The interpreter runs kernels as Python, so it takes what the compiler refuses. Compiled in a process of its own, since
kernels are made for the interpreter or for the compiler when they are imported.
"""

import os
import subprocess
import sys

import pytest
import torch
from checkout import ROOT

POINTERS = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
}


@pytest.mark.parametrize("target", ["cuda 80 32", "hip gfx942 64"])
def test_every_kernel_compiles(target, tmp_path):
    pytest.importorskip("triton", reason="needs triton, which the dev extra brings on Linux")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    command = [sys.executable, __file__, *target.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 kernels left out")


def compile_all(backend: str, architecture: str, warp_size: str) -> None:
    """Go through all launches on CPU tensors, and compile instead of launching; tell the kernels left out."""
    from triton.backends.compiler import GPUTarget

    from sv3dgen.kernels.hash_grid import _triton as hash_grid_triton
    from sv3dgen.kernels.hash_grid.encode import hash_grid_spec
    from sv3dgen.kernels.marching_tetrahedra import _triton as marching_tets_triton
    from sv3dgen.kernels.rasterizer import _antialias_triton as antialias_triton
    from sv3dgen.kernels.rasterizer import _interpolate_triton as interpolate_triton
    from sv3dgen.kernels.rasterizer import _rasterize_triton as rasterize_triton
    from sv3dgen.kernels.ray_marching import _triton as ray_marching_triton

    number = int(architecture) if architecture.isdigit() else architecture
    target = GPUTarget(backend, number, int(warp_size))
    # Triton makes a constant of every integer argument that is 1: one target gets those, the other the variables.
    ones = backend == "hip"

    left = set()

    def compile_only(kernel, grid, *arguments, **options) -> None:
        compile_kernel(kernel, arguments, options, target, ones)
        left.discard(kernel)

    kinds = (
        antialias_triton,
        hash_grid_triton,
        interpolate_triton,
        marching_tets_triton,
        rasterize_triton,
        ray_marching_triton,
    )
    for module in kinds:
        left |= {value for name, value in vars(module).items() if name.endswith("_kernel")}
        module.__dict__["launch"] = compile_only
    points, samples, faces = torch.rand(8, 3), torch.rand(8), torch.zeros(1, 3, dtype=torch.int64)
    pixels, ends = torch.zeros(8, 4, dtype=torch.int64), torch.tensor([0, 8])

    spec = hash_grid_spec(levels=2, base_resolution=3, growth=1.5, log2_table_size=8)
    table, grad = torch.rand(spec.entries, 2), torch.rand(8, spec.channels)
    hash_grid_triton.gather(points, None, table, spec, 2)
    hash_grid_triton.scatter(points, points, grad, spec, 2)
    hash_grid_triton.contract(points, points, table, grad, spec, 2)

    rasterize_triton.draw(faces[:, :, None].expand(1, 3, 2), points[:1], points[:1] > 0, faces, 4, 4)
    clip, attributes = torch.rand(1, 3, 4).requires_grad_(), torch.rand(3, 5).requires_grad_()
    weights = interpolate_triton.Barycentrics.apply(clip, faces, pixels, 4, 4)
    interpolate_triton.Interpolate.apply(attributes, faces, pixels[:, 0], weights).sum().backward()

    sides = pixels[:3, :2]
    antialias_triton.Coverage.apply(clip, pixels[None], faces, sides, sides).sum().backward()

    # Without what the first of its kernels finds there is no surface; the others are compiled all the same.
    byte, table = torch.zeros(8, dtype=torch.uint8), torch.zeros(16, 2, 3, dtype=torch.int32)
    four, six = torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 6, dtype=torch.int64)
    marching_tets_triton.surface(byte, four, sides, six, table)
    marching_tets_triton.Crossings.apply(samples.requires_grad_(), points, sides).sum().backward()
    samples = samples.detach()

    box, cells = torch.tensor([[-1.0] * 3, [1.0] * 3]), torch.ones(4, 4, 4, dtype=torch.bool)
    # Both of marching's kernels are launched; without the first's counts there are no samples to pack.
    ray_marching_triton.march(points, points, cells, box, 0.1, samples)
    ray_marching_triton.prune(samples, samples, ends, 0.1, 0.1)
    found, behind = ray_marching_triton.weights(samples, samples, ends)
    ray_marching_triton.weights_backward(samples, samples, ends, found, behind)
    ray_marching_triton.accumulate(samples, points, ends)
    ray_marching_triton.accumulate_backward(samples, points, ends, points[:1])
    print(f"{len(left)} kernels left out: {sorted(kernel.__name__ for kernel in left)}")


def compile_kernel(kernel, arguments, options, target, ones: bool) -> None:
    """Compile to the machine code of `target`, as a launch with these arguments would."""
    import triton
    from triton.compiler import ASTSource

    settings = {name: options.pop(name) for name in ("num_warps", "enable_fp_fusion") if name in options}
    signature, constants = {}, dict(options)
    for name, argument in zip(kernel.arg_names, arguments, strict=False):
        if isinstance(argument, torch.Tensor):
            signature[name] = POINTERS[argument.dtype]
        elif isinstance(argument, float):
            signature[name] = "fp32"
        elif ones:
            constants[name] = 1
        else:
            signature[name] = "i32"
    signature |= dict.fromkeys(constants, "constexpr")
    signature = {name: signature[name] for name in kernel.arg_names}
    triton.compile(ASTSource(kernel, signature, constants), target=target, options=settings)


if __name__ == "__main__":
    compile_all(*sys.argv[1:])
