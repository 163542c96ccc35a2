"""Experiments that are sweeps: what `hydra.sweeper.params` in conf/experiment/NAME.yaml adds to a command line."""

from collections.abc import Callable

from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.overrides import choices_of, parse
from sv3dgen.errors import InputError

GROUP = "experiment"
MAKES_VIEWS = {"nvs", "orbit"}  # keys that say what views a photo gets


def cells_of_experiment(settings: list[str], composed: Callable[[list[str]], DictConfig]) -> list[str]:
    """The sweep of the experiment that is chosen, as settings in front of the given ones, which win.

    Hydra puts them there itself, once it has composed the config; this is for who looks at a sweep before that.
    """
    chosen = [text for text in settings if parse(text).key_or_group == GROUP]
    if not chosen:
        return []
    override = parse(chosen[-1])
    if override.is_sweep_override():
        for choice in choices_of(override):
            if _params(choice, composed):
                raise InputError(f"{chosen[-1]}: {choice} is a sweep of its own; expected one of them at a time")
        return []
    given = {parse(text).get_key_element() for text in settings}
    return [text for text in _params(chosen[-1], composed) if parse(text).get_key_element() not in given]


def refuse_without_sweep(settings: list[str], cells: list[str]) -> None:
    """Raise InputError where an experiment's cells would be left out, as Hydra does without -m."""
    swept = [text for text in cells if parse(text).is_sweep_override()]
    if swept:
        chosen = next(text for text in reversed(settings) if parse(text).key_or_group == GROUP)
        raise InputError(f"{chosen}: a sweep of {', '.join(swept)}; expected -m, or one value for each of them")


def refuse_given_views(config: DictConfig) -> None:
    """Raise InputError where an experiment compares what makes views, and the views are given: its rows would be one.

    Also where the command line narrows it down: `experiment=table7 nvs=sv3d_tiny` is a row of that table.
    """
    chosen = OmegaConf.select(config, f"hydra.runtime.choices.{GROUP}")
    compared = MAKES_VIEWS & set(OmegaConf.select(config, "hydra.sweeper.params") or ())
    if chosen is not None and compared and config.get("views") is not None:
        raise InputError(
            f"views={config.views}: {GROUP}={chosen} compares views that are made of a photo, by "
            f"{', '.join(compared)}; expected image=PHOTO"
        )


def _params(choice: str, composed: Callable[[list[str]], DictConfig]) -> list[str]:
    try:
        params = OmegaConf.select(composed([choice]), "hydra.sweeper.params")
    except InputError:
        return []  # no such experiment: whoever checks the settings says so better
    return [f"{key}={value}" for key, value in (params or {}).items()]
