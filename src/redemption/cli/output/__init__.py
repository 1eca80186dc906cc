"""What people see: the terminal, decisions, quotes, campaigns in a few lines."""
