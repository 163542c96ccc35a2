"""What Lightning's import brings along and nothing here uses, left out."""

import sys
from typing import Any


def leave_out_text_metrics() -> None:
    """Have torchmetrics, which Lightning imports, do without its text metrics: for them it imports transformers.

    That is a second of the four that Lightning takes. They ask lightning-utilities whether there are any; who imports
    transformers by itself still gets it. Where these packages go about it another way, all is as without this.
    """
    try:
        from lightning_utilities.core.imports import RequirementCache
    except ImportError:
        return
    check = getattr(RequirementCache, "_check_available", None)
    if check is None or "torchmetrics" in sys.modules:
        return

    def checked(self: Any) -> None:
        if str(getattr(self, "requirement", None)).startswith("transformers"):
            self.available, self.message = False, "left out by sv3dgen"
        else:
            check(self)

    RequirementCache._check_available = checked
