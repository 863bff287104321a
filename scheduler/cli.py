"""The command line: `webinar COMMAND`.

Exit codes: 0 done; 1 done, but something needs a look; 2 it could not begin (a bad command line, environment
or file; nothing was touched).
"""

from __future__ import annotations

import click

from scheduler.commands.check import check
from scheduler.commands.export import export
from scheduler.commands.forget import forget
from scheduler.commands.gallery import gallery
from scheduler.commands.live import draft, live
from scheduler.commands.move import move
from scheduler.commands.notify import notify
from scheduler.commands.preview import preview
from scheduler.commands.registrants import import_, suppress
from scheduler.commands.rehearse import rehearse
from scheduler.commands.replan import replan_command
from scheduler.commands.restored import restored_command
from scheduler.commands.run import run
from scheduler.commands.send_test import send_test
from scheduler.commands.show import show
from scheduler.commands.status import status
from scheduler.commands.timeline import timeline_command
from scheduler.commands.user import user
from scheduler.commands.version import print_version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the versions of the program, its schema and the tz database.",
)
def main() -> None:
    """Write to every registrant of a webinar at the right time, in their own time zone."""


for command in (
    run,
    rehearse,
    check,
    import_,
    suppress,
    forget,
    export,
    replan_command,
    restored_command,
    status,
    show,
    live,
    draft,
    notify,
    move,
    timeline_command,
    preview,
    gallery,
    send_test,
    user,
):
    main.add_command(command)
