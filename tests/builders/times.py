"""Times for tests."""

NOW = 1_800_000_000
"""The present of tests that ask no clock, Unix seconds."""
DAY_MS = 86_400_000
