"""Settings that every test shares: deterministic hypothesis profiles and one torch thread."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("TRACEPROP_HYPOTHESIS_PROFILE", "ci"))

if importlib.util.find_spec("torch"):  # the lineage's tests run without it, on any Python
    import torch

    torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published data sets beside the checkout; CI has them, a user's machine may not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder of published data sets is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def signing_keys_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the keys that tests make out of the home folder of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.delenv("TRACEPROP_SIGNING_KEY", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def logs_on_the_disk_at_the_end() -> Iterator[None]:
    """Finish the audit logs before temporary folders are removed at the end of the process."""
    yield
    if recording := sys.modules.get("traceprop.audit.recording"):
        recording.flush()
