"""What the tests of this folder share."""

from __future__ import annotations

import pytest

from tests.attribution.capture.loops import make_data
from traceprop.interop.torch import SampleDataset


@pytest.fixture
def data() -> SampleDataset:
    return make_data()
