"""What people type: options, orders, files, times."""
