"""Languages as people and registration systems write them: tags, or names in one of many languages. Pure."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from babel import Locale

_TAG = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8})*", re.IGNORECASE)  # RFC 5646, 2.1, as far as it is used
_CODE = re.compile(r"([a-z]{2})(?:[-_][a-z0-9]{2,8})*$", re.IGNORECASE)  # of two letters, which is no name
_NAMED_IN = "ar de en es fr hi id it ja ko nl pl pt ru sw tr uk vi zh zh-Hant"
_ADDED = re.compile(r" *[(,/;–-].*| +[A-Z]{2}$")  # "French (Canada)", "English - UK", "English UK"


@lru_cache(maxsize=1024)
def language_tag(said: str) -> str:
    """The BCP 47 tag that somebody means by "fr-CH", "French", "Français" or "français (Suisse)"; "" for what is
    no language as far as CLDR knows."""
    tidy = " ".join(said.split())
    code = _CODE.match(tidy)
    if not tidy or (code and code[1].lower() in Locale("en").languages):
        return tidy  # nearly always: it costs none of the many names
    for name in (tidy, _ADDED.sub("", tidy)):
        if tag := _names().get(name.casefold()):
            return tag
    known = re.split("[-_]", tidy)[0].lower() in Locale("en").languages
    return tidy if known and _TAG.fullmatch(tidy) else ""


@cache
def _names() -> dict[str, str]:
    """Folded name to tag. English names count before those in other languages."""
    names: dict[str, str] = {}
    for language in ("en", *_NAMED_IN.split()):
        for code, name in Locale.parse(language, sep="-").languages.items():
            names.setdefault(name.casefold(), str(code).replace("_", "-"))
    return names
