"""What keeps a server running: its processes, the embedded ledger, and the files that a start needs."""
