"""Whether the days to look again were right on past lists: of those said to be ready by a day, how many were."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.evaluation.intervals import clopper_pearson
from models.nurture.history import Waits
from models.nurture.readiness import Readiness
from models.nurture.results import JudgedDays

LISTS = 4  # past lists that are judged


def judge_days(waits: Waits, steps: int, least_chance: float, confidence: float) -> JudgedDays | None:
    """Stand at past lists, learn from the lists before, and look what became of the leads that would be nurtured.

    Each list is judged only where all its lists to look again have passed. None where there is nothing to judge.
    """
    each = [said_and_come(waits, cut, steps, least_chance) for cut in _cuts(waits.last, steps)]
    rows = [one for one in each if one is not None and len(one)]
    if not rows:
        return None
    said = pd.concat(rows, ignore_index=True)
    leads, come = said["lead_id"].nunique(), float(said["come"].mean())
    low, high = clopper_pearson(come * leads, leads, confidence)  # rows of one lead are not independent
    return JudgedDays(
        lists=len(rows), n=len(said), leads=leads, said=float(said["chance"].mean()), come=come, come_low=low,
        come_high=high,
    )  # fmt: skip


def said_and_come(waits: Waits, cut: int, steps: int, least_chance: float) -> pd.DataFrame | None:
    """Return lead_id, chance (of being ready by the day said) and come (whether it was), of one past list; or None."""
    known = Readiness.learn(waits.until(cut), steps)
    then = waits.rows[waits.rows["list"] == cut]
    if known is None or then.empty:
        return None
    then = then[known.at_all(then["cell"].to_numpy()) >= least_chance]
    cell = then["cell"].to_numpy()
    after = known.look_again(cell)
    come = then["ready_in"].to_numpy() <= after
    return pd.DataFrame({"lead_id": then["lead_id"], "chance": known.within(cell, after), "come": come})


def _cuts(last: int, steps: int) -> list[int]:
    """The lists to stand at: the newest that is over, and earlier ones from which as much was known."""
    newest, oldest = last - steps, steps
    return sorted({int(cut) for cut in np.linspace(oldest, newest, LISTS)}) if newest >= oldest else []
