"""Fixtures that need no server."""
