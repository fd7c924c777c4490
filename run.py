#!/usr/bin/env python3
"""Make an environment from the locked requirements, and run something in it.

    python3 run.py tour         what the workbench does, on bundled data
    python3 run.py test         the whole test suite
    python3 run.py install      only make the environment
    python3 run.py VERB …       any verb of the command line: python3 run.py load --help

It needs Python 3.11 or newer, and nothing else. The environment is in .venv, or where WORKBENCH_VENV says; it is
made again when requirements.lock or pyproject.toml has changed.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("WORKBENCH_VENV") or HERE / ".venv").absolute()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "workbench.stamp"


def main():
    """Run what the command line names; return the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- this line is for the Pythons that are too old
        sys.exit(
            "workbench needs Python 3.11 or newer, and this is {}.{}.".format(*sys.version_info)
        )
    verb, *arguments = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        sys.exit(__doc__)
    wanted = hashlib.sha256()
    for name in ("requirements.lock", "pyproject.toml"):
        wanted.update((HERE / name).read_bytes())
    if not STAMP.exists() or STAMP.read_text() != wanted.hexdigest():
        install()
        STAMP.write_text(wanted.hexdigest())
    if verb == "install":
        return 0
    if verb == "test":
        # The whole suite takes all processors: each process runs whole files, with servers of its own.
        command = ["pytest", *(arguments or ["-n", "auto", "--dist", "loadfile"])]
    else:
        command = ["workbench", verb, *arguments]
    command = [str(PYTHON), "-m", *command]
    try:
        return subprocess.run(command, cwd=HERE if verb == "test" else None).returncode
    except KeyboardInterrupt:
        return 130


def install():
    """Make the environment, from the lock file alone."""
    sys.stderr.write(f"Making an environment in {VENV}; this takes a minute or two.\n")
    STAMP.unlink(missing_ok=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--require-hashes", "-r", str(HERE / "requirements.lock")], check=True
        )
        # What builds the package is locked too, so no other version of it is fetched.
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(HERE)], check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"The environment could not be made ({' '.join(error.cmd[:4])} ended with {error.returncode}).\n"
            "  → read what stands above; on Debian and Ubuntu: apt-get install python3-venv"
        )


if __name__ == "__main__":
    sys.exit(main())
