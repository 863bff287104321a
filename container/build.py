"""Builds the Dockerfile where no engine runs and no base image can be pulled: as root on Debian.

    python3 container/build.py FOLDER

Debian's buildah builds the very Dockerfile. Its base is made from Debian's packages and carries the name that
the Dockerfile gives. What pip is told on this machine (its settings, an index, certificates) is mounted for the
time of the build and stays out of the image. FOLDER has the image's root file system and its settings
(image.json) afterwards, which run.py uses. Needs buildah and mmdebstrap.
"""

# ruff: noqa: S603, S607 (starts the programs that the operator's PATH has)

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
IMAGE = "webinar-scheduler"
SUITE = "bookworm"
IN_BASE = "python3,python3-venv,ca-certificates"
SLIM = ("force-unsafe-io", *(f"path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")))
APT_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
CERTIFICATES = Path("/etc/ssl/certs")


def main(folder: Path) -> None:
    tools = ("buildah", "mmdebstrap")
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        sys.exit(f"NOT RUN: no {' and no '.join(missing)} (apt-get install {' '.join(missing)})")
    if os.geteuid() != 0:
        sys.exit("NOT RUN: only root can build here")
    folder.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(folder.resolve())
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as temporary:
        os.environ["TMPDIR"] = temporary  # nothing lands anywhere else
        make_base(buildah, base_name(), Path(temporary) / "base.tar")
        mounts = [part for mount in mounts_for_pip(Path(temporary)) for part in ("-v", f"{mount}:ro")]
        buildah(
            "bud",
            "--pull-never",
            "--format",
            "docker",
            "--network",
            "host",
            *mounts,
            *build_arguments(),
            "-t",
            IMAGE,
            str(PROJECT),
        )
    container = buildah("from", "--pull-never", IMAGE)
    image = {
        "root": buildah("mount", container),
        "config": json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"],
    }
    (folder / "image.json").write_text(json.dumps(image, indent=1))


class Buildah:
    """buildah with a storage of its own, without an engine: it needs no overlay, cgroups or user namespaces."""

    def __init__(self, folder: Path) -> None:
        self._options = [
            "--storage-driver",
            "vfs",
            "--root",
            f"{folder}/storage",
            "--runroot",
            f"{folder}/run",
        ]
        self._environ = os.environ | {"BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["buildah", *self._options, *arguments],
            env=self._environ,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{done.stdout}\nbuildah {arguments[0]} failed")
        return done.stdout.strip()


def build_arguments() -> list[str]:
    """What `make image` gives an engine: the version and the commit, for the labels."""
    make = ["make", "--silent", "image", "ENGINE=echo"]
    done = subprocess.run(make, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return [part for pair in re.findall(r"(--build-arg) (\S+)", done.stdout) for part in pair]


def base_name() -> str:
    """The name of the base in the Dockerfile."""
    found = re.search(r"^ARG BASE=(\S+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    if not found:
        sys.exit("the Dockerfile has no line ARG BASE=...")
    return found[1]


def make_base(buildah: Buildah, name: str, archive: Path) -> None:
    """Debian with its own Python 3.11, under the name of the image that can't be pulled."""
    sources = [source for source in APT_SOURCES if Path(source).exists()]
    options = ["--variant=minbase", f"--include={IN_BASE}", *(f"--dpkgopt={option}" for option in SLIM)]
    subprocess.run(["mmdebstrap", "--quiet", *options, SUITE, str(archive), *sources], check=True)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(archive), "/")
    buildah("commit", "--quiet", "--rm", container, name)


def mounts_for_pip(temporary: Path) -> Iterator[str]:
    """This machine's pip settings as one file for the build, and the files and folders that they name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    sections: dict[str, dict[str, str]] = {"global": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        # Settings from PIP_... come last, and win.
        sections.setdefault("global" if section == ":env:" else section, {})[option] = literal_eval(value)
    if CERTIFICATES.is_dir():
        yield f"{CERTIFICATES}:{CERTIFICATES}"
        sections["global"].setdefault("cert", str(CERTIFICATES / "ca-certificates.crt"))
    words = {
        word.removeprefix("file://")
        for given in sections.values()
        for value in given.values()
        for word in value.split()
    }
    for path in {Path(word) for word in words if word.startswith("/") and Path(word).exists()}:
        if not path.is_relative_to(CERTIFICATES):
            shown = path.parent if path.name == "simple" else path  # an index's files lie beside it
            yield f"{shown}:{shown}"
    settings = temporary / "pip.conf"
    settings.touch(0o600)  # it may hold a password
    settings.write_text("\n".join(_ini(section, given) for section, given in sections.items()))
    yield f"{settings}:/etc/pip.conf"


def _ini(section: str, given: dict[str, str]) -> str:
    lines = (f"{option} = {value}".replace("\n", "\n    ") for option, value in given.items())
    return "\n".join([f"[{section}]", *lines, ""])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
