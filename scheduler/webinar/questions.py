"""`[[questions]]` in a webinar's file: what people are asked when they register, and their answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictBool

from scheduler.input import values
from scheduler.input.validation import Mistake, shown
from scheduler.problem import Problem, nearest

MOST = 10  # questions of a webinar
MOST_OPTIONS = 50
LONGEST_ANSWER = 1000  # characters
_OPTIONS = 'what may be chosen, in brackets: ["Hospital", "Ministry"], 2 to 50 of them'
_WORDS = "the question, a text on one line of at most 200 characters"

Words = Annotated[str, BeforeValidator(values.title)]
Options = Annotated[tuple[Words, ...], BeforeValidator(values.in_brackets)]


class QuestionTranslation(BaseModel, frozen=True, extra="forbid"):
    """A question in another language."""

    words: Words | None = Field(default=None, description=_WORDS)
    options: Options = Field(default=(), description="the options in this language, in the same order")


class Question(BaseModel, frozen=True, extra="forbid"):
    """A question to whoever registers. An answer is stored in the words of the first language."""

    id: Annotated[str, BeforeValidator(values.identifier)] = Field(
        description="small letters, digits and hyphens, at most 64"
    )
    kind: Literal["text", "choice", "yes-no"] = Field(
        default="text", description='"text", "choice" or "yes-no"'
    )
    words: Words = Field(description=_WORDS)
    options: Options = Field(default=(), description=_OPTIONS)
    required: StrictBool = Field(default=False, description="true or false")
    translations: dict[Annotated[str, BeforeValidator(values.language)], QuestionTranslation] = Field(
        default={}, description="[questions.translations.fr] with words and options, below its [[questions]]"
    )

    def words_in(self, language: str) -> str:
        """The question in a language; in the first one where it is not translated."""
        return self._translation(language).words or self.words

    def options_in(self, language: str) -> tuple[str, ...]:
        """The options in a language, in the order of `options`."""
        return self._translation(language).options or self.options

    def _translation(self, language: str) -> QuestionTranslation:
        empty = QuestionTranslation()
        exact = self.translations.get(language, empty)
        wider = self.translations.get(language.partition("-")[0], empty)
        return QuestionTranslation.model_construct(
            words=exact.words or wider.words, options=exact.options or wider.options
        )


Answers = dict[str, str | bool]
"""Answers by the question's id: a text, one of the options, or whether it is so."""


def checked(questions: tuple[Question, ...], given: Mapping[str, object]) -> tuple[Answers, list[Problem]]:
    """The answers that can be stored, without empty ones, and what is wrong with the others. The place of a problem is
    the question's id; what was typed is not in it."""
    known = {one.id: one for one in questions}
    answers, problems = Answers(), list[Problem]()
    for name in given.keys() - known.keys():
        allowed = ", ".join(known) or "no answers: this webinar asks nothing"
        problems.append(Problem(name[:80], "no such question", allowed, nearest(name, known)))
    for question in questions:
        answer, problem = _checked(question, given.get(question.id))
        if problem:
            problems.append(problem)
        elif answer != "":
            answers[question.id] = answer
        elif question.required:
            problems.append(Problem(question.id, "is missing", _allowed(question)))
    return answers, problems


def _checked(question: Question, answer: object) -> tuple[str | bool, Problem | None]:
    if answer is None:
        return "", None
    if question.kind == "yes-no":
        if isinstance(answer, bool):
            return answer, None
    elif isinstance(answer, str):
        said = " ".join(answer.split())
        if question.kind == "choice" and said in ("", *question.options):
            return said, None
        if question.kind == "text" and len(said) <= LONGEST_ANSWER:
            return said.replace("\0", "\ufffd"), None
    return "", Problem(question.id, "no answer to this question", _allowed(question))


def _allowed(question: Question) -> str:
    match question.kind:
        case "yes-no":
            return "true or false"
        case "choice":
            return ", ".join(map(shown, question.options))
        case _:
            return f"a text of at most {LONGEST_ANSWER} characters"


def question_mistakes(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes of [[questions]] that concern more than one key."""
    questions = raw.get("questions")
    tables = questions if isinstance(questions, list) else []
    if len(tables) > MOST:
        yield Mistake(("questions",), f"{len(tables)} questions", f"at most {MOST}")
    first: dict[str, int] = {}
    for index, question in enumerate(tables):
        if not isinstance(question, dict):
            continue
        name = question.get("id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            found = f"{shown(name)}, also the id of questions[{first[name] + 1}]"
            yield Mistake(("questions", index, "id"), found, "an id of its own")
        for one in (*_option_mistakes(question), *_translation_mistakes(question, raw.get("languages"))):
            yield one._replace(loc=("questions", index, *one.loc))


def _option_mistakes(question: Mapping[str, Any]) -> Iterator[Mistake]:
    options = question.get("options", [])
    if not isinstance(options, list):
        return
    if question.get("kind") != "choice":
        if options:
            yield Mistake(("options",), "is set, but nothing is chosen", 'only with kind = "choice"')
        return
    if not 2 <= len(options) <= MOST_OPTIONS:
        yield Mistake(("options",), f"{len(options)} options", _OPTIONS)
    named = [one.strip() for one in options if isinstance(one, str)]
    if twice := [one for one in named if named.count(one) > 1]:
        yield Mistake(("options",), f"{shown(twice[0])} twice", "each option once")


def _translation_mistakes(question: Mapping[str, Any], languages: object) -> Iterator[Mistake]:
    translations, options = question.get("translations"), question.get("options", [])
    if not isinstance(translations, dict):
        return
    tags = [one for one in languages if isinstance(one, str)] if isinstance(languages, list) else []
    for tag, translation in translations.items():
        if tag.casefold() not in [one.casefold() for one in tags[1:]]:
            found = f"{shown(tag)} is not one of the other languages"
            yield Mistake(("translations", tag), found, ", ".join(tags[1:]), nearest(tag, tags[1:]))
        theirs = translation.get("options") if isinstance(translation, dict) else None
        if isinstance(theirs, list) and isinstance(options, list) and len(theirs) != len(options):
            found = f"{len(theirs)} options, and {len(options)} in the first language"
            yield Mistake(("translations", tag, "options"), found, "as many, in the same order")
