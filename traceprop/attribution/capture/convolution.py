"""Each sample's gradient of a convolution's weight.

The samples of a batch are told apart as groups: the batch is one image whose channels are all
samples' channels, and the gradient of a convolution in groups keeps them apart, by torch's own
kernel. Promise: no more than a few megabytes of gradients are formed at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

# How many numbers of gradients are formed at a time.
_FORMED_NUMBERS = 1 << 20

Convolution = nn.Conv1d | nn.Conv2d


def weight_gradients(
    layer: Convolution, inputs: Tensor, gradient: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the gradients of the weight, some samples at a time.

    Parameters
    ----------
    layer : Conv1d or Conv2d
        The layer.
    inputs : Tensor, shape (n, C, ...)
        Its input.
    gradient : Tensor, shape (n, O, ...)
        The gradient of its output.

    Yields
    ------
    part : slice
        Which samples.
    gradients : Tensor, shape (m, O, C / groups, ...)
        Theirs.
    """
    image = padded(layer, inputs)
    gradient = gradient if gradient.ndim == 4 else gradient.unsqueeze(2)
    step = max(1, _FORMED_NUMBERS // layer.weight.numel())
    for start in range(0, len(inputs), step):
        part = slice(start, start + step)
        yield part, _in_groups(layer, image[part], gradient[part])


def padded(layer: Convolution, inputs: Tensor) -> Tensor:
    """Return a layer's input as the kernel runs over it, (n, C, H, W); a Conv1d has height 1."""
    padding = []
    for i in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            both = layer.dilation[i] * (layer.kernel_size[i] - 1)
            padding += [both // 2, both - both // 2]
        else:
            padding += [0, 0] if layer.padding == "valid" else [int(layer.padding[i])] * 2
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    image = functional.pad(inputs, padding, mode) if any(padding) else inputs
    return image.unsqueeze(2) if image.ndim == 3 else image


def _in_groups(layer: Convolution, image: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients of some samples, (m, *weight.shape)."""
    m, shape = len(image), layer.weight.shape
    kernel = _plane(layer.kernel_size)
    weight = image.new_empty(m * shape[0], shape[1], *kernel)
    _, result, _ = torch.ops.aten.convolution_backward(
        gradient.flatten(0, 1).unsqueeze(0), image.flatten(0, 1).unsqueeze(0), weight, None,
        _plane(layer.stride), [0, 0], _plane(layer.dilation), False, [0, 0], m * layer.groups,
        [False, True, False],
    )  # fmt: skip
    gradients: Tensor = result
    return gradients.reshape(m, *shape)


def _plane(sizes: tuple[int, ...]) -> tuple[int, int]:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
