"""Reads and writes what the ledger keeps: one file for each kind of record."""
