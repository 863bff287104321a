"""Markdown's tokens as plain text, as somebody would type it into a mail without formatting."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from urllib.parse import unquote

from markdown_it.token import Token


def plain_text(tokens: Sequence[Token]) -> str:
    """The blocks, separated by blank lines. Each paragraph is one line, which mail programs wrap."""
    return "\n\n".join(_blocks(tokens)) + "\n"


def _blocks(tokens: Sequence[Token]) -> list[str]:
    blocks = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        end = _matching(tokens, position) if token.nesting == 1 else position
        block = _block(token, tokens[position + 1 : end])
        if block.strip():
            blocks.append(block)
        position = end + 1
    return blocks


def _block(token: Token, inside: Sequence[Token]) -> str:
    match token.type:
        case "paragraph_open" | "heading_open":
            return "".join(_inline(child.children or []) for child in inside)
        case "bullet_list_open":
            return _list(inside, "- ")
        case "ordered_list_open":
            return _list(inside, "{}" + token.markup + " ", int(token.attrs.get("start", 1)))
        case "blockquote_open":
            return textwrap.indent("\n\n".join(_blocks(inside)), "> ", lambda _: True)
        case "hr":
            return "* * *"
        case _:
            return token.content.rstrip("\n")


def _list(tokens: Sequence[Token], marker: str, number: int = 1) -> str:
    items: list[str] = []
    tight = True
    position = 0
    while position < len(tokens):
        end = _matching(tokens, position)
        inside = tokens[position + 1 : end]
        tight = tight and all(token.hidden for token in inside if token.type == "paragraph_open")
        number = int(tokens[position].attrs.get("value", number))
        bullet = marker.format(number)
        number += 1
        body = "\n".join(_blocks(inside)) if tight else "\n\n".join(_blocks(inside))
        items.append(bullet + textwrap.indent(body, " " * len(bullet))[len(bullet) :])
        position = end + 1
    return ("\n" if tight else "\n\n").join(items)


def _inline(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    labels: list[int] = []
    addresses: list[str] = []
    for token in tokens:
        if token.type == "softbreak":
            parts.append(" ")
        elif token.type == "hardbreak":
            parts.append("\n")
        elif token.type == "link_open":
            labels.append(len(parts))
            addresses.append(str(token.attrs.get("href", "")))
        elif token.type == "link_close":
            # Mail programs do not count angle brackets as part of a link (RFC 3986, appendix C).
            address = addresses.pop()
            if address.startswith("mailto:"):  # without its percent-encoded subject, which is for programs
                address = unquote(address.removeprefix("mailto:").partition("?")[0])
            if "".join(parts[labels.pop() :]).strip() != address:
                parts.append(f" <{address}>")
        else:
            parts.append(token.content)
    return "".join(parts)


def _matching(tokens: Sequence[Token], opened: int) -> int:
    """The index of the token that closes the one at `opened`."""
    depth = 0
    for position in range(opened, len(tokens)):
        depth += tokens[position].nesting
        if depth == 0:
            return position
    raise ValueError("unbalanced tokens")
