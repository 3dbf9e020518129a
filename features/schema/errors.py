"""The errors that a user can fix."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; some of other libraries say nothing but their name."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class LeadScoreError(Exception):
    """Input, parameters or artifacts that break the contract; the text names location, finding and fix."""

    exit_code = 1


class ParamsError(LeadScoreError):
    """params.yaml or the command line holds an invalid value."""

    exit_code = 2


class DataError(LeadScoreError):
    """A table breaks the contract so badly that quarantining rows does not fix it.

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
        location = f"table {table!r}" + (f", column {column!r}" if column else "")
        super().__init__(f"{location}: found {found}; expected {expected}. {fix}")


class NotReadyError(DataError):
    """There is too little to learn from yet; hand-written rules can still rank the leads."""


class NoOpenLeadsError(DataError):
    """No lead is open on the scoring day, so that there is nobody to call; all else can be said."""


class ModelError(LeadScoreError):
    """A saved model is missing, damaged, or does not fit these parameters."""

    exit_code = 4


class FeedError(LeadScoreError):
    """A feed stopped or shrank, so that a new list would be worse than the last one; nothing was published."""

    exit_code = 5


class DeliveryError(LeadScoreError):
    """Not all came over: scores to a target, records from a CRM; what was there stays, and another run continues."""

    exit_code = 6


class BusyError(LeadScoreError):
    """Another run is using the same folder."""

    exit_code = 7


class RefusedError(LeadScoreError):
    """A challenger did not pass the promotion gate; the champion stays."""

    exit_code = 8


class AlertError(LeadScoreError):
    """The monitor raised an alert; its findings are written, and nothing else was changed."""

    exit_code = 9
