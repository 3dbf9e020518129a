"""What the stages write: where each artifact lies, in which format, what one row is, and its key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TESTED = "tested_model"


@dataclass(frozen=True)
class Artifact:
    """One file that a stage writes."""

    path: Path
    grain: str
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The three folders of a run and every artifact in them.

    `data` holds the contract tables, `artifacts` what stages hand to one another, `reports` what people and other
    programs read.
    """

    data: Path
    artifacts: Path
    reports: Path

    @classmethod
    def workspace(cls, root: Path) -> Layout:
        """The project's own folders, as dvc.yaml names them."""
        return cls(root / "data", root / "artifacts", root / "reports")

    @classmethod
    def folder(cls, out: Path) -> Layout:
        """One folder for `leadscore run`: results at its top, the rest below."""
        return cls(out / "data", out / "artifacts", out)

    @property
    def raw(self) -> Path:
        """The folder of the user's files; the simulator fills it in the default pipeline."""
        return self.data / "raw"

    @property
    def oracle(self) -> Artifact:
        return Artifact(self.data / "oracle" / "oracle.parquet", "true probability", ("lead_id", "snapshot_at"))

    @property
    def resolved(self) -> Path:
        """The parameters that each stage reads."""
        return self.artifacts / "params"

    @property
    def contract(self) -> Path:
        return self.data / "contract"

    @property
    def leads(self) -> Artifact:
        return Artifact(self.contract / "leads.parquet", "lead", ("lead_id",))

    @property
    def events(self) -> Artifact:
        return Artifact(self.contract / "events.parquet", "event, clustered by lead")

    @property
    def outcomes(self) -> Artifact:
        return Artifact(self.contract / "outcomes.parquet", "lead with an outcome", ("lead_id",))

    @property
    def stages(self) -> Artifact:
        return Artifact(self.contract / "stages.parquet", "entry into a stage", ("lead_id", "stage", "entered_at"))

    @property
    def attribute_history(self) -> Artifact:
        return Artifact(self.contract / "attribute_history.parquet", "edit of a lead", ("lead_id", "valid_from"))

    @property
    def contacts(self) -> Artifact:
        return Artifact(self.contract / "contacts.parquet", "contact with a lead")

    @property
    def display(self) -> Artifact:
        """What people are shown of leads beside their scores; there where `source.leads` says so."""
        return Artifact(self.contract / "display.parquet", "lead, with what `source.leads.display` shows", ("lead_id",))

    @property
    def overrides(self) -> Artifact:
        """What `source.overrides` says; there where it names a table. No feature and no model reads it."""
        return Artifact(self.contract / "overrides.parquet", "override of a lead's tier", ())

    @property
    def quarantine(self) -> Artifact:
        return Artifact(self.contract / "quarantine.parquet", "row that broke the contract", ("table", "path", "row"))

    @property
    def profile(self) -> Artifact:
        return Artifact(self.contract / "profile.json", "data set")

    @property
    def matrix(self) -> Artifact:
        return Artifact(self.artifacts / "features" / "matrix.parquet", "snapshot", ("lead_id", "snapshot_at"))

    @property
    def moments(self) -> Artifact:
        """Rows of moments between lists; there where `snapshots.moments` says so."""
        key = ("lead_id", "snapshot_at")
        return Artifact(self.artifacts / "features" / "moments.parquet", "lead at a moment", key)

    @property
    def vocabulary(self) -> Artifact:
        return Artifact(self.artifacts / "features" / "vocabulary.json", "data set")

    @property
    def snapshot_counts(self) -> Artifact:
        return Artifact(self.artifacts / "features" / "snapshots.json", "data set")

    @property
    def audit(self) -> Artifact:
        return Artifact(self.reports / "audit.json", "data set")

    @property
    def catalogue(self) -> Artifact:
        return Artifact(self.reports / "catalogue.csv", "feature", ("name",))

    @property
    def bundle(self) -> Path:
        """The folder of the scorer: text and JSON only."""
        return self.artifacts / "model"

    @property
    def tested_model(self) -> Path:
        """The model of the same settings that knows no outcome of the test period."""
        return self.artifacts / TESTED

    @property
    def random_split(self) -> Path:
        """The folder of the scorer trained on a random split, kept only to measure the optimism gap."""
        return self.artifacts / "random_split"

    @property
    def backtest(self) -> Artifact:
        return Artifact(self.reports / "backtest.json", "run")

    @property
    def backtest_predictions(self) -> Artifact:
        key = ("lead_id", "snapshot_at")
        return Artifact(self.artifacts / "backtest_predictions.parquet", "snapshot after a cut", key)

    @property
    def selection(self) -> Artifact:
        """What the forward folds chose, and why."""
        return Artifact(self.artifacts / "selection.json", "run")

    @property
    def search(self) -> Path:
        """Trials of the search for settings; kept from run to run, so that a stopped search goes on."""
        return self.artifacts / "search"

    @property
    def predictions(self) -> Artifact:
        return Artifact(self.artifacts / "predictions.parquet", "test snapshot", ("lead_id", "snapshot_at"))

    @property
    def metrics(self) -> Artifact:
        return Artifact(self.reports / "metrics.json", "run")

    @property
    def headline(self) -> Artifact:
        """The few figures that `dvc metrics diff` compares."""
        return Artifact(self.reports / "headline.json", "run")

    @property
    def kpis(self) -> Artifact:
        return Artifact(self.reports / "kpis.json", "run")

    @property
    def scorecard_csv(self) -> Artifact:
        """The learned scorecard, as a marketer types it into a CRM."""
        return Artifact(self.reports / "scorecard.csv", "criterion")

    @property
    def scorecard_md(self) -> Artifact:
        """The same for people, with what it loses against the model."""
        return Artifact(self.reports / "scorecard.md", "run")

    @property
    def scorecard_hubspot(self) -> Artifact:
        """The same as a draft for HubSpot's lead-scoring API."""
        return Artifact(self.reports / "scorecard_hubspot.json", "run")

    @property
    def plots(self) -> Path:
        return self.reports / "plots"

    @property
    def explanation(self) -> Artifact:
        return Artifact(self.artifacts / "explanation.json", "run")

    @property
    def scores(self) -> Artifact:
        return Artifact(self.reports / "scores.parquet", "open lead", ("lead_id",))

    @property
    def scores_csv(self) -> Artifact:
        return Artifact(self.reports / "scores.csv", "open lead", ("lead_id",))

    @property
    def score_summary(self) -> Artifact:
        return Artifact(self.artifacts / "score_summary.json", "run")

    @property
    def owner_lists(self) -> Path:
        """The folder of the owners' lists; there where `lists.owner` asks for them."""
        return self.reports / "by_owner"

    @property
    def revenue_by_owner(self) -> Artifact:
        """Revenue of the later period by owner, with `money.owner`; it names people, so MLflow does not hold it."""
        return Artifact(self.reports / "revenue_by_owner.csv", "owner", ("name",))

    @property
    def owners(self) -> Artifact:
        """What each owner's list comes to; there where `lists.owner` asks for them."""
        return Artifact(self.owner_lists / "owners.csv", "owner of leads", ("owner",))

    @property
    def nurture(self) -> Artifact:
        """Leads to look at again; there with `nurture.on`."""
        return Artifact(self.reports / "nurture.parquet", "lead that is not ready", ("lead_id",))

    @property
    def nurture_csv(self) -> Artifact:
        return Artifact(self.reports / "nurture.csv", "lead that is not ready", ("lead_id",))

    @property
    def lacks(self) -> Artifact:
        """What parts of the data add; there once `leadscore lacks` has run."""
        return Artifact(self.reports / "lacks.json", "run")

    @property
    def change(self) -> Artifact:
        """Why scores changed between two dates or two models."""
        return Artifact(self.reports / "change.parquet", "lead on both lists", ("lead_id",))

    @property
    def change_csv(self) -> Artifact:
        return Artifact(self.reports / "change.csv", "lead on both lists", ("lead_id",))

    @property
    def change_summary(self) -> Artifact:
        return Artifact(self.reports / "change.json", "pair of lists")

    @property
    def change_page(self) -> Artifact:
        """The same for people: who moved, why, and from tier to tier."""
        return Artifact(self.reports / "change.html", "pair of lists")

    @property
    def report(self) -> Artifact:
        return Artifact(self.reports / "report.html", "run")
