"""What others hand facts to: it counts and logs them. It imports no other room."""
