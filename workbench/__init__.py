"""A Jupyter workbench for event-sourced systems."""
