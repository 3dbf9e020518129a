"""`train` in params.yaml: how the boosters are trained, and whom they are compared with."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from models.learners.gradient_boosting import TrainParams

COLUMNS = "lead_id snapshot_at label tier cut model uncorrected prior logistic scorecard rules"  # of predictions
NAME = re.compile("[a-z][a-z0-9_]{0,40}")


class Train(TrainParams):
    """How the boosters are trained, and whom they are compared with."""

    rivals: dict[str, str] = Field(
        default={},
        max_length=3,
        description="Classifiers of scikit-learn's kind by name, such as `{forest: "
        "sklearn.ensemble.RandomForestClassifier}`: trained on the model's rows and judged beside the baselines on the "
        "test period; none is shipped.",
    )

    @field_validator("rivals")
    @classmethod
    def _other_names(cls, rivals: dict[str, str]) -> dict[str, str]:
        for name in rivals:
            if name in COLUMNS.split() or not NAME.fullmatch(name):
                raise ValueError(f"a rival is called {name!r:.60}; take lower-case letters, and none of {COLUMNS}")
        return rivals

    @property
    def boosting(self) -> TrainParams:
        """How the boosters are trained, alone."""
        return TrainParams.model_validate(self.model_dump(exclude={"rivals"}))
