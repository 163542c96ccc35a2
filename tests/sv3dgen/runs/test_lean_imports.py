import subprocess
import sys

from checkout import ROOT

CODE = """
import sys
from sv3dgen.runs.lean_imports import leave_out_unused
leave_out_unused()
import lightning
from torchmetrics.functional.image import structural_similarity_index_measure
print("transformers" in sys.modules, "scipy.signal" in sys.modules)
from transformers import CLIPVisionConfig
import scipy.signal
print(CLIPVisionConfig.__name__, scipy.signal.fftconvolve.__name__)
"""


def test_lightning_is_imported_without_what_it_does_not_use_and_that_is_there_for_who_wants_them():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "CLIPVisionConfig", "fftconvolve"]
