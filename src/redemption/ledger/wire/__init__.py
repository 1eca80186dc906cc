"""What travels between a server and its ledger, packed into bytes."""
