"""Where the weights are: `weights=` names a file, a folder or a repository of the Hugging Face hub."""

import re
import socket
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint import embedded
from sv3dgen.sv3d.checkpoint.diffusers_folder import is_diffusers_folder

Variant = Literal["sv3d_p", "sv3d_u"]
OFFICIAL = "stabilityai/sv3d"
CONNECT_LIMIT_S = 2.0

_REPOSITORY = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*?)(/(?P<file>[\w./-]+\.safetensors))?")
_WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".json")


def find_weights(weights: str | Path, variant: Variant = "sv3d_p") -> Path:
    """The checkpoint that is meant: a safetensors file or a diffusers folder.

    `weights` is `sv3d_tiny`, the model that comes with the project; such a file or folder; a folder with
    `sv3d_p.safetensors`, `sv3d_u.safetensors` or `model.safetensors`; or a repository such as `stabilityai/sv3d` or
    `stabilityai/sv3d/sv3d_u.safetensors`, of which the file is downloaded unless the hub's cache has it. Where both
    variants are there, `variant` chooses. Raises InputError with what to do about it.
    """
    path, repository = Path(weights).expanduser(), _repository(weights)
    if path.is_dir():
        return path if is_diffusers_folder(path) else _in_folder(path, variant)
    if path.is_file():
        return path
    if path.exists():
        raise InputError(f"{weights}: neither a file nor a folder (a device, a pipe), expected weights")
    if str(weights) == embedded.NAME:
        return embedded.WEIGHTS
    if repository is None:
        raise InputError(
            f"{weights}: no such file or folder, expected a .safetensors file, a diffusers folder, a hub repository "
            f"such as stabilityai/sv3d, or {embedded.NAME}"
        )
    return _from_hub(repository["id"], repository["file"] or f"{variant}.safetensors")


def weights_at_hand(on_gpu: bool) -> str:
    """What to take where no weights are named: SV3D_p where the hub's cache has it and there is a GPU for it, else
    the model that comes with the project."""
    from huggingface_hub import try_to_load_from_cache

    at_hand = on_gpu and isinstance(try_to_load_from_cache(OFFICIAL, "sv3d_p.safetensors"), str)
    return OFFICIAL if at_hand else embedded.NAME


def is_on_hub(weights: str | Path) -> bool:
    """Whether `find_weights` would look on the hub, or in its cache, rather than in this machine's folders."""
    return not Path(weights).expanduser().exists() and _repository(weights) is not None


def check_obtainable(weights: str | Path, variant: Variant = "sv3d_p") -> None:
    """Raise InputError, within seconds, where weights of the hub are not in its cache and it can't be reached."""
    from huggingface_hub import constants, errors, try_to_load_from_cache

    found = _repository(weights)
    assert found is not None  # is_on_hub
    repository, file = found["id"], found["file"] or f"{variant}.safetensors"
    if isinstance(try_to_load_from_cache(repository, file), str):
        return
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{repository}/{file}: {_why(errors.OfflineModeIsEnabled(), repository, file)}")
    if not getproxies() and not _answers(urlsplit(constants.ENDPOINT)):
        raise InputError(f"{repository}/{file}: {_why(errors.LocalEntryNotFoundError(''), repository, file)}")


def _answers(address: SplitResult) -> bool:
    """Whether a server takes a connection at once. Looking up its name has no time limit of its own."""
    port = address.port or (80 if address.scheme == "http" else 443)

    def connect() -> None:
        try:
            socket.create_connection((address.hostname or "", port), CONNECT_LIMIT_S).close()
            answered.append(True)
        except OSError:
            pass

    answered: list[bool] = []
    asking = Thread(target=connect, daemon=True)
    asking.start()
    asking.join(CONNECT_LIMIT_S)
    return bool(answered)


def _repository(weights: str | Path) -> re.Match[str] | None:
    """`id` and `file` of what may be a repository; a name with one slash and a suffix of weights is a missing file."""
    found = _REPOSITORY.fullmatch(str(weights))
    missing = found is not None and found["file"] is None and Path(weights).suffix in _WEIGHT_SUFFIXES
    return None if missing else found


def _in_folder(folder: Path, variant: Variant) -> Path:
    for name in (variant, "sv3d_p", "sv3d_u", "model"):
        file = folder / f"{name}.safetensors"
        if file.exists():
            return file
    raise InputError(
        f"{folder}: no weights in it, expected sv3d_p.safetensors, sv3d_u.safetensors, model.safetensors, or a "
        "diffusers folder with unet, vae and image_encoder"
    )


def _from_hub(repository: str, file: str) -> Path:
    from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)  # without asking the hub, so it works offline
    try:
        if not _hub_has_an_address():  # asking all the same would mean half a minute of retries
            raise errors.LocalEntryNotFoundError("no address")
        return Path(hf_hub_download(repository, file))
    except Exception as error:  # of the hub, of its two ways to download, of the network, of the disk
        raise InputError(f"{repository}/{file}: {_why(error, repository, file)}") from error


def _hub_has_an_address() -> bool:
    """False where the hub's name can't be resolved here; a proxy, where one is set, resolves it elsewhere."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or getproxies():
        return True
    try:
        return bool(socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None))
    except OSError:
        return False


def _why(error: Exception, repository: str, file: str) -> str:
    """What went wrong and what to do about it, in one line."""
    from huggingface_hub import errors

    page, download = f"https://huggingface.co/{repository}", f"hf download {repository} {file}"
    if isinstance(error, errors.GatedRepoError):
        return f"gated: accept its licence at {page}, then run: hf auth login, then: {download}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"no such file here, and no such repository on the hub, or one that needs a login (hf auth login): {page}"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"the repository has no such file; name the one you want as {repository}/NAME.safetensors, see {page}"
    by_hand = f"where there is a network, accept the licence at {page} and run: hf auth login, then: {download}"
    if isinstance(error, errors.OfflineModeIsEnabled) or isinstance(error.__cause__, errors.OfflineModeIsEnabled):
        return f"not in the hub's cache, and HF_HUB_OFFLINE is set; {by_hand}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"not in the hub's cache, and the hub can't be reached; {by_hand}"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub answered {error.response.status_code} ({_first_line(error)}); {by_hand}"
    return f"the download failed ({_first_line(error)}); to take it up again: {download}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
