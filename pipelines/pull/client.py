"""Requests to a CRM that are tried again while they may go well, with a token that is renewed where it can be.

The CRMs' own clients (simple-salesforce, hubspot-api-client) and dlt bound neither the time nor the size of a whole
answer, and a source needs four kinds of request, so these go through the one exchange that deliveries use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from features.schema.errors import DeliveryError
from pipelines.delivery.crm import LONGEST_REASON, Answer, Auth, Bearer, RequestStatus, error_text, retry_after
from pipelines.delivery.deliver import Pace
from pipelines.delivery.http import HttpRequest, Reply, TooLongError, exchange

GOOD = (200, 207)
PASSING = (408, 429)
NEEDS_TOKEN = 401
Tree = TypeVar("Tree")
log = logging.getLogger("leadscore")


@dataclass
class Client:
    """A CRM that is asked.

    Attributes
    ----------
    renew
        Gives a token; None where the one there is cannot be renewed.
    """

    base_url: str
    auth: Bearer | None
    pace: Pace
    renew: Callable[[Client], Bearer] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str) -> Any:
        """The tree of the answer to a GET."""
        return self._ask(HttpRequest("GET", self.base_url + path, None))[0]

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The tree of the answer to a POST."""
        return self._ask(HttpRequest("POST", self.base_url + path, body))[0]

    def post_form(self, path: str, fields: dict[str, Any]) -> Any:
        """The same of a form, without a token."""
        return self._ask(HttpRequest("POST", self.base_url + path, fields, form=True))[0]

    def get_with_time(self, path: str) -> tuple[Any, int]:
        """The tree of the answer to a GET, and when the CRM gave it, in seconds since 1970 by its own clock."""
        tree, reply = self._ask(HttpRequest("GET", self.base_url + path, None))
        try:
            return tree, int(parsedate_to_datetime(reply.headers["Date"]).timestamp())
        except (LookupError, TypeError, ValueError):
            raise self._failure("no time of day in its answer") from None

    def _ask(self, request: HttpRequest) -> tuple[Any, Reply]:
        """Send a request until it goes well.

        Raises
        ------
        DeliveryError
            Where the CRM refuses it, or too many attempts in a row fail; what has been read so far stays.
        TooLongError
            Where the answer is longer than any is meant to be.
        """
        renewed = False
        while True:
            self.pace.wait(0)
            if self.auth is None and self.renew and not request.form:
                self.auth = self.renew(self)
            reply, answer = self._once(request)
            if reply is not None and reply.status == NEEDS_TOKEN and self.renew and not (renewed or request.form):
                self.auth, renewed = None, True
                continue
            if reply is not None and answer.status is RequestStatus.ok:
                try:
                    tree = reply.json()
                    self.pace.note(answer, 1, any_taken=True)
                    return tree, reply
                except ValueError:
                    answer = Answer(RequestStatus.failed, "an answer that cannot be read")
            if answer.status is RequestStatus.rejected:
                raise self._failure(answer.reason)
            self.pace.note(answer, 1, any_taken=False)

    def _once(self, request: HttpRequest) -> tuple[Reply | None, Answer]:
        auth = Auth() if request.form or self.auth is None else self.auth
        try:
            reply = exchange(request, self.session, auth, self.pace.params.timeout_s)
        except (TimeoutError, requests.Timeout):
            return None, Answer(RequestStatus.silent, "no answer in time")
        except requests.RequestException as error:  # its text repeats addresses
            return None, Answer(RequestStatus.silent, f"no answer ({type(error).__name__})")
        if reply.status in GOOD:
            return reply, Answer(RequestStatus.ok)
        if reply.status in PASSING or reply.status >= 500:
            return reply, Answer(RequestStatus.busy, f"HTTP {reply.status}", retry_after(reply.headers))
        reason = auth.hide(f"HTTP {reply.status}: {error_text(reply)}")
        return reply, Answer(RequestStatus.rejected, reason[:LONGEST_REASON])

    def _failure(self, reason: str) -> DeliveryError:
        return DeliveryError(
            f"{urlsplit(self.base_url).hostname} answers {reason}; check the token, its rights and limits, and "
            "base_url; what has been read stays, and the next run goes on there"
        )


def ask_smaller(ask: Callable[[int], Tree], size: int) -> Tree:
    """Ask for `size` records, and for half as many while the answer is too long."""
    while True:
        try:
            return ask(size)
        except TooLongError:
            if size == 1:
                raise DeliveryError("one record alone is longer than an answer may be; name fewer fields") from None
            size = max(size // 2, 1)
            log.info("pull: an answer is too long; asking for %s records at once", size)
