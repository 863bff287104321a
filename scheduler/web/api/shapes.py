"""What the API accepts and answers, as its OpenAPI document describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MOST_ROWS = 1000  # of a call
MOST_ON_A_PAGE = 1000
_LONGEST = 4000  # characters of any one value; the rules of single fields are stricter

Text = Annotated[str, Field(max_length=_LONGEST)]


class FieldError(BaseModel):
    """One mistake."""

    at: str = Field(description="the name of the field, such as `email` or `answers.role`")
    found: str
    allowed: str = ""
    hint: str = ""


class Problem(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] = Field(default=[], description="each mistake in a field")


class Registrant(BaseModel):
    """What a system knows about a person. An empty or missing value is not known."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Text = Field(default="", description="as the person writes it", examples=["Maya Okafor"])
    language: Text = Field(default="", description="a language tag (BCP 47)", examples=["fr"])
    timezone: Text = Field(
        default="", description="a zone, a city or an offset, as people write it", examples=["Africa/Lagos"]
    )
    country: Text = Field(default="", description="a name or an ISO 3166 code", examples=["NG"])
    organization: Text = ""
    join_url: Text = Field(default="", description="the person's own link to join, if they have one")
    answers: dict[Text, Text | bool] = Field(
        default={}, description="answers to the webinar's [[questions]], by their id"
    )
    consent: Text = Field(default="", description="the words that the person agreed to")
    registered_at: AwareDatetime | None = Field(
        default=None,
        description="when the person registered. Only by a time after they were forgotten do they come back.",
    )


class Row(Registrant):
    """A person in a call with many."""

    email: Text = Field(description="the address to which mails go", examples=["maya.okafor@who.int"])


class Rows(BaseModel):
    """Many people at once."""

    model_config = ConfigDict(extra="forbid")

    registrants: list[Row] = Field(max_length=MOST_ROWS)


State = Literal["unconfirmed", "waiting", "registered"]


class Result(BaseModel):
    """What became of one row of a call."""

    email: str
    result: Literal["new", "changed", "unchanged", "refused", "repeated"] = Field(
        description="`repeated`: a later row of the call has the same address, and counts"
    )
    state: State | None = None
    errors: list[FieldError] = []


class Results(BaseModel):
    """What became of each row, in the order of the call."""

    results: list[Result]


class Delivery(BaseModel):
    """One mail to a person, sent or planned."""

    message: str
    edition: int = Field(description="0 for the sequence; notices and repeated mails count up")
    state: str = Field(
        description="pending, sending, sent, failed, held, in_doubt, expired, skipped or cancelled"
    )
    reason: str
    due_at: datetime
    sent_at: datetime | None


class Registered(BaseModel):
    """A person who registered by the form or the API, and their mails."""

    email: str
    name: str
    language: str
    timezone: str
    country: str
    organization: str
    join_url: str
    answers: dict[str, str | bool]
    consent: str
    source: str = Field(description="`form`, or `api` and the name of the key")
    state: State
    created_at: datetime
    updated_at: datetime
    zone: str = Field(
        description="the zone in which times are said; empty until the service has taken the person in"
    )
    zone_known_by: str = Field(description="confirmed, timezone, country or webinar")
    zone_problem: str = Field(description="what of timezone and country could not be understood")
    withdrawn_at: datetime | None = Field(description="since when the person does not come")
    deliveries: list[Delivery]


class Page(BaseModel):
    """A part of all people, in the order in which they registered."""

    registrants: list[Registered]
    next: int | None = Field(description="`after` of the next page; null on the last one")
