"""Training data whose batches know their samples, and torch tensors with lineage.

Public as `traceprop.torch`.

`dataset(X, y)` feeds an ordinary `DataLoader`; the ids travel with the batch as far as the model's
door, where `TrainingContext` takes them. `from_numpy(X)` goes on with a NumPy tensor in torch, with
its lineage, as `traceprop.array(tensor)` begins with a torch tensor.
"""

from __future__ import annotations

from pathlib import Path

import torch

from traceprop.interop.torch.sample_dataset import SampleDataset, dataset, tensor
from traceprop.interop.torch.sample_tensor import SampleTensor
from traceprop.interop.torch.tracked.tensor import TorchTensor, from_numpy
from traceprop.lineage.recording.escapes import skip_frames_of

skip_frames_of(Path(torch.__file__).parent)

__all__ = ["SampleDataset", "SampleTensor", "TorchTensor", "dataset", "from_numpy", "tensor"]
