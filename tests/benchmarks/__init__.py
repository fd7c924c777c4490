"""Benchmarks: ratios against a named peer in the same run; run by hand, never part of the suite."""
