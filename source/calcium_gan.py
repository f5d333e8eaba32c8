"""Generate calcium traces of neuronal populations by a generative adversarial network.

    python calcium_gan.py COMMAND

    COMMAND    dg, train, generate, evaluate or deconvolve

`python calcium_gan.py --demo` does all this on sixteen simulated neurons.
"""

import sys

from sts.cli.calcium import main

if __name__ == "__main__":
    sys.exit(main())
