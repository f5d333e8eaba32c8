"""Test whether synthetic data helps to classify neurons, how realistic it is, and if it is a copy.

    python augment_benchmark.py --method smote

    --method   smote, gan, vae, flow, ddpm, all; controls: random, weights, copula, ...

`python augment_benchmark.py --demo` does all this on simulated neurons.
"""

import sys

from sts.cli.augment import main

if __name__ == "__main__":
    sys.exit(main())
