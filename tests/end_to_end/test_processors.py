"""Another kind of processor learns the same bytes: what it adds in another order is rounded away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRAIN = """
import hashlib, json
from tests.support.small_model import ENTRIES, matrix
from models.learners.logistic_regression import Linear
from models.scorecard.scorecard import Scorecard
from models.scorecard.fitting import ScorecardParams
from models.training.training import history_of
history = history_of(matrix(), ENTRIES, "dates", seed=1)
linear = Linear.train(history.sample, history.levels, 0.1)
card = Scorecard.train(history.sample, ENTRIES, ScorecardParams(), 20.0)
print(hashlib.sha256(json.dumps([linear.to_json(), card.to_json()]).encode()).hexdigest())
"""
OLD = {
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512_SKX AVX512F AVX512CD AVX2 FMA3",
}


@pytest.mark.filterwarnings("default")
def test_a_processor_without_wide_registers_and_with_two_threads_learns_the_same_bytes() -> None:
    def learned(more: dict[str, str]) -> str:
        command = [sys.executable, "-W", "ignore", "-c", TRAIN]
        return subprocess.run(command, env=os.environ | more, check=True, capture_output=True, text=True).stdout

    assert learned({}) == learned(OLD)
