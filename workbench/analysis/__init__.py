"""Questions to a log: each takes a view and gives a result; nothing is written to any source."""
