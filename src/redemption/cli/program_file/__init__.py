"""A program's rules as a YAML or JSON file: reads and checks them, and converts them to the contract and back."""
