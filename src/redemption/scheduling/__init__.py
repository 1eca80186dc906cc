"""Decides when work runs: little long work at a time, in small steps, and one read for many callers."""
