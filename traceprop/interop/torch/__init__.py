"""Training data for torch whose batches know which samples they hold; public as `traceprop.torch`.

`dataset(X, y)` feeds an ordinary `DataLoader`; the ids travel with the batch as far as the model's
door, where `TrainingContext` takes them.
"""

from __future__ import annotations

from traceprop.interop.torch.sample_dataset import SampleDataset, dataset, tensor
from traceprop.interop.torch.sample_tensor import SampleTensor

__all__ = ["SampleDataset", "SampleTensor", "dataset", "tensor"]
