"""Campaigns as YAML or JSON files: reads and checks them, and converts them to the contract and back."""
