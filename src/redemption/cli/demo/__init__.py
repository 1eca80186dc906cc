"""The demo, which is a flash sale in the terminal; and a sample shop that can show every outcome."""
