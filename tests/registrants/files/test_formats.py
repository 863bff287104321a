"""A file of any format and encoding that spreadsheets save is the same people; what is none is refused by its name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import pytest

from scheduler.problem import Problems
from scheduler.registrants.files import workbook
from scheduler.registrants.files.reading import RegistrantFile
from tests.registrants.files.workbooks import Rows, ods, packed, xlsx

PEOPLE = [["E-Mail", "Name"], ["ana@example.org", "Ana & Bo"], ["zoe@example.org", "Zoë Müller"]]
TEXT = "".join(";".join(row) + "\r\n" for row in PEOPLE)
RIGHT = {"ana@example.org": "Ana & Bo", "zoe@example.org": "Zoë Müller"}


def people(raw: bytes, **asked: str) -> dict[str, str]:
    file = RegistrantFile(io.BytesIO(raw), "people", **asked)  # type: ignore[arg-type]
    return {row.values["email"]: row.values.get("name", "") for row in file.rows()}


def refused(raw: bytes) -> str:
    with pytest.raises(Problems) as problems:
        RegistrantFile(io.BytesIO(raw), "people")
    return str(problems.value)


FORMATS = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with BOM": TEXT.encode("utf-8-sig"),
    "sep=": b"sep=;\r\n" + TEXT.encode(),
    "sep= with BOM": ("sep=;\r\n" + TEXT).encode("utf-8-sig"),
    "Unicode Text": TEXT.replace(";", "\t").encode("utf-16"),
    "UTF-16, big": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-16 without BOM": TEXT.encode("utf-16-le"),
    "UTF-16, big, without BOM": TEXT.encode("utf-16-be"),
    "Windows-1252": TEXT.encode("cp1252"),
    "commas": TEXT.replace(";", ",").encode(),
    "tabs": TEXT.replace(";", "\t").encode(),
    "bars": TEXT.replace(";", "|").encode(),
    "NUL bytes": TEXT.replace("a", "a\0").encode(),
    "NUL bytes at the end": TEXT.encode() + b"\0" * 20,
    "XLSX": xlsx(PEOPLE),
    "ODS": ods(PEOPLE),
}


@pytest.mark.parametrize("raw", FORMATS.values(), ids=FORMATS)
def test_a_file_of_any_format_is_the_same_people(raw: bytes) -> None:
    assert people(raw) == RIGHT


ENCODINGS = {
    "cp1250": ("E-mail;Imię i nazwisko", ["Łukasz Żółć", "Grażyna Święcicka", "Jiří Dvořák", "Őry Tűz"]),
    "cp1251": ("Почта;Фамилия и имя", ["Иванова Анна", "Пётр Щукин"]),
    "cp1252": ("E-mail;Nom et prénom", ["Éloïse Garçon", "Søren Åkesson", "João Gonçalves", "Straße Groß"]),
    "cp1254": ("E-posta;Adı Soyadı", ["Ayşe Yıldız", "İbrahim Çağlar"]),
    "cp1256": ("البريد الإلكتروني;الاسم", ["محمد علي", "فاطمة"]),
    "gb18030": ("电子邮件;姓名", ["李伟", "王芳"]),
    "cp932": ("メールアドレス;氏名", ["山田花子", "ｻﾄｳ ﾀﾛｳ"]),
}


@pytest.mark.parametrize("codec", ENCODINGS)
def test_a_csv_in_an_encoding_of_windows_is_read_as_it_was_written(codec: str) -> None:
    header, names = ENCODINGS[codec]
    text = header + "\r\n" + "".join(f"{at}@example.org;{name}\r\n" for at, name in enumerate(names))
    assert list(people(text.encode(codec)).values()) == names


@pytest.mark.parametrize(
    "name", ["Łukasz Gołąb", "Grażyna", "Wałęsa", "Bolesław Świątek", "Božena Jaworska-Łoś"]
)
def test_central_european_letters_are_known_without_a_header_of_their_own(name: str) -> None:
    assert people(f"email;name\r\na@example.org;{name}\r\n".encode("cp1250")) == {"a@example.org": name}


def test_where_nobody_can_know_the_encoding_that_is_noted() -> None:
    file = RegistrantFile(io.BytesIO("email;name\r\na@example.org;Ève\r\n".encode("cp1252")), "f.csv")
    assert "the file does not declare its encoding and is read as Windows-1252" in str(file.notes()[0])


def test_rows_of_a_workbook_are_named_as_its_program_numbers_them() -> None:
    rows = [
        ["Our people"],
        [],
        ["", "Name", "E-Mail"],
        ["", "Ana", "ana@example.org"],
        [],
        ["", "Bo", "bo@example.org"],
    ]
    for raw in (xlsx(rows), ods(rows)):
        assert [row.line for row in RegistrantFile(io.BytesIO(raw), "f").rows()] == [4, 6]


def test_numbers_stay_as_they_are_shown() -> None:
    rows: Rows = [["Email", "Name", "Country"], ["ana@example.org", "7", "12.5"]]
    (row,) = RegistrantFile(io.BytesIO(xlsx(rows)), "f").rows()
    assert (row.values["name"], row.values["country"]) == ("7", "12.5")


def test_of_several_sheets_with_people_one_must_be_named() -> None:
    raw = xlsx({"Read me": [["Our list"]], "2026": PEOPLE[:2], "2027": [PEOPLE[0], PEOPLE[2]]})
    assert (
        refused(raw) == 'people: several sheets hold people: "2026", "2027"; allowed: one; name it by --table'
    )
    assert people(raw, table="2027") == {"zoe@example.org": "Zoë Müller"}
    with pytest.raises(Problems, match='--table: "2028"; allowed: "2026", "2027"'):
        people(raw, table="2028")


def test_a_sheet_that_is_hidden_is_not_read_and_one_of_people_who_wait_is_left_out() -> None:
    assert people(xlsx({"Old": PEOPLE[:2], "New": [PEOPLE[0], PEOPLE[2]]}, hidden=["Old"])) == {
        "zoe@example.org": "Zoë Müller"
    }
    file = RegistrantFile(io.BytesIO(xlsx({"Approved": PEOPLE[:2], "Waitlist": [PEOPLE[0], PEOPLE[2]]})), "f")
    assert [(row.values["email"], row.left_out) for row in file.rows()] == [
        ("ana@example.org", ""),
        ("zoe@example.org", "status “Waitlist”"),
    ]


def parts(raw: bytes) -> dict[str, str | bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_sheet(change: tuple[bytes, bytes]) -> bytes:
    there: Mapping[str, str | bytes] = parts(xlsx(PEOPLE))
    name = "xl/worksheets/sheet1.xml"
    return packed({**there, name: bytes(there[name]).replace(*change)})  # type: ignore[arg-type]


def test_a_workbook_that_unpacks_into_too_much_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workbook, "UNPACKED", 10**6)
    bomb = packed({**parts(xlsx(PEOPLE)), "xl/worksheets/sheet1.xml": b"0" * 10**6})
    assert len(bomb) < 10_000
    monkeypatch.setattr(workbook, "_unpack", None)
    assert refused(bomb).startswith("people: the workbook is too large when unpacked")


def test_a_cell_at_the_end_of_the_sheet_takes_no_memory_of_ours() -> None:
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    assert refused(with_sheet((b"</sheetData>", far))).startswith("people: the workbook can't be read")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "the file is a workbook in the old format of Excel (.xls)"),
        (
            b"\xd0\xcf\x11\xe0" + b"\0" * 99 + "EncryptedPackage".encode("utf-16-le"),
            "is protected by a password",
        ),
        (b"PK\x03\x04" + b"x" * 100, "the workbook can't be read"),
        (xlsx(PEOPLE)[:-200], "the workbook can't be read"),
        (packed({"people.csv": TEXT}), "the file is an archive, not a workbook"),
        (xlsx([["Read me"]]), "no column for the address"),
        (xlsx([]), "the file is empty"),
        (b"email\n" + bytes(range(128, 256)) * 9, "nor in another encoding that is known"),
    ],
    ids=["xls", "password", "no zip", "cut off", "zip", "no people", "empty", "noise"],
)
def test_what_is_no_file_of_people_is_refused_by_its_name(raw: bytes, told: str) -> None:
    assert told in refused(raw)
