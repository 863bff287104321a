"""Placeholders of other tools (`*|FNAME|*`, `{first_name}`, `«Prénom»`), which here would go out as they are. Pure.

Shapes that also occur in prose (`[…]`, `«…»`) count only around the name of a field, and as doubtful where that may
be meant. The caller replaces each piece of Jinja2 by HIDDEN first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import islice

MOST = 20
"""Placeholders of one line that are reported at most."""
HIDDEN = "\ufffc"
"""Stands for one piece of Jinja2."""

_NAME = """
name firstname lastname fullname surname givenname familyname forename fname lname nickname salutation
nom prénom nomcomplet nomdefamille nomprénom prénomnom civilité nombre nombres apellido apellidos nombrecompleto
nombreyapellidos nome sobrenome cognome primeironome nomecompleto vorname nachname familienname anrede namen naam
voornaam achternaam namn förnamn efternamn navn fornavn etternavn efternavn nimi etunimi sukunimi imię nazwisko
imięinazwisko jméno příjmení priezvisko név prenume soyad soyadı adı adsoyad adısoyadı isim nama họtên prezime onoma
имя фамилия отчество фио имяотчество имяфамилия имяифамилия імя прізвище име
الاسم اسم الاسمالأول الاسمالكامل اسمالعائلة اسمالمشارك اللقب
姓名 名字 姓 名 姓氏 称呼 稱呼 氏名 お名前 名前 이름 성명 성함 नाम שם
"""
_ADDRESS = "email emailaddress mailaddress courriel correo correoelectrónico почта البريد 邮箱 电子邮件"
_STOP = """
unsubscribe unsubscribelink unsubscribeurl unsub unsublink unsublinken optout optouturl désinscription abmeldelink
cancelarsuscripción отписаться
"""
_LINK = """
link url joinurl joinlink zoomlink webinarlink meetinglink meetingurl accesslink lien enlace
ссылка رابط الرابط 链接 連結
"""
_TITLE = """
webinartitle webinarname eventname eventtitle topic meetingtopic event title titre título titulo titel тема 主题
"""
_TIME = """
date time datetime starttime startdate eventdate eventtime when heure fecha hora datum uhrzeit дата время 日期 时间
"""
_OWNERS = """
contact recipient subscriber attendee user customer registrant participant member lead person profile merge mergefield
data var params field cf your contactfield subtag teilnehmer empfänger kontakt destinataire
"""


def _folded(words: str) -> str:
    """The letters and digits of `words`, in lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", words.casefold())
    return "".join(character for character in decomposed if character.isalnum())


def _table(words: str) -> frozenset[str]:
    return frozenset(map(_folded, words.split()))


_NAMES, _OF_PERSONS = _table(_NAME), _table(_OWNERS)
_PERSONAL = _NAMES | _table(_ADDRESS) | _table(_STOP)
_PART_OF_NAME = _NAMES | _OF_PERSONS | {"first", "last", "full", "given", "family"}
_FIX = {
    **dict.fromkeys(_NAMES, "write `{{ name }}`"),
    **dict.fromkeys(_table(_LINK), "write `{{ join_url }}`"),
    **dict.fromkeys(_table(_TITLE), "write `{{ webinar.title }}`"),
    **dict.fromkeys(_table(_TIME), "write `{{ your_time }}`"),
    **dict.fromkeys(_table(_ADDRESS), "leave it out: mails show no addresses"),
    **dict.fromkeys(_table(_STOP), "leave it out: every mail ends with how to unsubscribe"),
}
_OTHERWISE = "docs/variables.md lists the variables, such as `{{ name }}`"

_CERTAIN = re.compile(
    r"\*\|[^|\n]{1,80}\|\*"  # Mailchimp, Mandrill
    r"|%%[=\[!]?[^\W\d_][^%\n]{0,80}%%"  # Salesforce Marketing Cloud, Pardot, Acoustic
    r"|\{%[^%\n]{1,80}%\}|\{\{\{?[^{}\n]{1,80}\}{1,3}|\{[ \t]{1,9}\{[^{}\n]{1,80}\}[ \t]{0,9}\}"
    r"|｛{1,3}[^｛｝\n]{1,80}｝{1,3}"
    r"|[$#%@]!?\{[^{}\n]{1,80}\}|[%$]\([A-Za-z_]\w{0,40}\)s?"  # Ruby, Python, Velocity, Power Automate
    r"|\{[$!@|][^\W\d][^{}\n]{0,80}\}"  # Smarty, MailerLite, AWeber, Salesforce, Sitefinity
    r"|\{\s?MERGEFIELD[^{}\n]{1,80}\}"  # Word, as Alt-F9 shows it
    r"|<[%?][=!]?[^<>\n]{1,80}[%?]>|\[[*%][^\]\n]{1,80}[*%]\]"  # ERB, PHP, Template Toolkit, Adestra
    r"|\[\[[^\W\d_][^\[\]\n]{0,80}\]\]"  # GetResponse, Mailjet, Constant Contact, SuperOffice
    r"|#[A-Za-z]{1,30}:[\w ]{1,40}#|##[^\W\d_]\w{1,40}##"  # Moosend, Form Publisher
    r"|~[A-Za-z]{2,30}\.\w{2,40}~|(?<![\w@.])@[A-Z_]{3,40}@(?!\w)"  # Keap, Dotdigital
)
_BRACES = re.compile(r"(?<!\{)\{ ?([^\W\d_][\w .'-]{1,60}(?:[|:=][^{}\n]{0,60})?) ?\}(?!\})")
_PERCENT = re.compile(r"(?<![\w%])(?<!\d )%([^\W\d_][\w .-]{0,40}\|?)%(?![\w%])")
_PARENTHESES = re.compile(r"\(\(([^\W\d_][\w .-]{0,40}(?:\?\?[^()\n]{0,60})?)\)\)")
_ANGLES = re.compile(r"<<([^<>\n]{1,60})>>|(?<![\w<])<([^\W\d_][\w .-]{0,40})>(?!>)|＜([^＜＞\n]{1,40})＞")
_GUILLEMETS = re.compile(r"[«‹]\s?([^«»‹›\s][^«»‹›\n]{0,60})[»›]")
_BRACKETS = re.compile(r"(?<![\]!\w])\[([^\W\d_][^\[\]\n]{0,60})\](?![(\[:])|【([^【】\n]{1,40})】")
_DASHES = re.compile(r"(?<![\w-])-([^\W\d_]\w{0,40})-(?![\w-])|(?<![\w:/]):([a-z]{2,20}_[a-z]{2,20})\b(?!:)")
_DOLLARS = re.compile(r"(?<![\w$])\${1,2}([^\W\d_][\w ]{1,40})\$(?!\w)|(?<![\w$])\$([a-z]\w{2,40})\b")
_HASHES = re.compile(r"(?<![\w#])#([^\W\d_]\w{1,40})#(?!\w)")
_NUMBER = re.compile(r"(?<![\w}])\{\d\}")
_AMBIGUOUS = (_PERCENT, _PARENTHESES, _ANGLES, _GUILLEMETS, _DASHES, _DOLLARS, _HASHES, _BRACKETS)

_AROUND = "*|%{}[]()<>$#@~!=&?｛｝ "
_FALLBACK = re.compile(r"(?:[|,]|\?\?|\bOR\b|:default).*", re.DOTALL)
_HAS_FALLBACK = re.compile(r"[,|]\s?(?:fallback|default)\b|\bOR\b\s?[\"']|^\w{1,30}:\w{1,30}")
_IDENTIFIER = re.compile(r"[^\W\d_]{2,}(?:_[^\W_]+)+|[a-z]+(?:[A-Z][a-z]+)+|[a-z]+\.[a-z]+(?:_[a-z]+)*")
_BETWEEN = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_NOTE_TO_ONESELF = re.compile(
    r"(?:insert|enter|add|your|put|fill|xx+|t\.?b\.?[cda]\b|todo|placeholder|to be |link to"
    r"|insérer|votre|à compléter|à venir|insertar|su |tu |por confirmar"
    r"|вставить|ваш|укажите|уточн|أدخل|يُحدد|请填|待定|填写"
    r"|einfügen|ihr |hier )",
    re.IGNORECASE,
)
_GREETING_WORDS = (
    r"(?:dear|hello|hi|hey|good (?:morning|afternoon|evening|day)|bonjour|bonsoir|ch[eè]re?(?:[·.(/]e\)?)?"
    r"|madame|monsieur|estimad[oa](?:\(a\)|/a)?|querid[oa]|hola|buenos días|buenas tardes|hallo|guten tag"
    r"|liebe(?:[rs]|/r|\(r\))?"
    r"|sehr geehrte(?:[rs]|/r|\(r\))?|gentile|ciao|salve|car[oa]|ol[áa]|prezad[oa](?:\(a\)|/a)?|beste|geachte|hej|hei"
    r"|kära|kære|szia|cześć|szanown[aiy]{1,2}(?:/a)?"
    r"|уважаем[а-яё()/]{1,12}|дорог[а-яё()/]{1,8}|здравствуйте|добрый день"
    r"|عزيز[يت]{1,3}|السيدة?|مرحب[اً]{1,2}|تحية طيبة|尊敬的|亲爱的|親愛的|您好|你好)"
)
_GREETING = re.compile(
    r"[\W_]{0,9}" + _GREETING_WORDS + r"[\W_]{0,8}([^\W_][^,:!.;،，：！\n]{0,60})[,:!.;،，：！]?\s*\Z",
    re.IGNORECASE,
)
_GREETED_NOBODY = re.compile(  # "Dear ____,", "Dear {},", "Dear XXX,", "Dear %s,", "Dear [Name des Teilnehmers],"
    r"[\W_]{0,9}"
    + _GREETING_WORDS
    + r"\s{0,8}(?:_{2,40}|(?:\.{2,40}|…)(?=\s{0,3}[,:،，：])|[?]{2,40}|X{2,10}|%s"
    r"|\{\s{0,8}\d?\s{0,8}\}|<\s{0,8}>|\[[\s.…_]{0,20}\]"
    r"|[\[(](?:insert |enter )?(?:(?:the |your )?(?:first |last |full )?name\b|participant\b|vorname|prénom|nombre"
    r"|имя|姓名)[^\[\]()\n]{0,40}[\])])\s{0,8}[,:!.;،，：！]?\s*\Z",
    re.IGNORECASE,
)
_OF_WINDOWS = frozenset(
    {"appdata", "localappdata", "userprofile", "programfiles", "programdata", "systemroot", "windir", "temp", "path"}
)  # fmt: skip
_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)[^`\n]{1,300}\1(?!`)")
_LINKS = re.compile(r"(?:https?://|mailto:)[^\s<>]{1,2000}")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


@dataclass(frozen=True)
class Placeholder:
    """A placeholder as written, whether it surely is one, and how to fix it."""

    words: str
    certain: bool
    fix: str


def placeholders_in(line: str, *, markdown: bool = False) -> Iterator[Placeholder]:
    """The placeholders in one line of text, in which HIDDEN stands for Jinja2. `markdown`: code in backticks is left
    out; an escaped character or an entity counts as the character that it shows."""
    if markdown:
        line = unescape(_ESCAPE.sub(r"\1", _CODE.sub(" ", line)))
    seen: list[str] = []
    for one in islice(_all(line), MOST):
        if HIDDEN not in one.words and not any(one.words in other or other in one.words for other in seen):
            seen.append(one.words)
            yield one


def holds_placeholder(name: str) -> bool:
    """Whether a person's name contains a placeholder that another tool did not fill in: {first_name}, *|FNAME|*."""
    return any(one.certain and not one.words[0].isalnum() for one in placeholders_in(name))


def equivalent(field: str) -> str:
    """How to write here what a field of another tool means: "write `{{ name }}`"; "" if unknown."""
    return next((_FIX[word] for word in _meanings(_FALLBACK.sub("", field)) if word in _FIX), "")


def _all(line: str) -> Iterator[Placeholder]:
    """All placeholders of a line, the certain ones first."""
    for match in _CERTAIN.finditer(line):
        yield _found(match[0], match[0].strip(_AROUND))
    for match in _BRACES.finditer(line):
        before = line[match.start() - 1 : match.start()]
        is_mathematics = before.isalnum() or before in ("}", "_", "^")
        if not is_mathematics or _is_personal(match[1]):
            yield _found(match[0], match[1])
    bare = _LINKS.sub(" ", line)
    if (greeted := _GREETING.match(bare)) and _is_name(greeted[1]):
        yield _found(greeted[0].strip(), greeted[1])
    if nobody := _GREETED_NOBODY.match(bare):
        yield Placeholder(nobody[0].strip(), True, "write `{{ dear }}` for the whole greeting")
    for pattern in _AMBIGUOUS:
        for match in pattern.finditer(bare):
            inside = next(group for group in match.groups() if group is not None).strip()
            certain = _is_certain(pattern, inside)
            if certain is not None:
                yield _found(match[0], inside, certain)
    for match in _NUMBER.finditer(bare):
        yield _found(match[0], "", certain=False)


def _is_certain(pattern: re.Pattern[str], inside: str) -> bool | None:
    """Whether this text in this shape surely is a placeholder, or only may be one; None: it is not."""
    personal, identifier = _is_personal(inside), bool(_IDENTIFIER.fullmatch(inside))
    if pattern is _PERCENT:
        return ((personal or " " not in inside) and inside.casefold() not in _OF_WINDOWS) or None
    if pattern is _GUILLEMETS:
        return True if "_" in inside and identifier else False if personal else None
    if pattern is _BRACKETS:
        if personal or identifier or _HAS_FALLBACK.search(inside):
            return True
        return False if _NOTE_TO_ONESELF.match(inside) or _folded(inside) in _FIX else None
    if pattern is _DASHES:
        return True if identifier else False if personal else None
    return personal or identifier or "??" in inside or None


def _is_personal(inside: str) -> bool:
    """Whether this is the name of a field about a person, in any tool."""
    return next(iter(_meanings(_FALLBACK.sub("", inside))), "") in _PERSONAL


def _is_name(inside: str) -> bool:
    """Whether the words after a greeting are only names of fields: "first name", "Vorname Nachname", "[name]"."""
    parts = [_folded(part) for part in _BETWEEN.split(inside) if part]
    whole = "".join(parts) in _NAMES
    return whole or (not _NAMES.isdisjoint(parts) and all(part in _PART_OF_NAME for part in parts))


def _meanings(field: str) -> list[str]:
    """Folded names of a field: the whole without its owner ("firstname" for "contact.first_name"), then its parts."""
    parts = [_folded(part) for part in _BETWEEN.split(field)]
    parts = [part for part in parts if part and part not in _OF_PERSONS]
    return ["".join(parts), *([parts[0], parts[-1]] if len(parts) < 4 else [])] if parts else []


def _found(words: str, inside: str, certain: bool = True) -> Placeholder:
    return Placeholder(words, certain, equivalent(inside) or _OTHERWISE)
