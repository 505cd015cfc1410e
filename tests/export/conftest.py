"""One export that several modules look at."""

from __future__ import annotations

import pytest
import torch

from tests.kit.made_once import MadeOnce
from tests.kit.small_photo import Exported, exported_once

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(made_once: MadeOnce) -> Exported:
    """A photo network in miniature and its bundle."""
    return exported_once(made_once)
