"""`webinar gallery`: every message in every language, on phone and desktop, light and dark."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from scheduler.commands.chosen import chosen_webinars
from scheduler.commands.common import mistakes_reported, templates_dir
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES
from scheduler.governing.texts import sources_of
from scheduler.problem import Problem, Problems
from scheduler.reports.gallery import gallery as write_gallery


@click.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Write it there.")
@click.option(
    "--webinar",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The webinar's file, or its id.",
)
@click.option("--pictures", is_flag=True, help="Also as PNG files, by Chromium.")
def gallery(out: Path, file: Path | None, pictures: bool) -> None:
    """Write a page that shows every message in every language, on phone and desktop, light and dark.

    Nothing is sent.
    """
    with mistakes_reported():
        found, _ = chosen_webinars(file)
        root = templates_dir()
        sources = sources_of(Folder(root, TEXT_FILES).read())
        for webinar in found.values():
            folder = out / webinar.id if len(found) > 1 else out
            try:
                for picture in write_gallery(webinar, root, sources, folder, pictures=pictures):
                    click.echo(picture)
            except OSError as error:
                raise Problems(
                    [Problem(f"--out {out}", f"can't be written: {error.strerror}", "a folder")]
                ) from None
            except subprocess.SubprocessError as error:
                found_text = f"the browser made no picture ({type(error).__name__})"
                raise Problems([Problem("--out", found_text, "Chromium that runs")]) from None
            click.echo(folder / "index.html")
