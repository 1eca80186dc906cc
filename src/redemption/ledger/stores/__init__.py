"""What the ledger keeps, one file for each kind of record."""
