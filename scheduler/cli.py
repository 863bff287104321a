"""The command line: `webinar COMMAND`.

Exit codes: 0 done; 1 done, but something needs a look; 2 it could not begin (a bad command line, environment
or file; nothing was touched).
"""

from __future__ import annotations

import signal
from importlib import import_module

import click

COMMANDS = {
    "run": "run",
    "rehearse": "rehearse",
    "check": "check",
    "import": "registrants:import_",
    "pull": "pull:pull_command",
    "receive": "receive",
    "suppress": "person",
    "unsuppress": "person",
    "resend": "person",
    "retry": "person",
    "forget": "forget",
    "export": "export",
    "replan": "replan:replan_command",
    "restored": "restored:restored_command",
    "status": "status",
    "show": "show",
    "live": "live",
    "draft": "live",
    "notify": "notify",
    "move": "move",
    "timeline": "timeline:timeline_command",
    "zone": "zone:zone_command",
    "preview": "preview",
    "gallery": "gallery",
    "send-test": "send_test",
    "explain-reply": "explain_reply",
    "user": "user",
    "key": "key",
}
"""Where each command is below `scheduler.commands`: MODULE, or MODULE:NAME where it has another name there."""


class Commands(click.Group):
    """Commands whose modules are imported when they are called: each needs a part of the program."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(
            import_module(f"scheduler.commands.{module}"), name or cmd_name.replace("-", "_")
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # SIGHUP never ends a service, nor while its modules are imported, which takes a second.
        if args[0] == "run":
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    from scheduler.commands.version import print_version

    print_version(ctx, parameter, wanted)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of the program, its schema and the tz database.",
)
def main() -> None:
    """Write to every registrant of a webinar at the right time, in their own time zone."""


if __name__ == "__main__":
    main()
