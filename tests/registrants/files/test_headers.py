"""Headers as systems write them, in the languages in which they export, and what is read in their columns."""

from __future__ import annotations

import io

import pytest

from scheduler.registrants.files.headers import meaning_of
from scheduler.registrants.files.reading import RegistrantFile

E, N, F, L, R, S, C, T = (
    "email",
    "name",
    "first_name",
    "last_name",
    "registered_at",
    "status",
    "country",
    "timezone",
)
LINES = {
    "Google Forms": {
        "en": ("Timestamp,Email Address,Full name,Country,Time zone", [R, E, N, C, T]),
        "fr": ("Horodateur,Adresse e-mail,Nom et prénom,Pays,Fuseau horaire", [R, E, N, C, T]),
        "es": ("Marca temporal,Dirección de correo electrónico,Nombre completo,País,Zona horaria", [R, E, N, C, T]),
        "ru": ("Отметка времени,Адрес электронной почты,ФИО,Страна,Часовой пояс", [R, E, N, C, T]),
        "ar": ("طابع زمني,عنوان البريد الإلكتروني,الاسم الكامل,البلد,المنطقة الزمنية", [R, E, N, C, T]),
        "zh": ("时间戳记,电子邮件地址,姓名,国家,时区", [R, E, N, C, T]),
        "de": ("Zeitstempel,E-Mail-Adresse,Vor- und Nachname,Land,Zeitzone", [R, E, N, C, T]),
        "pt": ("Carimbo de data/hora,Endereço de e-mail,Nome completo,País,Fuso horário", [R, E, N, C, T]),
        "it": ("Informazioni cronologiche,Indirizzo email,Nome e cognome,Paese,Fuso orario", [R, E, N, C, T]),
        "ja": ("タイムスタンプ,メールアドレス,氏名,国,タイムゾーン", [R, E, N, C, T]),
        "tr": ("Zaman damgası,E-posta Adresi,Ad Soyad,Ülke,Saat dilimi", [R, E, N, C, T]),
    },
    "Microsoft Forms": {
        "en": ("ID,Start time,Completion time,Email,Name", ["", "", R, E, N]),
        "fr": ("ID,Heure de début,Heure de fin,Adresse de messagerie,Nom", ["", "", R, E, N]),
        "es": ("ID,Hora de inicio,Hora de finalización,Correo electrónico,Nombre", ["", "", R, E, N]),
        "ru": ("ID,Время начала,Время завершения,Электронная почта,Имя", ["", "", R, E, N]),
        "ar": ("المعرف,وقت البدء,وقت الإكمال,البريد الإلكتروني,الاسم", ["", "", R, E, N]),
        "zh": ("ID,开始时间,完成时间,电子邮件,名称", ["", "", R, E, N]),
        "de": ("ID,Startzeit,Fertigstellungszeit,E-Mail,Name", ["", "", R, E, N]),
        "pt": ("ID,Hora de início,Hora de conclusão,Email,Nome", ["", "", R, E, N]),
        "it": ("ID,Ora di inizio,Ora di completamento,Posta elettronica,Nome", ["", "", R, E, N]),
        "ja": ("ID,開始時刻,完了時刻,メール,名前", ["", "", R, E, N]),
        "tr": ("Kimlik,Başlangıç zamanı,Tamamlanma zamanı,E-posta,Ad", ["", "", R, E, N]),
    },
    "Zoom": {
        "en": ("First Name,Last Name,Email,Registration Time,Approval Status", [F, L, E, R, S]),
        "fr": ("Prénom,Nom,E-mail,Heure d'inscription,Statut d'approbation", [F, L, E, R, S]),
        "es": ("Nombre,Apellido,Correo electrónico,Hora de registro,Estado de aprobación", [F, L, E, R, S]),
        "ru": ("Имя,Фамилия,Эл. почта,Время регистрации,Статус утверждения", [F, L, E, R, S]),
        "ar": ("الاسم الأول,اسم العائلة,البريد الإلكتروني,وقت التسجيل,حالة الموافقة", [F, L, E, R, S]),
        "zh": ("名字,姓氏,电子邮件,注册时间,批准状态", [F, L, E, R, S]),
        "de": ("Vorname,Nachname,E-Mail,Registrierungszeit,Genehmigungsstatus", [F, L, E, R, S]),
        "pt": ("Nome,Sobrenome,E-mail,Horário da inscrição,Status da aprovação", [F, L, E, R, S]),
        "it": ("Nome,Cognome,E-mail,Ora di registrazione,Stato di approvazione", [F, L, E, R, S]),
        "ja": ("名,姓,メール,登録時刻,承認ステータス", [F, L, E, R, S]),
        "tr": ("Ad,Soyad,E-posta,Kayıt Zamanı,Onay Durumu", [F, L, E, R, S]),
    },
    "": {  # as people write them into a spreadsheet
        "en": ("lastname ,firstname,e mail id,Country/Region", [L, F, E, C]),
        "fr": ("NOM,PRENOM,COURRIEL,PAYS", [L, F, E, C]),
        "es": ("Apellidos,Nombres,Correo-e,Pais", [L, F, E, C]),
        "ru": ("фамилия,имя,почта,страна", [L, F, E, C]),
        "ar": ("اللقب,الاسم الاول,الايميل,الدولة", [L, F, E, C]),
        "zh": ("姓,名,邮箱,国家/地区", [L, F, E, C]),
        "de": ("Nachname,Vorname,Mailadresse,Land", [L, F, E, C]),
        "pt": ("Apelido,Primeiro nome,Correio eletrónico,País/Região", [L, F, E, C]),
        "it": ("Cognome,Nome,Indirizzo e-mail,Nazione", [L, F, E, C]),
        "ja": ("姓,名,Eメール,国/地域", [L, F, E, C]),
        "tr": ("Soyadı,Adı,E-posta,Ülke", [L, F, E, C]),
        "Indico in Polish": ("Nazwisko,Imię,Adres e-mail,Kraj", [L, F, E, C]),
        "Indico in Czech": ("Příjmení,Křestní jméno,E-mail,Země", [L, F, E, C]),
        "Indico in Ukrainian": ("Прізвище,Ім'я,Електронна пошта,Країна", [L, F, E, C]),
        "in two languages": ("Nom / Last name,Prénom / First name,Courriel / Email,Pays / Country", [L, F, E, C]),
        "numbered": ("1. Surname,2. Given name,3. Your e-mail address *,4) Country (where you live)", [L, F, E, C]),
    },
}  # fmt: skip
VALUES = {E: "ana@example.org", N: "Ana Ruiz", F: "Ana", L: "Ruiz", R: "2027-09-01T10:00:00Z", S: "approved",
          C: "Colombia", T: "America/Bogota", "": "1"}  # fmt: skip
CASES = [(system, language, *line) for system, lines in LINES.items() for language, line in lines.items()]


@pytest.mark.parametrize(
    ("system", "language", "header", "read_as"), CASES, ids=[f"{one[0]} {one[1]}" for one in CASES]
)
def test_a_header_is_read_in_the_language_of_its_system(
    system: str, language: str, header: str, read_as: list[str]
) -> None:
    row = ",".join(VALUES[meaning] for meaning in read_as)
    file = RegistrantFile(io.BytesIO(f"{header}\n{row}\n".encode()), "people.csv")
    assert [column.read_as for column in file.columns] == read_as
    assert file.system == system
    (person,) = file.rows()
    assert (person.values["email"], person.values["name"], person.unknown_status) == (
        "ana@example.org", "Ana Ruiz", "",
    )  # fmt: skip


MEANINGS = {
    E: "email | E-Mail | EMAIL ADDRESS | e_mail | Email: | Email* | Email (required)"
    " | Your email | What is your email? |"
    " Attendee email | Participant's e-mail | Votre adresse e-mail | Ваш e-mail | 您的邮箱 | Ihre E-Mail-Adresse |"
    " Seu e-mail | La tua email | E-posta adresiniz | Correo electrónico * | E-mailadres | Sähköposti | 이메일",
    N: "Name | Full Name | Your name | Name (as on the certificate) | Nombre y apellidos | ФИО"
    " | 氏名 | Ad Soyad | Nominativo",
    F: "First Name | firstname | FIRST_NAME | First name(s) | Given names | Prénom(s) | Vorname"
    " | 名 | Primer nombre | fname",
    L: "Last Name | lastname  | LAST_NAME | Surname | Family name | Nachname | Apellidos"
    " | Фамилия | 姓 | Soyad | lname",
    "join_url": "Join URL | Unique Join URL | Join link | join_url | Lien de connexion"
    " | Enlace para unirse | 参加リンク",
    C: "Country | Country/Region Name | Country / Territory | Pays/Région | 国家/地区 | Land | Ülke | Member State",
    "": "URL | Link | Website | LinkedIn profile | Company | Job title"
    " | Do you agree to receive email? | Comments | Email me |"
    " How did you hear about us? | Date of birth | Topic | # Registered | Attendee # | Phone"
    " | Address of your website",
}


@pytest.mark.parametrize(
    ("header", "meaning"),
    [(header, meaning) for meaning, headers in MEANINGS.items() for header in headers.split(" | ")],
)
def test_what_a_header_means(header: str, meaning: str) -> None:
    found = meaning_of(header.removesuffix(" |"))
    assert (found.meaning if found else "") == meaning


@pytest.mark.parametrize(
    ("header", "whose"),
    [("Attendee email", "attendee"), ("Participant e-mail", "attendee"), ("Buyer Email", "buyer"),
     ("Order email", "buyer"),
     ("Email of the buyer", "buyer"), ("Buyer's email", "buyer"), ("Organizer email", "other"), ("Email", "")],
)  # fmt: skip
def test_whose_address_a_column_holds(header: str, whose: str) -> None:
    found = meaning_of(header)
    assert found is not None
    assert (found.meaning, found.whose) == ("email", whose)
