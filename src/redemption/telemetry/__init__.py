"""Counts and logs what other rooms report. It imports no other room."""
