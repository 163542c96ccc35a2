"""Writes the page of a sweep when its last run has ended."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepReport(Callback):
    """To stand before what ends the process for the runs that failed."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from sv3dgen.report.sweep import write_sweep_report  # only now: a sweep that is refused writes none

        page = write_sweep_report(Path(config.hydra.sweep.dir))
        if page is not None:
            print(f"sweep: {page}")
