"""The words of the program, each in one line: docs/glossary.md and the report's "How to read this" show them."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """One word and what it means; `in_report` where a reader of the report meets it."""

    name: str
    meaning: str
    in_report: bool = False


GLOSSARY = {
    "Time": (
        Term("Snapshot", "a lead as it stood at one moment, `snapshot_at`; one row of the training data", True),
        Term("Moment", "a time between lists to score at: a creation, an age, or right after a lead acted", True),
        Term("event_at", "when something happened"),
        Term("known_at", "when our systems learned of it; an event counts from then on, not before"),
        Term("Observation window", "the days before a snapshot whose events a feature counts"),
        Term("Horizon", "the days after a snapshot within which a conversion counts", True),
        Term("Embargo", "days left out between training and test, so that no outcome lies on both sides", True),
        Term("Matured", "of a snapshot whose horizon has passed and whose outcome is known", True),
        Term("Immature", "not matured yet: left out and counted, never taken for a no", True),
        Term("As of", "the moment at which leads are scored; later data are not read", True),
        Term("Watermark", "the newest record of a table; outcomes mature by their own"),
        Term("Cohort", "the leads that are open, and so could still convert, at a moment"),
    ),
    "Data": (
        Term("Contract", "the tables that every source is mapped to: leads, events, outcomes, stages, history"),
        Term("Attribute", "what a lead is, such as its industry, declared with when it is known"),
        Term("Attribute history", "earlier values of attributes with their dates, as a CRM overwrites them"),
        Term("Column role", "what `inspect` takes a column to be: an id, a date, an outcome, an attribute"),
        Term("Staging", "the files as they were read, before they are mapped to the contract"),
        Term("Quarantine", "rows that break the contract, kept separately with the reason and counted", True),
        Term("Event code", "the number of an event's type in the event log"),
        Term("Derived event columns", "what ingest works out once for each event, such as since when it is answered"),
        Term("Feature", "one number or category that the model reads, computed at a snapshot", True),
        Term("Catalogue", "the list of all features in plain words, with unit, group and theme", True),
        Term("Theme", "features that are explained as one, such as all that count demo requests", True),
        Term("Leakage", "a feature that knows the outcome, because it was written after it or because of it", True),
        Term("Data fingerprint", "a hash of the contract tables: two runs with the same one read the same data", True),
        Term("Shard", "a range of leads that is computed on its own, so that memory does not grow with the data"),
    ),
    "The score": (
        Term("Raw score", "the model's output as log-odds: log(p / (1 - p)) of a probability p"),
        Term("Probability", "how likely the lead converts within the horizon", True),
        Term("Points", "the log-odds on a fixed scale, as anchor plus factor times log-odds", True),
        Term("Score", "the points, rounded and cut at 0 and 100", True),
        Term("Base points", "the points of a lead of which nothing is known; fit and engagement are added", True),
        Term("Fit", "points from who the lead is", True),
        Term("Engagement", "points from what the lead did and what sales did", True),
        Term("Reason", "a theme of a lead with the points that it adds or takes away", True),
        Term("Grade", "fit A to D by engagement 1 to 4, by cut-offs kept with the model", True),
        Term("Tier", "whom to call first: hot, warm, cold and so on, by the policy of `tiers`", True),
        Term("Capacity", "how many leads sales can call in a period", True),
        Term("Margin", "the points a lead must be past a cut-off before it leaves its tier (hysteresis)", True),
        Term("Trigger, exclusion", "a rule that puts a lead into a tier, or keeps it out, whatever its score", True),
        Term("Exploration", "a randomised few of the best tier's leads, drawn from all others to learn from", True),
        Term("Propensity", "the chance with which a lead came into the best tier", True),
        Term("Score list", "all scored leads of one day, published together; `current` is the newest"),
        Term("Owner", "who works a lead, as the CRM says: on whose list it is", True),
        Term("Override", "another tier, or points, that a person gives a lead for a while", True),
        Term("Deal value", "what a won deal brings, on average: learned from the deals won before, with `money`"),
        Term("Expected revenue", "probability times deal value"),
        Term("Wins to expect", "the sum of the probabilities of the leads called", True),
        Term("Hand-written rules", "points set by people in `rules`: a baseline, and the fallback", True),
        Term("Scorecard", "a few lines of integer points, learned, to type into a CRM", True),
    ),
    "Figures": (
        Term("Base rate", "the share of rows that converted", True),
        Term("Baseline", "a simpler prediction of the same rows, such as base rate, rules or scorecard", True),
        Term("AUC", "how often a lead that converts ranks above one that does not; one half is chance", True),
        Term("Average precision", "precision averaged over all cut-offs", True),
        Term("Log-loss", "how far the probabilities are from the outcomes; lower is better", True),
        Term("Brier score", "the mean squared error of the probabilities", True),
        Term("Predicted, actual", "a mean probability, and the share that converted, of the same rows", True),
        Term("Calibration error", "the mean gap of predicted and actual over groups of equal size", True),
        Term("Precision at k", "the conversion rate of the best k, where k is the capacity", True),
        Term("Lift", "the conversion rate of the best leads over the base rate", True),
        Term("Gain", "the share of all conversions found among the best leads", True),
        Term("Interval", "from resampled leads: the range that holds the middle share of the results", True),
        Term("Random split", "the same recipe tested on random rows, not on later ones: the figure to distrust", True),
        Term("Walk-forward backtest", "retrain at each cut in the past, test on the period after it", True),
        Term("Forward fold", "inside training: learn from earlier rows, be judged on the next ones", True),
        Term("Certification", "a conversion rate that a tier reached on later rows in an exact test", True),
        Term("Calibration by tier", "whether predicted and actual agree in each tier; too generous if not", True),
        Term("Univariate AUC", "the AUC of one feature alone; close to one is a sign of leakage", True),
        Term("Uncertainty coefficient", "the share of the outcome's entropy that one feature removes", True),
        Term("SHAP value", "what one feature adds to one lead's log-odds; all of them add up to it", True),
        Term("Interaction index", "what two features add together and neither adds alone (Shapley)", True),
        Term("Win on no list", "a conversion of a lead that no score list held then, as too young or too old", True),
        Term("Lead velocity", "how leads convert with time since creation (Kaplan-Meier)", True),
        Term("Oracle", "the true probability, which only a simulator knows"),
    ),
    "Training": (
        Term("Recency weight", "how much more a recent row counts than an old one"),
        Term("Feature shift", "how far a feature's values move from one fold to the next; too far, and it is left out"),
        Term("Target encoding", "a category as the outcomes of earlier rows that had it"),
        Term("Blend", "the share of logistic regression against the boosted trees, on the log-odds", True),
        Term("Intercept", "the part of the log-odds that is the same for all leads; it follows recent outcomes"),
        Term("Recalibration window", "how far back outcomes count for the intercept"),
        Term("Prior shift", "a base rate that differs between training and use"),
    ),
    "Model in use": (
        Term("Champion", "the model that scores, by its alias in MLflow's registry"),
        Term("Challenger", "a newly trained model that may replace it"),
        Term("Previous", "the champion before this one, to which `model rollback` returns"),
        Term("Reference champion", "the best champion so far, alias `reference`, so that small losses do not add up"),
        Term("Promotion gate", "the checks that a challenger must pass on later rows"),
        Term("Shadow", "both models score the same leads, and only the champion's list is published"),
        Term("Drift", "data or scores that differ from those of the reference lists"),
        Term("Reference lists", "the first lists the model did not learn from, with which new ones are compared"),
        Term("PSI, KS", "two distances of distributions: population stability index, Kolmogorov-Smirnov"),
        Term("Feed check", "before a list is published: has the feed stopped or shrunk?"),
        Term("Contact log", "whom sales called, when, and from which list"),
        Term("Outbox", "what is still to be delivered, on disk, so that a killed delivery goes on"),
        Term("Notice", "what is told once by webhook or to people: a lead entered a tier, a trigger fired, an alert"),
        Term("Dead letter", "a lead that the CRM refused for good, set aside with the reason"),
        Term("Manifest", "what a published list was made of: counts, versions, hashes"),
    ),
}  # fmt: skip


def glossary_page() -> str:
    """Return docs/glossary.md."""
    lines = ["# Glossary", "", "<!-- Made by `leadscore docs` from pipelines/reporting/glossary.py. -->", ""]
    lines += ["One word, one meaning, in the code, the files and the report."]
    for heading, terms in GLOSSARY.items():
        lines += ["", f"## {heading}", "", *(f"- **{term.name}**: {term.meaning}." for term in terms)]
    return "\n".join(lines) + "\n"


def report_terms() -> list[Term]:
    """Return the terms that a reader of the report meets, by name."""
    terms = [term for group in GLOSSARY.values() for term in group if term.in_report]
    return sorted((term._replace(meaning=term.meaning.replace("`", "")) for term in terms), key=lambda term: term.name)
