"""Train, test and use classifiers of electrophysiology features: LightGBM and others.

    python baseline_pipeline.py [MODE]

    MODE       TRAIN (the default), TEST or PREDICT

`python baseline_pipeline.py --demo` does all this on simulated cells.
"""

import sys

from sts.cli.baseline import main

if __name__ == "__main__":
    sys.exit(main())
