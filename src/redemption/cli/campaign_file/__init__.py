"""A campaign as a YAML or JSON file: read, complained about line by line, and turned into the contract; and back."""
