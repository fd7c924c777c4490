"""Fixtures of the whole suite: real servers, one log, the bundled data, a browser."""

pytest_plugins = [
    *("tests.fix_postgres", "tests.fix_kafka", "tests.fix_log", "tests.fix_notebooks"),
    "tests.fix_browser",
]
