"""Tests. As on the command line, BLAS has one thread: two that wait for each other spin."""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # each core has a worker; threads more would only wait
    os.environ.setdefault(variable, "1")
