"""Languages as people and registration systems write them: tags, or names in one of many languages. Pure."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from babel import Locale

_TAG = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8})*", re.IGNORECASE)  # RFC 5646, 2.1, as far as it is used
_NAMED_IN = "ar de en es fr hi id it ja ko nl pl pt ru sw tr uk vi zh zh-Hant"
_ADDED = re.compile(r" ?[(,/;–-].*| [A-Z]{2}$")  # "French (Canada)", "English - UK", "English UK"


@lru_cache(maxsize=1024)
def language_tag(said: str) -> str:
    """The BCP 47 tag meant by "fr-CH", "French", "Français" or "français (Suisse)"; "" for a language unknown to
    CLDR."""
    tidy = " ".join(said.split())
    code = re.split("[-_]", tidy)[0].lower()
    is_tag = _TAG.fullmatch(tidy) is not None and code in Locale("en").languages
    if not tidy or (
        is_tag and len(code) == 2
    ):  # two letters are nearly always a code, and seldom a name ("Ga")
        return tidy
    for name in (tidy, _ADDED.sub("", tidy)):
        if tag := _names().get(name.casefold()):
            return tag
    return tidy if is_tag else ""


@cache
def _names() -> dict[str, str]:
    """Tags by folded name. English names take precedence over those in other languages."""
    names: dict[str, str] = {}
    for language in ("en", *_NAMED_IN.split()):
        for code, name in Locale.parse(language, sep="-").languages.items():
            names.setdefault(name.casefold(), str(code).replace("_", "-"))
    return names
