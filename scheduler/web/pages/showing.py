"""Pages as HTML: templates in `assets/`, filled in with the words of one language."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from scheduler.mail.words.wording import language_name, right_to_left
from scheduler.web.pages.words import accepted_languages, page_language, page_words

Refusal = Literal["not_found", "too_many", "too_large", "busy", "bad_request", "not_allowed"]
"""Why a page is not shown: the names of phrases in the table [refusal]."""

REFUSALS: Mapping[int, Refusal] = {
    400: "bad_request", 404: "not_found", 405: "not_allowed", 413: "too_large", 429: "too_many", 503: "busy",
}  # fmt: skip

_ASSETS = files("scheduler.web.pages") / "assets"

_pages = Environment(
    loader=PackageLoader("scheduler.web.pages", "assets"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters["isolated"] = lambda text: f"\u2068{text}\u2069"  # keeps its own direction within a phrase


def show(template: str, language: str, *, status: int = 200, **values: Any) -> Response:
    """A page in one of LANGUAGES. Templates extend `_page.html`, and get `words`, `language` and `asset(name)`."""
    content = _pages.get_template(template).render(
        words=page_words(language),
        language=language,
        direction="rtl" if right_to_left(language) else "ltr",
        asset=asset_path,
        stylesheet=stylesheet(),
        **values,
    )
    return HTMLResponse(content, status, {"content-language": language})


def refuse(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A page that says why there is no other one, in the browser's language. It tells nothing of what was asked for."""
    response = show(
        "refusal.html", browser_language(request), status=status, why=REFUSALS.get(status, "bad_request")
    )
    response.headers.update(headers or {})
    return response


def attributes_of(tag: str, language: str) -> dict[str, str]:
    """The attributes of an element whose text is in the language `tag`, on a page in `language`."""
    return {} if tag == language else {"lang": tag, "dir": "rtl" if right_to_left(tag) else "ltr"}


def own_name(tag: str) -> str:
    """The name of a language in itself: "Français"."""
    return language_name(tag, tag).capitalize()


def browser_language(request: Request) -> str:
    """The one of LANGUAGES that the browser asks for."""
    return page_language(*accepted_languages(request.headers.get("accept-language", "")))


def asset(name: str) -> bytes | None:
    """The content of a script of the pages; None for any other name."""
    return _scripts().get(name)


def asset_path(name: str) -> str:
    """The path of a script, with a digest of its content, so that browsers may keep it for ever."""
    return f"/assets/{name}?{sha256(_scripts()[name]).hexdigest()[:12]}"


@cache
def _scripts() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in _ASSETS.iterdir() if file.name.endswith(".js")}


@cache
def stylesheet() -> Markup:
    """The stylesheet of all pages. It stands in each of them: asking for it would take a slow phone a fifth of a second
    before it shows anything."""
    tokens = (files("scheduler.web.look") / "tokens.css").read_text("utf-8")
    return Markup(tokens + (_ASSETS / "pages.css").read_text("utf-8"))  # noqa: S704 (our own files)


def stylesheet_digest() -> str:
    """The source of the stylesheet for `style-src` (CSP): no other one in a page has any effect."""
    return f"'sha256-{b64encode(sha256(stylesheet().encode()).digest()).decode()}'"
