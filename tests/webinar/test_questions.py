"""Who may register for a webinar, what they are asked, and what they agree to."""

from __future__ import annotations

import pytest

from scheduler.webinar.model import WebinarProblems, read_webinar
from scheduler.webinar.questions import LONGEST_ANSWER, Question, checked
from tests.support import toml, webinar

ROLE = """
[[questions]]
id = "role"
kind = "choice"
words = "What do you do?"
options = ["Nurse", "Other"]
required = true

[questions.translations.fr]
words = "Que faites-vous ?"
options = ["Infirmière", "Autre"]
"""
OTHERS = """
[[questions]]
id = "online"
kind = "yes-no"
words = "Do you join online?"

[[questions]]
id = "wish"
words = "What would you like to hear about?"
"""
ENDS = """
[[messages]]
id = "confirmation"
on_registration = true
"""


def questions(source: str) -> tuple[Question, ...]:
    return webinar(source + ENDS).questions


def problems(source: str, **changed: object) -> list[str]:
    with pytest.raises(WebinarProblems) as found:
        read_webinar(toml(source + ENDS, **changed), "w.toml")
    return [str(one).partition(", ")[2].partition(", ")[2] for one in found.value.problems]


def test_nobody_registers_unless_the_file_says_so() -> None:
    found = webinar()
    assert (found.registration, found.capacity, found.questions, found.consent) == ("closed", None, (), "")


@pytest.mark.parametrize("registration", ["closed", "open", "confirm"])
def test_who_may_register(registration: str) -> None:
    assert webinar(registration=registration, capacity=500).registration == registration


def test_a_question_in_the_language_of_its_reader() -> None:
    (role,) = questions(ROLE)
    assert (role.words_in("fr-CH"), role.options_in("fr-CH")) == (
        "Que faites-vous ?",
        ("Infirmière", "Autre"),
    )
    assert (role.words_in("es"), role.options_in("es")) == ("What do you do?", ("Nurse", "Other"))
    assert questions(OTHERS)[1].kind == "text"


def test_consent_in_the_language_of_its_reader() -> None:
    found = webinar('[translations.fr]\nconsent = "Oui."\n' + ENDS, consent="I agree.")
    assert [found.consent_in(one) for one in ("fr", "fr-CA", "en", "es")] == [
        "Oui.",
        "Oui.",
        "I agree.",
        "I agree.",
    ]


@pytest.mark.parametrize(
    ("source", "changed", "found"),
    [
        ("", {"registration": "opne"},
         'registration: "opne"; allowed: "closed", "open" or "confirm"; did you mean `open`?'),
        ("", {"capacity": 0}, "capacity: 0; allowed: a whole number of places, 1 to 1,000,000"),
        (ROLE + ROLE, {}, 'questions[2].id: "role", also the id of questions[1]; allowed: an id of its own'),
        (ROLE.replace('"Nurse", "Other"', '"Nurse"'), {},
         'questions[1].options: 1 options; allowed: what may be chosen, in brackets: ["Hospital", "Ministry"],'
         " 2 to 50 of them"),
        (ROLE.replace('"Nurse", "Other"', '"Nurse", "Nurse"'), {},
         'questions[1].options: "Nurse" twice; allowed: each option once'),
        (ROLE.replace('"choice"', '"text"'), {},
         'questions[1].options: is set, but nothing is chosen; allowed: only with kind = "choice"'),
        (ROLE.replace('"choice"', '"chioce"'), {},
         'questions[1].kind: "chioce"; allowed: "text", "choice" or "yes-no"; did you mean `choice`?'),
        (ROLE.replace("translations.fr", "translations.de"), {},
         'questions[1].translations.de: "de" is not one of the other languages; allowed: fr'),
        (ROLE.replace(', "Autre"', ""), {},
         "questions[1].translations.fr.options: 1 options, and 2 in the first language; allowed: as many, in the same"
         " order"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_is_allowed(source: str, changed: dict[str, object], found: str) -> None:
    assert found in problems(source, **changed)


def test_ten_questions_are_enough() -> None:
    many = "".join(f'[[questions]]\nid = "q{number}"\nwords = "Why?"\n' for number in range(11))
    assert problems(many) == ["questions: 11 questions; allowed: at most 10"]


def test_sound_answers_are_kept_and_empty_ones_are_not() -> None:
    given = {"role": "Nurse", "online": False, "wish": "  Access   to\tmedicines "}
    assert checked(questions(ROLE + OTHERS), given) == (
        {"role": "Nurse", "online": False, "wish": "Access to medicines"},
        [],
    )
    assert checked(questions(ROLE + OTHERS), {"role": "Other", "wish": " ", "online": None}) == (
        {"role": "Other"},
        [],
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "role: is missing; allowed: \"Nurse\", \"Other\""),
        ({"role": ""}, "role: is missing; allowed: \"Nurse\", \"Other\""),
        ({"role": "Doctor"}, "role: no answer to this question; allowed: \"Nurse\", \"Other\""),
        ({"role": True}, "role: no answer to this question; allowed: \"Nurse\", \"Other\""),
        ({"role": "Nurse", "online": "yes"}, "online: no answer to this question; allowed: true or false"),
        ({"role": "Nurse", "wish": "x" * (LONGEST_ANSWER + 1)},
         "wish: no answer to this question; allowed: a text of at most 1000 characters"),
        ({"role": "Nurse", "wishes": "x"},
         "wishes: no such question; allowed: role, online, wish; did you mean `wish`?"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none(given: dict[str, object], found: str) -> None:
    _, problems = checked(questions(ROLE + OTHERS), given)
    assert [str(one) for one in problems] == [found]
