"""Tests. As on the command line, BLAS has one thread: two that wait for each other spin."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
