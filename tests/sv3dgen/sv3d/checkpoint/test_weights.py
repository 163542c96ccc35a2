"""What `weights=` may name, and what is said where it can't be had. No network: the hub's functions are replaced."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

import sv3dgen.sv3d.checkpoint.weights as weights_module
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.weights import find_weights, weights_at_hand

REPOSITORY, PAGE = "stabilityai/sv3d", "https://huggingface.co/stabilityai/sv3d"


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub without a cache and without a network; `asked` is what it was asked for."""
    state: dict[str, Any] = {"asked": [], "cached": {}, "answer": AssertionError("the hub was asked")}

    def download(repository: str, file: str) -> str:
        state["asked"].append((repository, file))
        if isinstance(state["answer"], Exception):
            raise state["answer"]
        return state["answer"]

    monkeypatch.setattr(weights_module, "_hub_has_an_address", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *key: state["cached"].get(key))
    return state


def http_error(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=status)
    return kind(f"{status} Client Error.\n\nSecond line.", response=response)


def refusal(weights: str) -> str:
    with pytest.raises(InputError) as caught:
        find_weights(weights)
    assert "\n" not in str(caught.value) and weights in str(caught.value)
    return str(caught.value)


def test_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "anything.safetensors"
    file.touch()
    assert find_weights(file) == find_weights(str(file)) == file


def test_folder_with_both_variants(tmp_path: Path) -> None:
    for name in ("sv3d_p", "sv3d_u"):
        (tmp_path / f"{name}.safetensors").touch()
    assert find_weights(tmp_path).name == "sv3d_p.safetensors"
    assert find_weights(tmp_path, "sv3d_u").name == "sv3d_u.safetensors"


def test_folder_with_one_variant_or_a_plain_name(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path).name == "model.safetensors"
    (tmp_path / "sv3d_u.safetensors").touch()
    assert find_weights(tmp_path).name == "sv3d_u.safetensors"


def test_diffusers_folder_stays_a_folder(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    assert find_weights(tmp_path) == tmp_path


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "sv3d_p.safetensors" in refusal(str(tmp_path))


@pytest.mark.parametrize("weights", ["nowhere.safetensors", "some/nowhere.safetensors", "/no/such/folder", "sv3d"])
def test_missing_path_does_not_ask_the_hub(weights: str, hub: dict[str, Any]) -> None:
    assert "no such file or folder" in refusal(weights)
    assert not hub["asked"]


@pytest.mark.parametrize(
    ("weights", "variant", "file"),
    [
        (REPOSITORY, "sv3d_p", "sv3d_p.safetensors"),
        (REPOSITORY, "sv3d_u", "sv3d_u.safetensors"),
        (f"{REPOSITORY}/sv3d_u.safetensors", "sv3d_p", "sv3d_u.safetensors"),
        (f"{REPOSITORY}/sub/other.safetensors", "sv3d_p", "sub/other.safetensors"),
    ],
)
def test_repository_is_downloaded(weights: str, variant: Any, file: str, tmp_path: Path, hub: dict[str, Any]) -> None:
    hub["answer"] = str(tmp_path / "downloaded")
    assert find_weights(weights, variant) == tmp_path / "downloaded"
    assert hub["asked"] == [(REPOSITORY, file)]


def test_cached_file_needs_no_hub(tmp_path: Path, hub: dict[str, Any]) -> None:
    hub["cached"][REPOSITORY, "sv3d_p.safetensors"] = str(tmp_path)
    assert find_weights(REPOSITORY) == tmp_path
    assert not hub["asked"]


def test_file_known_to_be_absent_is_asked_for_again(tmp_path: Path, hub: dict[str, Any]) -> None:
    hub["cached"][REPOSITORY, "sv3d_p.safetensors"] = object()  # the cache's mark for "not in the repository"
    hub["answer"] = str(tmp_path)
    assert find_weights(REPOSITORY) == tmp_path


def test_gated_repository(hub: dict[str, Any]) -> None:
    hub["answer"] = http_error(errors.GatedRepoError, 403)
    said = refusal(REPOSITORY)
    assert PAGE in said and "hf auth login" in said and "hf download stabilityai/sv3d sv3d_p.safetensors" in said


def test_unknown_repository(hub: dict[str, Any]) -> None:
    hub["answer"] = http_error(errors.RepositoryNotFoundError, 401)
    assert "no such repository" in refusal("somebody/nothing")


def test_unknown_file(hub: dict[str, Any]) -> None:
    hub["answer"] = http_error(errors.RemoteEntryNotFoundError, 404)
    assert "somebody/sv3d/NAME.safetensors" in refusal("somebody/sv3d")


@pytest.mark.parametrize("offline", [True, False])
def test_no_network(offline: bool, hub: dict[str, Any]) -> None:
    hub["answer"] = errors.LocalEntryNotFoundError("An error happened\nwhile trying to locate the file")
    hub["answer"].__cause__ = errors.OfflineModeIsEnabled("offline") if offline else OSError("no route")
    said = refusal(REPOSITORY)
    assert ("HF_HUB_OFFLINE" in said) == offline and ("can't be reached" in said) != offline
    assert PAGE in said and "hf auth login" in said and "hf download stabilityai/sv3d sv3d_p.safetensors" in said


def test_a_hub_without_an_address_is_not_asked(monkeypatch: pytest.MonkeyPatch, hub: dict[str, Any]) -> None:
    monkeypatch.setattr(weights_module, "_hub_has_an_address", lambda: False)
    assert "can't be reached" in refusal(REPOSITORY) and hub["asked"] == []


def test_offline_weights_are_refused_early(monkeypatch: pytest.MonkeyPatch, hub: dict[str, Any]) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="sv3d_u.safetensors: .*HF_HUB_OFFLINE is set"):
        weights_module.check_obtainable(REPOSITORY, "sv3d_u")
    hub["cached"][REPOSITORY, "sv3d_p.safetensors"] = "somewhere"
    weights_module.check_obtainable(REPOSITORY)


def test_hub_in_trouble(hub: dict[str, Any]) -> None:
    hub["answer"] = http_error(errors.HfHubHTTPError, 503)
    assert "answered 503" in refusal(REPOSITORY)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), errors.XetDownloadError("reset")])
def test_download_that_breaks(error: Exception, hub: dict[str, Any]) -> None:
    hub["answer"] = error
    assert "download failed" in refusal(REPOSITORY) and "hf download stabilityai/sv3d" in refusal(REPOSITORY)


def test_the_hubs_own_cache_and_offline_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_CACHE", str(tmp_path), raising=False)
    assert "HF_HUB_OFFLINE is set" in refusal(REPOSITORY)
    commit = "0" * 40
    repository = tmp_path / "models--stabilityai--sv3d"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "sv3d_p.safetensors").touch()
    assert find_weights(REPOSITORY) == snapshot / "sv3d_p.safetensors"


@pytest.mark.parametrize(
    ("on_gpu", "cached", "expected"),
    [(True, "/hub/f", "stabilityai/sv3d"), (True, None, "sv3d_tiny"), (False, "/hub/f", "sv3d_tiny")],
)
def test_without_weights_sv3d_p_is_taken_where_it_can_run(monkeypatch, on_gpu, cached, expected):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: cached)
    assert weights_at_hand(on_gpu) == expected
