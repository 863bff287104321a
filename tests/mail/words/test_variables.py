"""The variables of texts."""

from __future__ import annotations

from scheduler.mail.words.variables import BLOCKS, LABELS, LAYOUT_VARIABLES, VARIABLES


def test_every_variable_and_block_has_a_meaning_and_a_label() -> None:
    assert LABELS.keys() == VARIABLES.keys() | BLOCKS.keys()
    assert all({**VARIABLES, **BLOCKS}.values())
    assert len(set(LABELS.values())) == len(LABELS), "no two look alike in the editor"


def test_the_layout_may_use_whatever_texts_may_but_blocks() -> None:
    assert VARIABLES.keys() <= LAYOUT_VARIABLES
