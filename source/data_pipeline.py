"""Make and check data: simulated cells, sweep stores, features, figures of cells.

    python data_pipeline.py simulate --cells 40                  simulate cells, as NWB files
    python data_pipeline.py build FOLDER --out DIR               recordings -> sweep store
    python data_pipeline.py features FOLDER --out DIR            recordings -> table of features
    python data_pipeline.py show SPECIMEN                        sweeps over their scalograms
    python data_pipeline.py doctor                               check this machine

Each command has its own --help; `build --demo` does it all on simulated cells.
"""

import sys

from sts.cli.data import main

if __name__ == "__main__":
    sys.exit(main())
