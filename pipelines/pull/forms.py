"""Form submissions of HubSpot: who submitted which form, and when; what was written into it is not kept.

Forms: https://developers.hubspot.com/docs/api-reference/marketing-forms-v3/forms/get-marketing-v3-forms-
Submissions: https://developers.hubspot.com/docs/methods/forms/get-submissions-for-a-form

A submission names no contact, so it is that of the contact with its mail address. Submissions come newest first, one
form after the other in the order of ids, so a pull that was cut off goes on at the page of the form where it was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from pipelines.pull.client import Client
from pipelines.pull.store import MAILS, Content, Page, PullStore, mails_in

SUBMISSIONS = "form submissions"
FORMS = "forms"  # the kind of records that say what a form is called
LISTED, SUBMITTED = 100, 50  # records a page of forms and of submissions, HubSpot's most


def submissions(client: Client, since: int | None, last: str) -> Page:
    """A page of one form's submissions since a moment; `last` is the form and where its next page begins."""
    form, _, after = last.partition(" ")
    names: list[tuple[str, str, Content]] = []
    if not after:
        later = [one for one in _forms(client) if str(one["id"]) > form]
        if not later:
            return Page([], [], last, more=False)
        first = min(later, key=lambda one: str(one["id"]))
        form = str(first["id"])
        names = [(FORMS, form, {"name": first["name"]})]
    begin = f"&after={quote(after, safe='')}" if after else ""
    path = f"/form-integrations/v1/submissions/forms/{quote(form, safe='')}?limit={SUBMITTED}{begin}"
    tree = client.get(path)
    some = [one for one in tree["results"] if since is None or one["submittedAt"] >= since * 1000]
    following = str(((tree.get("paging") or {}).get("next") or {}).get("after", ""))
    older = following if len(some) == len(tree["results"]) else ""
    kept = [record for one in some for record in _submission(form, one)]
    return Page([*names, *kept], [], f"{form} {older}".rstrip(), more=True)


def submitted(store: PullStore) -> Iterator[Content]:
    """The events of contacts with the mail address of a submission."""
    called = {form: content["name"] for form, content in store.records(FORMS)}
    contact_of = {
        mail: key
        for name in reversed(MAILS)  # an address of its own goes before one that a contact had besides
        for key, content in store.records("contacts")
        for mail in mails_in(content.get(name))
    }
    for _, content in store.records(SUBMISSIONS):
        if lead := contact_of.get(content["mail"]):
            at = content["submitted_at"]
            event = {"event_at": at, "known_at": at, "event_type": f"form: {called[content['form']]}"}
            yield {"lead_id": lead} | event | {"direction": "inbound", "channel": "online"}


def _forms(client: Client) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        begin = f"&after={quote(after, safe='')}" if after else ""
        tree = client.get(f"/marketing/v3/forms?limit={LISTED}&formTypes=all{begin}")
        yield from tree["results"]
        after = ((tree.get("paging") or {}).get("next") or {}).get("after")


def _submission(form: str, one: dict[str, Any]) -> Iterator[tuple[str, str, Content]]:
    """One submission as it is kept; none where it has no mail address."""
    mail = next((str(field["value"]) for field in one["values"] if field["name"] == "email" and field["value"]), "")
    if mail:
        at = dt.datetime.fromtimestamp(one["submittedAt"] / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        content = {"form": form, "submitted_at": at, "mail": mail.strip().lower()}
        yield SUBMISSIONS, " ".join(content.values()), content
