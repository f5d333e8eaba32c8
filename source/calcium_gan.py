"""Calcium traces of neuronal populations from a generative adversarial network.

    python calcium_gan.py COMMAND

    COMMAND    dg, train, generate, evaluate or deconvolve

`python calcium_gan.py --demo` runs it all on sixteen made-up neurons.
"""

import sys

from sts.cli.calcium import main

if __name__ == "__main__":
    sys.exit(main())
