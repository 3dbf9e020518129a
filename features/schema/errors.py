"""The one error that a user can mend."""


class LeadScoreError(Exception):
    """Input, parameters or artifacts that break the contract; its text says where, what was found, and what to do."""

    exit_code = 1


class ParamsError(LeadScoreError):
    """params.yaml or the command line says something that cannot be meant."""

    exit_code = 2


class DataError(LeadScoreError):
    """A table breaks the contract so far that no quarantine mends it.

    Parameters
    ----------
    table, column
        Where the fault is; `column` is empty when the whole table is at fault.
    found, expected, fix
        What was there, what should be there, and what the user can do about it.
    """

    exit_code = 3

    def __init__(self, table: str, column: str, *, found: str, expected: str, fix: str) -> None:
        self.table, self.column, self.found = table, column, found
        place = f"table {table!r}" + (f", column {column!r}" if column else "")
        super().__init__(f"{place}: found {found}; expected {expected}. {fix}")


class NotReadyError(DataError):
    """There is too little to learn from yet; hand-written rules can still rank the leads."""


class ModelError(LeadScoreError):
    """A saved model is missing, damaged, or does not fit these parameters."""

    exit_code = 4


class FeedError(LeadScoreError):
    """A feed stopped or shrank, so that a new list would be worse than the last one; nothing was published."""

    exit_code = 5


class DeliveryError(LeadScoreError):
    """Scores did not all reach the place that was to have them; what was there stays, and another run goes on."""

    exit_code = 6


class BusyError(LeadScoreError):
    """Another run is at work on the same folder."""

    exit_code = 7


class RefusedError(LeadScoreError):
    """A challenger did not pass the promotion gate; the champion stays."""

    exit_code = 8


class AlertError(LeadScoreError):
    """The monitor has something to tell; its findings are written, and nothing else was changed."""

    exit_code = 9
