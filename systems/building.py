"""A stage's settings to the stage: the one place that knows how long it is, so that shares of it become steps."""

import logging
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sv3dgen.schedules import check_reach, in_steps

log = logging.getLogger(__name__)


def build_stage(name: str, config: DictConfig, **filled: Any) -> Any:
    """The stage that `config` describes, its schedules in steps. `filled` are settings that the run decides.

    Schedules that reach beyond the stage are told. Raises InputError for one that never starts.
    """
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    plain = {str(key): value for key, value in settings.items()} | filled
    for notice in check_reach(name, plain):
        log.warning("%s", notice)
    # Under its name, by which Hydra tells where a part that can't be built stands.
    return instantiate({name: in_steps(plain, plain["steps"])}, _convert_="all")[name]
