"""Where notices go: a webhook, signed as https://www.standardwebhooks.com says, or people, by Apprise.

The receiver of a webhook knows a notice that it has taken by `webhook-id`, which is the same each time it is sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from features.schema.errors import ParamsError
from pipelines.config.delivery import Delivery
from pipelines.config.secrets import from_environment
from pipelines.delivery.crm import Answer, Auth, LeadStatus, Message, RequestStatus, base_url, send
from pipelines.delivery.http import HttpRequest, Reply
from pipelines.delivery.notices import in_words

TAKEN = (200, 201, 202, 204, 409)  # 409: it has this webhook-id already
PREFIX = "whsec_"
LEAST, MOST = 24, 64  # bytes of a secret
Clock = Callable[[], float]  # seconds since 1970


class Signed(Auth):
    """Signs what is sent: HMAC-SHA256 over its id, the time of sending and its bytes."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret, self._clock = secret, clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        sent = body.encode() if isinstance(body, str) else bytes(body)  # type: ignore[arg-type]
        at = str(int(self._clock()))
        signed = b".".join((str(request.headers["webhook-id"]).encode(), at.encode(), sent))
        digest = base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest()).decode()
        request.headers.update({"webhook-timestamp": at, "webhook-signature": f"v1,{digest}"})
        return request


def signed_by(variable: str, clock: Clock) -> Signed:
    """Read the secret of a webhook; raises ParamsError where it is not set or is none, without repeating it."""
    given = from_environment(variable, "delivery.webhook.secret")
    try:
        secret = base64.b64decode(given.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not given.startswith(PREFIX) or not LEAST <= len(secret) <= MOST:
        raise ParamsError(
            f"delivery.webhook.secret: {variable} is to hold `{PREFIX}` and {LEAST} to {MOST} bytes in base64, such as "
            f"`echo {PREFIX}$(openssl rand -base64 32)` makes"
        )
    return Signed(secret, clock)


@dataclass(frozen=True)
class WebhookReceiver:
    """One notice a request; any answer of `TAKEN` takes it."""

    url: str
    accepted: tuple[int, ...] = TAKEN

    def request(self, batch: Sequence[Message]) -> HttpRequest:
        (one,) = batch
        return HttpRequest("POST", self.url, body_of(one), {"webhook-id": f"msg_{one.key}"})

    def verdicts(self, batch: Sequence[Message], reply: Reply) -> dict[str, tuple[LeadStatus, str]]:
        return {one.lead_id: (LeadStatus.accepted, "") for one in batch}


def body_of(message: Message) -> dict[str, Any]:
    """Return what is sent of a notice."""
    return json.loads(str(message.fields["body"]))


@dataclass(frozen=True)
class Channel:
    """One receiver of notices: its name, what tells it from others, and how a notice is sent to it."""

    name: str
    target: str
    send: Callable[[Sequence[Message]], Answer]


def channels(params: Delivery, name: str, clock: Clock) -> list[Channel]:
    """Return the receivers by the name of a section of `delivery`: one, or one an address; raises ParamsError."""
    if name == "webhook":
        return [_webhook(params, clock)]
    if not params.apprise.urls:
        raise ParamsError("delivery.apprise.urls is to name the environment variable that holds Apprise's addresses")
    return [_apprise(url) for url in from_environment(params.apprise.urls, "delivery.apprise.urls").split()]


def _webhook(params: Delivery, clock: Clock) -> Channel:
    if not params.webhook.url:
        raise ParamsError("delivery.webhook.url is to say where notices are posted")
    receiver, auth = WebhookReceiver(base_url(params.webhook.url)), signed_by(params.webhook.secret, clock)

    def post(batch: Sequence[Message]) -> Answer:
        with requests.Session() as session:
            return send(receiver, batch, session, auth, params.timeout_s)

    return Channel("webhook", receiver.url, post)


def _apprise(url: str) -> Channel:
    """Return one address of Apprise; its name tells nothing of the secrets in it."""
    try:
        import apprise
    except ImportError:
        raise ParamsError("delivery.apprise needs the library Apprise: pip install 'leadscore[notify]'") from None
    service = apprise.Apprise()
    if not service.add(url):
        raise ParamsError(
            "delivery.apprise.urls: found an address that Apprise does not know; see its list of services"
        )

    def tell(batch: Sequence[Message]) -> Answer:
        (one,) = batch
        title, text = in_words(body_of(one))
        if service.notify(title=title, body=text):
            return Answer(RequestStatus.ok, leads={one.lead_id: (LeadStatus.accepted, "")})
        return Answer(RequestStatus.failed, "Apprise could not hand it over")

    return Channel("apprise", hashlib.sha256(url.encode()).hexdigest()[:32], tell)
