"""`webinar user add|reset|list|remove`: who may sign in to the editor."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from scheduler.commands.common import (
    mistakes_reported,
    opened_database,
    settings_of_environment,
    stop,
    text_of,
)
from scheduler.input.addresses import why_no_address
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems
from scheduler.web import accounts
from scheduler.web.accounts import LONGEST_PASSWORD, ROLES, SHORTEST_PASSWORD, Role


@click.group()
def user() -> None:
    """Say who may sign in to the editor of texts."""


@user.command()
@click.argument("address")
@click.option("--role", type=click.Choice(ROLES), default="edit", show_default=True)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    help="Its first line is the password; else you are asked.",
)
def add(address: str, role: Role, password_file: Path | None) -> None:
    """Add an account, or give it another password or role. Its browsers are signed out."""
    settings = settings_of_environment()
    with mistakes_reported():
        if why := why_no_address(address):
            raise Problems([Problem("ADDRESS", f"{shown(address)}: {why}", "an e-mail address")])
    with opened_database(settings) as database:
        with mistakes_reported():
            password = _password(password_file)
        with database.transaction() as conn:
            new = accounts.save_account(conn, datetime.now(UTC), address, password, role)
    click.echo(
        f"{address} may {role} the texts."
        if new
        else f"{address} has a new password, and may {role} the texts."
    )


@user.command()
@click.argument("address")
def reset(address: str) -> None:
    """Give an account a new password, and show it once. Its browsers are signed out. Exit code 1 when there is none."""
    password = accounts.new_password()
    with opened_database(settings_of_environment()) as database, database.transaction() as conn:
        there = accounts.reset_password(conn, datetime.now(UTC), address, password)
    if not there:
        click.echo(
            f"There is no account {address}. `webinar user list` shows all, `webinar user add` makes one."
        )
        sys.exit(1)
    click.echo(f"The new password of {address}, which is not shown again: {password}")


@user.command("list")
def list_() -> None:
    """Show every account: address and role."""
    with opened_database(settings_of_environment()) as database, database.reading() as conn:
        for account in accounts.all_accounts(conn):
            click.echo(f"{account.address}\t{account.role}")


@user.command()
@click.argument("address")
def remove(address: str) -> None:
    """Take an account away. Its browsers are signed out. Exit code 1 when there is none."""
    with opened_database(settings_of_environment()) as database, database.transaction() as conn:
        there = accounts.remove_account(conn, address)
    click.echo(f"{address} may not sign in any more." if there else f"There is no account {address}.")
    sys.exit(0 if there else 1)


def _password(file: Path | None) -> str:
    """Raises Problems where it is too short; it is never shown."""
    if file is not None:
        password = text_of(file).split("\n")[0].rstrip("\r")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        stop("There is no terminal to ask on. Nothing was changed; --password-file names a file.")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        place = str(file) if file else "the password"
        allowed = f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise Problems([Problem(place, f"{len(password)} characters", allowed, "four words make a good one")])
    return password
