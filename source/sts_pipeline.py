"""Train, test and use convolutional networks on scalograms of two current-clamp sweeps.

    python sts_pipeline.py MODEL_NO MODE [FREEZE]

    MODEL_NO   1 ResNet18, 2 InceptionV3, 3 DenseNet121, 4 MobileNetV2: on scalograms;
               5 TraceNet: on the sweeps themselves
    MODE       TRAIN, TEST, EXPLAIN or PREDICT
    FREEZE     FULL trains the head only, NONE (the default) all layers

`python sts_pipeline.py 1 TRAIN NONE --demo` does all this on simulated cells.
"""

import sys

from sts.cli.sts import main

if __name__ == "__main__":
    sys.exit(main())
