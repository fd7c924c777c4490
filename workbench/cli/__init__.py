"""The command line: ``workbench tour | load | health | replay | diff | generate | doctor``."""

from workbench.cli.app import main

__all__ = ["main"]
