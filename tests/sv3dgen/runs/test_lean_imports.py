import subprocess
import sys

from checkout import ROOT

CODE = """
import sys
from sv3dgen.runs.lean_imports import leave_out_text_metrics
leave_out_text_metrics()
import lightning
from torchmetrics.functional.image import structural_similarity_index_measure
print("transformers" in sys.modules)
from transformers import CLIPVisionConfig
print(CLIPVisionConfig.__name__)
"""


def test_lightning_is_imported_without_transformers_and_they_are_there_for_who_wants_them():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "CLIPVisionConfig"]
