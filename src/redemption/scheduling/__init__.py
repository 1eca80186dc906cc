"""Decides when work runs: little long work at a time, in small steps, one read for many callers, and quotas."""
