"""What the layout and the blocks say around an organizer's text, in each language that is written with care.

An organizer's own words stand in `templates/`; these stand here because they come with logic (an assumed zone, a
date that differs) and must exist for every language that any text is in.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Phrases:
    """One language. `{…}` is filled by `str.format`."""

    dates: str  # the Babel locale for dates
    colon: str  # with the blank that French wants before it
    your_time: str
    same_time: str  # {city}: the reader's, {place}: the webinar's
    place_time: str  # {place}
    other_date: str  # {place}
    assumed: str
    unknown_zone: str  # {place}
    correct: str
    correct_link: str
    correct_subject: str
    correct_body: str
    join: str
    join_fallback: str
    no_link_yet: str
    invitation: str
    or_add: str
    add: str
    google: str
    outlook: str
    microsoft: str
    alternatives: str  # joins the last two of "Google Calendar, Outlook.com or Microsoft 365"
    why: str  # {title}
    held_in: str  # {language}
    questions: str
    stop: str
    stop_subject: str
    from_whom: str  # {sender}
    today: str
    tomorrow: str
    yesterday: str
    in_one_hour: str
    now: str
    alarm: str  # {title}
    join_here: str


ENGLISH = Phrases(
    dates="en_GB",
    colon=":",
    your_time="Your time",
    same_time="Your time in {city} – the same as in {place}",
    place_time="{place} time",
    other_date="Please note: where you are, the date is not the same as in {place}.",
    assumed="We assumed this time zone. If your clock shows another time,",
    unknown_zone="We do not know your time zone. If your clock differs from the one in {place},",
    correct="tell us where you are",
    correct_link="Correct my time zone",
    correct_subject="My time zone",
    correct_body="My city and country: ",
    join="Join the webinar",
    join_fallback="Or copy this link into your browser:",
    no_link_yet="The link to join will follow.",
    invitation="The attached invitation puts the webinar into your calendar: open it and choose “Yes” or “Accept”.",
    or_add="Or add it yourself instead:",
    add="Add it to your calendar:",
    google="Google Calendar",
    outlook="Outlook.com",
    microsoft="Microsoft 365",
    alternatives="or",
    why="You receive this mail because this address was registered for “{title}”.",
    held_in="The webinar is held in {language}.",
    questions="Questions? Just reply to this mail.",
    stop="Stop these mails",
    stop_subject="Please stop the mails",
    from_whom="Sent by {sender}.",
    today="today",
    tomorrow="tomorrow",
    yesterday="yesterday",
    in_one_hour="in one hour",
    now="now",
    alarm="Starting soon: {title}",
    join_here="Join here:",
)

FRENCH = Phrases(
    dates="fr",
    colon=" :",
    your_time="Votre heure",
    same_time="Votre heure ({city}) – la même qu’à {place}",
    place_time="Heure de {place}",
    other_date="Attention : chez vous, la date n’est pas la même qu’à {place}.",
    assumed="Nous avons supposé ce fuseau horaire. Si votre horloge indique une autre heure,",
    unknown_zone="Nous ne connaissons pas votre fuseau horaire. Si votre horloge n’indique pas l’heure de {place},",
    correct="dites-nous où vous êtes",
    correct_link="Corriger mon fuseau horaire",
    correct_subject="Mon fuseau horaire",
    correct_body="Ma ville et mon pays : ",
    join="Rejoindre le webinaire",
    join_fallback="Ou copiez ce lien dans votre navigateur :",
    no_link_yet="Le lien de connexion suivra.",
    invitation="L’invitation jointe inscrit le webinaire à votre agenda : "
    "ouvrez-la et choisissez « Oui » ou « Accepter ».",
    or_add="Ou ajoutez-le plutôt vous-même :",
    add="Ajoutez-le à votre agenda :",
    google="Google Agenda",
    outlook="Outlook.com",
    microsoft="Microsoft 365",
    alternatives="ou",
    why="Vous recevez ce message parce que cette adresse a été inscrite au webinaire « {title} ».",
    held_in="Langue du webinaire : {language}.",
    questions="Une question ? Il suffit de répondre à ce message.",
    stop="Ne plus recevoir ces messages",
    stop_subject="Merci de ne plus m’envoyer ces messages",
    from_whom="Envoyé par {sender}.",
    today="aujourd’hui",
    tomorrow="demain",
    yesterday="hier",
    in_one_hour="dans une heure",
    now="maintenant",
    alarm="Bientôt : {title}",
    join_here="Rejoindre :",
)


def unbreakable(text: str, language: str) -> str:
    """French has a blank before `: ; ? ! »` and after `«`, at which a line must not break: NBSP there."""
    if language.partition("-")[0].lower() != "fr":
        return text
    return re.sub(r"(?<=\S) (?=[:;?!»])|(?<=«) ", "\u00a0", text)


PHRASES = {
    "en": ENGLISH,
    "fr": Phrases(**{key: unbreakable(said, "fr") for key, said in asdict(FRENCH).items()}),
}

GENEVA = {"en": "Geneva", "fr": "Genève", "es": "Ginebra", "ar": "جنيف", "zh": "日内瓦", "ru": "Женева"}
"""CLDR knows Zurich, which gives its zone the name; the secretariats are in Geneva."""

RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


def phrases(language: str) -> Phrases:
    """The phrases of `language`, or English ones: a text in a language without phrases is not refused."""
    return PHRASES.get(language.partition("-")[0].lower(), ENGLISH)
