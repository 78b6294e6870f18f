"""One file for each command of the package.

No command multiplies matrices, but numpy's BLAS starts a thread for each core, which takes as long as all of numpy's
import: one thread is asked for before numpy is.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
