"""How large pictures are worth keeping: by what the stages look at."""

from omegaconf import DictConfig

LEAST_READ_PX = 1024  # a view of 4000 px would take a gigabyte, and no stage looks at so many


def read_px(config: DictConfig) -> int:
    """The longer side that given views are scaled down to as they are read: what the stages look at, or 1024."""
    return max([LEAST_READ_PX, *stage_sizes_px(config)])


def stage_sizes_px(config: DictConfig) -> list[int]:
    """The longer sides of the views as the stages look at them, at all their milestones."""
    stages = [config[stage] for stage in config.system.stages]
    return [sampling.size_px for stage in stages for _, sampling in stage.data.get("milestones", [])]


def photo_px(config: DictConfig, least_px: int) -> int:
    """The largest size that the 3D stages look at, and at least the model's: what a photo is worth keeping at."""
    return max([least_px, *stage_sizes_px(config)])
