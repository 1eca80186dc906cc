"""Starts a server and keeps it running: its processes, the embedded ledger, and the files that a start needs."""
