"""Widgets: a log and its results, looked at with mouse and keyboard."""
