"""The shared words of Telltale: samples, scores, evidence, the detector contract, errors.

Importing this package also prepares the process, because every entry point passes here: OpenMP threads sleep instead of spinning
while they wait (two spinning threads per process made inference 20 to 90 times slower whenever the cores were busy; it must be set
before torch loads), and the torchvision guard is armed (see `core.torchvision_guard`).
"""

import os

from core import torchvision_guard as _guard

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_guard.arm()
