"""Whether synthetic data help to tell neuron types, how real they are, and if they are copies.

    python augment_benchmark.py --method smote

    --method   smote, gan, vae, flow, ddpm, all; controls: random, weights, copula, ...

`python augment_benchmark.py --demo` runs it all on simulated neurons.
"""

import sys

from sts.cli.augment import main

if __name__ == "__main__":
    sys.exit(main())
