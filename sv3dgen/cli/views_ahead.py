"""Given views are read, and checked, before a run imports what it computes with: faults are told seconds sooner."""

from pathlib import Path

from omegaconf import DictConfig

from sv3dgen.views.checked_views import keep_checked


def read_ahead(config: DictConfig, max_size_px: int) -> None:
    """Read the views that `views=` names as the run will, which then takes them from `kept_views`.

    InputError for what `read_checked` refuses, in the words that the run would have.
    """
    keep_checked(config, Path(config.views), max_size_px)
