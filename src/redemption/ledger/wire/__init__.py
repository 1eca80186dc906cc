"""Packs what a server sends to its ledger into bytes, and unpacks the replies."""
