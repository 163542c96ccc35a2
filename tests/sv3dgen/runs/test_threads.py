"""Threads are settled before the libraries start, and a user's own settings win."""

import os
import subprocess
import sys

import pytest
from checkout import ROOT

from sv3dgen.runs import threads
from sv3dgen.runs.threads import quota_cores, settle_threads


def test_waiting_threads_sleep_unless_the_user_says_otherwise():
    environment: dict[str, str] = {}
    settle_threads(environment)
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert environment["NUMBA_THREADING_LAYER_PRIORITY"].split()[0] == "omp"
    environment = {"OMP_WAIT_POLICY": "active"}
    settle_threads(environment)
    assert environment["OMP_WAIT_POLICY"] == "active"


@pytest.mark.parametrize(
    ("given", "turns"), [({}, "3000"), ({"OMP_WAIT_POLICY": "passive"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_they_spin_for_a_moment_unless_the_user_says_how_they_wait(given, turns):
    environment = dict(given)
    for _ in range(2):  # a child process finds what its parent has settled
        settle_threads(environment)
        assert environment.get("GOMP_SPINCOUNT") == turns and environment["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("quota", "cores", "expected"), [(1.5, 8, "2"), (0.2, 8, "1"), (8.0, 8, None), (None, 8, None), (16.0, 2, None)]
)
def test_a_containers_quota_bounds_the_threads(monkeypatch, quota, cores, expected):
    monkeypatch.setattr(threads, "quota_cores", lambda: quota)
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    environment = {"NUMBA_NUM_THREADS": "5"}
    settle_threads(environment)
    assert environment.get("OMP_NUM_THREADS") == expected and environment["NUMBA_NUM_THREADS"] == "5"


@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("nonsense", None), ("100000 0", None)]
)
def test_quotas_of_the_second_kind_of_control_groups(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)
    assert quota_cores((tmp_path / "cpu.max", tmp_path / "missing")) == expected


@pytest.mark.parametrize(("quota", "expected"), [("250000", 2.5), ("-1", None)])
def test_quotas_of_the_first_kind(tmp_path, quota, expected):
    (tmp_path / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert quota_cores((tmp_path / "missing", tmp_path / "cpu.cfs_quota_us")) == expected


def test_every_command_settles_them_first():
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "KMP_", "GOMP_"))}
    command = [sys.executable, "-m", "sv3dgen.doctor", "--json"]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert '"waiting": "waiting threads sleep' in said.stdout
