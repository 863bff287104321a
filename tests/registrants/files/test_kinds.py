"""Files of every kind that went wrong somewhere, and what is right."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest

from scheduler.problem import Problems
from scheduler.registrants.files.judging import Import, judged
from scheduler.registrants.files.reading import RegistrantFile

ANA, BO = "ana@example.org", "bo@example.org"


@dataclass(frozen=True)
class Right:
    """Who counts, by address with their name; and of which lines the others are, by kind."""

    people: dict[str, str]
    others: dict[int, str] = field(default_factory=dict)
    notes: str = ""


def read(content: str, *, webinars: tuple[str, ...] = ("w",), default: str = "w", **asked: object) -> Right:
    file = RegistrantFile(io.BytesIO(content.encode()), "f.csv", webinars, **asked)  # type: ignore[arg-type]
    people, others = {}, {}
    for one in judged(file.rows, Import("f.csv", webinars, default)):
        if one.kind == "counts":
            people[one.row.values["email"]] = one.row.values.get("name", "")
        else:
            others[one.row.line] = one.kind
    return Right(people, others, "\n".join(str(note) for note in file.notes()))


def read_as(content: str, *webinars: str) -> dict[str, str]:
    file = RegistrantFile(io.BytesIO(content.encode()), "f.csv", webinars or ("w",))
    return {column.header: column.read_as for column in file.columns}


KINDS: dict[str, tuple[str, Right]] = {
    # Status
    "cancelled, then valid": (
        f"email,name,status\n{ANA},Ana,cancelled\n{ANA},Ana,approved\n", Right({ANA: "Ana"}, {2: "status"})),
    "valid, then cancelled": (
        f"email,name,status\n{ANA},Ana,approved\n{ANA},Ana,cancelled\n", Right({ANA: "Ana"}, {3: "status"})),
    "a status that nobody knows": (
        f"email,status\n{ANA},approved\n{BO},maybe\n", Right({ANA: ""}, {3: "unknown status"})),
    "no status in a row": (f"email,status\n{ANA},\n{BO},--\n", Right({ANA: "", BO: ""})),
    "a status with capitals and blanks": (f"email,Approval Status\n{ANA}, APPROVED \n{BO},Denied\n",
                                          Right({ANA: ""}, {3: "status"})),
    "two statuses, of which one says no": (
        f"email,Order Status,Attendee Status\n{ANA},completed,Attending\n{BO},completed,Not Attending\n",
        Right({ANA: ""}, {3: "status"})),
    "a state of the USA": (f"email,name,State\n{ANA},Ana,California\n{BO},Bo,Ohio\n", Right({ANA: "Ana", BO: "Bo"})),
    "a state that is a status": (f"email,State\n{ANA},complete\n{BO},withdrawn\n", Right({ANA: ""}, {3: "status"})),
    "a column that only seems to be a status": (
        f"email,Outcome\n{ANA},\n{BO},Rejected\n", Right({ANA: ""}, {3: "unknown status"})),
    "an answer, among others, under a header that asks": (
        f"email,Will you attend?\n{ANA},Yes of course\n{BO},No\n", Right({ANA: ""}, {3: "unknown status"})),
    "who is not approved": (f"email,Approved\n{ANA},TRUE\n{BO},FALSE\n", Right({ANA: ""}, {3: "unknown status"})),
    "who cancelled it": (f"email,Cancelled By\n{ANA},\n{BO},host\n", Right({ANA: ""}, {3: "unknown status"})),
    "a ticket on the waiting list": (
        f"email,Ticket Type\n{ANA},General\n{BO},Waiting list\n", Right({ANA: ""}, {3: "unknown status"})),
    "no, which elsewhere is nothing": (f"email,Статус\n{ANA},да\n{BO},нет\n", Right({ANA: ""}, {3: "status"})),
    "what somebody answered to another question": (
        f"email,Have you been here before?\n{ANA},Yes\n{BO},No\n", Right({ANA: "", BO: ""})),
    "a column that says who cancelled": (
        f"email,Cancelled\n{ANA},No\n{BO},Yes\n", Right({ANA: ""}, {3: "status"})),
    "a column that says when they cancelled": (
        f"email,Cancelled at\n{ANA},\n{BO},2027-08-20 10:00\n", Right({ANA: ""}, {3: "status"})),
    "a bad address that was denied anyway": (
        f"email,status\n{ANA},approved\nbo@,denied\n", Right({ANA: ""}, {3: "status"})),
    "a table of people who wait": (
        f"Registered\nemail,name\n{ANA},Ana\n\nWaiting list\nemail,name\n{BO},Bo\n",
        Right({ANA: "Ana"}, {7: "status"})),
    # Names
    "Name is the surname beside Firstname": (f"Firstname,Name,email\nAna,Ruiz,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Name is the surname beside Vorname": (f"Name,Vorname,E-Mail\nRuiz,Ana,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Nom is the surname beside Prénom": (f"Nom,Prénom,Courriel\nRuiz,Ana,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Name is the first name beside Surname": (f"Name,Surname,email\nAna,Ruiz,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Name is the whole name beside Firstname": (
        f"Firstname,Name,email\nAna,Ana Ruiz,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Name is the whole name beside Surname": (f"Name,Surname,email\nAna Ruiz,Ruiz,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "Nombre is the first name beside Apellidos": (f"Nombre,Apellidos,Correo\nAna,Ruiz López,{ANA}\n",
                                                  Right({ANA: "Ana Ruiz López"})),
    "a middle name": (f"First name,Middle name,Last name,email\nAna,M.,Ruiz,{ANA}\n", Right({ANA: "Ana M. Ruiz"})),
    "a first name only": (f"First name,email\nAna,{ANA}\n", Right({ANA: "Ana"})),
    "a whole name that is empty": (f"name,first_name,last_name,email\n,Ana,Ruiz,{ANA}\n", Right({ANA: "Ana Ruiz"})),
    "NULL NULL": (f"first name,last name,email\nNULL,NULL,{ANA}\nundefined,undefined,{BO}\n", Right({ANA: "", BO: ""})),
    "the name of an address": (f"email\nAna Ruiz <{ANA}>\n", Right({ANA: "Ana Ruiz"})),
    "an affiliation": (f"email,name\n{ANA},Ana (RIT Student)\n", Right({ANA: "Ana"})),
    "Anna & Ben Berg": (
        f"email,name\n{ANA},Anna & Ben Berg\n{BO},O'Neil\n", Right({ANA: "Anna & Ben Berg", BO: "O'Neil"})),
    "110 letters": (f"email,name\n{ANA},{'Ana ' * 27}Ru\n", Right({ANA: "Ana " * 27 + "Ru"})),
    # Columns that mislead
    "an Email that is anonymous": (
        f"ID,Start time,Completion time,Email,Name,Your email address,Your name\n1,,,anonymous,,{ANA},Ana\n",
        Right({ANA: "Ana"})),
    "an Email that is sometimes anonymous": (
        f"Email,Your email address\nanonymous,{ANA}\n{BO},\n", Right({ANA: "", BO: ""})),
    "two columns Email, one of them empty": (
        f"Email,Name,Email\n,Ana,{ANA}\n,Bo,{BO}\n", Right({ANA: "Ana", BO: "Bo"})),
    "two columns Email that agree": (f"Email,Name,Email\n{ANA},Ana,{ANA.upper()}\n", Right({ANA: "Ana"})),
    "two columns Email that do not": (f"Email,Name,Email\n{ANA},Ana,{ANA}\n{BO},Bo,{ANA}\n",
                                      Right({ANA: "Ana"}, {3: "error"})),
    "a header that is empty": (f"email,,name\n{ANA},x,Ana\n", Right({ANA: "Ana"})),
    "no header for the addresses": (f"Name,,Company\nAna,{ANA},ACME\n", Right({ANA: "Ana"})),
    "addresses under another header": (f"Name,Contact\nAna,{ANA}\nBo,{BO}\n", Right({ANA: "Ana", BO: "Bo"})),
    "addresses under a typo": (f"name,emial\nAna,{ANA}\n", Right({ANA: "Ana"})),
    "a street under Address": (f"Address,E-mail\n1 Rue X,{ANA}\n", Right({ANA: ""})),
    "Username of a Google Form": (f"Timestamp,Username,Your name\n2027-08-20 10:00,{ANA},Ana\n", Right({ANA: "Ana"})),
    "a bar between cells": (f"email|name\n{ANA}|Ana\n", Right({ANA: "Ana"})),
    # Whose address
    "buyer and attendee": (
        f"Order code,E-mail,Attendee name,Attendee email\nA,sam@example.org,Ana,{ANA}\nB,sam@example.org,Bo,{BO}\n",
        Right({ANA: "Ana", BO: "Bo"})),
    "buyer, where no attendee has one": (
        f"Order code,E-mail,Attendee name,Attendee email\nA,{ANA},Ana,\nB,{BO},Bo,\n", Right({ANA: "Ana", BO: "Bo"})),
    "an attendee without an address": (
        f"Buyer Email,Attendee name,Attendee email\n{BO},Ana,{ANA}\n{BO},Bo,\n", Right({ANA: "Ana"}, {3: "error"})),
    "buyer only": (f"Buyer Email,Buyer First Name,Buyer Last Name\n{ANA},Ana,Ruiz\n", Right({ANA: "Ana Ruiz"})),
    "the organizer's beside it": (f"Organizer email,Email\nsam@example.org,{ANA}\n", Right({ANA: ""})),
    # One address, several names
    "a couple": (f"email,name\n{ANA},Ana Ruiz\n{ANA},Bo Li\n", Right({ANA: "Bo Li"}, {2: "another name"})),
    "three names": (f"email,name\n{ANA},Ana\n{ANA},Bo\n{ANA},Cy\n",
                    Right({ANA: "Cy"}, {2: "another name", 3: "another name"})),
    "the same name in another order": (f"email,name\n{ANA},\"Ruiz, Ana\"\n{ANA},Ana Ruiz\n",
                                       Right({ANA: "Ana Ruiz"}, {2: "repeated"})),
    "once with and once without a name": (f"email,name\n{ANA},Ana\n{ANA},\n", Right({ANA: "Ana"}, {3: "repeated"})),
    "the same address in other letters": (f"email,name\n{ANA},Ana\n{ANA.upper()},Ana\n",
                                          Right({ANA.upper(): "Ana"}, {2: "repeated"})),
    # The file
    "exports one below the other": (f"email,name\n{ANA},Ana\nemail,name\n{BO},Bo\n", Right({ANA: "Ana", BO: "Bo"})),
    "an event by its title": (f"email,Event\n{ANA},Buying health products\n", Right({ANA: ""})),
    "a number of Zoom": (f"email,Webinar ID\n{ANA},831 5512 1234\n", Right({ANA: ""})),
    "a webinar of ours": (f"email,Webinar ID\n{ANA},w\n{BO},v\n", Right({ANA: ""}, {3: "error"})),
    "a webinar with a typo": (f"email,webinar\n{ANA},wx\n", Right({}, {2: "error"})),
}  # fmt: skip


@pytest.mark.parametrize(("content", "right"), KINDS.values(), ids=KINDS)
def test_who_counts_and_who_does_not(content: str, right: Right) -> None:
    found = read(content)
    assert (found.people, found.others) == (right.people, right.others)


@pytest.mark.parametrize(
    "header", ["URL", "Link", "Website", "LinkedIn", "Your website", "Profile URL", "qr_code_url"]
)
def test_a_link_is_somebody_s_join_link_only_where_the_column_is_named_so(header: str) -> None:
    there = f"email,{header}\n{ANA},https://www.linkedin.example/in/ana\n"
    assert read_as(there)[header] == ""
    assert read_as(f"email,Join link\n{ANA},https://zoom.example/w/1\n")["Join link"] == "join_url"


def test_each_column_says_what_it_is_read_as_and_why() -> None:
    content = (
        f"ID,Email,Your email address,Name,Webinar ID,,Colour\n1,anonymous,{ANA},Ana,831 5512 1234,x,red\n"
    )
    file = RegistrantFile(io.BytesIO(content.encode()), "f.csv", ["w"])
    assert [(column.header, column.read_as, column.because) for column in file.columns] == [
        ("ID", "", "is not needed"),
        ("Email", "", "holds no address; column 3 is the email"),
        ("Your email address", "email", '"Your email address" is an address, and column 2 holds none'),
        ("Name", "name", '"Name" is the name'),
        ("Webinar ID", "", "holds no id of a webinar of this folder"),
        ("", "", "it has no header"),
        ("Colour", "", "no column of this name is known"),
    ]


def test_people_of_a_status_that_is_named_come_too() -> None:
    content = f"email,status\n{ANA},maybe\n{BO},cancelled\n"
    assert read(content, counting=["Maybe", "cancelled"]).people == {ANA: ""}


def test_nobody_can_know_which_of_two_columns_is_the_address() -> None:
    with pytest.raises(Problems, match="column 2 and column 3 hold addresses, and no header says whose"):
        read(f"Name,Contact,Other\nAna,{ANA},{BO}\n")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (f"{ANA}; {BO}", 'email holds two addresses: "ana@example.org; bo@example.org"'),
        ("ana(at)example.org", 'email is not an address: "ana(at)example.org"'),
        ("ana\u202e@example", r'email is not an address: "ana@example"'),
    ],
)
def test_an_error_shows_the_value(cell: str, told: str) -> None:
    file = RegistrantFile(io.BytesIO(f'email,name\n"{cell}",Ana\n'.encode()), "f.csv")
    (one,) = judged(file.rows, Import("f.csv", ["w"], "w"))
    assert (one.kind, one.told) == ("error", told)


def test_what_is_cleaned_is_noted_with_its_lines() -> None:
    notes = read(
        "email,name,Registration time\n"
        f"mailto:{ANA},Ana (WHO),\"Sep 1, 2027 10:00:00\"\n"
        f"{BO},NULL,soon\n"
    ).notes.splitlines()  # fmt: skip
    assert notes == [
        "f.csv, line 3: registered_at is not a time; allowed: such as 2025-06-12T09:30:00Z, from 1970 to 2037, or a"
        " date whose order is clear; it is left out",
        "f.csv, line 2: extra characters were removed from the address",
        "f.csv, line 2: text in brackets behind the name is left out",
        "f.csv, line 3: the name can't be used; the greeting leaves it out",
    ]


def test_days_and_months_are_told_apart_by_the_whole_column() -> None:
    head = "email,Registration time\n"
    file = RegistrantFile(
        io.BytesIO(f"{head}{ANA},02/08/2027 10:00\n{BO},13/08/2027 10:00\n".encode()), "f.csv"
    )
    assert [row.registered_at and row.registered_at.isoformat() for row in file.rows()] == [
        "2027-08-02T10:00:00+00:00",
        "2027-08-13T10:00:00+00:00",
    ]


NOBODY_COMES = """
Attending=No|Are you coming?=No|Attendance=Declined|Participation=No|Registration=Cancelled|Reg. Status=Cancelled
Current Status=Cancelled|Decision=Rejected|Review status=rejected|Application status=rejected|Teilnahme=Nein
Teilnahmestatus=abgesagt|Participa=No|Asistirá=No|出欠=欠席|参加可否=不参加|Участие=нет|Statut de participation=Annulé
Status Anmeldung=storniert|Estatus de registro=Cancelado|Antwort=Nein|Réponse=Non|Response Status=declined
responseStatus=declined|registrationStatus=CANCELLED|statusCode=cancelled|RSVP Response=No|Payment Status=refunded
Payment Status=unpaid|Ticket=Waitlist|Event Status=canceled|Result=Rejected|Approved=No|Is Approved=0|Confirmed=No
Active=No|Deleted=Yes|is_deleted=true|Refunded=Yes|Waitlist=Yes|Waitlisted?=TRUE|On waitlist=1|Cancellation=Yes
Cancelled by=host|Cancel Date=1/2/2027|Canceled Date=1/2/2027|cancelledAt=2027-01-02|Cancellation reason=Ill
Opted out=Yes|unsubscribed_at=2027-01-02|Declined=x|Rejected=x
Participerez-vous ?=Non|Serez-vous présent ?=Non|Pourrez-vous participer au webinaire ?=Non|Você vai participar?=Não
Vai participar do evento?=Não|Parteciperà?=No|Parteciperai al webinar?=No|Sarà presente?=No|Вы придёте?=Нет
Вы будете участвовать?=нет|Планируете ли вы участвовать?=Нет|参加しますか？=いいえ|ご参加されますか？=いいえ
您会参加吗？=否|您是否参加？=否|Katılacak mısınız?=Hayır|هل ستحضر؟=لا|هل ستشارك في الندوة؟=لا
¿Va a asistir?=No|¿Participará?=No
Nehmen Sie am Webinar teil?=Nein|Werden Sie teilnehmen?=Nein|Sind Sie dabei?=Nein|Czy weźmiesz udział?=Nie
Kom je?=Nee|Neem je deel?=Nee|Will you join us?=No|Do you intend to attend?=No
Présent=Non|Presente=No|Anwesend=Nein|Aanwezig=Nee|Katılım=Hayır|الحضور=لا
Would you like to participate?=No
"""


@pytest.mark.parametrize("said", NOBODY_COMES.strip().replace("\n", "|").split("|"))
def test_whoever_does_not_come_by_any_column_is_left_out_or_asked_about(said: str) -> None:
    header, _, value = said.partition("=")
    found = read(f'email,"{header}"\n{ANA},\n{BO},{value}\n')
    assert (found.people, found.others.keys()) == ({ANA: ""}, {3})


ABOUT_SOMETHING_ELSE = (
    "Have you attended before?=No|Do you need a certificate of attendance?=No|Avez-vous déjà participé ?=Non"
    "|Haben Sie schon einmal teilgenommen?=Nein|¿Ha asistido antes?=No|Do you consent to recording?=No"
    "|Benötigen Sie eine Teilnahmebescheinigung?=Nein|Вы участвовали ранее?=Нет|Did you attend last year?=No"
    "|以前に参加しましたか？=いいえ|Have you participated in a trial?=No|Vegetarian?=No|Kommentar=Nein"
    "|Ya ha participado?=No|Souhaitez-vous une attestation de participation ?=Non|您参加过吗？=否"
)


@pytest.mark.parametrize("said", ABOUT_SOMETHING_ELSE.split("|"))
def test_a_no_to_another_question_keeps_nobody_away(said: str) -> None:
    header, _, value = said.partition("=")
    assert read(f'email,"{header}"\n{ANA},\n{BO},{value}\n').people == {ANA: "", BO: ""}


COUNTRIES_ASKED_FOR = (
    "In welchem Land leben Sie?=Chile|Aus welchem Land nehmen Sie teil?=Österreich|Dans quel pays vivez-vous ?=Maroc"
    "|¿En qué país vive?=Perú|Em que país você mora?=Brasil|In quale paese vive?=Italia|В какой стране вы живёте?=Перу"
    "|Hangi ülkede yaşıyorsunuz?=Türkiye|您所在的国家是=中国|في أي بلد تعيش؟=مصر|Which country do you live in?=Kenya"
    "|What country are you joining from?=Viet Nam|お住まいの国はどこですか？=日本|W jakim kraju mieszkasz?=Polska"
    "|In welk land woon je?=Nederland"
)


@pytest.mark.parametrize("said", COUNTRIES_ASKED_FOR.split("|"))
def test_a_question_for_the_country_is_one_where_countries_stand_below_it(said: str) -> None:
    header, _, value = said.partition("=")
    assert read_as(f'email,"{header}"\n{ANA},{value}\n')[header] == "country"
    assert read_as(f'email,"{header}"\n{ANA},{value}\n{BO},Something else\n')[header] == ""


@pytest.mark.parametrize(
    "header",
    ["In which country were you born?", "Country of birth", "Pays de naissance", "Which countries do you work on?",
     "Country of citizenship", "Welches Land ist Ihr Thema?", "País de nacimiento", "Страна рождения"],
)  # fmt: skip
def test_a_country_of_something_else_says_no_zone(header: str) -> None:
    assert read_as(f"email,{header}\n{ANA},Chile\n")[header] == ""


def test_a_file_with_more_columns_than_a_spreadsheet_has_is_refused_at_once() -> None:
    with pytest.raises(Problems, match="more columns than a spreadsheet has"):
        read("email" + ",name" * 100_000 + f"\n{ANA}\n")


def test_thousands_of_columns_of_names_are_not_compared_with_each_other() -> None:
    content = "email" + ",first name,name" * 8_000 + f"\n{ANA}" + ",Ana,Ana Ruiz" * 8_000 + "\n"
    assert read(content).people == {ANA: "Ana Ruiz"}


def test_of_several_columns_the_one_with_the_status_that_nobody_knows_is_named() -> None:
    content = f"email,Registration Status,Invitation Status\n{ANA},Accepted,Sent\n"
    rows = list(RegistrantFile(io.BytesIO(content.encode()), "f.csv").rows())
    assert rows[0].unknown_status == "Invitation Status: Sent"
    assert read(content, counting=("Invitation Status: Sent",)).people == {ANA: ""}
    assert read(content, counting=("sent",)).people == {ANA: ""}


def test_who_is_asked_about_comes_where_that_is_said() -> None:
    content = f"email,Outcome\n{ANA},Rejected\n"
    assert read(content, counting=("rejected",)).people == {ANA: ""}
    assert read(content, counting=("Outcome: Rejected",)).people == {ANA: ""}
    assert read_as(content)["Outcome"] == "status"
