"""Placeholders of other tools, as their documentation shows them, and prose that only looks alike."""

from __future__ import annotations

import pytest

from scheduler.input.placeholders import HIDDEN, placeholders_in

OF_TOOLS = {
    "Mailchimp, Mandrill": ["Dear *|FNAME|*,", "Hi *|IF:FNAME|*,", "*|MC:SUBJECT|*", "*|UNSUB|*", "*|LIST:COMPANY|*"],
    "Indico, pretix, Eventbrite, Sailthru": [
        "Dear {first_name},", "Dear {name},", "{attendee_name}", "{NAME}", "{EMAIL}", "{name} {surname}", "Dear{name},",
    ],
    "GMass": ["{FirstName}", "{FirstName|fallback=Friend}", "{auto-first}", "{spin}Hello{variation}Hi{endspin}"],
    "GOV.UK Notify": ["Dear ((name)),", "((first name))", "((name??Show this))"],
    "Word": [
        "Dear «First_Name»,", "«First_Name» «Last_Name»", "Bonjour « Prénom »,", "Cher «Nom»,", "Уважаемый «Имя»!",
        "{ MERGEFIELD First_Name }", "{MERGEFIELD First_Name \\* MERGEFORMAT}",
    ],
    "LibreOffice, Autocrat, Yet Another Mail Merge": [
        "Dear <First Name>,", "<<First Name>>", "<<name>>", "<name>", "<Prénom>", "<имя>", "＜name＞", "Hola <nombre>!",
    ],
    "ActiveCampaign, SendGrid, Mailgun, Yespo": [
        "Dear %name%,", "%FIRSTNAME%", "%FIRSTNAME|%", "%recipient.first%", "%First Name%", "%UNSUBSCRIBELINK%",
        "Dear -name-,", "-first_name-", "Dear :name,", ":first_name", "<%asm_group_unsubscribe_raw_url%>",
    ],
    "Salesforce": ["%%First Name%%", "%%=v(@first)=%%", "%%fname%%", "{!Contact.FirstName}",
                   "{{{Recipient.FirstName}}}"],
    "Brevo": ["[DEFAULT_FROM_NAME]", "{PRENOM}", "{{ contact.FIRSTNAME }}"],
    "Mailjet": ['[[data:firstname:"x"]]', "[[UNSUB_LINK_EN]]"],
    "GetResponse, Constant Contact, SuperOffice": ["[[firstname]]", '[[FIRSTNAME OR "Friend"]]', "[[customer.name]]"],
    "Campaign Monitor, Sendy, MailPoet, phpList, Benchmark": [
        "[firstname,fallback=friend]", "[Name,fallback=]", "[subscriber:firstname | default:reader]", "[NAME]",
        "[contact_attribute:firstname]", "[firstname]", "[unsubscribe]", "[FIRST_NAME]",
    ],
    "Adestra, Sympa": ["[*data.first_name*]", "[%first_name%]", "[% user.name %]"],
    "MailerLite, AWeber, Smarty": ["{$name}", "{$last_name}", "{!firstname_fix}", "{$unsubscribe}"],
    "Mautic, CiviCRM, AcyMailing": ["{contactfield=firstname}", "{contact.first_name}", "{subtag:name|part:first}"],
    "Moosend, Form Publisher": ["#recipient:name#", "#recipient:FirstName#", "##Name##", "#name#"],
    "Keap, Dotdigital, Sitefinity": ["~Contact.FirstName~", "@FIRSTNAME@", "{|Subscriber.FirstName|}"],
    "Emarsys, Mailman, Velocity": ["$First Name$", "$name$", "Dear $name,", "$!{name}", "$$name$$", "$(name)"],
    "Power Automate, Zapier, templates of programs": [
        "@{triggerBody()?['Name']}", "${name}", "#{name}", "%{name}", "%(name)s", "<%= name %>", "<?= $name ?>",
        "https://zoom.us/j/{meeting_id}", "https://example.org/?e=*|EMAIL|*", "{Hello|Hi}",
    ],
    "ours, written by hand or by a word processor": [
        "{ { name } }", "{ {name} }", "\\{\\{ name \\}\\}", "\\{name\\}", "｛｛ name ｝｝", "｛姓名｝",
        "&lbrace;name&rbrace;",
        "&#123;&#123; name &#125;&#125;", "{{ name }", "{name}{surname}",
    ],
    "a form that nobody filled in": [
        "Dear {},", "Dear {0},", "Dear %s,", "Dear ____,", "Dear …,", "Dear ...,", "Dear XXX,", "Dear [ ],",
        "Hallo ???,", "Dear [Insert name here],",
        "Dear (insert name),", "Dear [Participant's name],", "Dear [participant],",
        "Dear [Name des Teilnehmers],", "Estimado/a ____:", "尊敬的____：", "Hi <>,",
    ],
    "nobody's: what is still to be put there": [
        "Dear NAME,", "Dear First Name,", "Dear __name__,", "Dear _name_,", "Dear (name),",
        "Dear [First Name] [Last Name],",
        "Hello [name],", "Dear |name|,", "Dear ^name^,", "Dear =name=,", "Dear @name,", "Dear [NAME]:",
    ],
    "in other languages": [
        "尊敬的[姓名]：", "亲爱的{姓名}，", "尊敬的姓名：", "【姓名】", "Уважаемый [Имя]!", "Здравствуйте, %имя%!",
        "{имя}",
        "عزيزي [الاسم]،", "{الاسم}", "Estimado/a [Nombre]:", "{nom}", "{prenom}", "Caro {nome},", "Olá [nome],",
        "Sehr geehrte/r Vorname Nachname,", "Hallo [Vorname],", "Szanowny/a Imię,",
    ],
}  # fmt: skip

PROSE = [
    "Hello…",
    "Hello ...and welcome!",
    "Dear all,",
    "Hi (participants in Geneva),",
    "Dear friends of XXX,",
    "Coverage rose from 50 % to 60 %, and 5% of it is new.", "Between 5%and 10%", "10%、20%和30%", "٪50 و٪60",
    "50 % des pays et 30 % des villes", "It costs $50, US$ 20 or A$10, 100 $ ou 90 €.", '{"name": "Ana", "id": 3}',
    '`{"name": "{name}"}` is JSON.', "The set {a, b}, {1, 2} and {}", r"\frac{a}{b} and x^{n}", "e = mc^2, x_1, a_b_c",
    "See [1] and [2], [sic], […], [...].", "As noted [in French], it is open.", "[text](https://example.org)",
    "[the programme][1]", "Room [B 12], floor [2]", "- [ ] ask a question", "[x] done", "[Optional]", "[en ligne]",
    "[на английском языке]", "[باللغة الإنجليزية]", "[中文]", "【重要】请提前入会", "《公共采购》", "＜注意＞",
    "Le séminaire « Nom de code » commence.", "Вебинар «Имя розы» начинается.", "El libro «Nombre de la rosa».",
    "书名号《名字》和「姓名」", "请填写您的姓名（必填）", "имя и фамилия", "nom et prénom", "الاسم واللقب",
    "Please give your name, e-mail and company (name) when asked.", "first name (given name) and last name",
    "Dear colleagues,", "Dear participant,", "Dear Dr Name-Smith,", "Hello!", "Hi all,", "Chers collègues,",
    "Madame, Monsieur,", "Уважаемые коллеги!", "Estimadas y estimados colegas:", "尊敬的各位同事：", "تحية طيبة وبعد،",
    "10:00-11:00 -- break -- 11:15", "#health #WebinarWeek", "@WHO @wipo on X", "a < b and c > d", "temperature < 5 °C",
    "https://example.org/a%20b%C3%A9?x=%7Bname%7D", "https://example.org/~user/file.html",
    "%APPDATA%\\Zoom has the log.",
    "array[index] and f(x)", "The code word is ((see below)).", "(((important)))", "Q&A; R&D; AT&T", "C# and F#",
    '"name" is a field, \'name\' too', "file_name.txt, snake_case, camelCase", "1:30 p.m. – 2:30 p.m.", "#1 priority",
    "-5 to -3 °C", "well-being, follow-up, so-called-thing", "100 %", "<https://example.org>", "<mail@example.org>",
    "~30 people, ~ 5 %", "[name of the file].pdf", f"Dear {HIDDEN},", f"{{ {HIDDEN} }}", f"{{{HIDDEN}}}", f"[{HIDDEN}]",
]  # fmt: skip

DOUBTFUL = ["Click on the [link] below.", "Заполните поле «Имя» в форме.", "[insert the link here]",
            "[Your organization]",
            "[TBC]", "[date]", "[à compléter]", "[请填写]", "{1}", "the -name- field"]  # fmt: skip


@pytest.mark.parametrize("words", [one for texts in OF_TOOLS.values() for one in texts])
def test_what_another_tool_would_fill_in_is_found_for_sure(words: str) -> None:
    assert any(one.certain for one in placeholders_in(words, markdown=True))


@pytest.mark.parametrize("words", PROSE)
def test_prose_is_left_alone(words: str) -> None:
    assert list(placeholders_in(words, markdown=True)) == []


@pytest.mark.parametrize("words", DOUBTFUL)
def test_what_may_be_meant_is_doubtful(words: str) -> None:
    assert [one.certain for one in placeholders_in(words, markdown=True)] == [False]


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("Dear *|FNAME|*,", "write `{{ name }}`"),
        ("{contact.first_name}", "write `{{ name }}`"),
        ("[Prénom]", "write `{{ name }}`"),
        ("%UNSUBSCRIBELINK%", "leave it out: every mail ends with how to unsubscribe"),
        ("{join_url}", "write `{{ join_url }}`"),
        ("{registrant.email}", "leave it out: mails show no addresses"),
        ("{event_title}", "write `{{ webinar.title }}`"),
        ("${startTime}", "write `{{ your_time }}`"),
        ("%%favourite_colour%%", "docs/variables.md lists the variables, such as `{{ name }}`"),
    ],
)
def test_the_fix_says_what_it_is_here(words: str, fix: str) -> None:
    assert [one.fix for one in placeholders_in(words)] == [fix]


def test_one_is_reported_once() -> None:
    assert [one.words for one in placeholders_in("Dear {first_name} {last_name},")] == [
        "{first_name}",
        "{last_name}",
    ]
