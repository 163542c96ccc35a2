"""What several test files share: the folder of real data, and a small set of posed views with a known shape."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import checks_on_call  # noqa: F401  (before anything that it is to check is imported)
import pytest
import torch
from checkout import ROOT, SHARED
from composed_once import compose_once
from sphere_on_box import sphere_on_box
from yamls_once import read_yamls_once

from sv3dgen.compiling.ahead import is_compiled
from sv3dgen.compiling.in_a_run import KERNELS
from sv3dgen.devices import find_device
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.runs.lean_imports import leave_out_unused
from sv3dgen.runs.threads import settle_threads
from sv3dgen.views.posed_views import PosedViews, write_views

# A shell has what it starts in the background ignore SIGINT, and children inherit that: tests interrupt theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        help="where kernels and stages are tested: cuda, or cpu for Triton's interpreter and a pretend GPU",
    )

    parser.addoption("--thorough", action="store_true", help="also the further cases that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave further cases out, and say how many, where --thorough is not given."""
    if not config.getoption("--thorough"):
        further = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=further)
        items[:] = [item for item in items if item not in further]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores, since tests wait for processes and disks a good part of their time."""
    return usable_cores() + 1


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have all kernels compiled once, before processes that need the same ones wait for each other."""
    first = not hasattr(session.config, "workerinput")
    if first and session.config.getoption("numprocesses", None) and not is_compiled(tuple(KERNELS)):
        compiler = [sys.executable, "-m", "sv3dgen.compiling.ahead", str(usable_cores()), *KERNELS]
        subprocess.run(compiler, cwd=ROOT, check=False)  # what fails here fails in a test, which says why


def pytest_configure(config: pytest.Config) -> None:
    read_yamls_once()
    compose_once()
    if config.getoption("--device") == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # is read when triton, and when a kernel, is imported
    leave_out_unused()
    settle_threads()  # of the processes that are started next
    processes = config.getoption("numprocesses", None)
    if processes:  # those that are started next share the cores, and what they start does
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // processes)))


def pytest_collection(session: pytest.Session) -> None:
    gc.disable()  # while all modules are imported, of which nothing is garbage: a fifth of the time that it takes


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()  # what is there now stays, and need not be looked through each time
    gc.enable()


@pytest.fixture(scope="session")
def triton_device(request: pytest.FixtureRequest) -> torch.device:
    """Where Triton kernels are tested: a GPU (--device cuda), or the CPU with Triton's interpreter."""
    pytest.importorskip("triton", reason="needs triton, which the dev extra brings on Linux")
    return find_device(str(request.config.getoption("--device")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real orbits, meshes and broken files that some checkouts have next to them."""
    folder = SHARED
    if not folder.is_dir():
        pytest.skip("needs the test data of ../shared, which is not part of the project")
    return folder


@pytest.fixture(scope="session")
def posed_views() -> PosedViews:
    """12 views of 64 px of a sphere that sits on a box, both checkered; the last one is the front."""
    return sphere_on_box()


@pytest.fixture(scope="session")
def views_folder(posed_views: PosedViews, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same views on disk, with their transforms.json. Not to be written to."""
    folder = tmp_path_factory.mktemp("posed") / "toy"
    write_views(posed_views, folder)
    return folder
