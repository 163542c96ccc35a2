"""What Lightning's import brings along and nothing here uses, left out."""

import sys
from typing import Any

UNUSED = ("transformers", "scipy")


def leave_out_unused() -> None:
    """Have torchmetrics, which Lightning imports, do without transformers and scipy.

    With them it imports metrics of text and of audio, and for these scipy.signal and scipy.stats: nearly two seconds.
    It asks lightning-utilities whether they are there; who imports one by itself still gets it. Where these packages go
    about it another way, all is as without this.
    """
    try:
        from lightning_utilities.core import imports
    except ImportError:
        return
    check, available = (
        getattr(imports.RequirementCache, "_check_available", None),
        getattr(imports, "package_available", None),
    )
    if check is None or available is None or "torchmetrics" in sys.modules:
        return

    def checked(self: Any) -> None:
        if str(getattr(self, "requirement", None)).startswith(UNUSED):
            self.available, self.message = False, "left out by sv3dgen"
        else:
            check(self)

    imports.RequirementCache._check_available = checked
    imports.package_available = lambda name: name not in UNUSED and available(name)
