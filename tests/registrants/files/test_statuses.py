"""Statuses as systems write them: who comes, who does not, and what is asked about."""

from __future__ import annotations

import pytest

from scheduler.registrants.files.statuses import role_of, why_not

COMES = {
    "Zoom": "approved | Approved | aprobado | approuvé | утверждено | 已批准 | genehmigt"
    " | aprovado | approvato | 承認済み | onaylandı",
    "Luma": "approved | session | going",
    "Teams": "Registered | Approved | Attended | تم التسجيل",
    "Eventbrite": "Attending | Checked In",
    "Indico": "Completed | Abgeschlossen | Completado | Terminé | Завершено | 完了 | Concluído"
    " | Tamamlandı | Zakończone",
    "HubSpot": "REGISTERED | Attended | No-show | NO_SHOW",
    "GoTo": "APPROVED | Registered",
    "Livestorm, BigMarker, ON24, Webex": "registered | attended | Did not attend | No Show | Accepted | On Demand",
    "sheets": "yes | confirmed | OK | oui | sí | да | نعم | 是 | ja | sim | sì | はい | evet | Confirmé | Bestätigt",
}
DOES_NOT = {
    "Zoom": "pending approval | denied | cancelled by host | canceled by host | cancelled by self | Denied/Blocked"
    " | cancelado por el anfitrión | refusé | отклонено | 已拒绝 | abgelehnt | rejeitado"
    " | rifiutato | 却下 | reddedildi"
    " | في انتظار الموافقة",
    "Luma": "pending_approval | invited | waitlist | declined | Not Going",
    "Teams": "Waitlisted | Pending approval | Rejected | Canceled | Pending",
    "pretix": "canceled | expired | pending | approval pending | partially paid",
    "Eventbrite": "Not Attending | Deleted | Transferred | Refunded | Unpaid",
    "Indico": "Pending | Rejected | Withdrawn | Awaiting payment | Anhängig | Zurückgezogen | En attente du paiement"
    " | Retirado | 保留中 | 取り下げ済 | 支払い待ち | Geri çekildi | Wycofany | Stornováno",
    "HubSpot": "CANCELLED | Cancelled",
    "GoTo": "WAITING | DENIED",
    "sheets": "no | cancelled | Cancelled (by phone) | non | нет | لا | 否 | nein | não"
    " | いいえ | hayır | annulé | storniert"
    " | отменено | ملغى | 已取消 | キャンセル | İptal edildi | abgesagt | waiting list"
    " | Warteliste | liste d'attente",
}
ASKED = "maybe | tentative | Student | 7 | VIP | approved? no | p | c | A | interested | Member"
" | Speaker list | tbd | ?!"


def words(table: dict[str, str]) -> list[str]:
    return [word for line in table.values() for word in line.split(" | ")]


@pytest.mark.parametrize("word", words(COMES))
def test_of_these_people_come(word: str) -> None:
    assert why_not(word) == ""


@pytest.mark.parametrize("word", words(DOES_NOT))
def test_of_these_they_do_not(word: str) -> None:
    assert why_not(word) == f"status “{word}”"


@pytest.mark.parametrize("word", ASKED.split(" | "))
def test_of_these_nobody_knows(word: str) -> None:
    assert why_not(word) is None


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        ("p", ""),
        ("n", "status “n” (not paid yet)"),
        ("e", "status “e” (expired)"),
        ("c", "status “c” (cancelled)"),
    ],
)
def test_pretix_s_letters_are_known_where_they_are_pretix_s(letter: str, why: str) -> None:
    assert why_not(letter, codes=True) == why


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("Organizer", "host"), ("Co-organizer", "host"), ("Hôte", "host"), ("主持人", "host"),
        ("Presenter", "panelist"),        ("Panelist", "panelist"), ("Докладчик", "panelist"),
         ("Attendee", "attendee"), ("参加者", "attendee"),
        ("Katılımcı", "attendee"), ("Head of unit", "Head of unit"),
    ],
)  # fmt: skip
def test_roles(word: str, role: str) -> None:
    assert role_of(word) == role
