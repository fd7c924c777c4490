"""Event tables and read models in Postgres."""

from workbench.sources.postgres.layouts import LAYOUTS, Layout
from workbench.sources.postgres.source import Postgres, postgres

__all__ = ["LAYOUTS", "Layout", "Postgres", "postgres"]
